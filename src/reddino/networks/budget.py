"""A bound on the memory for building a network whose size a file from elsewhere names."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from reddino.foundations.errors import RedDinoError

#: Numbers that may be made for each one of the weights (parameters that are cut off again, drafts of them),
#: and for nothing.
FACTOR, FREE = 4, 1 << 25


class _Count(TorchDispatchMode):
    """Counts the numbers of tensors before they are made."""

    def __init__(self, held: int, origin: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.held, self.origin, self.left = held, origin, FACTOR * held + FREE

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if args and isinstance(args[0], Sequence) and all(type(side) is int for side in args[0]):
            self.left -= math.prod(args[0])  # of empty, zeros, randn, full, ...
            if self.left < 0:
                raise RedDinoError(
                    f"{self.origin} holds {self.held:,} numbers, and the network of its description takes "
                    "several times as many: the description and the weights do not belong together"
                )
        return func(*args, **(kwargs or {}))


@contextmanager
def no_larger_than(tensors: Mapping[str, Tensor], origin: str) -> Iterator[None]:
    """Build a network in this block; one that is far larger than its weights ends it.

    Args:
        tensors: the weights that it will be filled with.
        origin: their file, for errors.

    Raises:
        RedDinoError: it takes more than `FACTOR` times the numbers of the weights.
    """
    with _Count(sum(value.numel() for value in tensors.values()), origin):
        yield
