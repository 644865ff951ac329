"""What a row is: a view, a field or a patch token; the same at any batch size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from smear_fields import SIZE, VIEW, Projection, make_fields

from reddino.api.embedding import embed
from reddino.embedding.comparable import require_comparable
from reddino.embedding.embedding_pass import embed_manifest
from reddino.embedding.part_files import finished_parts
from reddino.embedding.table import read_embeddings
from reddino.foundations.errors import RedDinoError
from reddino.foundations.runtime import choose_runtime
from reddino.networks.encoder import Encoder, open_model
from reddino.smears.decode import decode_image
from reddino.smears.manifest import Manifest, join_manifests
from reddino.views.cutting import cut_square
from reddino.views.spec import ViewSpec

PATCHES = ViewSpec(kind="patches", side=20, output=SIZE)


@pytest.mark.parametrize("batch_size", [1, 2, 5, 64])
def test_per_field__is_the_mean_of_each_fields_views_at_any_batch_size(
    tmp_path: Path, batch_size: int
) -> None:
    manifest = uneven(tmp_path)
    embed_manifest(
        manifest, Projection(), tmp_path / "t", view=VIEW, per="field", batch_size=batch_size, part_rows=9
    )
    emb = read_embeddings(tmp_path / "t")
    names, codes = manifest.images()
    centres, paths = manifest.centres(), manifest.paths()
    assert emb.strings("path") == names
    assert emb.numbers("views").tolist() == np.bincount(codes).tolist() == [1, 2, 3, 4, 5, 6, 7]
    for i, vector in enumerate(emb.vectors):
        squares = [
            cut_square(decode_image(paths[j]), centres[j, 0], centres[j, 1], 16, SIZE)
            for j in np.flatnonzero(codes == i)
        ]
        alone = Projection().embed(np.stack(squares), "cls").astype(np.float64)
        np.testing.assert_allclose(vector, alone.sum(axis=0) / len(alone), rtol=1e-6)


def test_per_field__is_the_same_to_the_bit_whatever_the_batches(tmp_path: Path) -> None:
    manifest = uneven(tmp_path)
    tables = []
    for batch_size in (1, 3, 64):
        out = tmp_path / str(batch_size)
        embed_manifest(manifest, Projection(), out, view=PATCHES, per="field", batch_size=batch_size)
        tables.append(read_embeddings(out).vectors)
    assert all(np.array_equal(table, tables[0]) for table in tables)


def uneven(folder: Path) -> Manifest:
    """Seven fields with one to seven cells, the cells of one field far apart in the manifest."""
    manifest = make_fields(folder / "fields", fields=7)
    codes = manifest.images()[1]
    turn = np.zeros(7, int)
    chosen = []
    for row, code in enumerate(codes):
        turn[code] += 1
        if turn[code] <= code + 1:
            chosen.append(row)
    return manifest.select(np.array(chosen))


def test_per_field__a_row_describes_the_field_and_not_one_of_its_cells(tmp_path: Path) -> None:
    manifest = make_fields(tmp_path / "fields", fields=3).with_column("slide", ["s1", "s2", "s3"] * 7)
    embed_manifest(manifest, Projection(), tmp_path / "t", view=VIEW, per="field")
    emb = read_embeddings(tmp_path / "t")
    assert emb.strings("slide") == ["s1", "s2", "s3"]
    assert emb.strings("label") == [""] * 3
    assert all(np.isnan(emb.numbers(name)).all() for name in ("x", "y", "view_x", "view_y", "view_side"))


def test_per_field__a_row_of_a_whole_image_keeps_its_label(tmp_path: Path) -> None:
    make_fields(tmp_path, fields=2)
    table = pa.table({"path": ["field00.png", "field01.png"], "label": ["anaemia", "healthy"]})
    embed_manifest(Manifest(table, tmp_path), Projection(), tmp_path / "t", view=PATCHES, per="field")
    emb = read_embeddings(tmp_path / "t")
    assert emb.strings("label") == ["anaemia", "healthy"]
    assert emb.numbers("views").tolist() == [12, 12]


def test_per_field__a_field_that_fails_has_no_row(tmp_path: Path) -> None:
    manifest = make_fields(tmp_path / "fields", fields=4)
    (tmp_path / "fields" / "field02.png").write_bytes(b"")
    report = embed_manifest(manifest, Projection(), tmp_path / "t", view=VIEW, per="field")
    assert (report.rows, report.failed) == (3, 1)
    assert read_embeddings(tmp_path / "t").numbers("views").tolist() == [7, 7, 7]


def test_per_field__is_another_table_than_that_of_the_views(tmp_path: Path) -> None:
    manifest = make_fields(tmp_path / "fields", fields=3)
    embed_manifest(manifest, Projection(), tmp_path / "views", view=VIEW)
    embed_manifest(manifest, Projection(), tmp_path / "fields-table", view=VIEW, per="field")
    with pytest.raises(RedDinoError, match=r"the meaning of a row \('view' against 'field'\)"):
        embed_manifest(manifest, Projection(), tmp_path / "views", view=VIEW, per="field")
    with pytest.raises(RedDinoError, match="not comparable"):
        require_comparable(read_embeddings(tmp_path / "views"), read_embeddings(tmp_path / "fields-table"))


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    """A tiny ViT that nobody trained, on 28 pixels: 2 x 2 patch tokens."""
    return open_model("untrained:vit_tiny_patch14", image_size=28, runtime=choose_runtime("cpu", "fp32", 1))


def test_tokens__have_a_row_each_with_their_place_in_the_grid(tmp_path: Path, encoder: Encoder) -> None:
    manifest = make_fields(tmp_path / "fields", fields=3, cells=3)
    view = ViewSpec(kind="cells", side=28, output=28)
    options: dict[str, Any] = {"view": view, "part_rows": 4, "batch_size": 2}
    embed_manifest(manifest, encoder, tmp_path / "t", pooling="tokens", **options)
    embed_manifest(manifest, encoder, tmp_path / "mean", pooling="mean", **options)
    tokens, mean = read_embeddings(tmp_path / "t"), read_embeddings(tmp_path / "mean")
    assert tokens.vectors.shape == (9 * 4, 192)
    assert tokens.numbers("token_row").tolist() == [0, 0, 1, 1] * 9
    assert tokens.numbers("token_col").tolist() == [0, 1, 0, 1] * 9
    assert tokens.strings("cell_id") == [cell for cell in mean.strings("cell_id") for _ in range(4)]
    np.testing.assert_allclose(tokens.vectors.reshape(9, 4, 192).mean(axis=1), mean.vectors, atol=1e-5)
    # The token at the right of the upper line sees the upper right quarter: move that and it moves most.
    image = np.full((1, 28, 28, 3), 128, np.uint8)
    changed = image.copy()
    changed[:, :14, 14:] = 0
    moved = np.abs(encoder.embed(changed, "tokens") - encoder.embed(image, "tokens")).sum(axis=2)[0]
    assert moved.argmax() == 1


def test_tokens__need_a_network_that_has_them_and_are_no_mean(tmp_path: Path) -> None:
    manifest = make_fields(tmp_path / "fields", fields=2)
    with pytest.raises(RedDinoError, match="projection has no patch tokens: choose pooling cls"):
        embed_manifest(manifest, Projection(), tmp_path / "t", view=VIEW, pooling="tokens")
    with pytest.raises(RedDinoError, match="choose pooling mean"):
        embed_manifest(manifest, Projection(), tmp_path / "t", view=VIEW, pooling="tokens", per="field")


def test_a_network__interrupted_inside_a_part_ends_with_the_same_bits(
    tmp_path: Path, encoder: Encoder
) -> None:
    class Interrupted:
        calls = 0

        def __getattr__(self, name: str) -> Any:
            return getattr(encoder, name)

        def embed(self, images: np.ndarray, pooling: str, /) -> np.ndarray:
            self.calls += 1
            if self.calls > 6:
                raise KeyboardInterrupt
            return encoder.embed(images, pooling)

    manifest = make_fields(tmp_path / "fields", fields=6)
    view = ViewSpec(kind="cells", side=28, output=28)
    options: dict[str, Any] = {"view": view, "part_rows": 14, "batch_size": 4}
    embed_manifest(manifest, encoder, tmp_path / "whole", **options)
    with pytest.raises(KeyboardInterrupt):
        embed_manifest(manifest, Interrupted(), tmp_path / "t", **options)
    assert finished_parts(tmp_path / "t").keys() == {0}
    assert not list((tmp_path / "t").glob(".*"))
    embed_manifest(manifest, encoder, tmp_path / "t", **options)
    whole, resumed = read_embeddings(tmp_path / "whole"), read_embeddings(tmp_path / "t")
    assert resumed.table.equals(whole.table)
    assert np.array_equal(resumed.vectors, whole.vectors)


def test_found_cells__are_those_of_the_cell_finder(tmp_path: Path) -> None:
    from reddino.rbc.found_cells import find_cells_in
    from reddino.synthetic.write import write_smears

    drawn = write_smears(tmp_path / "smears", sources=["lilac"], patients_per_source=1, fields_per_patient=2)
    names = drawn.images()[0]
    (drawn.root / "grey.png").write_bytes((Path(drawn.root) / names[0]).read_bytes()[:900])
    images = Manifest(pa.table({"path": [*names, "grey.png"], "label": ["a", "b", ""]}), drawn.root)
    view = ViewSpec(kind="cells", side=1.6, unit="diameters", output=SIZE)
    report = embed_manifest(images, Projection(), tmp_path / "t", view=view, find_cells=True)
    found = find_cells_in(join_manifests([images.select([0, 1])]))
    embed_manifest(found, Projection(), tmp_path / "listed", view=view)
    emb, listed = read_embeddings(tmp_path / "t"), read_embeddings(tmp_path / "listed")
    assert (report.rows, report.failed) == (len(found), 1)
    assert np.array_equal(emb.vectors, listed.vectors)
    for name in ("x", "y", "w", "h", "cell_diameter", "view_x", "view_y", "view_side"):
        assert np.array_equal(emb.numbers(name), listed.numbers(name)), name
    # The label of an image says something of every cell in it.
    assert set(zip(emb.strings("path"), emb.strings("label"), strict=True)) == set(
        zip(names, "ab", strict=True)
    )


def test_found_cells__are_not_looked_for_where_cells_are_listed(tmp_path: Path) -> None:
    manifest = make_fields(tmp_path / "fields", fields=2)
    with pytest.raises(RedDinoError, match="lists cells already"):
        embed_manifest(manifest, Projection(), tmp_path / "t", view=VIEW, find_cells=True)
    with pytest.raises(RedDinoError, match="cannot be found for views of kind patches"):
        embed_manifest(manifest, Projection(), tmp_path / "t", view=PATCHES, find_cells=True)


def test_found_cells__are_refused_where_cells_are_listed_before_a_model_is_opened(tmp_path: Path) -> None:
    manifest = make_fields(tmp_path / "fields", fields=2)
    with pytest.raises(RedDinoError, match="lists cells already"):
        embed(manifest, out=tmp_path / "t", model="no-such-model", find_cells=True)
