"""The paper's pixel operations: which, how strong, how drawn, and that only the generator decides."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from reddino.foundations.errors import RedDinoError
from reddino.pretraining.augmentation.pixel_operations import PIXEL_OPERATIONS, PixelOperations

CONFIGURED = (
    "Blur, CLAHE, ChannelShuffle, ChannelDropout, ColorJitter, Defocus, Downscale, Emboss, Equalize, "
    "FancyPCA, GaussNoise, GaussianBlur, GlassBlur, HueSaturationValue, ISONoise, ImageCompression, "
    "InvertImg, MedianBlur, MotionBlur, MultiplicativeNoise, Posterize, RandomBrightnessContrast, "
    "RGBShift, RandomGamma, RandomRain, RandomShadow, RandomSnow, RandomSunFlare, RandomToneCurve, "
    "RandomFog, RingingOvershoot, Sharpen, Solarize"
)


@pytest.fixture(scope="module")
def picture() -> NDArray[np.uint8]:
    """(98, 98, 3): red discs of three sizes on a pale, slightly uneven ground."""
    y, x = np.mgrid[:98, :98]
    ground = np.stack([230 - 0.1 * x, 215 - 0.1 * y, 220 + 0 * x], axis=2).astype(np.uint8)
    for centre, radius in (((25, 30), 18), ((70, 25), 11), ((60, 72), 15)):
        cv2.circle(ground, centre, radius, (90, 10, 60), -1, cv2.LINE_AA)
        cv2.circle(ground, centre, radius // 3, (255, 240, 245), -1, cv2.LINE_AA)
    ground.flags.writeable = False
    return ground


def rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def grey(level: int, size: int = 98) -> NDArray[np.uint8]:
    return np.full((size, size, 3), level, np.uint8)


def test_pixel_operations__are_the_configured_ones() -> None:
    assert list(PIXEL_OPERATIONS)[:33] == CONFIGURED.split(", ")
    assert len(CONFIGURED.split(", ")) == 33


@pytest.mark.parametrize("name", PIXEL_OPERATIONS)
@pytest.mark.parametrize("size", [42, 98])
def test_operation__keeps_shape_and_type_and_changes_the_picture(
    name: str, size: int, picture: NDArray[np.uint8]
) -> None:
    crop = np.ascontiguousarray(picture[:size, :size])
    before, changes = crop.copy(), 0
    operation = PixelOperations([name], choose=1, probability=1.0)
    for seed in range(10):
        changed = operation(crop, rng(seed))
        assert changed.dtype == np.uint8 and changed.shape == crop.shape
        changes += int((changed != crop).any())
    np.testing.assert_array_equal(crop, before)
    # ChannelShuffle may draw the identity, and FancyPCA hardly moves a picture at its published strength.
    assert changes >= 2


@pytest.mark.parametrize("name", PIXEL_OPERATIONS)
def test_operation__depends_on_the_generator_alone(name: str, picture: NDArray[np.uint8]) -> None:
    used, fresh = (PixelOperations([name], choose=1, probability=1.0) for _ in range(2))
    expected = fresh(picture, rng(7))
    for seed in range(3):
        used(picture, rng(seed))
    cv2.setRNGSeed(99)
    np.testing.assert_array_equal(used(picture, rng(7)), expected)


@pytest.mark.parametrize(
    "name", ["GaussNoise", "ISONoise", "GlassBlur", "RandomFog", "MotionBlur", "RandomShadow"]
)
def test_operation__differs_between_generators(name: str, picture: NDArray[np.uint8]) -> None:
    operation = PixelOperations([name], choose=1, probability=1.0)
    assert (operation(picture, rng(1)) != operation(picture, rng(2))).any()


def test_draw__takes_four_different_operations_uniformly_in_every_place() -> None:
    operations, generator = PixelOperations(list(PIXEL_OPERATIONS), choose=4, probability=1.0), rng(0)
    drawn = np.array([operations.draw(generator) for _ in range(20_000)])
    assert drawn.shape == (20_000, 4)
    assert all(len(set(row)) == 4 for row in drawn.tolist())
    for place in range(4):
        counts = np.bincount(drawn[:, place], minlength=33)
        assert stats.chisquare(counts).pvalue > 1e-3


def test_draw__applies_each_with_the_probability() -> None:
    operations, generator = PixelOperations(list(PIXEL_OPERATIONS), choose=4, probability=0.85), rng(1)
    applied = sum(len(operations.draw(generator)) for _ in range(5_000))
    assert stats.binomtest(applied, 20_000, 0.85).pvalue > 1e-3


def test_call__applies_what_was_drawn_in_that_order(picture: NDArray[np.uint8]) -> None:
    operations = PixelOperations(["InvertImg", "Solarize"], choose=2, probability=1.0)
    inverted = 255 - picture.astype(int)
    solarized = np.where(picture >= 128, inverted, picture)
    expected: dict[tuple[int, ...], NDArray[np.int_]] = {
        (0, 1): np.where(inverted >= 128, 255 - inverted, inverted),
        (1, 0): 255 - solarized,
    }
    seen = set()
    for seed in range(20):
        order = tuple(operations.draw(rng(seed)))
        seen.add(order)
        np.testing.assert_array_equal(operations(picture, rng(seed)), expected[order])
    assert len(seen) == 2


def test_no_names__leave_the_picture_alone(picture: NDArray[np.uint8]) -> None:
    np.testing.assert_array_equal(PixelOperations([])(picture, rng(0)), picture)


def test_gauss_noise__has_the_variance_of_the_1x_default() -> None:
    operation = PixelOperations(["GaussNoise"], choose=1, probability=1.0)
    variances = np.array([operation(grey(128), rng(seed)).astype(float).var() for seed in range(60)])
    # The noise is cut to whole levels, which takes up to a fifth off the smallest variance.
    assert variances.min() > 7.5 and variances.max() < 52
    assert variances.min() < 15 and variances.max() > 42


def test_downscale__keeps_a_sixteenth_of_the_pixels(picture: NDArray[np.uint8]) -> None:
    crop = np.ascontiguousarray(picture[:96, :96])
    small = PixelOperations(["Downscale"], choose=1, probability=1.0)(crop, rng(0))
    blocks = small.reshape(24, 4, 24, 4, 3)
    assert (blocks == blocks[:, :1, :, :1]).all()


def test_image_compression__is_jpeg_at_99_or_100(picture: NDArray[np.uint8]) -> None:
    def jpeg(quality: int) -> NDArray[np.uint8]:
        # albumentations hands RGB to OpenCV as if it were BGR, which at these qualities hardly matters.
        encoded = cv2.imencode(".jpg", picture, (cv2.IMWRITE_JPEG_QUALITY, quality))[1]
        return np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR))

    operation = PixelOperations(["ImageCompression"], choose=1, probability=1.0)
    candidates = [jpeg(99), jpeg(100)]
    for seed in range(10):
        changed = operation(picture, rng(seed))
        assert any((changed == candidate).all() for candidate in candidates)


def test_gaussian_blur__stays_within_the_1x_deviation() -> None:
    point = np.zeros((41, 41, 3), np.float64)
    point[20, 20] = 255
    crop = cv2.resize(point, (41, 41)).astype(np.uint8)
    offsets = np.arange(41) - 20.0
    operation = PixelOperations(["GaussianBlur"], choose=1, probability=1.0)
    for seed in range(20):
        blurred = operation(crop, rng(seed))[..., 0].astype(float)
        profile = blurred[20] / blurred[20].sum()
        assert 0.6 < np.sqrt((profile * offsets**2).sum()) < 1.5


@pytest.mark.parametrize(
    ("names", "choose", "word"),
    [(["Blurr"], 1, "Blurr"), (["Blur", "Blur"], 1, "twice"), (["Blur"], 4, "cannot draw 4")],
)
def test_bad_lists__are_refused(names: list[str], choose: int, word: str) -> None:
    with pytest.raises(RedDinoError, match=word):
        PixelOperations(names, choose=choose)


def test_strength__goes_a_part_of_the_way(picture: NDArray[np.uint8]) -> None:
    for strength in (0.0, 0.25, 1.0):
        operation = PixelOperations(["InvertImg"], choose=1, probability=1.0, strength=strength)
        expected = picture + strength * (255.0 - 2.0 * picture)
        assert np.abs(operation(picture, rng(0)) - expected).max() <= 0.51


def test_strength__of_one_operation_leaves_the_others_alone(picture: NDArray[np.uint8]) -> None:
    operations = PixelOperations(
        ["InvertImg", "Posterize"], choose=1, probability=1.0, strengths={"InvertImg": 0.0}
    )
    seen = {operations(picture, rng(seed)).tobytes() for seed in range(20)}
    assert seen == {picture.tobytes(), (picture & 0xF0).tobytes()}


def test_strength__of_an_operation_not_listed_is_refused() -> None:
    with pytest.raises(RedDinoError, match="'Blur'"):
        PixelOperations(["InvertImg"], choose=1, strengths={"Blur": 0.5})
