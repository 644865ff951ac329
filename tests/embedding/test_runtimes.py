"""Every runtime against torch, and the choice between them."""

from __future__ import annotations

import ctypes
import logging
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from importlib import util
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pytest
from small_models import CARD, SIZE, small_encoder, squares

from reddino.embedding.runtimes import choice, openvino_engine
from reddino.embedding.runtimes.candidates import Candidate
from reddino.embedding.runtimes.check import agreement, planned_views, sample_views
from reddino.embedding.runtimes.choice import use_runtime
from reddino.embedding.runtimes.onnx_engine import OnnxEngine
from reddino.embedding.runtimes.onnx_graph import OnnxSource
from reddino.embedding.runtimes.openvino_engine import OpenVinoEngine
from reddino.embedding.view_encoder import arithmetic
from reddino.foundations.errors import RedDinoError
from reddino.networks.encoder import Encoder
from reddino.networks.engine import Engine
from reddino.networks.folder import ModelCard
from reddino.smears.manifest import Manifest
from reddino.smears.readers import read_folder
from reddino.views.spec import ViewSpec

TINY = {"embed_dim": 64, "num_heads": 1}
NETWORKS = {
    "ViT": CARD,
    "ViT that sees BGR": ModelCard("vit_tiny_patch14", SIZE, depth=1, layer_scale=0.1, channel_order="BGR"),
    "ViT with registers": ModelCard("vit_small_patch14_reg4_dinov2", SIZE, depth=1, arguments=TINY),
    "SwiGLU": ModelCard(
        "vit_giant_patch14_dinov2",
        SIZE,
        depth=1,
        arguments={"embed_dim": 64, "num_heads": 1, "mlp_ratio": 4.0},
    ),
    "CNN": ModelCard("resnet10t", 64),
}


def signal_stack() -> tuple[int | None, int]:
    """Start and size of the stack that this thread handles signals on."""

    class Stack(ctypes.Structure):
        _fields_ = (("start", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t))

    stack = Stack()
    assert ctypes.CDLL(None).sigaltstack(None, ctypes.byref(stack)) == 0
    return stack.start, stack.size


def engines(encoder: Encoder) -> list[Engine]:
    source = OnnxSource(encoder.backbone, encoder.card)
    return [
        OnnxEngine(source, 1),
        OpenVinoEngine(source, 1),
        OpenVinoEngine(source, 2, hint="THROUGHPUT"),
    ]


@pytest.mark.parametrize("name", NETWORKS)
def test_runtimes__give_the_vectors_of_torch_for_every_pooling_and_batch(name: str) -> None:
    pytest.importorskip("openvino")
    pytest.importorskip("onnxruntime")
    encoder = small_encoder(NETWORKS[name])
    images = squares(9, encoder.input_size)
    opened = engines(encoder)
    for pooling in ("cls", "mean", "cls+mean") if name == "ViT" else ("cls",):
        for count in (9, 1):
            wanted = encoder.embed(images[:count], pooling)
            for engine in opened:
                found = engine.vectors(images[:count], pooling)
                assert found.dtype == np.float32
                np.testing.assert_allclose(
                    found, wanted, atol=2e-4 * np.abs(wanted).max(), err_msg=engine.name
                )
    order = small_encoder(ModelCard(**{**vars(encoder.card), "channel_order": "RGB"}))
    if encoder.channel_order == "BGR":
        np.testing.assert_allclose(
            encoder.embed(images), order.embed(np.ascontiguousarray(images[..., ::-1])), atol=1e-4
        )


@pytest.mark.parametrize("runtime", ["torch", "openvino", "onnx"])
def test_use_runtime__takes_the_one_that_was_asked_for(runtime: str) -> None:
    if runtime != "torch":
        pytest.importorskip("onnxruntime" if runtime == "onnx" else "openvino")
    encoder, images = small_encoder(), squares(8)
    wanted = encoder.embed(images)
    use_runtime(encoder, runtime, "fp32", sample=images)
    assert (encoder.engine.name, encoder.engine.precision) == (runtime, "fp32")
    record = arithmetic(encoder)
    assert (record["runtime"], record["precision"]) == (runtime, "fp32")
    np.testing.assert_allclose(encoder.embed(images), wanted, atol=2e-4 * np.abs(wanted).max())


class Pretend:
    """An engine whose vectors are those of torch plus an error, after a while."""

    precision = "fp32"

    def __init__(self, encoder: Encoder, name: str, error: float, clock: list[float], cost: float) -> None:
        self.name = name
        self._own, self._error, self._clock, self._cost = encoder.engine, error, clock, cost

    def vectors(self, images: np.ndarray, pooling: str) -> np.ndarray:
        self._clock[0] += self._cost * len(images)
        found = self._own.vectors(images, pooling)
        noise = np.random.default_rng(0).normal(0, 1, found.shape) * found.std(axis=0)
        return np.asarray(found + self._error * noise, np.float32)


@pytest.fixture()
def stable(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Candidates whose speed and error the test sets, on a clock that they alone move."""
    encoder, clock = small_encoder(), [0.0]
    settings: dict[str, tuple[float, float]] = {}

    def candidates(*_: object) -> list[Candidate]:
        return [Candidate(name, "fp32", "", partial(pretend, name)) for name in settings]

    def pretend(name: str) -> Pretend:
        cost, error = settings[name]
        return Pretend(encoder, name, error, clock, cost)

    monkeypatch.setattr(choice, "every_candidate", candidates)
    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])
    return {"encoder": encoder, "settings": settings, "candidates": candidates}


def test_auto__takes_the_fastest_that_keeps_the_cosine_and_says_so(
    stable: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    stable["settings"].update(torch=(0.1, 0.0), openvino=(0.05, 0.001), onnx=(0.01, 0.3))
    with caplog.at_level(logging.INFO):
        chosen = use_runtime(stable["encoder"], sample=squares(16))
    assert stable["encoder"].engine.name == "openvino"
    by_name = {one.candidate.split()[0]: one for one in chosen.measured}
    assert by_name["openvino"].images_per_second == pytest.approx(20)
    assert by_name["torch"].images_per_second == pytest.approx(10)
    assert by_name["onnx"].cosine < 0.999 <= by_name["openvino"].cosine
    assert "below 0.999" in by_name["onnx"].note
    assert by_name["openvino"].least_cosine <= by_name["openvino"].cosine
    assert "runtime chosen: openvino" in caplog.text and "images/s, centred cosine" in caplog.text
    assert arithmetic(stable["encoder"])["runtime_check"]["chosen"].startswith("openvino")


def test_auto__does_not_compare_for_a_short_pass(stable: dict[str, Any]) -> None:
    stable["settings"].update(torch=(0.1, 0.0), openvino=(0.001, 0.0))
    chosen = use_runtime(stable["encoder"], sample=squares(16), views=100)
    assert stable["encoder"].engine.name == "torch"
    assert chosen.measured == () and "100 views take about 10 s" in chosen.reason
    use_runtime(stable["encoder"], sample=squares(16), views=1_000_000)
    assert stable["encoder"].engine.name == "openvino"


def test_auto__takes_what_a_pass_began_with_without_measuring(
    stable: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    stable["settings"].update(torch=(0.1, 0.0), openvino=(0.05, 0.0), onnx=(0.01, 0.0))
    record = use_runtime(stable["encoder"], sample=squares(16)).record()
    record["chosen"] = "openvino fp32"  # by another machine, or on a busier day
    monkeypatch.setattr(Pretend, "vectors", None)
    again = use_runtime(stable["encoder"], sample=squares(16), begun=record)
    assert stable["encoder"].engine.name == "openvino"
    assert (again.chosen, again.measured) == ("openvino fp32", ())
    assert arithmetic(stable["encoder"])["runtime_check"] == record


def test_auto__measures_anew_where_what_a_pass_began_with_is_gone(stable: dict[str, Any]) -> None:
    stable["settings"].update(torch=(0.1, 0.0), onnx=(0.01, 0.0))
    use_runtime(stable["encoder"], sample=squares(16), begun={"chosen": "openvino fp32 latency"})
    assert stable["encoder"].engine.name == "onnx"


@pytest.fixture()
def lossy(stable: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The same candidates, in bf16."""
    as_they_are = stable["candidates"]
    monkeypatch.setattr(
        choice, "every_candidate", lambda *a: [replace(one, precision="bf16") for one in as_they_are(*a)]
    )
    monkeypatch.setattr(Pretend, "precision", "bf16")
    return stable


@pytest.mark.parametrize("views", [10, 1_000_000])
@pytest.mark.parametrize("names", [("torch",), ("torch", "openvino")])
def test_bf16_by_name__is_compared_with_fp32_however_short_the_pass(
    lossy: dict[str, Any], names: tuple[str, ...], views: int, caplog: pytest.LogCaptureFixture
) -> None:
    for error, warned in ((0.001, False), (0.3, True)):
        lossy["settings"].update(dict.fromkeys(names, (0.1, error)))
        chosen = use_runtime(lossy["encoder"], precision="bf16", sample=squares(16), views=views)
        own = next(one for one in chosen.measured if one.candidate == chosen.chosen)
        assert (own.cosine < 0.999) == warned
        assert ("gives other vectors than float32 torch" in caplog.text) == warned
        assert lossy["encoder"].engine.precision == "bf16"
        assert arithmetic(lossy["encoder"])["runtime_check"]["measured"]


def test_bf16_by_name__of_torch_itself_is_compared(caplog: pytest.LogCaptureFixture) -> None:
    encoder, images = small_encoder(), squares(8)
    exact = encoder.embed(images)
    chosen = use_runtime(encoder, "torch", "bf16", sample=images, views=1)
    (own,) = chosen.measured
    assert 0.9 < own.cosine < 1
    assert own.cosine == pytest.approx(agreement(encoder.embed(images), exact).mean, abs=1e-6)


def test_auto__goes_on_without_a_runtime_that_cannot_take_the_network(
    stable: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    stable["settings"].update(torch=(0.1, 0.0), onnx=(0.01, 0.0))

    def refuse(self: Pretend, images: np.ndarray, pooling: str) -> np.ndarray:
        if self.name == "onnx":
            raise RedDinoError("this network cannot be written as ONNX")
        return np.zeros((len(images), 4), np.float32) + np.arange(len(images))[:, None]

    monkeypatch.setattr(Pretend, "vectors", refuse)
    monkeypatch.setattr(choice, "_reference", lambda e, batch, p: Pretend.vectors(e.engine, batch, p))
    stable["encoder"].engine = Pretend(stable["encoder"], "torch", 0.0, [0.0], 0.0)
    monkeypatch.setattr(time, "perf_counter", iter(np.arange(1e3)).__next__)
    chosen = use_runtime(stable["encoder"], sample=squares(16))
    assert stable["encoder"].engine.name == "torch"
    assert any("cannot be written" in one.note for one in chosen.measured)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"runtime": "tensorrt"}, "runtime 'tensorrt' is not known"),
        ({"precision": "int8"}, "precision 'int8' is not known"),
        ({"runtime": "onnx", "compiled": True}, "--compile is for torch, not for the runtime onnx"),
        ({"runtime": "onnx", "precision": "bf16"}, "onnx computes in fp32"),
    ],
)
def test_use_runtime__refuses_what_does_not_fit(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(RedDinoError, match=sentence):
        use_runtime(small_encoder(), sample=squares(2), **options)


@pytest.mark.parametrize("runtime", ["openvino", "onnx"])
def test_use_runtime__names_the_command_for_a_missing_extra(
    runtime: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(util, "find_spec", lambda name: None)
    encoder = small_encoder()
    with pytest.raises(RedDinoError, match=rf"run: pip install 'reddino\[{runtime}\]'") as error:
        use_runtime(encoder, runtime, sample=squares(2))
    assert "\n" not in str(error.value)
    use_runtime(encoder, "auto", sample=squares(8))
    assert encoder.engine.name == "torch"


def test_openvino__refuses_bf16_where_it_would_quietly_compute_fp32(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("openvino")
    monkeypatch.setattr(openvino_engine, "computes_bf16", lambda: False)
    with pytest.raises(RedDinoError, match="computes no bf16 on this processor"):
        use_runtime(small_encoder(), "openvino", "bf16", sample=squares(2))


def test_agreement__is_the_cosine_after_the_mean_is_taken_off() -> None:
    rng = np.random.default_rng(0)
    # A common part that hides everything from the plain cosine.
    reference = (100 + rng.normal(size=(50, 8))).astype(np.float32)
    other = reference + rng.normal(size=(50, 8)).astype(np.float32) * 0.3
    centred = reference - reference.mean(axis=0)
    moved = other - reference.mean(axis=0)
    cosines = [
        float(a @ b / np.linalg.norm(a) / np.linalg.norm(b)) for a, b in zip(centred, moved, strict=True)
    ]
    found = agreement(other, reference)
    assert found.mean == pytest.approx(np.mean(cosines), abs=1e-4)
    assert found.least == pytest.approx(min(cosines), abs=1e-4)
    assert found.least < found.mean < 0.99 and not found.faithful
    same = agreement(reference, reference)
    assert same.mean == pytest.approx(1.0) and same.faithful is True


@pytest.fixture()
def pictures(tmp_path: Path) -> Manifest:
    import cv2

    for number, picture in enumerate(squares(12, 60)):
        cv2.imwrite(str(tmp_path / f"{number:02d}.png"), picture[..., ::-1])
    return read_folder(tmp_path)


def test_sample_views__are_views_of_the_data(pictures: Manifest) -> None:
    spec = ViewSpec(kind="image", output=60)
    found = sample_views(pictures, spec, None, 8)
    originals = squares(12, 60)
    assert len(found) == 8
    assert all(any(np.array_equal(view, one) for one in originals) for view in found)


def test_planned_views__counts_patches_in_images_spread_over_the_manifest(tmp_path: Path) -> None:
    for number in range(20):
        side = 100 if number % 19 else 200
        assert cv2.imwrite(str(tmp_path / f"{number:02d}.png"), np.full((100, side, 3), number, np.uint8))
    manifest = read_folder(tmp_path)
    patches = ViewSpec(kind="patches", side=50, output=42)
    assert planned_views(manifest, patches, None) == 20 * (2 * 8 + 6 * 4) / 8
    assert planned_views(manifest, ViewSpec(kind="image", output=42), None) == 20
    assert planned_views(manifest, ViewSpec(kind="random", side=50, per_image=3, output=42), None) == 60
    (tmp_path / "00.png").write_bytes(b"no picture")
    assert planned_views(manifest, patches, None) == round(20 * (8 + 6 * 4) / 7)


def test_sample_views__falls_back_on_drawn_cells(pictures: Manifest) -> None:
    for path in pictures.paths()[:11]:
        path.write_bytes(b"no picture")
    found = sample_views(pictures, ViewSpec(kind="image", output=60), None, 8)
    assert found.shape == (8, 60, 60, 3)
    assert len({view.tobytes() for view in found}) == 8


def test_openvino__leaves_the_signal_stack_of_its_thread_alone() -> None:
    pytest.importorskip("openvino")
    encoder = small_encoder()
    engine = OpenVinoEngine(OnnxSource(encoder.backbone, encoder.card), 1)
    before = signal_stack()
    engine.vectors(squares(2, encoder.input_size), "cls")
    assert signal_stack() == before


#: Takes a network into use in several streams and drops it, over and over, as a comparison of runtimes does.
DROPS = """
from small_models import small_encoder, squares
from reddino.embedding.runtimes.onnx_graph import OnnxSource
from reddino.embedding.runtimes.openvino_engine import OpenVinoEngine
encoder = small_encoder()
images, source = squares(12, encoder.input_size), OnnxSource(encoder.backbone, encoder.card)
for _ in range(60):
    OpenVinoEngine(source, 2, hint="THROUGHPUT").vectors(images, "cls")
"""


def test_openvino__a_model_that_is_dropped_does_not_wait_for_ever_for_its_streams() -> None:
    pytest.importorskip("openvino")
    here = Path(__file__).parents[1] / "shared"
    subprocess.run([sys.executable, "-c", DROPS], cwd=here, check=True, timeout=150)


def test_sample_views__looks_at_images_that_have_cells(tmp_path: Path) -> None:
    for number in range(20):
        assert cv2.imwrite(str(tmp_path / f"{number:02d}.png"), np.full((40, 40, 3), number, np.uint8))
    places = [None] * 7 + [20.0] + [None] * 12
    columns = {"path": [f"{number:02d}.png" for number in range(20)], "x": places, "y": places}
    manifest = Manifest(pa.table(columns), tmp_path)
    view = ViewSpec(kind="cells", side=16, unit="px", output=28)
    assert sample_views(manifest, view, None).shape[1:] == (28, 28, 3)
