"""Copies beside a table: found while it is made, joined where it is scored, named where nobody looked."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import pytest

from reddino.api.classifiers import fit
from reddino.api.embedding import embed
from reddino.api.scores import evaluate
from reddino.embedding.copies_file import COPIES_FILE, read_copies
from reddino.embedding.table import read_embeddings
from reddino.foundations.errors import RedDinoError
from reddino.synthetic.write import write_smears


@pytest.fixture(scope="module")
def twice(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A manifest of twelve pictures without patients, each also as a JPEG in another folder."""
    folder = tmp_path_factory.mktemp("twice")
    made = write_smears(folder, sources=("lilac",), patients_per_source=12, fields_per_patient=1, field_um=60)
    (folder / "valid").mkdir()
    lines = ["path,source,x,y,w,h,label,cell_diameter"]
    for name in made.images()[0]:
        image = cv2.imread(str(folder / name))
        cv2.imwrite(str(folder / "valid" / f"{Path(name).stem}.jpg"), image, [1, 70])
    for row in made.table.to_pylist():
        label = "normal" if row["label"] == "normal" else "other"
        for path in (row["path"], f"valid/{Path(row['path']).stem}.jpg"):
            numbers = ",".join(str(row[name]) for name in ("x", "y", "w", "h"))
            lines.append(f"{path},lab,{numbers},{label},{row['cell_diameter']}")
    (folder / "twice.csv").write_text("\n".join(lines) + "\n")
    return folder / "twice.csv"


@pytest.fixture(scope="module")
def table(twice: Path) -> Path:
    embed(twice, "colour-histogram", twice.with_name("t"))
    return twice.with_name("t")


def test_embed__notes_copies_and_evaluate_keeps_them_together(twice: Path, table: Path) -> None:
    copies = read_copies(table)
    assert copies is not None
    assert len(copies) == 24
    assert all(Path(path).stem == Path(first).stem for path, first in copies.items())
    emb = read_embeddings(table)
    assert emb.select([0, 1]).copies == copies
    (found,) = evaluate(table, folds=3, resamples=0)
    assert found.groups == 12
    assert any("Copies, or nearly, of other pictures of the table: 12" in note for note in found.notes)
    assert found.mean("1-NN").accuracy < 0.95


def test_evaluate__says_so_where_nobody_looked(table: Path, tmp_path: Path) -> None:
    old = shutil.copytree(table, tmp_path / "old")
    (old / f"_{COPIES_FILE}").unlink()
    (found,) = evaluate(old, folds=3, resamples=0)
    assert found.groups == 24
    assert any(note.startswith("Nobody looked for pictures that are there twice") for note in found.notes)


def test_embed__finds_the_copies_of_a_finished_table_and_reads_no_list_twice(
    twice: Path, table: Path, tmp_path: Path
) -> None:
    again = shutil.copytree(table, tmp_path / "again")
    (again / f"_{COPIES_FILE}").unlink()
    embed(twice, "colour-histogram", again)
    assert read_copies(again) == read_copies(table)
    before = (again / f"_{COPIES_FILE}").stat().st_mtime_ns
    embed(twice, "colour-histogram", again)
    assert (again / f"_{COPIES_FILE}").stat().st_mtime_ns == before


def test_read_copies__refuses_a_damaged_list(tmp_path: Path) -> None:
    assert read_copies(tmp_path) is None
    for content in ('{"copies": [["a"]]}', '{"copies": [["a", 1]]}', '{"data": "d"}', "{"):
        (tmp_path / COPIES_FILE).write_text(content)
        with pytest.raises(RedDinoError, match=r"copies\.json"):
            read_copies(tmp_path)


def test_fit__keeps_copies_together_on_smears_and_on_their_table(
    twice: Path, table: Path, tmp_path: Path
) -> None:
    frozen = fit(twice, tmp_path / "smears", model="colour-histogram", folds=3)
    given = fit(table, tmp_path / "table", folds=3)
    for made in (frozen, given):
        assert made.report["groups"] == 12
        assert any("a picture and its copies" in note.lower() for note in made.report["notes"])
