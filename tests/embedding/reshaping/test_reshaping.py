"""Tables made of tables: their rows are those of the others, and they do not pretend to be of a pass."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from smear_fields import VIEW, Projection, make_fields
from stored_tables import write_stored

import reddino
from reddino.embedding.comparable import require_same_views
from reddino.embedding.copies_file import read_copies, write_copies_file
from reddino.embedding.embedding_pass import embed_manifest
from reddino.embedding.growth import find_growth
from reddino.embedding.part_files import finished_parts
from reddino.embedding.seen_file import read_seen_file, write_seen_file
from reddino.embedding.table import read_embeddings
from reddino.foundations.errors import RedDinoError


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_filter__keeps_the_rows_that_meet_the_conditions(tmp_path: Path) -> None:
    write_stored(tmp_path / "t", dtype="float16")
    made = reddino.filter_table(tmp_path / "t", tmp_path / "f", ["source=lab1", "label!="])
    whole, read = read_embeddings(tmp_path / "t"), read_embeddings(tmp_path / "f")
    rows = [row for row in range(40, 80) if row % 3 != 2]
    assert (made.rows, made.of) == (len(rows), 120)
    assert np.array_equal(read.vectors, whole.vectors[rows])
    assert read.table.to_pylist() == whole.table.take(rows).to_pylist()
    assert read.meta["derived"]["where"] == ["source=lab1", "label!="]
    assert read.meta["provenance"]["inputs"] == [whole.meta["provenance"]]
    assert read.meta["dtype"] == "float16"


def test_filter__carries_what_is_known_of_the_sources_that_are_left(tmp_path: Path) -> None:
    write_stored(tmp_path / "t")
    write_seen_file(tmp_path / "t", {"lab0": {"status": "seen"}, "lab1": {"status": "unseen"}})
    write_copies_file(tmp_path / "t", {"copies": [["field004.png", "field005.png"]]})
    reddino.filter_table(tmp_path / "t", tmp_path / "f", ["source=lab1"])
    assert read_seen_file(tmp_path / "f") == {"lab1": "unseen"}
    assert read_copies(tmp_path / "f") == {"field004.png": "field004.png", "field005.png": "field004.png"}


def test_filter__that_leaves_nothing_writes_nothing(tmp_path: Path) -> None:
    write_stored(tmp_path / "t")
    with pytest.raises(RedDinoError, match=r"no row of .* meets source=nobody"):
        reddino.filter_table(tmp_path / "t", tmp_path / "f", ["source=nobody"])
    assert not (tmp_path / "f").exists()


def test_filter__of_a_table_into_itself_is_refused(tmp_path: Path) -> None:
    write_stored(tmp_path / "t")
    before = files(tmp_path / "t")
    with pytest.raises(RedDinoError, match="is the table that would be read"):
        reddino.filter_table(tmp_path / "t", tmp_path / "t" / ".." / "t", ["source=lab1"])
    assert files(tmp_path / "t") == before


def test_filter__leaves_a_folder_with_another_table_as_it_is(tmp_path: Path) -> None:
    write_stored(tmp_path / "t")
    reddino.filter_table(tmp_path / "t", tmp_path / "f", ["source=lab1"])
    before = files(tmp_path / "f")
    with pytest.raises(RedDinoError, match="parts of another embedding table"):
        reddino.filter_table(tmp_path / "t", tmp_path / "f", ["source=lab2"])
    assert files(tmp_path / "f") == before


def test_filter__continues_after_a_kill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reddino.embedding.reshaping.writing.joined.__defaults__", (7,))
    write_stored(tmp_path / "t")
    reddino.filter_table(tmp_path / "t", tmp_path / "f", ["label=round"])
    whole = read_embeddings(tmp_path / "f")
    parts = list(finished_parts(tmp_path / "f").values())
    assert len(parts) > 3
    kept = parts[0].stat().st_mtime_ns
    parts[2].unlink()
    with pytest.raises(RedDinoError, match="run the same table filter command again"):
        read_embeddings(tmp_path / "f")
    reddino.filter_table(tmp_path / "t", tmp_path / "f", ["label=round"])
    assert np.array_equal(read_embeddings(tmp_path / "f").vectors, whole.vectors)
    assert parts[0].stat().st_mtime_ns == kept


def test_filter__of_two_models_tables_gives_tables_that_are_compared(tmp_path: Path) -> None:
    for name, seed, weights in (("a", 0, "a" * 16), ("b", 1, "b" * 16)):
        write_stored(tmp_path / name, seed=seed, weights_hash=weights)
        reddino.filter_table(tmp_path / name, tmp_path / f"f{name}", ["label!="])
    read = {name: read_embeddings(tmp_path / f"f{name}") for name in "ab"}
    require_same_views(read)
    reddino.filter_table(tmp_path / "b", tmp_path / "other", ["label=round"])
    with pytest.raises(RedDinoError, match="cannot be compared"):
        require_same_views({"a": read["a"], "other": read_embeddings(tmp_path / "other")})


def test_made_tables__are_continued_by_no_pass(tmp_path: Path) -> None:
    manifest = make_fields(tmp_path / "fields")
    embed_manifest(manifest, Projection(), tmp_path / "t", view=VIEW)
    reddino.filter_table(tmp_path / "t", tmp_path / "f", ["path!=field06.png"])
    with pytest.raises(RedDinoError, match="made by `reddino table filter` of other tables"):
        find_growth(manifest, tmp_path / "f")
    with pytest.raises(RedDinoError, match="what it was made of, and how"):
        embed_manifest(manifest, Projection(), tmp_path / "f", view=VIEW)


def test_sample__draws_the_same_rows_for_the_same_seed(tmp_path: Path) -> None:
    vectors = write_stored(tmp_path / "t")
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        assert reddino.sample_table(tmp_path / "t", tmp_path / name, 30, seed=seed).rows == 30
    a, b, c = (read_embeddings(tmp_path / name).vectors for name in "abc")
    assert np.array_equal(a, b)
    assert not np.array_equal(a, c)
    assert {row.tobytes() for row in a} <= {row.tobytes() for row in vectors}
    assert read_embeddings(tmp_path / "a").meta["provenance"]["seed"] == 1


def test_sample__gives_as_many_rows_of_each_value(tmp_path: Path) -> None:
    write_stored(tmp_path / "t", images=9)  # the last source has one picture of ten rows
    made = reddino.sample_table(tmp_path / "t", tmp_path / "a", 50, evenly="source")
    names = read_embeddings(tmp_path / "a").strings("source")
    assert {name: names.count(name) for name in set(names)} == {"lab0": 20, "lab1": 20, "lab2": 10}
    assert made.short == 1


def test_sample__draws_whole_groups(tmp_path: Path) -> None:
    write_stored(tmp_path / "t")
    made = reddino.sample_table(tmp_path / "t", tmp_path / "a", 70, whole="slide")
    names = read_embeddings(tmp_path / "a").strings("slide")
    assert made.groups == 3
    assert made.rows == 60
    assert {names.count(name) for name in names} == {20}
    with pytest.raises(RedDinoError, match="no value of 'slide' has as few as 5 rows"):
        reddino.sample_table(tmp_path / "t", tmp_path / "b", 5, whole="slide")


def test_sample__of_more_rows_than_there_are_is_refused(tmp_path: Path) -> None:
    write_stored(tmp_path / "t")
    with pytest.raises(RedDinoError, match="121 of 120 rows cannot be drawn"):
        reddino.sample_table(tmp_path / "t", tmp_path / "a", 121)


def test_merge__puts_one_table_after_the_other(tmp_path: Path) -> None:
    a = write_stored(tmp_path / "a", images=5)
    b = write_stored(tmp_path / "b", images=3, first=5, seed=1)
    for name, status in (("a", "seen"), ("b", "unseen")):
        write_seen_file(tmp_path / name, {"lab1": {"status": status}})
    write_copies_file(tmp_path / "a", {"copies": [["field000.png", "field001.png"]]})
    write_copies_file(tmp_path / "b", {"copies": [["field001.png", "field006.png"]]})
    made = reddino.merge_tables([tmp_path / "a", tmp_path / "b"], tmp_path / "m")
    read = read_embeddings(tmp_path / "m")
    assert made.rows == 80
    assert np.array_equal(read.vectors, np.concatenate([a, b]))
    assert read.meta["images"] == 8
    assert read_seen_file(tmp_path / "m") == {"lab1": "seen"}
    assert set(read_copies(tmp_path / "m") or {}) == {"field000.png", "field001.png", "field006.png"}
    assert len(set((read_copies(tmp_path / "m") or {}).values())) == 1


def test_merge__refuses_or_drops_views_of_an_earlier_table(tmp_path: Path) -> None:
    a = write_stored(tmp_path / "a", images=5)
    b = write_stored(tmp_path / "b", images=4, first=3, seed=1)
    with pytest.raises(RedDinoError, match=r"20 views would be in the table twice.*'field003.png' in .*b'"):
        reddino.merge_tables([tmp_path / "a", tmp_path / "b"], tmp_path / "m")
    made = reddino.merge_tables([tmp_path / "a", tmp_path / "b"], tmp_path / "m", doubles="drop")
    assert (made.rows, made.doubles) == (70, 20)
    assert np.array_equal(read_embeddings(tmp_path / "m").vectors, np.concatenate([a, b[20:]]))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"weights_hash": "f" * 16}, "the model's weights"),
        ({"pooling": "mean"}, "the pooling"),
        ({"precision": "bf16"}, "arithmetic precision"),
        ({"view": {"kind": "cells", "side": 30.0}}, "the view"),
        ({"dtype": "float16"}, "the number type"),
        ({"diameters": {"lab0": 41.0}}, "cell diameter of the source 'lab0' .40 against 41 px"),
    ],
)
def test_merge__refuses_tables_that_were_embedded_otherwise(
    tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    write_stored(tmp_path / "a", images=4, diameters={"lab0": 40.0})
    write_stored(tmp_path / "b", images=4, first=4, **change)
    with pytest.raises(RedDinoError, match=f"cannot become one table, they differ in .*{words}"):
        reddino.merge_tables([tmp_path / "a", tmp_path / "b"], tmp_path / "m")
    assert not (tmp_path / "m").exists()


def test_merge__refuses_other_pictures_of_one_name(tmp_path: Path) -> None:
    for name in "ab":
        manifest = make_fields(tmp_path / name, fields=2)
        if name == "b":
            shutil.copy(tmp_path / "b" / "field00.png", tmp_path / "b" / "field01.png")
        embed_manifest(manifest, Projection(), tmp_path / f"t{name}", view=VIEW)
    with pytest.raises(RedDinoError, match=r"'field01.png' is one picture in .* and another in"):
        reddino.merge_tables([tmp_path / "ta", tmp_path / "tb"], tmp_path / "m", doubles="drop")


def test_merge__names_pictures_of_the_same_bytes_as_copies(tmp_path: Path) -> None:
    manifest = make_fields(tmp_path / "a", fields=2)
    embed_manifest(manifest, Projection(), tmp_path / "ta", view=VIEW)
    other = make_fields(tmp_path / "b" / "more", fields=1)
    moved = other.with_column("path", np.array([f"more/{one}" for one in other.strings("path")]))
    embed_manifest(type(moved)(moved.table, tmp_path / "b"), Projection(), tmp_path / "tb", view=VIEW)
    for name in ("ta", "tb"):
        write_copies_file(tmp_path / name, {"copies": []})
    reddino.merge_tables([tmp_path / "ta", tmp_path / "tb"], tmp_path / "m")
    copies = read_copies(tmp_path / "m") or {}
    assert copies == {"field00.png": "field00.png", "more/field00.png": "field00.png"}


def test_compact__keeps_the_rows_and_what_the_table_is(tmp_path: Path) -> None:
    every = make_fields(tmp_path / "fields")
    some = every.select(np.array([path < "field05.png" for path in every.strings("path")]))
    for manifest in (some, every):
        growth = find_growth(manifest, tmp_path / "t")
        options = {"view": VIEW, "part_rows": 20, "batch_size": 4, "growth": growth}
        embed_manifest(growth.manifest, Projection(), tmp_path / "t", **options)  # type: ignore[arg-type]
    made = reddino.compact_table(tmp_path / "t", tmp_path / "c", part_rows=1000)
    a, b = read_embeddings(tmp_path / "t"), read_embeddings(tmp_path / "c")
    assert len(finished_parts(tmp_path / "t")) > made.parts == len(finished_parts(tmp_path / "c")) == 2
    assert np.array_equal(a.vectors, b.vectors)
    assert a.table.equals(b.table)
    assert {key: b.meta.get(key) for key in a.meta} == a.meta
    growth = find_growth(every, tmp_path / "c")
    report = embed_manifest(
        growth.manifest, Projection(), tmp_path / "c", view=VIEW, part_rows=20, growth=growth
    )
    assert report.resumed == report.rows == len(a)
    finished_parts(tmp_path / "c").popitem()[1].unlink()
    reddino.compact_table(tmp_path / "t", tmp_path / "c", part_rows=1000)
    assert np.array_equal(read_embeddings(tmp_path / "c").vectors, a.vectors)


def test_info__says_what_a_table_holds(tmp_path: Path) -> None:
    write_stored(tmp_path / "t")
    found = reddino.table_info(tmp_path / "t")
    assert (found.rows, found.parts, found.missing, found.whole) == (120, 6, 0, True)
    assert found.sources == {"lab0": 40, "lab1": 40, "lab2": 40}
    assert found.counts == {"slide": 6, "patient": 3, "label": 2}
    assert found.gigabytes_in_memory == pytest.approx(120 * 8 * 4 / 1e9)
    finished_parts(tmp_path / "t")[4].unlink()
    assert reddino.table_info(tmp_path / "t").missing == 2


def test_made_tables__open_in_everything_that_reads_tables(tmp_path: Path) -> None:
    write_stored(tmp_path / "t")
    reddino.filter_table(tmp_path / "t", tmp_path / "f", ["label!="])
    reddino.sample_table(tmp_path / "f", tmp_path / "s", 60, whole="slide")
    reddino.compact_table(tmp_path / "s", tmp_path / "c")
    reddino.convert(tmp_path / "c", tmp_path / "c.npz")
    reddino.explore(tmp_path / "c", tmp_path / "x", method="pca", formats=("png",))
    assert (tmp_path / "x" / "map.png").is_file()
    assert reddino.fit(tmp_path / "c", tmp_path / "k", folds=2).classes == ("round", "sickle")
