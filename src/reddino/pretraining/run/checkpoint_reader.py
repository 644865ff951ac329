"""Reads what torch.distributed.checkpoint wrote, without running or opening what a foreign file might name.

torch unpickles the description of a checkpoint with whatever it names, unpickles entries that are not
tensors, and opens the files that the description names. Here tensors of the folder are read, nothing else.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, NoReturn

from torch.distributed.checkpoint.default_planner import DefaultLoadPlanner
from torch.distributed.checkpoint.filesystem import FileSystemReader
from torch.distributed.checkpoint.metadata import Metadata, StorageMeta

from reddino.foundations.archives import require_stored
from reddino.pretraining.run.checkpoint_description import read_description


class SafeReader(FileSystemReader):
    """A reader of folders that hold tensors, and nothing that could run or lie elsewhere."""

    def read_metadata(self, *args: Any, **kwargs: Any) -> Metadata:
        """Read the description: names, shapes and places of the tensors; errors as `read_description`."""
        metadata = read_description(Path(self.path))
        metadata.storage_meta = StorageMeta(load_id=self.load_id)
        return metadata

    def _slice_file(self, file: Any, sinfo: Any) -> Any:
        file.seek(sinfo.offset)
        part = io.BytesIO(file.read(sinfo.length))
        require_stored(part, sinfo.length, sinfo.relative_path)
        part.seek(0)
        return part


class TensorsOnly(DefaultLoadPlanner):
    """Loads tensors; torch's own planner unpickles what is not one."""

    def load_bytes(self, read_item: Any, value: Any) -> NoReturn:
        """Refuse."""
        raise ValueError(f"'{read_item.dest_index.fqn}' is not a tensor")
