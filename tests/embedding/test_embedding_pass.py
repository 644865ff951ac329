"""The pass: right vectors beside right rows, bad images listed, and a pass that goes on where it was."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from smear_fields import SIZE, VIEW, Projection, make_fields

from reddino.embedding.embedding_pass import embed_manifest
from reddino.embedding.part_files import finished_parts, read_part
from reddino.embedding.table import read_embeddings
from reddino.foundations.errors import RedDinoError
from reddino.smears.decode import decode_image
from reddino.smears.failures import Failures
from reddino.smears.manifest import Manifest
from reddino.views.choices import ViewKind
from reddino.views.cutting import cut_square
from reddino.views.spec import ViewSpec


def direct(manifest: Manifest, encoder: Projection) -> tuple[list[str], np.ndarray]:
    """Cell ids and vectors, one cell at a time, straight from the manifest's rows."""
    paths, centres = manifest.paths(), manifest.centres()
    order = np.argsort(manifest.images()[1], kind="stable")
    squares = [cut_square(decode_image(paths[i]), centres[i, 0], centres[i, 1], 16, SIZE) for i in order]
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
    from reddino.views import by_image as image_views

    manifest = make_fields(tmp_path / "fields")
    decoded: list[Path] = []

    def counted(path: Path) -> np.ndarray:
        decoded.append(path)
        return decode_image(path)

    monkeypatch.setattr(image_views, "decode_image", counted)
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
    before = (tmp_path / "t" / "part-000000000.parquet").read_bytes()
    with pytest.raises(RedDinoError, match="model's weights"):
        embed_manifest(manifest, Projection(seed=1), tmp_path / "t", view=VIEW)
    assert (tmp_path / "t" / "part-000000000.parquet").read_bytes() == before


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
    with pytest.raises(RedDinoError, match=r"no image could be embedded: 12 .*field00\.png"):
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


def test_embed_manifest__a_table_without_rows_does_not_stand_in_the_way(tmp_path: Path) -> None:
    manifest = make_fields(tmp_path / "fields")
    dropping = ViewSpec(kind="cells", side=79, output=SIZE, border="drop")
    with pytest.raises(RedDinoError, match="choose border 'pad'"):
        embed_manifest(manifest, Projection(), tmp_path / "t", view=dropping)
    assert finished_parts(tmp_path / "t") == {}
    padding = dropping.model_copy(update={"border": "pad"})
    assert embed_manifest(manifest, Projection(), tmp_path / "t", view=padding).rows == 84


def test_embed_manifest__counts_dropped_views_over_calls(tmp_path: Path) -> None:
    manifest = make_fields(tmp_path / "fields")
    view = ViewSpec(kind="cells", side=30, output=SIZE, border="drop")
    x, y = manifest.numbers("x"), manifest.numbers("y")
    outside = int(((x < 15) | (x > 65) | (y < 15) | (y > 45)).sum())
    assert 0 < outside < 84
    for resumed in (0, 84 - outside):
        report = embed_manifest(manifest, Projection(), tmp_path / "t", view=view, part_rows=7)
        assert (report.rows, report.dropped, report.resumed) == (84 - outside, outside, resumed)


def test_embed_manifest__a_part_is_whole_images_up_to_the_asked_length(tmp_path: Path) -> None:
    manifest = make_fields(tmp_path / "fields")
    embed_manifest(manifest, Projection(), tmp_path / "t", view=VIEW, part_rows=20)
    records = [read_part(path)[1] for path in finished_parts(tmp_path / "t").values()]
    assert [(one.start, one.stop, one.rows) for one in records] == [(i, i + 3, 21) for i in (0, 3, 6, 9)]


def test_embed_manifest__makes_a_part_that_was_deleted_again_as_it_was(tmp_path: Path) -> None:
    manifest = make_fields(tmp_path / "fields")
    embed_manifest(manifest, Projection(), tmp_path / "t", view=VIEW, part_rows=20, batch_size=4)
    before = read_embeddings(tmp_path / "t")
    (tmp_path / "t" / "part-000000003.parquet").unlink()
    (tmp_path / "t" / "part-000000006.parquet").unlink()
    encoder = Projection()
    report = embed_manifest(manifest, encoder, tmp_path / "t", view=VIEW, part_rows=20, batch_size=4)
    assert (report.resumed, sum(encoder.seen)) == (42, 1 + 42)
    assert finished_parts(tmp_path / "t").keys() == {0, 3, 6, 9}
    after = read_embeddings(tmp_path / "t")
    assert after.table.equals(before.table)
    assert np.array_equal(after.vectors, before.vectors)


def test_embed_manifest__opens_few_images_ahead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from reddino.views import by_image as image_views

    manifest = make_fields(tmp_path / "fields", fields=60, cells=4)
    opened: list[Path] = []

    def counted(path: Path) -> np.ndarray:
        opened.append(path)
        return decode_image(path)

    class Watching(Projection):
        most = 0

        def embed(self, images: np.ndarray, pooling: str, /) -> np.ndarray:
            self.most = max(self.most, len(opened) - sum(self.seen) // 4)
            return super().embed(images, pooling)

    monkeypatch.setattr(image_views, "decode_image", counted)
    encoder = Watching(delay=0.005)
    embed_manifest(manifest, encoder, tmp_path / "t", view=VIEW, part_rows=40, batch_size=4, threads=2)
    # Four batches of one image each wait, one is in hand at either end, and three images are being opened.
    assert 2 < encoder.most <= 10


def test_embed_manifest__any_number_of_threads_gives_the_same_table(tmp_path: Path) -> None:
    manifest = make_fields(tmp_path / "fields")
    (tmp_path / "fields" / "field03.png").write_bytes(b"no image")
    for threads in (1, 5):
        embed_manifest(
            manifest, Projection(), tmp_path / str(threads), view=VIEW, part_rows=20, threads=threads
        )
    one, five = read_embeddings(tmp_path / "1"), read_embeddings(tmp_path / "5")
    assert one.table.equals(five.table)
    assert np.array_equal(one.vectors, five.vectors)
    assert (tmp_path / "1" / "failures.csv").read_text() == (tmp_path / "5" / "failures.csv").read_text()


def test_embed_manifest__the_end_leaves_no_thread(tmp_path: Path) -> None:
    before = threading.active_count()
    embed_manifest(make_fields(tmp_path / "fields"), Projection(), tmp_path / "t", view=VIEW)
    assert threading.active_count() == before


def test_embed_manifest__refuses_a_column_that_the_table_needs_itself(tmp_path: Path) -> None:
    manifest = make_fields(tmp_path / "fields").with_column("view_x", ["1"] * 84)
    with pytest.raises(RedDinoError, match=r"column 'view_x'.*rename it"):
        embed_manifest(manifest, Projection(), tmp_path / "t", view=VIEW)


@pytest.mark.parametrize("kind", ["cells", "patches"])
def test_embed_manifest__progress_goes_on_from_what_was_done_and_ends_at_all(
    tmp_path: Path, kind: ViewKind
) -> None:
    class Stops(Projection):
        def embed(self, images: np.ndarray, pooling: str, /) -> np.ndarray:
            if len(self.seen) > 20:
                raise RedDinoError("stop")
            return super().embed(images, pooling)

    manifest = make_fields(tmp_path / "fields")
    view = ViewSpec(kind=kind, side=20, output=SIZE)
    options: dict[str, Any] = {"view": view, "part_rows": 10, "batch_size": 2}
    with pytest.raises(RedDinoError, match="stop"):
        embed_manifest(manifest, Stops(), tmp_path / "t", **options)
    done = sum(read_part(path)[1].rows for path in finished_parts(tmp_path / "t").values())
    calls: list[tuple[int, int]] = []
    report = embed_manifest(
        manifest, Projection(), tmp_path / "t", progress=lambda *call: calls.append(call), **options
    )
    # Patches are forecast by the mean over the images seen: all fields are of one size here.
    assert 0 < report.resumed == done
    assert calls[0] == (done, report.rows)
    assert calls[-1] == (report.rows, report.rows)
    assert {total for _, total in calls} == {report.rows}


def test_embed_manifest__says_when_the_disk_is_full(tmp_path: Path) -> None:
    code = (
        "import resource, sys; from pathlib import Path; sys.path.insert(0, sys.argv[1])\n"
        "from smear_fields import VIEW, Projection, make_fields\n"
        "from reddino.embedding.embedding_pass import embed_manifest\n"
        "from reddino.foundations.errors import RedDinoError\n"
        "manifest = make_fields(Path(sys.argv[2]) / 'fields')\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (3_000, 3_000))\n"
        "try: embed_manifest(manifest, Projection(), Path(sys.argv[2]) / 't', view=VIEW)\n"
        "except RedDinoError as error: print(error)\n"
    )
    here = str(Path(__file__).parents[1] / "shared")
    done = subprocess.run(
        [sys.executable, "-c", code, here, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert "part-000000000.parquet could not be written (File too large)" in done.stdout
    assert [path.name for path in (tmp_path / "t").iterdir()] == ["_pictures.json"]
    assert (
        embed_manifest(make_fields(tmp_path / "fields"), Projection(), tmp_path / "t", view=VIEW).rows == 84
    )
