"""A review that is open in a page: what the page shows of it, and what readers do in it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from reddino.embedding.border import cells_at_border
from reddino.embedding.embeddings import Embeddings
from reddino.foundations.errors import RedDinoError
from reddino.foundations.visible import visible
from reddino.reviewing.agreement import KeptAgreement
from reddino.reviewing.choices import DESCRIPTIONS
from reddino.reviewing.database import ReviewDatabase
from reddino.reviewing.exported import exported
from reddino.reviewing.learning import LEAST_CELLS, LEAST_PLACES, RunningScore, candidates_only
from reddino.reviewing.pool import Labelled, Pool
from reddino.reviewing.records import Event, ScoreRecord, Suggestion
from reddino.reviewing.state import ReviewState
from reddino.reviewing.web.background import BackgroundProbe, Opinion
from reddino.reviewing.web.facets import facets_of
from reddino.reviewing.web.fine_tuning import FineTuning, tuned_shown
from reddino.reviewing.web.lineup import Known, Lineup
from reddino.reviewing.web.options import ReviewOptions
from reddino.reviewing.web.page_data import cell_shown, class_shown, kappa_shown, model_shown, or_none
from reddino.reviewing.web.page_requests import (
    SORTINGS,
    ActBody,
    CellsBody,
    ClassBody,
    TuneBody,
    require_query,
    require_rows,
)
from reddino.reviewing.web.pictures import CellPictures
from reddino.smears.pixel_sizes import LEAST_UM, MOST_UM

#: Values of a filter, lines of a table and disputed cells that the page is sent at most.
MOST_LISTED = 500


class ReviewSession:
    """A review that is open in a page.

    Args:
        table: the cells.
        pool: the same cells, as arrays.
        database: of the review; the session closes it.
        pictures: of the cells.
        options: how the review is run.
    """

    def __init__(
        self,
        table: Embeddings,
        pool: Pool,
        database: ReviewDatabase,
        pictures: CellPictures,
        options: ReviewOptions,
    ) -> None:
        self.pictures, self.options = pictures, options
        self._database, self._pool = database, pool
        self._facets = facets_of(table)
        scale = np.full(len(pool), options.um_per_px)
        if "um_per_px" in table.table.column_names:
            given = table.numbers("um_per_px")
            scale = np.where((given >= LEAST_UM) & (given <= MOST_UM), given, scale)
        self._um_per_px = scale.astype(np.float32)
        self._first = database.first_sorting()
        self._sorting = Opinion.of(self._first, len(pool))
        cut = cells_at_border(table.table)
        self._lineup = Lineup(pool, self._facets, ~cut | (options.keep_border or bool(cut.all())))
        self._learner = BackgroundProbe(
            pool, self._labelled, after=options.refit_after, scored=self._scored, fitted=self._fitted
        )
        self._agreement = KeptAgreement([str(group) for group in pool.groups.tolist()])
        self._tuning = FineTuning(options.tuned, lambda: exported(database).labelled(), options.tune_options)
        for view in [""] if not options.blind else database.readers():
            if len(set(self._labelled(view).classes.tolist())) > 1:
                self._learner.request(view)

    def __len__(self) -> int:
        return len(self._pool)

    def close(self) -> None:
        """End the threads and what is tuned, and close the database."""
        self._tuning.stop()
        self._learner.close()
        self._lineup.close()
        self._database.close()

    def settle(self, reader: str, seconds: float) -> bool:
        """Wait until the classifier that a reader sees is up to date; return whether it is."""
        return self._learner.wait(self._view(reader), seconds)

    # What the page shows

    def overview(self, reader: str) -> dict[str, Any]:
        """Return what the page shows around the cells, as a reader may see it."""
        state, view = self._seen(reader), self._view(reader)
        counts, labelled = state.counts(), self._labelled(view)
        few = set(candidates_only(self._pool, labelled))
        return {
            "title": self.options.title,
            "cells": len(self),
            "reader": reader,
            "readers": [reader] if self.options.blind else self._database.readers(),
            "blind": self.options.blind,
            "goal": self.options.goal,
            "answered": len(state.answered()),
            "mine": len(state.answered(reader)),
            "disputed": 0 if self.options.blind else len(state.disputed()),
            "classes": [
                class_shown(one, place, counts, few) for place, one in enumerate(self._database.classes())
            ],
            "others": {kind: counts.get(f"[{kind}]", 0) for kind in ("none", "artefact", "unsure")},
            "skipped": len(state.skipped.get(reader, ())),
            "model": model_shown(self._learner, view),
            "tuning": tuned_shown(self._tuning.state()),
            "ranking": self._lineup.busy(view),
            "suggests": self._learner.of(view) is not None or bool(self._first),
            "last_event": state.last_event,
        }

    def fixed(self) -> dict[str, Any]:
        """Return what does not change while the server runs: the filters' values and the orders."""
        return {
            "facets": {
                name: list(facet.names[:MOST_LISTED])
                for name, facet in self._facets.items()
                if facet.useful()
            },
            "strategies": DESCRIPTIONS,
            "sortings": SORTINGS,
            "candidates": f"fewer than {LEAST_CELLS} cells, or in fewer than {LEAST_PLACES} places",
        }

    def by_slide(self, reader: str) -> list[dict[str, Any]]:
        """Return how many cells of each slide (or source) have which class; those with labels first."""
        facet = self._facets["slide"] if self._facets["slide"].useful() else self._facets["source"]
        return facet.by_value(self._seen(reader).labels(), MOST_LISTED)

    def cells(self, body: CellsBody) -> dict[str, Any]:
        """Return the next cells that a reader requested."""
        require_query(body, len(self))
        without = np.array([row for row in body.without if 0 <= row < len(self)], dtype=np.int64)
        known = self._known(body.reader)
        rows, left, in_order = self._lineup.next(body.query, known, min(body.count, 200), without)
        return {
            "cells": self._describe(rows.tolist(), known, second=body.query.status == "second"),
            "left": left,
            "in_order": in_order,
        }

    def described(self, rows: Sequence[int], reader: str, *, second: bool = False) -> list[dict[str, Any]]:
        """Return what is known of cells, as a reader may see it."""
        require_rows(list(rows), len(self))
        return self._describe(rows, self._known(reader), second=second)

    def field(self, row: int, reader: str) -> dict[str, Any]:
        """Return the cells of the field that a row lies in, and the field's size in its own pixels."""
        require_rows([row], len(self))
        picture, state = self.pictures.field(row), self._seen(reader)
        cells = []
        for other in self.pictures.rows_of_field(row)[:5000].tolist():
            place = self.pictures.place_of(other)
            if place is not None:
                answers = [verdict.answer for verdict in state.verdicts.get(other, {}).values()]
                cells.append({"row": other, "place": place, "answer": answers[-1] if answers else ""})
        return {
            "row": row,
            "path": visible(self.pictures.path_of(row), keep=""),
            "width": picture.width,
            "height": picture.height,
            "cells": cells,
            "um_per_px": or_none(float(self._um_per_px[row])),
        }

    def comparison(self, reader: str) -> dict[str, Any]:
        """Return how far the readers agree, and the cells that they differ on.

        A blind reader sees neither: it would show them the verdicts of the others.
        """
        if self.options.blind:
            return {"blind": True, "agreement": [], "disputes": [], "left": 0}
        state = self._database.state()
        disputed = state.disputed()
        return {
            "blind": False,
            "agreement": [kappa_shown(kappa) for kappa in self._agreement.of(state)],
            "disputes": self._describe(disputed[:50], self._known(reader)),
            "left": len(disputed),
        }

    # What a reader does

    def act(self, body: ActBody) -> dict[str, Any]:
        """Record a reader's verdict on cells; what is returned is on the disk."""
        require_rows(body.rows, len(self))
        event = self._database.record(
            body.reader,
            body.kind,
            body.rows,
            class_number=body.class_number,
            note=body.note,
            seconds=body.seconds,
            suggestions={} if body.second else self._suggestions(body.rows, self._view(body.reader)),
            deciding=body.deciding,
            token=body.token,
        )
        return self._after(event, event.reader, second=body.second)

    def undo(self, reader: str, token: str) -> dict[str, Any]:
        """Undo a reader's last act."""
        return self._after(self._database.undo(reader, token=token), reader)

    def redo(self, reader: str, token: str) -> dict[str, Any]:
        """Redo what a reader undid last."""
        return self._after(self._database.redo(reader, token=token), reader)

    def change_class(self, body: ClassBody) -> dict[str, Any]:
        """Add, rename or merge a class, or give it another hotkey; return what the page shows then."""
        database, reader = self._database, self._database.add_reader(body.reader)
        if body.change == "add":
            database.add_class(body.name, reader=reader)
        elif body.number is None:
            raise RedDinoError(f"the request: number: it is missing; name the class to {body.change}")
        elif body.change == "rename":
            database.rename_class(body.number, body.name, reader=reader)
        elif body.change == "hotkey":
            database.set_hotkey(body.number, body.name, reader=reader)
        elif body.into is None:
            raise RedDinoError("the request: into: it is missing; name the class to merge into")
        else:
            database.merge_class(body.number, body.into, reader=reader)
        return self.overview(reader)

    def name_reader(self, name: str) -> str:
        """Register a reader and return their name, tidied."""
        return self._database.add_reader(name)

    def refit(self, reader: str) -> dict[str, Any]:
        """Fit the classifier that a reader sees to the labels as they are now; return what the page shows."""
        self._learner.request(self._view(reader))
        return self.overview(reader)

    def tune(self, body: TuneBody) -> dict[str, Any]:
        """Start to fine-tune a network on all readers' labels, or stop it; return what the page shows."""
        if body.change == "start":
            self._tuning.start()
        else:
            self._tuning.stop()
        return self.overview(body.reader)

    # How the parts hang together

    def _view(self, reader: str) -> str:
        return reader if self.options.blind else ""

    def _seen(self, reader: str) -> ReviewState:
        return self._database.state().seen_by(reader, blind=self.options.blind)

    def _labelled(self, view: str, state: ReviewState | None = None) -> Labelled:
        """Return what a view has labelled: of all readers together, or of the one that it is named after."""
        state = state or self._database.state()
        if view:
            state = state.seen_by(view, blind=True)
        labels = state.labels()
        passed = (state.answered() - set(labels)).union(*state.skipped.values())
        return Labelled.of(labels, [one.name for one in self._database.classes()], passed - set(labels))

    def _known(self, reader: str) -> Known:
        view, state = self._view(reader), self._database.state()
        learned = self._learner.of(view)
        return Known(
            reader,
            view,
            state.seen_by(reader, blind=self.options.blind),
            state,
            self._labelled(view, state),
            learned,
            self._sorting if learned is None else learned.opinion,
        )

    def _fitted(self, view: str) -> None:
        self._lineup.refresh(view, lambda view: self._known(view or self.options.reader))

    def _scored(self, view: str, score: RunningScore) -> list[float | None]:
        kept = ScoreRecord(score.labels, score.macro_f1, score.low, score.high)
        return [one.macro_f1 for one in self._database.add_score(view, kept)]

    def _after(self, event: Event | None, reader: str, *, second: bool = False) -> dict[str, Any]:
        if event is None:
            return {"event": None, "kind": None, "cells": []}
        known = self._known(reader)
        self._learner.count(known.view, len(known.labelled))
        return {
            "event": event.number,
            "kind": event.kind,
            "cells": self._describe(event.cells[:MOST_LISTED], known, second=second),
        }

    def _suggestions(self, rows: Iterable[int], view: str) -> dict[int, Suggestion]:
        """Return by cell what the page shows with it at this time."""
        learned = self._learner.of(view)
        if learned is None:
            return {row: self._first[row] for row in rows if row in self._first}
        return {
            row: Suggestion(
                learned.name,
                learned.opinion.names[int(learned.opinion.likeliest[row])],
                round(float(learned.opinion.certainty[row]), 4),
            )
            for row in rows
        }

    def _describe(self, rows: Sequence[int], known: Known, *, second: bool = False) -> list[dict[str, Any]]:
        suggestions = self._suggestions(rows, known.view)
        return [
            {**self._place(row), **cell_shown(row, known, suggestions.get(row), second=second)}
            for row in rows
        ]

    def _place(self, row: int) -> dict[str, Any]:
        """Return where a cell lies."""
        place = self.pictures.place_of(row)
        return {
            "row": row,
            **{name: facet.name(row) for name, facet in self._facets.items()},
            "path": visible(self.pictures.path_of(row), keep=""),
            "side": None if place is None else place[2],
            "um_per_px": or_none(float(self._um_per_px[row])),
        }
