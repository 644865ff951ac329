"""The jobs of an array each embed their share; merged, the tables are that of one pass."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from reddino.api.data import cells
from reddino.api.embedding import embed
from reddino.api.tables import merge_tables
from reddino.embedding.table import read_embeddings
from reddino.embedding.table_shares import shares_sentence
from reddino.foundations.errors import RedDinoError
from reddino.smears.manifest import Manifest, join_manifests, read_manifest, write_manifest
from reddino.synthetic.write import write_smears


@pytest.fixture(scope="module")
def smears_of_five(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A manifest of five patients' smears, two fields of each."""
    folder = tmp_path_factory.mktemp("five")
    made = write_smears(folder, sources=("lilac",), patients_per_source=5, fields_per_patient=2, field_um=50)
    write_manifest(made, folder / "five.csv")
    return folder / "five.csv"


def test_embed__of_every_share_and_merged_is_the_table_of_one_pass(
    smears_of_five: Path, tmp_path: Path
) -> None:
    embed(smears_of_five, "colour-histogram", tmp_path / "whole")
    shares = [tmp_path / f"share{number}" for number in (1, 2, 3)]
    for number, folder in enumerate(shares, 1):
        embed(smears_of_five, "colour-histogram", folder, share=f"{number}/3")
    merge_tables(shares, tmp_path / "merged")
    one, other = read_embeddings(tmp_path / "whole"), read_embeddings(tmp_path / "merged")
    assert np.array_equal(one.vectors, other.vectors)
    for name in ("path", "x", "y", "label", "view_side"):
        assert one.table.column(name).to_pylist() == other.table.column(name).to_pylist()
    slides = [set(read_embeddings(folder).strings("slide")) for folder in shares]
    assert not slides[0] & slides[1] and not slides[1] & slides[2] and not slides[0] & slides[2]


def test_cells__of_every_share_are_those_of_all_pictures(smears_of_five: Path, tmp_path: Path) -> None:
    pictures = read_manifest(smears_of_five)
    first = np.unique(pictures.images()[1], return_index=True)[1]
    blank = Manifest(pictures.select(first).table.select(["path", "source", "slide"]), pictures.root)
    whole = cells(blank, tmp_path / "whole.csv")
    parts = [cells(blank, tmp_path / f"{number}.csv", share=f"{number}/2") for number in (1, 2)]
    joined = join_manifests(parts)
    for name in ("x", "y", "cell_diameter"):
        assert whole.numbers(name).tolist() == joined.numbers(name).tolist()


def test_embed__refuses_what_is_no_share_before_a_model_is_opened(
    smears_of_five: Path, tmp_path: Path
) -> None:
    with pytest.raises(RedDinoError, match="share must be like 3/8"):
        embed(smears_of_five, "no-such-model", tmp_path / "t", share="9/8")


def test_embed__refuses_another_share_in_the_folder_of_one(smears_of_five: Path, tmp_path: Path) -> None:
    embed(smears_of_five, "colour-histogram", tmp_path / "t", share="1/5")
    rows = embed(smears_of_five, "colour-histogram", tmp_path / "t", share="1/5").rows
    # Share 1/2 and all of the data hold all pictures of 1/5, and others: neither makes that table grow.
    for share, named in (("2/5", "share 2 of 5"), ("1/2", "share 1 of 2"), (None, "all")):
        with pytest.raises(RedDinoError, match=rf"holds share 1 of 5 .* would embed {named}: give it"):
            embed(smears_of_five, "colour-histogram", tmp_path / "t", share=share)
    assert len(read_embeddings(tmp_path / "t")) == rows
    embed(smears_of_five, "colour-histogram", tmp_path / "whole", share="1/1")
    with pytest.raises(RedDinoError, match="holds all of its data, and this pass would embed share 1 of 5"):
        embed(smears_of_five, "colour-histogram", tmp_path / "whole", share="1/5")


def test_embed__refuses_the_share_of_data_that_changed(smears_of_five: Path, tmp_path: Path) -> None:
    embed(smears_of_five, "colour-histogram", tmp_path / "t", share="1/5")
    fewer = read_manifest(smears_of_five)
    fewer = fewer.select([path != fewer.strings("path")[-1] for path in fewer.strings("path")])
    with pytest.raises(RedDinoError, match="the pictures or slides of the data changed since"):
        embed(fewer, "colour-histogram", tmp_path / "t", share="1/5")


def test_merge__of_some_shares_records_that_others_are_missing(smears_of_five: Path, tmp_path: Path) -> None:
    shares = [tmp_path / f"share{number}" for number in (1, 2, 3)]
    for number, folder in enumerate(shares, 1):
        embed(smears_of_five, "colour-histogram", folder, share=f"{number}/3")
    assert shares_sentence(read_embeddings(shares[1]).meta) == "share 2 of 3"
    some = merge_tables([shares[2], shares[0]], tmp_path / "some")
    assert some.shares == "shares 1, 3 of 3"
    assert shares_sentence(read_embeddings(tmp_path / "some").meta) == some.shares
    every = merge_tables([tmp_path / "some", shares[1]], tmp_path / "every")
    assert every.shares == "" and shares_sentence(read_embeddings(tmp_path / "every").meta) == ""


def test_embed__refuses_to_choose_cells_of_a_source_in_a_share(smears_of_five: Path, tmp_path: Path) -> None:
    pictures = read_manifest(smears_of_five)
    first = np.unique(pictures.images()[1], return_index=True)[1]
    blank = Manifest(pictures.select(first).table.select(["path", "source", "slide"]), pictures.root)
    # Ten of each share would be twenty of the source.
    with pytest.raises(RedDinoError, match=r"this share has \d of 10: embed it without a share"):
        embed(blank, "colour-histogram", tmp_path / "t", find_cells=True, cells=10, share="1/2")
    report = embed(blank, "colour-histogram", tmp_path / "t", find_cells=True, cells=10, share="1/1")
    assert report.rows == 10


def test_cells__of_a_share_are_not_written_over_others(smears_of_five: Path, tmp_path: Path) -> None:
    pictures = read_manifest(smears_of_five)
    first = np.unique(pictures.images()[1], return_index=True)[1]
    blank = Manifest(pictures.select(first).table.select(["path", "source", "slide"]), pictures.root)
    one = cells(blank, tmp_path / "cells.csv", share="1/5")
    assert len(cells(blank, tmp_path / "cells.csv", share="1/5")) == len(one)
    with pytest.raises(RedDinoError, match="cells of pictures outside of this share"):
        cells(blank, tmp_path / "cells.csv", share="2/5")
    assert len(read_manifest(tmp_path / "cells.csv")) == len(one)
