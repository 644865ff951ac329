"""Prior shift: Bayes' rule where fractions are given, and EM that finds them where the model holds."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pytest
from labelled_smears import draw_fields, noisy_table
from scipy.stats import norm

import reddino
from reddino.classification.class_weights import presumed_priors
from reddino.classification.classifier import open_classifier
from reddino.classification.domain import UnitVerdict
from reddino.classification.domain_report import DomainReport
from reddino.classification.fit import fit_on_table
from reddino.classification.predict import predict_embeddings
from reddino.classification.priors import (
    adjusted,
    estimated,
    learned_priors,
    read_priors,
    reweighed,
)
from reddino.cli.prior_notes import shift_notes
from reddino.foundations.errors import RedDinoError

CLASSES = ("class 0", "class 1", "class 2")


def two_normals(fraction: float, rows: int = 20_000) -> tuple[np.ndarray, np.ndarray]:
    """Posteriors, under equal fractions, of draws from two normal distributions; and their true classes."""
    draw = np.random.default_rng(0)
    truth = (draw.random(rows) < fraction).astype(int)
    values = draw.normal(truth * 1.5, 1)
    density = np.stack([norm.pdf(values, 0, 1), norm.pdf(values, 1.5, 1)], axis=1)
    return density / density.sum(axis=1, keepdims=True), truth


def test_reweighed__is_the_posterior_under_the_other_fractions() -> None:
    posterior, truth = two_normals(0.1)
    equal, wanted = np.array([0.5, 0.5]), np.array([0.9, 0.1])
    changed = reweighed(posterior, equal, wanted)
    density = posterior * wanted
    assert changed == pytest.approx(density / density.sum(axis=1, keepdims=True))
    assert (changed.argmax(axis=1) == truth).mean() > (posterior.argmax(axis=1) == truth).mean() + 0.05
    assert reweighed(changed, wanted, equal) == pytest.approx(posterior)
    assert reweighed(np.array([[1.0, 0.0]]), equal, np.array([0.0, 1.0])).tolist() == [[1.0, 0.0]]


@pytest.mark.parametrize("fraction", [0.02, 0.1, 0.5, 0.8])
def test_estimated__finds_the_fractions_of_other_cells(fraction: float) -> None:
    posterior, _ = two_normals(fraction)
    found, steps = estimated(posterior, np.array([0.5, 0.5]))
    assert found == pytest.approx([1 - fraction, fraction], abs=0.015)
    assert 1 < steps < 1000


def test_adjusted__estimates_each_source_by_itself_and_keeps_what_was_before(tmp_path: Path) -> None:
    made = fit_on_table(noisy_table(1000, d=5, signal=2.5), tmp_path / "c")
    assert sum(made.priors) == pytest.approx(1)
    emb = noisy_table(2000, d=5, seed=1, signal=2.5)
    rare = np.array(emb.strings("label")) == "class 2"
    source = pa.array(["few" if one % 2 else "many" for one in range(len(emb))])
    place = emb.table.column_names.index("source")
    emb = replace(emb, table=emb.table.set_column(place, "source", source))
    emb = emb.select(~rare | (np.arange(len(emb)) % 2 == 0))
    before = predict_embeddings(made, emb)
    found = adjusted(before, learned_priors(made), None)
    used = {shift.source: shift.used for shift in found.priors}
    assert used["few"]["class 2"] < 0.02
    assert used["many"]["class 2"] == pytest.approx(0.2, abs=0.04)
    assert found.unadjusted is not None
    assert np.array_equal(found.unadjusted, before.probabilities)
    counts, plain = found.counts(), before.counts()
    for name in CLASSES:
        assert counts.column(f"unadjusted_n_{name}").equals(plain.column(f"n_{name}"))
    rows = found.rows()
    assert rows.column("unadjusted_predicted").equals(before.rows().column("predicted"))
    # What it learned from changes nothing.
    same = adjusted(before, learned_priors(made), dict(zip(CLASSES, made.priors, strict=True)))
    assert same.probabilities == pytest.approx(before.probabilities)
    assert "unadjusted_predicted" not in before.rows().column_names


def test_adjusted__estimates_nothing_where_a_source_lies_outside_of_what_was_learned(tmp_path: Path) -> None:
    made = fit_on_table(noisy_table(300, d=5, signal=2.5), tmp_path / "c")
    before = predict_embeddings(made, noisy_table(300, d=5, seed=1, signal=2.5))
    unit = UnitVerdict("lab", "", 300, "outside", "all of its cells are novel", 1.0, 1.0, None, {})
    strange = replace(before, domain=DomainReport((unit,), ""))
    found = adjusted(strange, learned_priors(made), None)
    assert np.array_equal(found.probabilities, before.probabilities)
    assert found.priors[0].refused == "all of its cells are novel"
    wanted = {"class 0": 0.98, "class 1": 0.01, "class 2": 0.01}
    assert not np.array_equal(
        adjusted(strange, learned_priors(made), wanted).probabilities, before.probabilities
    )
    few = predict_embeddings(made, noisy_table(9, d=5, seed=1, signal=2.5))
    found = adjusted(few, learned_priors(made), None)
    assert found.priors[0].refused == "too few cells count: 9 cells"
    assert any("only 9 cells of it count" in note for note in shift_notes(found))
    near = replace(before, domain=DomainReport((replace(unit, verdict="at the edge"),), ""))
    assert adjusted(near, learned_priors(made), None).priors[0].steps > 0


def test_read_priors__takes_counts_per_cent_and_files(tmp_path: Path) -> None:
    wanted = {"class 0": 0.7, "class 1": 0.2, "class 2": 0.1}
    assert read_priors({"class 0": 70, "class 1": 20, "class 2": 10}, CLASSES) == pytest.approx(wanted)
    for name, text in (
        ("p.yaml", "class 0: 0.7\nclass 1: 0.2\nclass 2: 0.1\n"),
        ("p.json", json.dumps(wanted)),
        ("p.csv", "class,prior\nclass 0,7\nclass 1,2\nclass 2,1\n"),
    ):
        (tmp_path / name).write_text(text)
        assert read_priors(tmp_path / name, CLASSES) == pytest.approx(wanted)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"class 0": 1.0, "class 1": 1.0}, "'class 2' has none"),
        ({"class 0": 1.0, "class 1": 1.0, "class 2": 1.0, "other": 1.0}, "has no class 'other'"),
        ({"class 0": -1.0, "class 1": 1.0, "class 2": 1.0}, "'-1.0' is no number of 0 or more"),
        ({"class 0": float("nan"), "class 1": 1.0, "class 2": 1.0}, "'nan' is no number"),
        ({"class 0": 0.0, "class 1": 0.0, "class 2": 0.0}, "all numbers are 0"),
    ],
)
def test_read_priors__refuses_what_gives_no_fraction_of_each_class(
    given: dict[str, float], said: str
) -> None:
    with pytest.raises(RedDinoError, match=said):
        read_priors(given, CLASSES)


def test_learned_priors__are_those_of_the_held_out_cells_in_an_older_classifier(tmp_path: Path) -> None:
    made = fit_on_table(noisy_table(), tmp_path / "c")
    assert learned_priors(replace(made, priors=())) == pytest.approx(np.array(made.priors))
    content = json.loads((tmp_path / "c" / "classifier.json").read_text())
    del content["priors"], content["content_hash"]
    (tmp_path / "c" / "classifier.json").write_text(json.dumps(content))
    assert learned_priors(open_classifier(tmp_path / "c")) == pytest.approx(np.array(made.priors))
    with pytest.raises(RedDinoError, match="does not record how frequent its classes were"):
        learned_priors(replace(made, priors=(), report={}))


def test_presumed_priors__are_even_where_class_weights_were_not_undone() -> None:
    truth = np.array([0] * 6 + [1] * 2)
    weights = np.array([8 / 12, 2.0])
    assert presumed_priors(truth, weights, undone=True) == pytest.approx((0.75, 0.25))
    assert presumed_priors(truth, weights, undone=False) == pytest.approx((0.5, 0.5))


def test_predict__keeps_and_counts_both(tmp_path: Path) -> None:
    smears = draw_fields(tmp_path / "smears", fields=8)
    reddino.fit(smears, tmp_path / "c", model="morphology")
    wanted = {"dark": 0.98, "disc": 0.01, "ellipse": 0.01}
    reddino.predict(tmp_path / "c", smears, tmp_path / "p.csv", priors=wanted, kinds=False)
    note = json.loads((tmp_path / "p.json").read_text())["priors"]
    assert [(one["method"], one["used"]["dark"]) for one in note] == [("given", 0.98)]
    slides = pa_csv.read_csv(tmp_path / "p.slides.csv")
    dark, before = (sum(slides.column(name).to_numpy().tolist()) for name in ("n_dark", "unadjusted_n_dark"))
    assert dark > before
    reddino.predict(tmp_path / "c", smears, tmp_path / "q.csv", kinds=False)
    assert "unadjusted" not in (tmp_path / "q.csv").read_text().splitlines()[0]
    assert "priors" not in json.loads((tmp_path / "q.json").read_text())
    with pytest.raises(RedDinoError, match="leave one of --priors and --adjust-priors out"):
        reddino.predict(tmp_path / "c", smears, priors=wanted, adjust_priors=True)
