"""The frozen probe: equal to scikit-learn's, calibrated on what it never saw, and fair about it."""

from __future__ import annotations

import numpy as np
import pytest
from labelled_smears import noisy_table
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from reddino.classification.calibrated_probe import UNLEARNED, fit_head, fit_probe, held_out_logits
from reddino.classification.calibration import fit_temperature, negative_log_likelihood
from reddino.classification.softmax import softmax
from reddino.evaluation.splits import Folds
from reddino.foundations.errors import RedDinoError


@pytest.mark.parametrize("classes", [2, 3])
def test_fit_head__equals_standardised_logistic_regression(classes: int) -> None:
    emb = noisy_table()
    truth = np.minimum(np.unique(emb.strings("label"), return_inverse=True)[1], classes - 1)
    vectors = emb.vectors * 5 + 3
    reference = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000, tol=1e-8))
    reference.fit(vectors.astype(np.float64), truth)
    head = fit_head(vectors, truth, 0.1, classes)
    assert softmax(head.logits(vectors)) == pytest.approx(reference.predict_proba(vectors), abs=2e-3)


def test_fit_head__survives_constant_numbers_and_classes_without_rows() -> None:
    emb = noisy_table(d=8)
    vectors = emb.vectors.copy()
    vectors[:, 5] = 7
    truth = np.where(np.array(emb.strings("label")) == "class 0", 0, 3)
    head = fit_head(vectors, truth, 0.1, 5)
    probabilities = softmax(head.logits(vectors))
    assert np.isfinite(probabilities).all()
    assert probabilities[:, [1, 2, 4]].max() < 1e-100
    assert softmax(fit_head(vectors, np.zeros(400, np.int64), 1.0, 2).logits(vectors))[:, 0].min() == 1


def test_fit_probe__calibrated_probabilities_are_better_on_data_never_seen() -> None:
    # Few rows, many dimensions, hardly any regularisation: much too sure of itself.
    train, test = noisy_table(300), noisy_table(4000, seed=1)
    truth = np.unique(test.strings("label"), return_inverse=True)[1]
    labels = np.unique(train.strings("label"), return_inverse=True)[1]
    groups = np.unique(train.strings("slide"), return_inverse=True)[1]
    sure = fit_head(train.vectors, labels, 10.0, 3)
    logits, learned = held_out_logits(train.vectors, labels, Folds(groups % 5), 10.0, 3)
    temperature = fit_temperature(logits[learned], labels[learned])
    raw = negative_log_likelihood(sure.logits(test.vectors), truth)
    calibrated = negative_log_likelihood(sure.logits(test.vectors) / temperature, truth)
    assert temperature > 1.5
    assert calibrated < raw - 0.2


def test_fit_probe__chooses_strength_by_held_out_likelihood_and_reports_it() -> None:
    emb = noisy_table(400)
    fitted = fit_probe(emb.vectors, emb.strings("label"), emb.strings("slide"))
    report = fitted.report
    tried = {float(key): value for key, value in report["tried"].items()}
    assert report["strength"] == min(tried, key=lambda key: tried[key])
    assert report["nll_calibrated"] < 1.05  # what is known without looking is the entropy of the shares, 1.03
    assert np.sum(report["confusion"]) == 400
    test = noisy_table(3000, seed=2)
    truth = np.unique(test.strings("label"), return_inverse=True)[1]
    own = negative_log_likelihood(fitted.head.logits(test.vectors) / fitted.temperature, truth)
    assert report["nll_calibrated"] == pytest.approx(own, abs=0.08)


def test_fit_probe__is_the_same_again_and_another_with_another_seed() -> None:
    emb = noisy_table(200)
    one, two, other = (
        fit_probe(emb.vectors, emb.strings("label"), emb.strings("slide"), seed=seed) for seed in (0, 0, 1)
    )
    assert one.head.fingerprint() == two.head.fingerprint()
    assert one.report == two.report
    assert one.report != other.report


def test_held_out_logits__gives_a_class_that_a_fold_never_learned_a_low_logit() -> None:
    vectors = np.random.default_rng(0).normal(size=(30, 2)).astype(np.float32)
    truth = np.array([0, 1] * 10 + [2] * 10)
    logits, learned = held_out_logits(vectors, truth, Folds((truth == 2).astype(np.int64)), 1.0, 3)
    assert not learned[20:].any()
    assert np.isfinite(logits).all()
    assert logits[20:, 2] == pytest.approx(logits[20:, :2].min(axis=1) - UNLEARNED)


def test_fit_probe__refuses_a_single_class() -> None:
    emb = noisy_table(50)
    with pytest.raises(RedDinoError, match="two classes"):
        fit_probe(emb.vectors, ["a"] * 50, emb.strings("slide"))


def test_fit_head__does_not_depend_on_how_small_the_numbers_are() -> None:
    draw = np.random.default_rng(0)
    truth = np.arange(60) % 2
    vectors = draw.normal(size=(60, 4)) + 4 * truth[:, None]
    for scale in (1e-20, 1e-36):
        scaled = (scale * vectors).astype(np.float32)
        head = fit_head(scaled, truth, 1.0, 2)
        assert (head.logits(scaled).argmax(axis=1) == truth).all()
