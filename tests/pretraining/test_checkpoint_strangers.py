"""Checkpoints that others wrote or that were damaged: nothing of them runs, all are refused by name."""

from __future__ import annotations

import io
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from micro_run import micro_recipe
from torch.distributed.checkpoint import FileSystemWriter
from torch.distributed.checkpoint.filesystem import _StorageInfo
from torch.distributed.checkpoint.metadata import (
    BytesStorageMetadata,
    ChunkStorageMetadata,
    MetadataIndex,
    StorageMeta,
)
from torch.distributed.checkpoint.state_dict_saver import save

from reddino.foundations.errors import RedDinoError
from reddino.pretraining.build import build_networks
from reddino.pretraining.dinov2 import StudentTeacher
from reddino.pretraining.optim import make_optimizer
from reddino.pretraining.run.checkpoint import load_checkpoint, save_checkpoint
from reddino.pretraining.run.checkpoint_reader import TensorsOnly

NAME = "networks.dino_center"
Change = Callable[[Any, Path], None]


def fresh() -> tuple[StudentTeacher, torch.optim.AdamW]:
    networks = build_networks(micro_recipe([]))
    return networks, make_optimizer(networks.student, networks.recipe.optim)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A checkpoint folder as several processes write it, without moments."""
    networks, _ = fresh()
    networks.dino_center.fill_(0.25)
    path = tmp_path / "step-000000003"
    content = {f"networks.{name}": value for name, value in networks.state_dict().items()}
    save(content, storage_writer=FileSystemWriter(path), no_dist=True)
    return path


def change(folder: Path, how: Change) -> None:
    """Unpickle the description, change it, and write it back."""
    file = folder / ".metadata"
    found = pickle.loads(file.read_bytes())
    how(found, folder)
    file.write_bytes(pickle.dumps(found))


def place(found: Any) -> _StorageInfo:
    info: _StorageInfo = next(value for key, value in found.storage_data.items() if key.fqn == NAME)
    return info


class Witness:
    """A pickle that makes a folder when it is read."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.folder / "ran"),)


def bytes_in_place_of_a_tensor(found: Any, folder: Path) -> None:
    payload = pickle.dumps(Witness(folder))
    (folder / "payload").write_bytes(payload)
    found.state_dict_metadata[NAME] = BytesStorageMetadata()
    for index in [index for index in found.storage_data if index.fqn == NAME]:
        del found.storage_data[index]
    found.storage_data[MetadataIndex(NAME)] = _StorageInfo("payload", 0, len(payload))


def a_file_elsewhere(found: Any, folder: Path) -> None:
    info = place(found)
    name = info.relative_path
    (folder.parent / "elsewhere").write_bytes((folder / name).read_bytes())
    info.relative_path = "../elsewhere"


def an_absolute_path(found: Any, folder: Path) -> None:
    place(found).relative_path = str((folder / place(found).relative_path).resolve())


def a_link_elsewhere(found: Any, folder: Path) -> None:
    a_file_elsewhere(found, folder)
    (folder / "link").symlink_to(folder.parent / "elsewhere")
    place(found).relative_path = "link"


def a_transform(found: Any, folder: Path) -> None:
    place(found).transform_descriptors = ["stream.zstd/1"]


def a_huge_tensor(found: Any, folder: Path) -> None:
    entry = found.state_dict_metadata[NAME]
    entry.size = torch.Size((*entry.size[:-1], 10**12))
    entry.chunks = [ChunkStorageMetadata(torch.Size([0] * len(entry.size)), entry.size)]


def a_hole(found: Any, folder: Path) -> None:
    entry = found.state_dict_metadata[NAME]
    entry.chunks = []


def parts_on_each_other(found: Any, folder: Path) -> None:
    entry = found.state_dict_metadata[NAME]
    (columns,) = entry.size[-1:]
    zero = torch.Size([0] * len(entry.size))
    half = torch.Size((*entry.size[:-1], columns // 2))
    entry.chunks = [ChunkStorageMetadata(zero, half)] * 2


def another_type(found: Any, folder: Path) -> None:
    found.state_dict_metadata[NAME].properties.dtype = torch.int8


def a_negative_place(found: Any, folder: Path) -> None:
    place(found).offset = -1


def beyond_the_end(found: Any, folder: Path) -> None:
    place(found).offset = 10**15


def no_place(found: Any, folder: Path) -> None:
    found.storage_data.clear()


def nothing_of_it(found: Any, folder: Path) -> None:
    found.state_dict_metadata = None


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        (bytes_in_place_of_a_tensor, f"'{NAME}' is not a tensor"),
        (a_file_elsewhere, "'../elsewhere' leaves the folder"),
        (an_absolute_path, "leaves the folder"),
        (a_link_elsewhere, "'link' is not a file of the folder"),
        (a_transform, "was transformed"),
        (a_huge_tensor, "is too short to hold"),
        (a_hole, "do not make up the tensor"),
        (parts_on_each_other, "do not make up the tensor"),
        (another_type, "type torch.int8, this network needs"),
        (a_negative_place, "is too short to hold"),
        (beyond_the_end, "is too short to hold"),
        (no_place, "has no place in a file"),
        (nothing_of_it, "the list of tensors is missing"),
    ],
)
def test_load__refuses_a_description_of_something_else(folder: Path, how: Change, reason: str) -> None:
    change(folder, how)
    with pytest.raises(RedDinoError) as caught:
        load_checkpoint(folder, *fresh())
    assert str(caught.value).startswith(f"checkpoint {folder} cannot be restored (")
    assert reason in str(caught.value)
    assert not (folder / "ran").exists()


def test_load__restores_a_folder_that_is_whole(folder: Path) -> None:
    networks, optimizer = fresh()
    assert load_checkpoint(folder, networks, optimizer) == 3
    assert torch.all(networks.dino_center == 0.25)


def test_planner__never_unpickles(folder: Path) -> None:
    item = type("Item", (), {"dest_index": MetadataIndex("x")})()
    with pytest.raises(ValueError, match="'x' is not a tensor"):
        TensorsOnly().load_bytes(item, io.BytesIO(pickle.dumps(Witness(folder))))
    assert not (folder / "ran").exists()


def test_description__cannot_change_the_classes_that_it_names(folder: Path) -> None:
    """A pickle may set attributes of what it names: torch's own classes must not be within its reach."""
    named = b"ctorch.distributed.checkpoint.metadata\nStorageMeta\n"
    (folder / ".metadata").write_bytes(b"\x80\x04" + named + b"N}(\x8c\x04evilK\x01u\x86b.")
    with pytest.raises(RedDinoError, match="cannot be restored"):
        load_checkpoint(folder, *fresh())
    assert not hasattr(StorageMeta, "evil")


@pytest.mark.parametrize("kept", [0, 100, 5000])
def test_load__of_a_truncated_part_names_the_checkpoint(folder: Path, kept: int) -> None:
    part = next(folder.glob("*.distcp"))
    part.write_bytes(part.read_bytes()[:kept])
    with pytest.raises(RedDinoError, match=r"step-000000003 cannot be restored \(.*delete it"):
        load_checkpoint(folder, *fresh())


def test_load__of_a_part_overwritten_names_the_checkpoint(folder: Path) -> None:
    """torch wraps what its readers raise in an exception that is no Exception."""
    part = next(folder.glob("*.distcp"))
    part.write_bytes(b"\0" * part.stat().st_size)
    with pytest.raises(RedDinoError, match=r"step-000000003 cannot be restored \(.*delete it"):
        load_checkpoint(folder, *fresh())


def test_load__refuses_a_file_whose_moments_are_of_other_shapes_or_another_step(tmp_path: Path) -> None:
    networks, optimizer = fresh()
    for parameter in networks.student.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    path = save_checkpoint(tmp_path, 5, networks, optimizer, keep=1)
    content = torch.load(path, weights_only=True)
    content["optimizer"]["state"][0]["exp_avg"] = torch.zeros(3)
    torch.save(content, path)
    with pytest.raises(RedDinoError, match=r"'optimizer\.0\.exp_avg' has shape \(3,\)"):
        load_checkpoint(path, *fresh())
    renamed = path.rename(tmp_path / "step-000000009.pt")
    with pytest.raises(RedDinoError, match="it was written after step 5"):
        load_checkpoint(renamed, *fresh())


def test_load__takes_no_settings_of_the_optimizer_from_a_file(tmp_path: Path) -> None:
    networks, optimizer = fresh()
    optimizer.param_groups[0]["betas"] = (0.0, 0.0)
    path = save_checkpoint(tmp_path, 5, networks, optimizer, keep=1)
    again, own = fresh()
    before = own.param_groups[0]["betas"]
    load_checkpoint(path, again, own)
    assert own.param_groups[0]["betas"] == before != (0.0, 0.0)


def test_load__refuses_an_archive_that_unfolds(tmp_path: Path) -> None:
    path = tmp_path / "step-000000001.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data/0", bytes(200 << 20))
    with pytest.raises(RedDinoError, match="would unfold from 0 MB to 200 MB"):
        load_checkpoint(path, *fresh())
