"""The search: equal to brute force, with what must not be a hit left out, by every row or by an index."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from stored_tables import PER_IMAGE, write_stored

import reddino
from reddino.embedding.copies_file import write_copies_file
from reddino.foundations.errors import RedDinoError
from reddino.searching import exact as exact_search
from reddino.searching import finding

faiss = pytest.importorskip("faiss")


def brute(vectors: np.ndarray, query: int, barred: object = ()) -> list[int]:
    """Return all rows by cosine distance to one, without those that are barred and itself."""
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    order = np.argsort(1 - unit @ unit[query], kind="stable").tolist()
    out = {query, *barred}  # type: ignore[misc]
    return [row for row in order if row not in out]


def rows_of(hits: reddino.Hits) -> list[int]:
    return [int(str(row)) for row in hits.table.column("row").to_pylist()]


@pytest.fixture
def by_index(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finding, "EXACT_ROWS", 10)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_search__is_equal_to_brute_force(tmp_path: Path, dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exact_search, "ROWS", 7)
    vectors = write_stored(tmp_path / "t", dtype=dtype)
    for query in (0, 57, 119):
        hits = reddino.search(tmp_path / "t", query, top=30)
        assert rows_of(hits) == brute(vectors, query)[:30]
        unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        wanted = 1 - unit[rows_of(hits)] @ unit[query]
        assert np.allclose(hits.table.column("distance").to_numpy(), wanted, atol=1e-5)
        assert hits.exact
        assert hits.recall is None


def test_search__writes_path_place_distance_and_the_other_columns(tmp_path: Path) -> None:
    vectors = write_stored(tmp_path / "t")
    reddino.search(tmp_path / "t", 5, tmp_path / "hits.csv", top=3)
    header, *lines = (tmp_path / "hits.csv").read_text().replace('"', "").splitlines()
    assert header.startswith("path,x,y,distance,row,source,slide,patient,label")
    row = brute(vectors, 5)[0]
    assert lines[0].startswith(f"field{row // PER_IMAGE:03d}.png,{row % PER_IMAGE * 20},5,")
    assert len(lines) == 3


@pytest.mark.parametrize("like", ["field003.png@40,5", "field003.png@47.5,1", 32, "32"])
def test_search__takes_a_cell_by_row_or_by_place(tmp_path: Path, like: str | int) -> None:
    vectors = write_stored(tmp_path / "t")
    hits = reddino.search(tmp_path / "t", like, top=5)
    assert hits.queries == ("field003.png@40,5",)
    assert rows_of(hits) == brute(vectors, 32)[:5]


@pytest.mark.parametrize(
    ("like", "words"),
    [
        ("field003.png@500,5", "no cell of 'field003.png' lies at 500,5"),
        ("field003.png@", "'field003.png' has 10 rows: name one"),
        ("nobody.png@1,2", "no row of 'nobody.png'"),
        ("120", "no row 120: its rows are 0 to 119"),
        ("nothing", "'nothing' is neither a picture"),
    ],
)
def test_search__refuses_what_names_no_cell(tmp_path: Path, like: str, words: str) -> None:
    write_stored(tmp_path / "t")
    with pytest.raises(RedDinoError, match=words):
        reddino.search(tmp_path / "t", like)


@pytest.mark.parametrize("indexed", [False, True])
def test_search__leaves_out_what_shares_the_querys_group(
    tmp_path: Path, indexed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finding, "EXACT_ROWS", 10 if indexed else 1000)
    vectors = write_stored(tmp_path / "t")
    write_copies_file(tmp_path / "t", {"copies": [["field002.png", "field009.png"]]})
    barred = {
        "field": [*range(20, 30), *range(90, 100)],
        "slide": range(20, 40),
        "patient": range(40),
    }
    for same, rows in barred.items():
        hits = reddino.search(tmp_path / "t", 23, exclude_same=same, top=10)  # type: ignore[arg-type]
        assert rows_of(hits) == brute(vectors, 23, rows)[:10]
        assert hits.exact is not indexed


@pytest.mark.parametrize("indexed", [False, True])
def test_search__finds_rows_that_meet_conditions_alone(
    tmp_path: Path, indexed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finding, "EXACT_ROWS", 10 if indexed else 1000)
    vectors = write_stored(tmp_path / "t")
    hits = reddino.search(tmp_path / "t", 1, where=["source!=lab0", "label=round"], top=10)
    barred = [row for row in range(120) if row < 40 or row % 3]
    assert rows_of(hits) == brute(vectors, 1, barred)[:10]
    assert hits.searched == 26


@pytest.mark.parametrize("indexed", [False, True])
def test_search__leaves_out_cells_that_the_border_cuts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, indexed: bool
) -> None:
    if indexed:
        monkeypatch.setattr(finding, "EXACT_ROWS", 10)
    cut = np.arange(120) % 3 == 0
    vectors = write_stored(tmp_path / "t", at_border=cut)
    hits = reddino.search(tmp_path / "t", 5, top=20)
    assert rows_of(hits) == brute(vectors, 5, np.flatnonzero(cut))[:20]
    assert (hits.cut, hits.searched) == (40, 80)
    every = reddino.search(tmp_path / "t", 5, top=20, keep_border=True)
    assert rows_of(every) == brute(vectors, 5)[:20]
    assert every.cut == 0
    asked = reddino.search(tmp_path / "t", 5, top=9, where=["at_border=true"])
    assert rows_of(asked) == brute(vectors, 5, np.flatnonzero(~cut))[:9]
    with pytest.raises(RedDinoError, match="cuts every cell that may be a hit: add --keep-border"):
        reddino.search(tmp_path / "t", 5, where=["x=0", "size=", "label=round", "y=5", "slide=s0"])


def test_search__takes_all_where_the_border_cuts_all(tmp_path: Path) -> None:
    vectors = write_stored(tmp_path / "t", at_border=np.ones(120, np.bool_))
    assert rows_of(reddino.search(tmp_path / "t", 5, top=9)) == brute(vectors, 5)[:9]


def test_search__with_fewer_rows_than_hits_gives_all(tmp_path: Path) -> None:
    write_stored(tmp_path / "t")
    hits = reddino.search(tmp_path / "t", 1, where=["slide=s5"], exclude_same="field", top=50)
    assert sorted(rows_of(hits)) == list(range(100, 120))


def test_search__by_a_table_gives_a_block_for_each_row(tmp_path: Path) -> None:
    a = write_stored(tmp_path / "a")
    b = write_stored(tmp_path / "b", images=1, first=50, seed=3)
    hits = reddino.search(tmp_path / "a", tmp_path / "b", top=4)
    every = np.concatenate([a, b])
    assert hits.table.column_names[0] == "query"
    assert hits.table.column("query").to_pylist()[:5] == ["field050.png@0,5"] * 4 + ["field050.png@20,5"]
    for query in range(PER_IMAGE):
        wanted = brute(every, 120 + query, range(120, 130))[:4]
        assert rows_of(hits)[4 * query : 4 * query + 4] == wanted


def test_search__by_a_table_passes_over_the_same_views(tmp_path: Path) -> None:
    write_stored(tmp_path / "a")
    reddino.filter_table(tmp_path / "a", tmp_path / "b", ["slide=s1"])
    for like in (tmp_path / "a", tmp_path / "b"):
        table = reddino.search(tmp_path / "a", like, top=1).table
        places = [f"{row['path']}@{row['x']:g},{row['y']:g}" for row in table.to_pylist()]
        assert not any(one == two for one, two in zip(table.column("query").to_pylist(), places, strict=True))


def test_search__by_a_table_of_another_network_is_refused(tmp_path: Path) -> None:
    write_stored(tmp_path / "a")
    write_stored(tmp_path / "b", weights_hash="f" * 16)
    with pytest.raises(RedDinoError, match="not comparable, they differ in the model's weights"):
        reddino.search(tmp_path / "a", tmp_path / "b")


@pytest.mark.usefixtures("by_index")
def test_index__is_built_once_beside_the_table_and_says_what_it_finds(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    vectors = write_stored(tmp_path / "t", images=60)
    with caplog.at_level("INFO"):
        hits = reddino.search(tmp_path / "t", 7, top=10)
    notes = json.loads((tmp_path / "t" / "_index" / "index.json").read_text())
    assert f"it finds {100 * notes['recall']:.1f} % of the 20 nearest of 200 rows" in caplog.text
    assert hits.recall == notes["recall"] >= 0.95
    assert len(set(rows_of(hits)) & set(brute(vectors, 7)[:10])) >= 9
    built = (tmp_path / "t" / "_index" / "lists.faiss").stat().st_mtime_ns
    reddino.search(tmp_path / "t", 8)
    assert (tmp_path / "t" / "_index" / "lists.faiss").stat().st_mtime_ns == built
    assert len(reddino.read_embeddings(tmp_path / "t")) == 600


@pytest.mark.usefixtures("by_index")
def test_index__recall_is_that_of_an_independent_count(tmp_path: Path) -> None:
    vectors = write_stored(tmp_path / "t", images=60)
    hits = reddino.search(tmp_path / "t", tmp_path / "t", top=20)
    found = np.array(rows_of(hits)).reshape(600, 20)
    recall = np.mean([len(set(found[i]) & set(brute(vectors, i)[:20])) / 20 for i in range(600)])
    assert hits.recall == pytest.approx(recall, abs=0.03)


@pytest.mark.usefixtures("by_index")
def test_index__of_the_table_as_it_was_is_built_anew(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_stored(tmp_path / "t")
    reddino.search(tmp_path / "t", 7)
    for part in (tmp_path / "t").glob("part-*"):
        part.unlink()
    vectors = write_stored(tmp_path / "t", seed=5)
    hits = reddino.search(tmp_path / "t", 7, top=5)
    assert "is of the table as it was before, and is built again" in caplog.text
    assert rows_of(hits) == brute(vectors, 7)[:5]


def test_index__lies_where_it_is_told_and_is_used_at_any_size(tmp_path: Path) -> None:
    write_stored(tmp_path / "t")
    assert not reddino.search(tmp_path / "t", 7, index=tmp_path / "i").exact
    assert (tmp_path / "i" / "index.json").is_file()
    assert not (tmp_path / "t" / "_index").exists()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("mine")
    with pytest.raises(RedDinoError, match="is a folder without an index"):
        reddino.search(tmp_path / "t", 7, index=tmp_path / "full")
    assert (tmp_path / "full" / "thesis.txt").read_text() == "mine"


@pytest.mark.usefixtures("by_index")
@pytest.mark.parametrize("file", ["lists.faiss", "vectors.raw", "index.json"])
def test_index__that_is_damaged_is_refused_in_a_sentence(tmp_path: Path, file: str) -> None:
    write_stored(tmp_path / "t")
    reddino.search(tmp_path / "t", 7)
    (tmp_path / "t" / "_index" / file).write_bytes(b"{")
    with pytest.raises(RedDinoError, match=r"damaged|cannot be read|index\.json"):
        reddino.search(tmp_path / "t", 7)


@pytest.mark.usefixtures("by_index")
def test_search__past_the_size_names_the_extra_and_goes_on_exactly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vectors = write_stored(tmp_path / "t")
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(RedDinoError, match=r"reddino\[search\].*or give --exact"):
        reddino.search(tmp_path / "t", 7)
    assert rows_of(reddino.search(tmp_path / "t", 7, exact=True, top=5)) == brute(vectors, 7)[:5]


def test_search__refuses_vectors_that_are_not_finite(tmp_path: Path) -> None:
    with pytest.raises(RedDinoError, match="vectors that are not finite"):
        exact_search.unit_vectors(np.array([[1, np.nan]], np.float32))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"top": 0}, "top must be from 1 to 10,000, not 0"),
        ({"sheet": True}, "give --images too"),
        ({"images": "somewhere"}, "give --out too"),
        ({"exact": True, "index": "i"}, "leave one of --exact and --index out"),
        ({"at": (1.0, 2.0)}, "--at and --model would do nothing"),
        ({"where": ["source=nobody"]}, "no row of .* meets source=nobody"),
    ],
)
def test_search__refuses_options_that_do_nothing(
    tmp_path: Path, options: dict[str, object], words: str
) -> None:
    write_stored(tmp_path / "t")
    with pytest.raises(RedDinoError, match=words):
        reddino.search(tmp_path / "t", 7, **options)  # type: ignore[arg-type]
