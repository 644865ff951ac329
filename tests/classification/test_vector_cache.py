"""A fit or a prediction that was stopped continues with the vectors it had, and leaves none at its end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from labelled_smears import draw_fields

import reddino
from reddino.classification import vector_cache
from reddino.embedding.part_files import finished_parts
from reddino.foundations.errors import RedDinoError
from reddino.rbc.morphology import Morphology
from reddino.smears.manifest import write_manifest

FIELDS, CELLS = 10, 120


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vector_cache, "PART_ROWS", 12)


@pytest.fixture
def embedded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many views were embedded so far, without the blank one of each pass."""
    seen: list[int] = []
    plain = Morphology.embed

    def counted(self: Morphology, images: Any, pooling: Any = "cls", /) -> Any:
        seen.append(len(images) if np.any(images) else 0)
        return plain(self, images, pooling)

    monkeypatch.setattr(Morphology, "embed", counted)
    return seen


def stopping(after: int) -> Callable[[int, int], None]:
    def progress(done: int, _: int) -> None:
        if done > after:
            raise KeyboardInterrupt

    return progress


def report_of(folder: Path) -> Any:
    return json.loads((folder / "classifier.json").read_text())


def test_fit__continues_after_a_stop_and_ends_as_an_undisturbed_one(
    tmp_path: Path, embedded: list[int]
) -> None:
    smears = draw_fields(tmp_path / "smears", fields=FIELDS)
    reddino.fit(smears, tmp_path / "whole", model="morphology")
    assert sum(embedded) == CELLS
    embedded.clear()
    with pytest.raises(KeyboardInterrupt, match=r"stopped; the same command continues with the vectors in"):
        reddino.fit(smears, tmp_path / "c", model="morphology", progress=stopping(60))
    assert 3 <= len(finished_parts(tmp_path / "c" / ".vectors")) <= 6
    kept = 12 * len(finished_parts(tmp_path / "c" / ".vectors"))
    embedded.clear()
    reddino.fit(smears, tmp_path / "c", model="morphology")
    assert sum(embedded) == CELLS - kept
    assert report_of(tmp_path / "c") == report_of(tmp_path / "whole")
    assert not list((tmp_path / "c").glob(".*"))


def test_fit__continues_after_a_stop_once_everything_is_embedded(
    tmp_path: Path, embedded: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    smears = draw_fields(tmp_path / "smears", fields=FIELDS)

    def stop(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("reddino.classification.fit.fit_probe", stop)
        with pytest.raises(KeyboardInterrupt):
            reddino.fit(smears, tmp_path / "c", model="morphology")
    embedded.clear()
    reddino.fit(smears, tmp_path / "c", model="morphology")
    assert sum(embedded) == 0


def test_fit__computes_vectors_anew_of_pictures_that_were_replaced(
    tmp_path: Path, embedded: list[int]
) -> None:
    smears = draw_fields(tmp_path / "smears", fields=FIELDS)
    with pytest.raises(KeyboardInterrupt):
        reddino.fit(smears, tmp_path / "c", model="morphology", progress=stopping(60))
    picture = cv2.imread(str(tmp_path / "smears" / "f0.png"))
    assert picture is not None
    cv2.imwrite(str(tmp_path / "smears" / "f0.png"), 255 - picture)
    embedded.clear()
    reddino.fit(smears, tmp_path / "c", model="morphology")
    assert sum(embedded) == CELLS
    assert not (tmp_path / "c" / ".vectors").exists()


def test_fit__computes_vectors_anew_for_another_view_and_of_damaged_parts(
    tmp_path: Path, embedded: list[int]
) -> None:
    smears = draw_fields(tmp_path / "smears", fields=FIELDS)
    for side in (30.0, 32.0):
        with pytest.raises(KeyboardInterrupt):
            reddino.fit(
                smears, tmp_path / "c", model="morphology", side=side, unit="px", progress=stopping(60)
            )
    part = next(iter(finished_parts(tmp_path / "c" / ".vectors").values()))
    part.write_bytes(part.read_bytes()[:-20])
    embedded.clear()
    reddino.fit(smears, tmp_path / "c", model="morphology", side=32, unit="px")
    assert sum(embedded) == CELLS


def test_fit__refuses_what_cannot_be_split_before_it_embeds(tmp_path: Path, embedded: list[int]) -> None:
    smears = draw_fields(tmp_path / "smears", fields=2)
    with pytest.raises(RedDinoError, match="20 folds need"):
        reddino.fit(smears, tmp_path / "c", model="morphology", folds=20)
    assert sum(embedded) == 0


def test_fit__leaves_no_vectors_where_it_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RedDinoError("no")

    smears = draw_fields(tmp_path / "smears", fields=FIELDS)
    monkeypatch.setattr("reddino.classification.fit.fit_probe", fail)
    with pytest.raises(RedDinoError, match="no"):
        reddino.fit(smears, tmp_path / "c", model="morphology")
    assert not (tmp_path / "c").exists()


def test_predict__continues_after_a_stop_and_ends_as_an_undisturbed_one(
    tmp_path: Path, embedded: list[int]
) -> None:
    smears = draw_fields(tmp_path / "smears", fields=FIELDS)
    reddino.fit(smears, tmp_path / "c", model="morphology")
    whole = reddino.predict(tmp_path / "c", smears, tmp_path / "whole.csv")
    with pytest.raises(KeyboardInterrupt):
        reddino.predict(tmp_path / "c", smears, tmp_path / "p.csv", progress=stopping(60))
    assert finished_parts(tmp_path / ".p.csv.vectors")
    embedded.clear()
    found = reddino.predict(tmp_path / "c", smears, tmp_path / "p.csv")
    assert 0 < sum(embedded) <= CELLS - 36
    assert np.array_equal(found.probabilities, whole.probabilities)
    assert (tmp_path / "p.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()
    assert not list(tmp_path.glob(".*"))
    in_memory = reddino.predict(tmp_path / "c", smears)
    assert np.array_equal(in_memory.probabilities, whole.probabilities)


KILLED = """
import os, signal, sys
from pathlib import Path
import reddino
from reddino.classification import vector_cache
vector_cache.PART_ROWS = 12
def progress(done, total):
    if done > 60:
        os.kill(os.getpid(), signal.SIGKILL)
folder = Path(sys.argv[1])
reddino.fit(folder / "smears" / "m.csv", folder / "c", model="morphology", progress=progress)
"""


@pytest.mark.kills
def test_fit__continues_after_kill_9(tmp_path: Path, embedded: list[int]) -> None:
    write_manifest(draw_fields(tmp_path / "smears", fields=FIELDS), tmp_path / "smears" / "m.csv")
    ended = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], env=dict(os.environ), check=False)
    assert ended.returncode == -signal.SIGKILL
    assert finished_parts(tmp_path / "c" / ".vectors")
    manifest = str(tmp_path / "smears" / "m.csv")
    reddino.fit(manifest, tmp_path / "c", model="morphology")
    assert 0 < sum(embedded) < CELLS
    reddino.fit(manifest, tmp_path / "whole", model="morphology")
    assert report_of(tmp_path / "c") == report_of(tmp_path / "whole")
    assert not list((tmp_path / "c").glob(".*"))
