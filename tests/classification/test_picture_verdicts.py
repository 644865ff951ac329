"""Sources whose pictures differ: verdicts of single pictures, and two microscopes in one flat folder."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from labelled_smears import draw_fields

import reddino
from reddino.classification.domain import FLOORS, UnitVerdict, Verdict
from reddino.classification.looks import ALL_MEASURES
from reddino.classification.picture_verdicts import two_looks, with_pictures
from reddino.classification.risk_warning import risk_warning
from reddino.foundations.errors import RedDinoError
from reddino.smears.manifest import Manifest

SCALE = ALL_MEASURES.index("scale")


def unit(verdict: Verdict, picture: str = "") -> UnitVerdict:
    return UnitVerdict("lab", "", 50, verdict, "it looks most like home", 0.1, 0.5, "home", {}, picture)


def looks(scales: Sequence[float]) -> np.ndarray:
    """Pictures that differ by less than a floor in all but their scale."""
    drawn = np.random.default_rng(0).normal(0, 0.5, (len(scales), len(ALL_MEASURES))) * FLOORS
    drawn[:, SCALE] = np.log(np.asarray(scales, dtype=np.float64))
    return np.asarray(drawn)


def test_two_looks__finds_two_microscopes_and_names_a_picture_of_each() -> None:
    paths = [f"{i}.png" for i in range(12)]
    found = two_looks(paths, looks([40.0, 41, 39, 40, 42, 38, 75, 74, 76, 75, 77, 73]))
    assert found is not None and found.measure == "scale"
    assert set(found.low) == set(paths[:6]) and set(found.high) == set(paths[6:])
    assert "(scale, 1.88 times: 6 like 5.png and 6 like 11.png)" in found.sentence()


@pytest.mark.parametrize(
    "scales",
    [
        [40.0] * 12,  # of one look
        [40.0] * 11 + [80.0],  # one picture is no second microscope
        np.linspace(40, 80, 12).tolist(),  # evenly between
        np.exp(np.random.default_rng(1).normal(3.7, 0.3, 40)).tolist(),  # of a normal distribution
        [40.0, 80.0],  # too few
    ],
)
def test_two_looks__of_one_collection_are_none(scales: list[float]) -> None:
    assert two_looks([f"{i}.png" for i in range(len(scales))], looks(scales)) is None


@pytest.mark.parametrize(
    ("outside", "verdict", "said"),
    [
        (0, "within", ""),
        (1, "within", ""),
        (2, "at the edge", "2 of 10 pictures are outside (0.png, 1.png); it looks most like home"),
        (5, "outside", "5 of 10 pictures are outside (0.png, 1.png, 2.png, ...); it"),
        (10, "outside", ""),
    ],
)
def test_with_pictures__a_source_is_no_better_than_many_of_its_pictures(
    outside: int, verdict: str, said: str
) -> None:
    pictures = [unit("outside" if i < outside else "within", f"{i}.png") for i in range(10)]
    found = with_pictures(unit("within"), pictures, None)
    assert found.verdict == verdict
    assert found.sentence.startswith(said) and found.sentence.endswith("it looks most like home")
    assert with_pictures(unit("too few cells"), pictures, None).verdict == "too few cells"


@pytest.fixture(scope="module")
def flat(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier of one microscope, and a flat folder with pictures of it and of another one."""
    folder = tmp_path_factory.mktemp("flat")
    reddino.fit(draw_fields(folder / "smears", fields=16), folder / "c", model="morphology")
    smears = draw_fields(folder / "new", fields=10)
    for path in sorted(set(smears.strings("path")))[:4]:
        image = cv2.imread(str(smears.root / path))
        assert image is not None
        cv2.imwrite(str(smears.root / path), cv2.GaussianBlur(image[..., ::-1] // 2, (0, 0), 2.5))
    nameless = smears.table.set_column(
        smears.table.column_names.index("slide"), "slide", pa.nulls(len(smears), pa.string())
    )
    pq.write_table(nameless, smears.root / "manifest.parquet")
    return folder


def test_predict__judges_each_picture_where_no_slide_is_named(flat: Path, tmp_path: Path) -> None:
    smears = Manifest(pq.read_table(flat / "new" / "manifest.parquet"), flat / "new")
    found = reddino.predict(flat / "c", smears, tmp_path / "p.parquet", risk=0.8)
    foreign_alone = smears.select(np.array([path < "f5" for path in smears.strings("path")]))
    most = reddino.predict(flat / "c", foreign_alone).domain
    assert most is not None and most.sources()[0].verdict == "outside"
    assert {one.verdict for one in most.pictures} == {"outside"} and len(most.pictures) == 4
    paths = foreign_alone.strings("path")
    assert set(most.verdicts_of(["lab"] * len(paths), [""] * len(paths), paths)) == {"outside"}
    assert found.domain is not None
    foreign = sorted(set(smears.strings("path")))[:4]
    outside = [one.picture for one in found.domain.pictures if one.verdict == "outside"]
    assert sorted(outside) == foreign and len(found.domain.pictures) == 10
    (source,) = found.domain.sources()
    assert source.verdict == "at the edge"
    assert "of two looks" in source.sentence and "4 of 10 pictures are outside" in source.sentence
    note = json.loads((tmp_path / "p.json").read_text())
    assert [one["picture"] for one in note["domain"]["pictures"] if one["verdict"] == "outside"] == outside
    assert not note["abstention"]["holds"] and "does not hold for lab (at the edge)" in risk_warning(found)
    assert note["abstention"]["warning"] == risk_warning(found)


def test_predict__gives_no_answer_outside_where_that_is_wanted(flat: Path, tmp_path: Path) -> None:
    smears = Manifest(pq.read_table(flat / "new" / "manifest.parquet"), flat / "new")
    found = reddino.predict(flat / "c", smears, tmp_path / "p.parquet", abstain_outside=True)
    silent = [path for path, none in zip(found.strings("path"), found.abstained(), strict=True) if none]
    assert sorted(set(silent)) == sorted(set(smears.strings("path")))[:4] and len(silent) == 4 * 12
    assert sum(found.counts().column("abstained").to_numpy().tolist()) == 4 * 12
    assert pq.read_table(tmp_path / "p.parquet").column("abstained").to_pylist() == found.abstained().tolist()
    assert json.loads((tmp_path / "p.json").read_text())["abstention"]["abstained_outside"]


def test_predict__refuses_to_abstain_outside_where_nothing_tells_what_is(flat: Path, tmp_path: Path) -> None:
    for name in ("classifier.json", "classifier.safetensors"):
        (tmp_path / "c").mkdir(exist_ok=True)
        (tmp_path / "c" / name).write_bytes((flat / "c" / name).read_bytes())
    smears = Manifest(pq.read_table(flat / "new" / "manifest.parquet"), flat / "new")
    with pytest.raises(RedDinoError, match="outside cannot be determined: the classifier keeps nothing"):
        reddino.predict(tmp_path / "c", smears, abstain_outside=True)
