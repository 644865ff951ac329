"""Reads what torch.distributed.checkpoint wrote, without running what a foreign file might ask for."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import torch
from torch.distributed.checkpoint.filesystem import FileSystemReader
from torch.distributed.checkpoint.metadata import Metadata

#: What the description of a checkpoint of tensors is made of, beside torch's types of numbers.
_METADATA = "torch.distributed.checkpoint.metadata"
_DESCRIPTIVE = {
    ("collections", "OrderedDict"),
    ("torch", "Size"),
    ("torch.serialization", "_get_layout"),
    ("torch.distributed.checkpoint.filesystem", "_StorageInfo"),
    *((module, name) for module in ("pathlib", "pathlib._local") for name in ("PosixPath", "WindowsPath")),
}


class SafeReader(FileSystemReader):
    """torch unpickles the description of a checkpoint with whatever it names; here only known classes."""

    def read_metadata(self, *args: Any, **kwargs: Any) -> Metadata:
        """The description: names, shapes and places of the tensors.

        Raises:
            pickle.UnpicklingError: it holds something other than a description of tensors.
        """
        with (Path(self.path) / ".metadata").open("rb") as file:
            metadata: Metadata = _Unpickler(file).load()
        if metadata.storage_meta is not None:
            metadata.storage_meta.load_id = self.load_id
        return metadata


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if module == "torch" and isinstance(getattr(torch, name, None), torch.dtype):
            return getattr(torch, name)
        found = super().find_class(module, name) if module == _METADATA else None
        if isinstance(found, type) and found.__module__ == _METADATA:
            return found
        if (module, name) not in _DESCRIPTIVE:
            raise pickle.UnpicklingError(f"{module}.{name} has no place in a checkpoint of tensors")
        return super().find_class(module, name)
