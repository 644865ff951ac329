"""The report on constructed tables: no batch effect, nothing but one, and mixtures in between."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from reddino.embedding.embeddings import Embeddings
from reddino.evaluation.batch_effect.meanings import MEANINGS, WANTED
from reddino.evaluation.batch_effect.measures import BatchReport, common_dimensions, measure_table
from reddino.evaluation.batch_effect.predictability import reduced
from reddino.evaluation.batch_effect.tables import markdown, rows, save
from reddino.foundations.errors import RedDinoError

SOURCES, CLASSES, DIM = 4, 3, 16


def table(source: float, label: float, *, cells: int = 150, paired: bool = True) -> Embeddings:
    """Cells of 12 patients under every source; `source` and `label` are shares of variance."""
    rng = np.random.default_rng(0)
    by_class, by_source = (_standard(rng.normal(size=(k, DIM))) for k in (CLASSES, SOURCES))
    cell = np.repeat(np.arange(cells), SOURCES)
    where = np.tile(np.arange(SOURCES), cells)
    what = (np.arange(cells) % CLASSES)[cell]
    noise = rng.normal(size=(cells, DIM))[cell] if paired else rng.normal(size=(len(cell), DIM))
    rest = 1 - source - label
    vectors = np.sqrt(source) * by_source[where] + np.sqrt(label) * by_class[what] + np.sqrt(rest) * noise
    patient = [f"p{i // CLASSES % 12}" for i in cell]
    columns: dict[str, list[object]] = {
        "path": [f"{s}/{p}-{i // 36 % 2}.png" for i, s, p in zip(cell, where, patient, strict=True)],
        "source": [f"lab {s}" for s in where],
        "slide": [f"slide of {p}" for p in patient],
        "patient": list(patient),
        "group": list(patient),
        "label": [f"class {c}" for c in what],
        "cell": [f"cell {i}" if paired else f"cell {i} {s}" for i, s in zip(cell, where, strict=True)],
        **{name: [None] * len(cell) for name in ("x", "y", "w", "h", "cell_diameter")},
    }
    return Embeddings(
        vectors.astype(np.float32), pa.table(columns), {"model": "made", "dim": DIM, "data": "d"}
    )


def _standard(values: np.ndarray) -> np.ndarray:
    return np.asarray((values - values.mean(axis=0)) / values.std(axis=0))


@pytest.fixture(scope="module")
def reports() -> dict[float, BatchReport]:
    """By the share of variance that is the source; the class has a fifth all along."""
    return {share: measure_table(table(share, 0.2)) for share in (0.0, 0.2, 0.5, 0.79)}


def test_measure_table__without_a_batch_effect_says_so(reports: dict[float, BatchReport]) -> None:
    # Renderings of a cell are equal here, which no neighbourhood test expects: those read independent cells.
    report = measure_table(table(0.0, 0.2, paired=False))
    for name in (
        "source told",
        "kBET",
        "iLISI",
        "variance by source",
        "kBET within class",
        "source within class",
    ):
        measure = next(one for one in report.measures if one.name == name)
        assert measure.value == pytest.approx(measure.without, abs=0.08, rel=0.08), name
    assert abs(report.value("source silhouette")) < 0.02
    assert reports[0.0].value("source / class distance") == 0.0
    assert report.value("variance by class") == pytest.approx(0.2, abs=0.03)
    assert report.value("class told") > 0.8


def test_measure_table__of_nothing_but_source_says_so() -> None:
    report = measure_table(table(0.999, 0.0))
    assert report.value("source told") == 1.0
    assert report.value("kBET") == 1.0
    assert report.value("iLISI") == pytest.approx(1, abs=0.01)
    assert report.value("source silhouette") > 0.9
    assert report.value("variance by source") == pytest.approx(0.999, abs=0.001)
    assert report.value("class told") < 0.5
    assert report.value("source / class distance") > 10


def test_measure_table__rises_in_step_with_the_share_of_the_source(reports: dict[float, BatchReport]) -> None:
    for share, report in reports.items():
        assert report.value("variance by source") == pytest.approx(share, abs=0.02)
        assert report.value("source within class") == pytest.approx(share, abs=0.03)
        assert report.value("variance by class") == pytest.approx(0.2, abs=0.03)
    rising = ("variance by source", "source silhouette", "source / class distance", "source told")
    for name in rising:
        values = [report.value(name) for report in reports.values()]
        assert values == sorted(values), name
        assert values[-1] > values[0] + 0.2, name
    mixing = [report.value("iLISI") for report in reports.values()]
    assert mixing == sorted(mixing, reverse=True)


def test_measure_table__takes_every_measure_it_can(reports: dict[float, BatchReport]) -> None:
    report = reports[0.5]
    assert [one.name for one in report.measures] == list(MEANINGS)
    assert report.notes == ()
    assert report.sources == {f"lab {s}": 150 for s in range(SOURCES)}


def test_measure_table__says_what_it_could_not_measure() -> None:
    emb = table(0.2, 0.2, cells=24, paired=False)
    single = emb.table.set_column(0, "path", pa.array([f"{s}.png" for s in emb.strings("slide")]))
    report = measure_table(Embeddings(emb.vectors, single, emb.meta))
    assert any(note.startswith("slide told was not measured") for note in report.notes)
    assert any(note.startswith("kBET within class was not measured") for note in report.notes)
    assert np.isnan(report.value("slide told"))
    assert "source / class distance" not in [one.name for one in report.measures]


def test_measure_table__goes_without_labels() -> None:
    emb = table(0.4, 0.2)
    bare = emb.table.set_column(5, "label", pa.array([None] * len(emb), pa.string()))
    report = measure_table(Embeddings(emb.vectors, bare, emb.meta))
    assert report.value("variance by source") == pytest.approx(0.4, abs=0.02)
    assert not [one for one in report.measures if "class" in one.name]


def test_measure_table__draws_whole_cells_by_seed() -> None:
    emb = table(0.4, 0.2)
    first, again, other = (measure_table(emb, rows=202, seed=seed) for seed in (1, 1, 2))
    assert first.rows == 200
    assert set(first.sources.values()) == {50}
    assert first == again
    assert first.value("source silhouette") != other.value("source silhouette")


def test_measure_table__needs_two_sources() -> None:
    emb = table(0.4, 0.2)
    with pytest.raises(RedDinoError, match="two sources in column 'source'"):
        measure_table(emb.select(np.array([name == "lab 0" for name in emb.strings("source")])))


def test_reduced__keeps_distances_up_to_one_scale_where_no_dimension_goes() -> None:
    vectors = np.random.default_rng(0).normal(size=(50, 6)).astype(np.float32) * 7
    small = reduced(vectors, 64)
    ratio = np.linalg.norm(vectors[:25] - vectors[25:], axis=1) / np.linalg.norm(
        small[:25] - small[25:], axis=1
    )
    assert ratio == pytest.approx(ratio[0], rel=1e-5)
    assert (small**2).sum(axis=1).mean() == pytest.approx(6, rel=1e-5)
    assert reduced(vectors, 2).shape == (50, 2)


def test_common_dimensions__is_the_smallest_but_not_that_of_a_single_number() -> None:
    assert common_dimensions([384, 48, 1]) == 48
    assert common_dimensions([768, 1280]) == 64
    assert common_dimensions([1]) == 64


def test_tables__name_every_measure_with_its_meaning(
    reports: dict[float, BatchReport], tmp_path: Path
) -> None:
    shown = list(reports.values())
    assert set(WANTED) == set(MEANINGS)
    assert len(rows(shown)) == len(MEANINGS)
    text = markdown(shown)
    for name, meaning in MEANINGS.items():
        assert meaning in text
        assert f"| {name} |" in text
    save(tmp_path / "b.json", shown, {"command": "c", "version": "v", "seed": 0, "data": "d"})
    read = json.loads((tmp_path / "b.json").read_text())
    assert read["reports"][2]["measures"][0]["meaning"] == MEANINGS["source told"]
    assert read["provenance"]["data"] == "d"
    assert (tmp_path / "b.md").read_text().startswith("| measure |")


def test_measure_table__of_equal_vectors_says_so_and_can_be_saved(tmp_path: Path) -> None:
    equal = dataclasses.replace(table(0.5, 0.5), vectors=np.full((len(table(0.5, 0.5)), 4), 3, np.float32))
    report = measure_table(equal)
    assert report.notes[0].startswith(f"{len(equal)} of {len(equal)} vectors are equal")
    origin = {"command": "", "version": "", "seed": 0, "data": ""}
    save(tmp_path / "batch.json", [report], origin)
    assert "NaN" not in (tmp_path / "batch.json").read_text()


def test_measure_table__names_patients_under_several_sources_and_joins_them() -> None:
    emb = table(0.2, 0.2, paired=False, cells=36)
    (note,) = [one for one in measure_table(emb).notes if one.startswith("Names")]
    assert "taken for different ones: 12 patients" in note and "--join-sources" in note
    joined = measure_table(emb, join_sources=("patient", "slide", "group")).notes
    assert any("are joined: 12 patients, 12 slides, 12 groups" in one for one in joined)
    assert not any(one.startswith("Names") for one in measure_table(table(0.2, 0.2, cells=36)).notes)


def _without_labels_but(emb: Embeddings, kept: np.ndarray) -> Embeddings:
    labels = [label if keep else None for label, keep in zip(emb.strings("label"), kept, strict=True)]
    place = emb.table.column_names.index("label")
    return Embeddings(emb.vectors, emb.table.set_column(place, "label", pa.array(labels)), emb.meta)


def test_measure_table__uses_unlabelled_rows_for_what_needs_no_label() -> None:
    emb = table(0.2, 0.2, paired=False)
    kept = np.arange(len(emb)) < 240
    report = measure_table(_without_labels_but(emb, kept))
    bare = measure_table(_without_labels_but(emb, np.zeros(len(emb), dtype=bool)))
    labelled = measure_table(emb.select(kept))
    assert (report.rows, report.of_rows) == (600, 600)
    for name in ("source told", "patient told", "iLISI", "kBET", "variance by source"):
        assert report.value(name) == bare.value(name) != labelled.value(name), name
    for name in ("class told", "cLISI", "variance by class", "source within class"):
        assert report.value(name) == labelled.value(name), name
    assert any(note.startswith("360 of 600 cells have no label") for note in report.notes)
    assert bare.classes == () and not any("no label" in note for note in bare.notes)


def test_measure_table__leaves_dropped_labels_out_of_everything() -> None:
    emb = table(0.2, 0.2, paired=False)
    kept = np.arange(len(emb)) < 240
    report = measure_table(_without_labels_but(emb, kept), classes={"class 0": None})
    assert report.of_rows == 600 - 80
    assert report.classes == ("class 1", "class 2")


def test_measure_table__of_labels_in_one_source_takes_no_measure_of_classes() -> None:
    emb = table(0.2, 0.2, paired=False)
    report = measure_table(_without_labels_but(emb, np.asarray(emb.strings("source")) == "lab 0"))
    assert report.value("variance by source") == pytest.approx(0.2, abs=0.03)
    assert np.isnan(report.value("class told"))
    assert any("among the cells with a label" in note for note in report.notes)
