"""Patch pictures: the foreground is what is stained, colours are shared, similarity is the cosine."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.decomposition import PCA

from reddino.figures.fields import FieldTokens
from reddino.figures.patch_figures import (
    PatchBasis,
    attention_figure,
    patch_at,
    pca_figure,
    similarity,
    similarity_figure,
    striking_patches,
)
from reddino.foundations.errors import RedDinoError

PATCH = 4


def _field(seed: int, light: float = 0.0, flip: int = 1) -> tuple[FieldTokens, np.ndarray]:
    """A field (10, 12) with a dark disc, whose tokens tell the disc, its left half, and the field's light."""
    draw = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:10, 0:12]
    cell = (rows - 5) ** 2 + (columns - 6) ** 2 < 12
    tokens = draw.normal(0, 0.05, size=(10, 12, 8)).astype(np.float32)
    tokens[..., 0] += flip * 3 * cell
    tokens[..., 1] += np.where(cell, np.where(columns < 6, 1, -1), 0)
    tokens[..., 2] += light
    green = np.where(cell, 90, 200).astype(np.uint8)
    image = np.repeat(np.repeat(np.stack([green] * 3, axis=-1), PATCH, axis=0), PATCH, axis=1)
    attention = draw.uniform(0.5, 1.5, size=(3, 10, 12)).astype(np.float32)
    attention[:, 5, 8] = 9
    return FieldTokens(image, tokens, attention), cell


@pytest.mark.parametrize("flip", [1, -1])
def test_patch_basis__foreground_is_the_stained_side_of_the_first_component(flip: int) -> None:
    # With another light in each field, which would be the first component if it were left in.
    fields, cells = zip(*[_field(seed, light=20 * seed, flip=flip) for seed in range(3)], strict=True)
    basis = PatchBasis.fit(fields)
    for field, cell in zip(fields, cells, strict=True):
        assert np.array_equal(basis.foreground(field), cell)


def test_patch_basis__without_centring_sees_the_light() -> None:
    fields, _ = zip(*[_field(seed, light=20 * seed) for seed in range(2)], strict=True)
    foreground = [PatchBasis.fit(fields, centred=False).foreground(field) for field in fields]
    assert {bool(plane.all()) for plane in foreground} == {True, False}
    assert {bool(plane.any()) for plane in foreground} == {True, False}


def test_patch_basis__equals_scikit_learn_up_to_sign() -> None:
    fields, cells = zip(*[_field(seed) for seed in range(2)], strict=True)
    basis = PatchBasis.fit(fields)
    centred = [field.tokens - field.tokens.mean(axis=(0, 1)) for field in fields]
    everything = np.concatenate([one.reshape(-1, 8) for one in centred]).astype(np.float64)
    inside = np.concatenate([one[cell] for one, cell in zip(centred, cells, strict=True)]).astype(np.float64)
    for found, reference in (
        (basis.first[None], PCA(1).fit(everything).components_),
        (basis.colours.T, PCA(3).fit(inside).components_),
    ):
        assert np.abs((found * reference).sum(axis=1)) == pytest.approx(1, abs=1e-4)


def test_patch_basis__gives_the_same_structure_the_same_colour_in_every_field() -> None:
    fields, cells = zip(*[_field(seed, light=20 * seed) for seed in range(2)], strict=True)
    basis = PatchBasis.fit(fields)
    pictures = [basis.picture(field) for field in fields]
    columns = np.mgrid[0:10, 0:12][1]
    for side in (columns < 6, columns >= 6):
        means = [picture[cell & side].mean(axis=0) for picture, cell in zip(pictures, cells, strict=True)]
        assert means[0] == pytest.approx(means[1], abs=0.2)
    left, right = (pictures[0][cells[0] & side].mean(axis=0) for side in (columns < 6, columns >= 6))
    assert np.abs(left - right).max() > 0.5
    assert (pictures[0][~cells[0]] == 1).all()


def test_patch_basis__refuses_tokens_that_do_not_vary() -> None:
    field, _ = _field(0)
    flat = FieldTokens(field.image, np.ones_like(field.tokens), field.attention)
    with pytest.raises(RedDinoError, match="do not vary"):
        PatchBasis.fit([flat])


def test_similarity__is_the_cosine() -> None:
    field, _ = _field(0)
    alike = similarity(field, (5, 6))
    one, other = field.tokens[5, 6].astype(float), field.tokens[2, 9].astype(float)
    assert alike[5, 6] == pytest.approx(1, abs=1e-6)
    assert alike[2, 9] == pytest.approx(one @ other / np.linalg.norm(one) / np.linalg.norm(other), abs=1e-5)


def test_patch_at__reads_fractions_of_the_field() -> None:
    field, _ = _field(0)
    assert patch_at(field, (0.0, 0.0)) == (0, 0)
    assert patch_at(field, (1.0, 0.55)) == (5, 11)
    with pytest.raises(RedDinoError, match="fractions from 0 to 1"):
        patch_at(field, (12, 3))


def test_striking_patches__begin_with_the_most_attended_and_differ() -> None:
    field, cell = _field(0)
    chosen = striking_patches(field, PatchBasis.fit([field]), 3)
    assert chosen[0] == (5, 8)
    assert len(set(chosen)) == 3
    assert all(cell[place] for place in chosen)
    # The least similar cell patch to one on the right lies on the left.
    assert chosen[1][1] < 6


def test_figures__show_a_panel_for_each_thing() -> None:
    fields = [_field(seed)[0] for seed in range(2)]
    basis = PatchBasis.fit(fields)
    assert len(pca_figure(fields, ["one", "two"], basis).axes) == 6
    titles = [axes.get_title() for axes in attention_figure(fields[0], "one").axes if axes.images]
    assert titles[0] == "one"
    assert [title.split(" (")[0] for title in titles[1:]] == [
        "mean of the heads",
        "head 1",
        "head 2",
        "head 3",
    ]
    shown = similarity_figure(fields[0], [(5, 6), (2, 2)], "one").axes
    assert [axes.get_title() for axes in shown[:3]] == ["one", "similarity to 1", "similarity to 2"]
