"""The pass: right vectors beside right rows, bad images listed, and a table that survives kill -9."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from smear_fields import SIZE, VIEW, Projection, make_fields

from reddino.embed.embedding_pass import embed_manifest
from reddino.embed.parts import image_starts, part_bounds, rebatch
from reddino.embed.table import finished_parts, read_embeddings
from reddino.errors import RedDinoError
from reddino.smears.decode import decode_image
from reddino.smears.failures import Failures
from reddino.smears.manifest import Manifest
from reddino.smears.views import ViewSpec, cut_square, plan_views


def direct(manifest: Manifest, encoder: Projection) -> tuple[list[str], np.ndarray]:
    """Cell ids and vectors, one cell at a time, straight from the manifest's rows."""
    paths, centres = manifest.paths(), manifest.centres()
    order = np.argsort(manifest.images()[1], kind="stable")
    squares = [cut_square(decode_image(paths[i]), *centres[i], 16, SIZE) for i in order]
    ids = manifest.strings("cell_id")
    return [ids[i] for i in order], encoder.embed(np.stack(squares), "cls")


@pytest.mark.parametrize(("part_rows", "batch_size"), [(4096, 64), (20, 3), (1, 1), (7, 7)])
def test_embed_manifest__puts_each_vector_beside_its_own_row(
    tmp_path: Path, part_rows: int, batch_size: int
) -> None:
    manifest = make_fields(tmp_path / "fields")
    report = embed_manifest(
        manifest, Projection(), tmp_path / "t", view=VIEW, part_rows=part_rows, batch_size=batch_size
    )
    emb = read_embeddings(tmp_path / "t")
    ids, vectors = direct(manifest, Projection())
    assert emb.strings("cell_id") == ids
    assert np.array_equal(emb.vectors, vectors)
    assert (report.rows, report.images, report.failed, report.resumed) == (84, 12, 0, 0)
    assert emb.numbers("view_x").tolist() == emb.numbers("x").tolist()
    assert set(emb.numbers("view_side")) == {16.0}


def test_embed_manifest__decodes_each_image_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from reddino.smears import cutting

    manifest = make_fields(tmp_path / "fields")
    decoded: list[Path] = []

    def counted(path: Path) -> np.ndarray:
        decoded.append(path)
        return decode_image(path)

    monkeypatch.setattr(cutting, "decode_image", counted)
    embed_manifest(manifest, Projection(), tmp_path / "t", view=VIEW, part_rows=10, batch_size=4)
    assert len(decoded) == len(set(decoded)) == 12


def test_embed_manifest__records_what_made_the_table(tmp_path: Path) -> None:
    manifest = make_fields(tmp_path / "fields")
    encoder = Projection()
    embed_manifest(manifest, encoder, tmp_path / "t", view=VIEW, name="a projection")
    meta = read_embeddings(tmp_path / "t").meta
    assert meta["model"] == "a projection"
    assert meta["weights_hash"] == encoder.weights_hash
    assert meta["data"] == meta["provenance"]["data"] == manifest.fingerprint()
    assert meta["view"] == VIEW.metadata()
    assert meta["preprocessing"] == {
        "input_size": SIZE,
        "mean": [0.5] * 3,
        "std": [0.25] * 3,
        "channel_order": "RGB",
    }


def test_embed_manifest__lists_bad_images_and_goes_on(tmp_path: Path) -> None:
    manifest = make_fields(tmp_path / "fields")
    whole = (tmp_path / "fields" / "field04.png").read_bytes()
    (tmp_path / "fields" / "field04.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "fields" / "field09.png").write_bytes(b"")
    failures = Failures()
    report = embed_manifest(
        manifest, Projection(), tmp_path / "t", view=VIEW, part_rows=7, batch_size=4, failures=failures
    )
    assert (report.rows, report.failed) == (70, 2)
    assert {path for path, _ in failures} == {"field04.png", "field09.png"}
    listed = (tmp_path / "t" / "failures.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in listed] == ["path", "field04.png", "field09.png"]
    emb = read_embeddings(tmp_path / "t")
    assert set(emb.strings("path")) == {f"field{i:02d}.png" for i in range(12) if i not in (4, 9)}
    ids, vectors = direct(manifest.select(~np.isin(manifest.images()[1], [4, 9])), Projection())
    assert emb.strings("cell_id") == ids
    assert np.array_equal(emb.vectors, vectors)


def test_embed_manifest__a_second_call_embeds_nothing_and_still_knows_the_failures(tmp_path: Path) -> None:
    manifest = make_fields(tmp_path / "fields")
    (tmp_path / "fields" / "field04.png").write_bytes(b"not an image")
    embed_manifest(manifest, Projection(), tmp_path / "t", view=VIEW, part_rows=7)
    (tmp_path / "t" / "failures.csv").unlink()
    encoder = Projection()
    report = embed_manifest(manifest, encoder, tmp_path / "t", view=VIEW, part_rows=7)
    assert (report.rows, report.resumed, report.failed) == (77, 77, 1)
    assert encoder.seen == [1]  # the blank view that shows the length of a vector
    assert "field04.png" in (tmp_path / "t" / "failures.csv").read_text()


def test_embed_manifest__refuses_a_folder_of_another_model(tmp_path: Path) -> None:
    manifest = make_fields(tmp_path / "fields")
    embed_manifest(manifest, Projection(), tmp_path / "t", view=VIEW)
    before = (tmp_path / "t" / "part-000000.parquet").read_bytes()
    with pytest.raises(RedDinoError, match="model's weights"):
        embed_manifest(manifest, Projection(seed=1), tmp_path / "t", view=VIEW)
    assert (tmp_path / "t" / "part-000000.parquet").read_bytes() == before


def test_embed_manifest__refuses_a_view_of_another_size(tmp_path: Path) -> None:
    manifest = make_fields(tmp_path / "fields")
    with pytest.raises(RedDinoError, match="takes views of 8 px, but the view has output 10"):
        embed_manifest(manifest, Projection(), tmp_path / "t", view=VIEW.model_copy(update={"output": 10}))


def test_embed_manifest__says_when_no_image_is_readable_or_all_views_are_dropped(tmp_path: Path) -> None:
    manifest = make_fields(tmp_path / "fields")
    large = ViewSpec(kind="cells", side=79, output=SIZE, border="drop")
    with pytest.raises(RedDinoError, match="all 84 views reach past"):
        embed_manifest(manifest, Projection(), tmp_path / "t", view=large)
    for path in (tmp_path / "fields").iterdir():
        path.write_bytes(b"")
    with pytest.raises(RedDinoError, match=r"No image could be embedded: 12 .*field00\.png"):
        embed_manifest(manifest, Projection(), tmp_path / "t", view=VIEW)


def test_embed_manifest__a_patch_does_not_carry_a_cells_label_and_box(tmp_path: Path) -> None:
    manifest = make_fields(tmp_path / "fields", fields=2)
    patches = ViewSpec(kind="patches", side=20, output=SIZE)
    embed_manifest(manifest, Projection(), tmp_path / "t", view=patches)
    emb = read_embeddings(tmp_path / "t")
    assert len(emb) == 2 * 3 * 4
    assert set(emb.strings("label")) == {""}
    assert np.isnan(emb.numbers("x")).all()
    assert set(emb.strings("source")) == {"lab"}
    assert sorted(set(emb.numbers("view_x"))) == [10, 30, 50, 70]


def test_embed_manifest__an_encoder_that_fails_stops_the_cutting_too(tmp_path: Path) -> None:
    class Broken(Projection):
        def embed(self, images: np.ndarray, pooling: str, /) -> np.ndarray:
            if len(self.seen) > 3:
                raise RedDinoError("out of memory: choose a smaller batch")
            return super().embed(images, pooling)

    manifest = make_fields(tmp_path / "fields")
    with pytest.raises(RedDinoError, match="smaller batch"):
        embed_manifest(manifest, Broken(), tmp_path / "t", view=VIEW, part_rows=7, batch_size=2)
    embed_manifest(manifest, Projection(), tmp_path / "t", view=VIEW, part_rows=7, batch_size=2)
    assert np.array_equal(read_embeddings(tmp_path / "t").vectors, direct(manifest, Projection())[1])


def test_embed_manifest__progress_ends_at_the_number_of_views(tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    embed_manifest(
        make_fields(tmp_path / "fields"),
        Projection(),
        tmp_path / "t",
        view=VIEW,
        part_rows=10,
        batch_size=4,
        progress=lambda done, total: calls.append((done, total)),
    )
    assert calls[-1] == (84, 84)
    assert [done for done, _ in calls] == sorted(done for done, _ in calls)


@pytest.mark.parametrize("seed", range(20))
def test_part_bounds__parts_are_whole_images_near_the_asked_length(seed: int) -> None:
    draw = np.random.default_rng(seed)
    lengths = draw.integers(1, 30, int(draw.integers(1, 40)))
    starts = np.concatenate([[0], np.cumsum(lengths)])
    rows = int(draw.integers(1, 60))
    bounds = part_bounds(starts, rows)
    assert (bounds[0], bounds[-1]) == (0, starts[-1])
    assert set(bounds) <= set(starts)
    assert (np.diff(bounds) > 0).all()
    assert (np.diff(bounds) < rows + lengths.max()).all()


def test_image_starts__one_for_each_image(tmp_path: Path) -> None:
    manifest = make_fields(tmp_path / "fields", fields=3, cells=4)
    assert image_starts(manifest, plan_views(manifest, VIEW)).tolist() == [0, 4, 8, 12]


@pytest.mark.parametrize("size", [1, 3, 5, 100])
def test_rebatch__keeps_rows_with_their_pixels(size: int) -> None:
    numbers = np.arange(23)
    pixels = numbers.astype(np.uint8)[:, None, None, None] * np.ones((1, 2, 2, 3), np.uint8)
    borders = [0, 1, 1, 9, 14, 23]
    stacks = [(numbers[a:b], pixels[a:b]) for a, b in pairwise(borders)]
    batches = list(rebatch(stacks, size))
    assert all(len(rows) == size for rows, _ in batches[:-1])
    assert np.array_equal(np.concatenate([rows for rows, _ in batches]), numbers)
    assert np.array_equal(np.concatenate([images for _, images in batches]), pixels)


PASS = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from smear_fields import VIEW, Projection, make_fields
from reddino.embed import table
from reddino.embed.embedding_pass import embed_manifest

folder, die_inside_part = Path(sys.argv[2]), int(sys.argv[3])
whole_write = table.pq.write_table
written = []

def half_write(rows, path, **options):
    whole_write(rows, path, **options)
    written.append(path)
    if len(written) == die_inside_part:
        os.truncate(path, path.stat().st_size // 2)
        os.kill(os.getpid(), signal.SIGKILL)

table.pq.write_table = half_write
manifest = make_fields(folder / "fields")
encoder = Projection(delay=0.02)
embed_manifest(manifest, encoder, folder / "t", view=VIEW, part_rows=7, batch_size=3)
"""


def start_pass(folder: Path, die_inside_part: int = 0) -> subprocess.Popen[bytes]:
    here = Path(__file__).parent
    return subprocess.Popen([sys.executable, "-c", PASS, str(here), str(folder), str(die_inside_part)])


def uninterrupted(tmp_path: Path) -> tuple[list[str], np.ndarray]:
    manifest = make_fields(tmp_path / "fields")
    embed_manifest(manifest, Projection(), tmp_path / "whole", view=VIEW, part_rows=7, batch_size=3)
    emb = read_embeddings(tmp_path / "whole")
    return emb.strings("cell_id"), emb.vectors


def require_resumed(tmp_path: Path, done: int) -> None:
    """Go on with the killed pass, and compare it with one that nobody killed."""
    kept = {part: path.read_bytes() for part, path in finished_parts(tmp_path / "t").items()}
    manifest = make_fields(tmp_path / "fields")
    report = embed_manifest(manifest, Projection(), tmp_path / "t", view=VIEW, part_rows=7, batch_size=3)
    assert report.resumed == 7 * done
    for part, content in kept.items():
        assert finished_parts(tmp_path / "t")[part].read_bytes() == content
    emb = read_embeddings(tmp_path / "t")
    ids, vectors = uninterrupted(tmp_path)
    assert emb.strings("cell_id") == ids
    assert np.array_equal(emb.vectors, vectors)
    assert not list((tmp_path / "t").glob(".*"))


def test_embed_manifest__survives_kill_9_inside_a_part_write(tmp_path: Path) -> None:
    assert start_pass(tmp_path, die_inside_part=4).wait(60) == -signal.SIGKILL
    assert len(list((tmp_path / "t").glob(".*.partial"))) == 1
    assert finished_parts(tmp_path / "t").keys() == {0, 1, 2}
    require_resumed(tmp_path, done=3)


def test_embed_manifest__survives_kill_9_at_any_moment(tmp_path: Path) -> None:
    process = start_pass(tmp_path)
    deadline = time.monotonic() + 60
    while len(finished_parts(tmp_path / "t")) < 2 and time.monotonic() < deadline:
        time.sleep(0.005)
    time.sleep(float(np.random.default_rng().random()) * 0.1)
    os.kill(process.pid, signal.SIGKILL)
    process.wait(60)
    done = len(finished_parts(tmp_path / "t"))
    assert 2 <= done < 12
    require_resumed(tmp_path, done)
