"""Tables grow: added pictures are embedded after those that are there, which stay as they are."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from smear_fields import VIEW, Projection, make_fields

import reddino
from reddino.embedding.border import cells_at_border
from reddino.embedding.embedding_pass import EmbedReport, embed_manifest
from reddino.embedding.embeddings import Embeddings
from reddino.embedding.growth import PICTURES_FILE, find_growth
from reddino.embedding.part_files import (
    CHECKSUM_KEY,
    PART_KEY,
    finished_parts,
    note_checksum,
    part_path,
    read_meta,
)
from reddino.embedding.table import read_embeddings
from reddino.foundations.errors import RedDinoError
from reddino.smears.manifest import Manifest
from reddino.views.choices import ViewKind

FIELDS = 12


def _of(manifest: Manifest, *numbers: int) -> Manifest:
    """Rows of some fields, in the manifest's order."""
    names = {f"field{number:02d}.png" for number in numbers}
    return manifest.select(np.array([path in names for path in manifest.strings("path")]))


def _embed(manifest: Manifest, out: Path, encoder: Projection | None = None) -> EmbedReport:
    growth = find_growth(manifest, out)
    return embed_manifest(
        growth.manifest, encoder or Projection(), out, view=VIEW, part_rows=20, batch_size=4, growth=growth
    )


def _by_cell(table: Embeddings) -> dict[str, list[float]]:
    return dict(zip(table.strings("cell_id"), table.vectors.tolist(), strict=True))


def test_table__grows_by_added_pictures_and_keeps_the_rest(tmp_path: Path) -> None:
    every = make_fields(tmp_path / "fields")
    _embed(_of(every, 1, 3, 5, 7), tmp_path / "t")
    before = {path: path.read_bytes() for path in finished_parts(tmp_path / "t").values()}
    encoder = Projection()
    report = _embed(every, tmp_path / "t", encoder)
    assert (report.rows, report.resumed) == (FIELDS * 7, 4 * 7)
    assert sum(encoder.seen) == 8 * 7 + 1  # and the blank view that gives the length of the vectors
    assert {path: path.read_bytes() for path in before} == before
    grown, fresh = read_embeddings(tmp_path / "t"), _fresh(every, tmp_path)
    assert _by_cell(grown) == _by_cell(fresh)


def _fresh(manifest: Manifest, tmp_path: Path) -> Embeddings:
    _embed(manifest, tmp_path / "fresh")
    return read_embeddings(tmp_path / "fresh")


def test_grown_table__has_the_rows_of_earlier_pictures_first(tmp_path: Path) -> None:
    every = make_fields(tmp_path / "fields")
    for numbers in ((4, 6), (4, 5, 6), tuple(range(FIELDS))):
        _embed(_of(every, *numbers), tmp_path / "t")
    order = [f"field{number:02d}.png" for number in (4, 6, 5, 0, 1, 2, 3, 7, 8, 9, 10, 11)]
    table = read_embeddings(tmp_path / "t")
    assert list(dict.fromkeys(table.strings("path"))) == order
    # The same as one pass over the pictures in that order, to the bit.
    ordered = every.select(
        np.concatenate([np.flatnonzero([p == n for p in every.strings("path")]) for n in order])
    )
    embed_manifest(ordered, Projection(), tmp_path / "once", view=VIEW, part_rows=20, batch_size=4)
    once = read_embeddings(tmp_path / "once")
    assert np.array_equal(once.vectors, table.vectors)
    assert once.table.equals(table.table)


def test_grown_table__is_finished_by_the_same_command_and_then_left_alone(tmp_path: Path) -> None:
    every = make_fields(tmp_path / "fields")
    _embed(_of(every, 2, 3), tmp_path / "t")
    _embed(every, tmp_path / "t")
    encoder = Projection()
    report = _embed(every, tmp_path / "t", encoder)
    assert report.resumed == report.rows == FIELDS * 7
    assert sum(encoder.seen) == 1
    assert find_growth(every, tmp_path / "t").added == 0


def test_growth__that_was_killed_continues_also_with_further_pictures(tmp_path: Path) -> None:
    every = make_fields(tmp_path / "fields")
    _embed(_of(every, 0, 1), tmp_path / "t")
    _embed(_of(every, *range(8)), tmp_path / "t")
    lost = next(start for start in finished_parts(tmp_path / "t") if start >= 2)
    part_path(tmp_path / "t", lost).unlink()  # as where the pass died before this part
    with pytest.raises(RedDinoError, match=r"lacks .* of 8 images: run the same embed command again"):
        read_embeddings(tmp_path / "t")
    report = _embed(every, tmp_path / "t")
    assert 0 < report.resumed < 8 * 7
    assert _by_cell(read_embeddings(tmp_path / "t")) == _by_cell(_fresh(every, tmp_path))


def test_growth__that_was_killed_before_its_first_part_is_none(tmp_path: Path) -> None:
    every = make_fields(tmp_path / "fields")
    _embed(_of(every, 0, 1), tmp_path / "t")
    noted = json.loads((tmp_path / "t" / f"_{PICTURES_FILE}").read_text())
    noted["pictures"].append(["field02.png", "field03.png"])
    (tmp_path / "t" / f"_{PICTURES_FILE}").write_text(json.dumps(noted))
    assert len(read_embeddings(tmp_path / "t")) == 14
    _embed(_of(every, 0, 1, 5), tmp_path / "t")
    assert len(read_embeddings(tmp_path / "t")) == 21


def test_first_pass__that_was_killed_grows_too(tmp_path: Path) -> None:
    every = make_fields(tmp_path / "fields")
    _embed(_of(every, *range(8)), tmp_path / "t")
    for start in list(finished_parts(tmp_path / "t"))[1:]:
        part_path(tmp_path / "t", start).unlink()
    report = _embed(every, tmp_path / "t")
    assert 0 < report.resumed < 8 * 7
    assert _by_cell(read_embeddings(tmp_path / "t")) == _by_cell(_fresh(every, tmp_path))


def test_table__of_an_earlier_version_grows_by_what_its_rows_name(tmp_path: Path) -> None:
    every = make_fields(tmp_path / "fields")
    (tmp_path / "fields" / "field01.png").write_bytes(b"not an image")
    _embed(_of(every, 0, 1, 2), tmp_path / "t")
    (tmp_path / "t" / f"_{PICTURES_FILE}").unlink()
    report = _embed(every, tmp_path / "t")
    assert (report.rows, report.resumed, report.failed) == (11 * 7, 14, 1)


def test_table__from_which_pictures_were_taken_is_refused_by_name(tmp_path: Path) -> None:
    every = make_fields(tmp_path / "fields")
    _embed(_of(every, 0, 1, 2), tmp_path / "t")
    with pytest.raises(RedDinoError, match=r"1 of 3 pictures that the data lack now, such as 'field01.png'"):
        _embed(_of(every, 0, 2, 3), tmp_path / "t")


def test_table__whose_rows_changed_is_refused_by_column(tmp_path: Path) -> None:
    every = make_fields(tmp_path / "fields")
    _embed(_of(every, 0, 1, 2), tmp_path / "t")
    changed = every.with_column("label", ["other"] * len(every))
    with pytest.raises(RedDinoError, match="differs in column 'label' of the manifest, which changed"):
        _embed(changed, tmp_path / "t")


def test_table__whose_pictures_were_replaced_is_refused(tmp_path: Path) -> None:
    every = make_fields(tmp_path / "fields")
    _embed(_of(every, 0, 1, 2), tmp_path / "t")
    path = tmp_path / "fields" / "field01.png"
    pixels = cv2.imread(str(path))
    assert pixels is not None
    pixels[0, 0] ^= 1
    cv2.imwrite(str(path), pixels)
    with pytest.raises(RedDinoError, match=r"field01|images \(their number or sizes\)"):
        _embed(every, tmp_path / "t")


def test_grown_table__keeps_the_diameters_of_its_sources_and_measures_new_ones(tmp_path: Path) -> None:
    every = make_fields(tmp_path / "fields")
    sources = ["new" if path >= "field06.png" else "lab" for path in every.strings("path")]
    every = every.with_column("source", sources)
    _embed(_of(every, 0, 1), tmp_path / "t")
    asked: list[set[str]] = []

    def measure(manifest: Manifest) -> dict[str, float] | None:
        asked.append(set(manifest.strings("path")))
        return dict.fromkeys(sorted(set(manifest.strings("source"))), 40.0 + len(asked))

    growth = find_growth(_of(every, 0, 1), tmp_path / "t")
    first = growth.diameters(measure)
    assert first == {"lab": 41.0}
    spec = VIEW
    embed_manifest(growth.manifest, Projection(), tmp_path / "d", view=spec, diameters=first, growth=growth)
    growth = find_growth(_of(every, 0, 1, 2, 7), tmp_path / "d")
    second = growth.diameters(measure)
    assert second == {"lab": 41.0, "new": 42.0}
    assert asked[1:] == [{"field07.png"}]
    embed_manifest(growth.manifest, Projection(), tmp_path / "d", view=spec, diameters=second, growth=growth)
    meta = read_meta(tmp_path / "d")
    assert meta["diameters"] == second
    assert [one["images"] for one in meta["grown_from"]] == [2]
    again = find_growth(_of(every, 0, 1, 2, 7), tmp_path / "d").diameters(measure)
    assert again == second
    assert len(asked) == 2


def test_other_collection__in_the_same_folder_is_refused_as_such(tmp_path: Path) -> None:
    every = make_fields(tmp_path / "fields")
    _embed(_of(every, 0, 1), tmp_path / "t")
    with pytest.raises(RedDinoError, match="holds the parts of another embedding table"):
        _embed(_of(every, 5, 6), tmp_path / "t")


def test_growth__of_rows_with_other_columns_is_refused(tmp_path: Path) -> None:
    every = make_fields(tmp_path / "fields")
    _embed(_of(every, 0, 1), tmp_path / "t")
    wider = Manifest(every.table.append_column("batch", pa.array(["b"] * len(every))), every.root)
    with pytest.raises(RedDinoError, match="column 'batch' of the manifest, which is new"):
        _embed(wider, tmp_path / "t")


def _without_border(table: Path) -> None:
    """Make the parts of a table those of before cells at the border were told."""
    for path in finished_parts(table).values():
        part = pq.read_table(path).drop_columns(["at_border"])
        notes = dict(pq.read_metadata(path).metadata or {})
        record = notes[PART_KEY]
        writer = pq.ParquetWriter(path, part.schema, write_page_checksum=True)
        writer.write_table(part)
        checksum = note_checksum(part.schema, record).decode()
        writer.add_key_value_metadata({PART_KEY.decode(): record.decode(), CHECKSUM_KEY.decode(): checksum})
        writer.close()


def test_table__of_before_border_cells_were_told_grows_and_tells_none(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    every = make_fields(tmp_path / "fields")
    every = every.with_column("at_border", [str(row % 7 == 0) for row in range(len(every))])
    assert _embed(every, tmp_path / "whole").at_border == FIELDS
    _embed(_of(every, 1, 3), tmp_path / "t")
    _without_border(tmp_path / "t")
    with caplog.at_level(logging.WARNING):
        report = _embed(every, tmp_path / "t")
    assert "begun before border cells were marked" in caplog.text
    assert (report.rows, report.at_border) == (FIELDS * 7, 0)
    grown = read_embeddings(tmp_path / "t")
    assert "at_border" not in grown.table.column_names and not cells_at_border(grown.table).any()
    assert _by_cell(grown) == _by_cell(_fresh(every, tmp_path))


@pytest.mark.parametrize("grown", [False, True])
@pytest.mark.parametrize("kind", ["cells", "patches"])
def test_table__of_one_scale_a_source_names_the_option_that_continues_it(
    tmp_path: Path, kind: ViewKind, grown: bool
) -> None:
    every = make_fields(tmp_path / "fields").with_column("cell_diameter", np.full(84, 20.0))
    options: dict[str, Any] = {"view": kind, "side": 1.6, "unit": "diameters", "image_size": 24}
    first = _of(every, 0, 1, 2)
    reddino.embed(first, "morphology", tmp_path / "t", scale="source", **options)
    assert "scale" not in read_meta(tmp_path / "t")["view"]  # as in what was made before there was a choice
    now = every if grown else first
    with pytest.raises(RedDinoError, match=r"the same command with --scale source continues it"):
        reddino.embed(now, "morphology", tmp_path / "t", **options)
    report = reddino.embed(now, "morphology", tmp_path / "t", scale="source", **options)
    assert report.resumed > 0 and (report.rows > report.resumed) == grown
    reddino.embed(first, "morphology", tmp_path / "own", **options)
    with pytest.raises(RedDinoError, match="the same command with --scale picture continues it"):
        reddino.embed(first, "morphology", tmp_path / "own", scale="source", **options)
    # Where more differs, the option would not help.
    with pytest.raises(RedDinoError, match=r"differs in the view .*side 1\.6"):
        reddino.embed(first, "morphology", tmp_path / "own", scale="source", **options | {"side": 2.0})
