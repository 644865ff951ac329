"""Open microscope files in a process that is forked: neither used nor destroyed there."""

from __future__ import annotations

import os
from typing import Any

from reddino.smears.slides import opening


class ToldOfItsEnd:
    """Stands for a reader of a library whose end waits for threads of its own."""

    def __init__(self, pipe: int) -> None:
        self.pipe, self.owner = pipe, os.getpid()

    def __del__(self) -> None:
        if os.getpid() != self.owner:
            os.write(self.pipe, b"destroyed")

    def close(self) -> None:
        pass


def test_fork__destroys_no_file_that_is_open() -> None:
    came, told = os.pipe()
    reader: Any = ToldOfItsEnd(told)
    key = (os.getpid(), "a.svs", 0, 0, 0)
    opening._shelf.held[key] = opening._Held(reader)
    del reader
    child = os.fork()
    if child == 0:
        os._exit(0 if not opening._shelf.held else 3)
    del opening._shelf.held[key]
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    os.close(told)
    assert os.read(came, 99) == b""
    os.close(came)
