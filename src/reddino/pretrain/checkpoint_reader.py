"""Reads what torch.distributed.checkpoint wrote, without running what a foreign file might ask for."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

from torch.distributed.checkpoint.filesystem import FileSystemReader
from torch.distributed.checkpoint.metadata import Metadata

#: Everything that the description of a checkpoint of tensors is made of.
_DESCRIPTIVE = {
    ("collections", "OrderedDict"),
    ("pathlib", "PosixPath"),
    ("pathlib", "WindowsPath"),
    ("pathlib._local", "PosixPath"),
    ("pathlib._local", "WindowsPath"),
    ("torch", "Size"),
    ("torch.serialization", "_get_layout"),
}
_DESCRIPTIVE_MODULES = ("torch.distributed.checkpoint.metadata", "torch.distributed.checkpoint.filesystem")


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
        known = (module, name) in _DESCRIPTIVE or (
            module in _DESCRIPTIVE_MODULES and isinstance(super().find_class(module, name), type)
        )
        if not known:
            raise pickle.UnpicklingError(f"{module}.{name} has no place in a checkpoint of tensors")
        return super().find_class(module, name)
