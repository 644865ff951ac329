"""The description of a checkpoint folder: unpickled into inert records, checked, made into torch's objects.

Whatever the pickle names becomes a record that keeps its arguments; no class of torch and no function is
within its reach.
"""

from __future__ import annotations

import io
import math
import pickle
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch.distributed.checkpoint.filesystem import _StorageInfo
from torch.distributed.checkpoint.metadata import (
    ChunkStorageMetadata,
    Metadata,
    MetadataIndex,
    TensorProperties,
    TensorStorageMetadata,
)

from reddino.foundations.structured import read_bytes

#: Bytes of the description; one of a run in a thousand processes has tens of megabytes.
LIMIT = 256 << 20
_METADATA = "torch.distributed.checkpoint.metadata"
#: Except for the classes of that module, what the description of a checkpoint of tensors is made of.
_DESCRIPTIVE = {
    ("collections", "OrderedDict"),
    ("torch.serialization", "_get_layout"),
    ("torch.distributed.checkpoint.filesystem", "_StorageInfo"),
    *((module, name) for module in ("pathlib", "pathlib._local") for name in ("PosixPath", "WindowsPath")),
}


Box = tuple[tuple[int, int], ...]
"""Start and length of a part, along each axis."""


def read_description(folder: Path) -> Metadata:
    """Read names, shapes and places of the tensors of a checkpoint folder.

    Raises:
        RedDinoError, pickle.UnpicklingError, ValueError, OSError: it names something other than tensors whose
            parts are whole, and lie in files of this folder that are long enough.
    """
    data = read_bytes(folder / ".metadata", LIMIT)
    return _CheckpointDescription(_Unpickler(io.BytesIO(data)).load(), folder).metadata()


class _Record:
    """What is unpickled in place of an object: the arguments that it is made of, and its state."""

    def __init__(self, *made_of: Any) -> None:
        self.made_of, self.state = made_of, None

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if module == "torch" and isinstance(getattr(torch, name, None), torch.dtype):
            return getattr(torch, name)
        if (module, name) == ("torch", "Size"):
            return _size
        if module == _METADATA or (module, name) in _DESCRIPTIVE:
            return type(name, (_Record,), {})  # a new class each time: a pickle may change it, and it alone
        raise pickle.UnpicklingError(f"{module}.{name} has no place in a checkpoint of tensors")


def _size(numbers: Any = ()) -> tuple[int, ...]:
    if not isinstance(numbers, tuple) or not all(type(number) is int and number >= 0 for number in numbers):
        raise ValueError("a size is not made of whole numbers")
    return numbers


class _CheckpointDescription:
    """The records of a description, checked and made into torch's objects."""

    def __init__(self, record: Any, folder: Path) -> None:
        self._folder = folder
        self._files: dict[str, int] = {}
        whole = _fields(record, "Metadata")
        self._entries: Mapping[str, Any] = _expect(
            whole.get("state_dict_metadata"), dict, "the list of tensors"
        )
        places: Mapping[Any, Any] = _expect(whole.get("storage_data"), dict, "the list of places")
        self._places = {self._index(key): value for key, value in places.items()}

    def metadata(self) -> Metadata:
        tensors: dict[str, Any] = {}
        places: dict[MetadataIndex, _StorageInfo] = {}
        for name, entry in self._entries.items():
            if not isinstance(name, str) or type(entry).__name__ != "TensorStorageMetadata":
                raise ValueError(f"'{str(name)[:100]}' is not a tensor")
            tensor = tensors[name] = self._tensor(name, _fields(entry, "TensorStorageMetadata"))
            width = tensor.properties.dtype.itemsize
            for chunk in tensor.chunks:
                place = self._places.get((name, tuple(chunk.offsets)))
                info = self._place(name, place, math.prod(chunk.sizes) * width)
                places[MetadataIndex(name, chunk.offsets)] = info
        return Metadata(state_dict_metadata=tensors, storage_data=places)

    @staticmethod
    def _index(key: Any) -> tuple[str, tuple[int, ...]]:
        fields = _fields(key, "MetadataIndex")
        offset = fields.get("offset")
        return (str(fields.get("fqn")), () if offset is None else _size(offset))

    def _tensor(self, name: str, fields: Mapping[str, Any]) -> TensorStorageMetadata:
        properties = fields.get("properties")
        state = getattr(properties, "state", None)
        dtype = state[0] if isinstance(state, tuple) and state else None
        if not isinstance(dtype, torch.dtype):
            raise ValueError(f"the number type of '{name}' is missing")
        size = _size(fields.get("size"))
        chunks = [
            ChunkStorageMetadata(torch.Size(_size(one.get("offsets"))), torch.Size(_size(one.get("sizes"))))
            for one in (
                _fields(chunk, "ChunkStorageMetadata")
                for chunk in _expect(fields.get("chunks"), list, f"the parts of '{name}'")
            )
        ]
        _require_whole(name, size, chunks)
        return TensorStorageMetadata(TensorProperties(dtype=dtype), torch.Size(size), chunks)

    def _place(self, name: str, record: Any, least: int) -> _StorageInfo:
        fields = _fields(record, "_StorageInfo") if record is not None else {}
        file, offset, length = (fields.get(key) for key in ("relative_path", "offset", "length"))
        if not (isinstance(file, str) and type(offset) is int and type(length) is int):
            raise ValueError(f"'{name}' has no place in a file")
        if fields.get("transform_descriptors"):
            raise ValueError(f"'{name}' was transformed when it was written, which is not read")
        if offset < 0 or not least <= length <= self._bytes_of(file) - offset:
            raise ValueError(f"'{file}' is too short to hold '{name}'")
        return _StorageInfo(file, offset, length)

    def _bytes_of(self, file: str) -> int:
        """Return the size of a file that lies in the folder itself."""
        if file not in self._files:
            if Path(file).name != file or "\\" in file or file in ("", ".", ".."):
                raise ValueError(f"'{file[:200]}' leaves the folder")
            found = (self._folder / file).lstat()
            if not stat.S_ISREG(found.st_mode):
                raise ValueError(f"'{file}' is not a file of the folder")
            self._files[file] = found.st_size
        return self._files[file]


def _require_whole(name: str, size: tuple[int, ...], chunks: list[ChunkStorageMetadata]) -> None:
    """Refuse parts that leave a hole in the tensor, lie on each other or stand out of it."""
    boxes: list[Box] = [tuple(zip(chunk.offsets, chunk.sizes, strict=True)) for chunk in chunks]
    inside = all(
        len(box) == len(size)
        and all(start + length <= whole for (start, length), whole in zip(box, size, strict=True))
        for box in boxes
    )
    filled = sum(math.prod(chunk.sizes) for chunk in chunks)
    if not inside or filled != math.prod(size) or _overlap(boxes):
        raise ValueError(f"the parts of '{name}' do not make up the tensor")


def _overlap(boxes: list[Box]) -> bool:
    """Whether two boxes share a place."""
    filled = sorted(box for box in boxes if math.prod(length for _, length in box))
    return any(
        all(a < b + m and b < a + n for (a, n), (b, m) in zip(one, other, strict=True))
        for number, one in enumerate(filled)
        for other in _reaching_into(one, filled[number + 1 :])
    )


def _reaching_into(one: Box, later: list[Box]) -> Iterator[Box]:
    """Yield, of boxes sorted by where they start, those that start before `one` ends."""
    for other in later:
        if one and other[0][0] >= one[0][0] + one[0][1]:
            return
        yield other


def _fields(record: Any, kind: str) -> dict[str, Any]:
    state = record.state if isinstance(record, _Record) and type(record).__name__ == kind else None
    fields: dict[str, Any] = _expect(state, dict, f"a record of {kind}")
    return fields


def _expect(value: Any, kind: type[Any], what: str) -> Any:
    if not isinstance(value, kind):
        raise ValueError(f"{what} is missing or of another type")
    return value
