"""Features and models of patients: nothing is learned from those who are tested."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score

from reddino.patients.attention import (
    AttentionSettings,
    GatedAttention,
    Patients,
    predict_attention,
    train_attention,
)
from reddino.patients.bags import Bags
from reddino.patients.choices import OptionalModel
from reddino.patients.clinical_columns import read_column
from reddino.patients.features import ClinicalFeatures, PictureFeatures, patient_pictures
from reddino.patients.linear_head import STRENGTHS, cross_fit, inner_folds, probabilities
from reddino.patients.models import (
    BOTH,
    CLINICAL,
    PICTURE,
    WITHOUT_CLINICAL,
    WITHOUT_PICTURE,
    Columns,
    predict_fold,
)
from reddino.patients.set_transformer import SetTransformer
from reddino.smears.row_places import RowPlace

PLACE = RowPlace("cohort")


def _data(seed: int = 0, patients: int = 120) -> tuple[ClinicalFeatures, PictureFeatures, np.ndarray]:
    rng = np.random.default_rng(seed)
    counted, shaped = rng.normal(size=(2, patients))
    truth = (counted + shaped + 0.5 * rng.normal(size=patients) > 0).astype(np.int64)
    hb = [f"{value:.3f}" if rng.random() > 0.1 else "" for value in counted + 0.4 * rng.normal(size=patients)]
    picture = np.outer(shaped, rng.normal(size=30)) + rng.normal(size=(patients, 30))
    sex = ["f" if value else "m" for value in rng.random(patients) < 0.5]
    columns = (read_column("hb", hb, PLACE), read_column("sex", sex, PLACE))
    return ClinicalFeatures(columns), PictureFeatures(picture), truth


def test_picture_features__are_principal_components_of_standardised_training_patients() -> None:
    _, picture, _ = _data()
    train = np.arange(80)
    found = PictureFeatures(picture.values, 4).fit(train).of(np.arange(120))
    standard = (picture.values - picture.values[train].mean(axis=0)) / picture.values[train].std(axis=0)
    expected = PCA(4, svd_solver="full").fit(standard[train]).transform(standard)
    for column in range(4):
        assert abs(np.corrcoef(found[:, column], expected[:, column])[0, 1]) == pytest.approx(1)
    assert found[train, 0].std() == pytest.approx(1)


def test_features__learn_nothing_from_patients_who_are_tested() -> None:
    clinical, picture, _ = _data()
    train, test = np.arange(80), np.arange(80, 120)
    changed = picture.values.copy()
    changed[test] += 100
    np.testing.assert_array_equal(picture.fit(train).of(train), PictureFeatures(changed).fit(train).of(train))
    numbers = clinical.columns[0].numbers
    assert numbers is not None
    before = clinical.fit(train).of(train)
    numbers[test] = 1e6
    np.testing.assert_array_equal(before, clinical.fit(train).of(train))


def test_clinical_features__tell_who_lacks_a_value_and_pass_over_new_categories() -> None:
    columns = (
        read_column("hb", ("10", "12", "", "14", "16"), PLACE),
        read_column("sex", ("f", "m", "f", "m", "other"), PLACE),
    )
    found = ClinicalFeatures(columns).fit(np.arange(4)).of(np.arange(5))
    assert found[2].tolist()[:2] == [0.0, 1.0]  # the median, and missing
    assert found[4].tolist()[2:] == [0.0, 0.0]


def test_pictures__are_means_or_moments_of_each_patients_cells() -> None:
    rng = np.random.default_rng(0)
    vectors, patient = rng.normal(size=(60, 3)).astype(np.float32), np.repeat([2, 0, 1], 20)
    mean = patient_pictures(vectors, patient, 3)
    np.testing.assert_allclose(mean[0], vectors[20:40].mean(axis=0), rtol=1e-5)
    moments = patient_pictures(vectors, patient, 3, "moments")
    assert moments.shape == (3, 15)
    np.testing.assert_allclose(moments[2, 3:6], vectors[:20].std(axis=0), rtol=1e-5)
    np.testing.assert_allclose(moments[1, 9:12], np.median(vectors[40:], axis=0), rtol=1e-5)


def test_cross_fit__gives_each_training_patient_the_logit_of_a_model_that_did_not_see_it() -> None:
    _, picture, truth = _data()
    train = np.arange(100)
    folds = inner_folds(truth, train, 0)
    noise = np.random.default_rng(1).integers(2, size=120)
    fitted = cross_fit(picture, noise, train, inner_folds(noise, train, 0), strengths=(10.0,))
    seen = roc_auc_score(noise[train], fitted.model.logits(train)[:, 0])
    assert seen > 0.75  # it learns noise by heart
    assert roc_auc_score(noise[train], fitted.logits[:, 0]) < 0.65  # and cannot tell it of others
    assert sorted(np.concatenate([held for _, held in folds]).tolist()) == train.tolist()


@pytest.mark.parametrize(("classes", "width"), [(2, 6), (3, 6), (2, 100)])
def test_cross_fit__is_scikit_learns_logistic_regression_with_the_penalty_of_least_log_loss(
    classes: int, width: int
) -> None:
    rng = np.random.default_rng(classes)
    values, train = rng.normal(size=(90, width)), np.arange(90)
    truth = (values[:, :classes] + rng.normal(size=(90, classes))).argmax(axis=1)
    folds = inner_folds(truth, train, 0)
    found = cross_fit(Columns(values), truth, train, folds)
    losses = {}
    for strength in STRENGTHS:
        probability = LogisticRegression(C=strength, max_iter=5000, tol=1e-8)
        held_out = np.zeros((90, classes))
        for fitting, others in folds:
            held_out[others] = probability.fit(values[fitting], truth[fitting]).predict_proba(values[others])
        losses[strength] = log_loss(truth, held_out)
    assert found.model.strength == min(losses, key=lambda one: losses[one])
    expected = LogisticRegression(C=found.model.strength, max_iter=5000, tol=1e-8).fit(values, truth)
    assert found.model.weights == pytest.approx(expected.coef_, abs=0.01)
    assert found.model.bias == pytest.approx(expected.intercept_, abs=0.01)


@pytest.mark.parametrize("classes", [2, 3])
def test_predict_fold__of_all_models_gives_probabilities(classes: int) -> None:
    clinical, picture, truth = _data()
    if classes == 3:
        truth = truth + (np.arange(120) % 3 == 0) * (truth == 1)
    train, test = np.arange(90), np.arange(90, 120)
    found = predict_fold(clinical, {"": picture, ", again": picture}, truth, train, test, boosted=True)
    for values in found.values():
        assert values.shape == (30, classes)
        np.testing.assert_allclose(values.sum(axis=1), 1)
    np.testing.assert_array_equal(found[WITHOUT_PICTURE], found[CLINICAL])
    np.testing.assert_array_equal(found[WITHOUT_CLINICAL], found[PICTURE])
    np.testing.assert_array_equal(found["both, again"], found[BOTH])


def test_fusion__gains_where_each_side_knows_something() -> None:
    gains = []
    for seed in range(4):
        clinical, picture, truth = _data(seed, 300)
        test = np.arange(150, 300)
        found = predict_fold(clinical, {"": picture}, truth, np.arange(150), test)
        area = {name: roc_auc_score(truth[test], values[:, 1]) for name, values in found.items()}
        gains.append(area[BOTH] - max(area[CLINICAL], area[PICTURE]))
    assert np.mean(gains) > 0.05


def test_probabilities__of_one_logit_are_the_logistic_function() -> None:
    np.testing.assert_allclose(probabilities(np.array([[0.0], [2.0]]))[:, 1], [0.5, 1 / (1 + np.exp(-2))])


def _rare_cells() -> tuple[Bags, np.ndarray, np.ndarray]:
    """Bags of 60 cells; of diseased patients, a tenth of the cells lies apart."""
    rng = np.random.default_rng(0)
    truth = np.arange(80) % 2
    patient = np.repeat(np.arange(80), 60)
    vectors = rng.normal(size=(4800, 6)).astype(np.float32)
    rare = rng.random(4800) < 0.1 * truth[patient]
    vectors[rare, 0] += 5
    return Bags.of(vectors, patient, 80), truth, rare


def test_attention__finds_the_few_cells_that_matter() -> None:
    rng = np.random.default_rng(0)
    bags, truth, rare = _rare_cells()
    settings = AttentionSettings(components=6, hidden=16, epochs=25, members=1, dropout=0.0)
    train, test = np.arange(60), np.arange(60, 80)
    found = predict_attention(bags, None, truth, train, test, settings=settings, seed=0)
    assert roc_auc_score(truth[test], found["picture, attention"][:, 1]) > 0.85
    again = predict_attention(bags, None, truth, train, test, settings=settings, seed=0)
    np.testing.assert_array_equal(found["picture, attention"], again["picture, attention"])
    reduced = bags.reduced(bags.axes(train, 6, 32, np.random.default_rng(0)))
    patients = Patients(reduced, None, truth)
    model = train_attention(patients, train, settings, 0)
    one = int(np.flatnonzero((truth == 1) & (np.arange(80) >= 60))[0])
    cells, present, _ = patients.batch(np.array([one]), 999, rng)
    weights = model.weights(cells, present)[0].detach().numpy()
    own = rare[bags.rows[bags.cells(one)]]
    assert weights[own].mean() > weights[~own].mean()
    assert weights.sum() == pytest.approx(1, abs=1e-5)


def test_set_transformer__finds_the_few_cells_that_matter() -> None:
    bags, truth, _ = _rare_cells()
    settings = AttentionSettings(components=6, hidden=16, epochs=25, members=1, dropout=0.0)
    train, test = np.arange(60), np.arange(60, 80)
    also: list[OptionalModel] = ["set-transformer"]
    found = predict_attention(bags, None, truth, train, test, settings=settings, seed=0, also=also)
    assert list(found) == ["picture, set transformer"]
    assert roc_auc_score(truth[test], found["picture, set transformer"][:, 1]) > 0.85


def test_set_transformer__takes_cells_in_any_order_and_none_that_fill_a_bag_up() -> None:
    torch.manual_seed(0)
    model = SetTransformer(4, 8, 2).eval()
    cells = torch.randn(1, 9, 4)
    present = torch.ones(1, 9, dtype=torch.bool)
    logits = model(cells, present)
    turned = model(cells.flip(1), present)
    padded = model(
        torch.cat([cells, torch.full((1, 5, 4), 7.0)], dim=1),
        torch.cat([present, torch.zeros(1, 5, dtype=torch.bool)], dim=1),
    )
    torch.testing.assert_close(turned, logits)
    torch.testing.assert_close(padded, logits)
    assert not torch.allclose(model(cells[:, :8], present[:, :8]), logits, atol=1e-4)


def test_gated_attention__pools_as_torchmil_does() -> None:
    attention_pool = pytest.importorskip("torchmil.nn.attention").AttentionPool
    torch.manual_seed(0)
    ours = GatedAttention(6, 5)
    theirs = attention_pool(6, att_dim=5, gated=True)
    theirs.fc1.module.load_state_dict(ours.value.state_dict())
    theirs.fc_gated.module.load_state_dict(ours.gate.state_dict())
    theirs.fc2.weight.data = ours.score.weight.data.clone()
    cells, present = torch.randn(3, 7, 6), torch.ones(3, 7, dtype=torch.bool)
    present[1, 4:] = False
    pooled = torch.einsum("bc,bcd->bd", ours(cells, present), cells)
    torch.testing.assert_close(pooled, theirs(cells, present.float()))


def test_attention__is_blind_to_the_cells_that_fill_a_bag_up() -> None:
    rng = np.random.default_rng(1)
    patient = np.concatenate([np.zeros(5), np.ones(50)]).astype(np.int64)
    patients = Patients(
        Bags.of(rng.normal(size=(55, 4)).astype(np.float32), patient, 2), None, np.array([0, 1])
    )
    model = train_attention(patients, np.array([0, 1]), AttentionSettings(hidden=8, epochs=1), 0)
    both = model(*patients.batch(np.array([0, 1]), 99, rng))
    alone = model(*patients.batch(np.array([0]), 99, rng))
    np.testing.assert_allclose(both[0].detach(), alone[0].detach(), atol=1e-6)
