"""Where commands meet their faults: a folder with inputs, and what each command makes undisturbed."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path

from commands import Command, contents, make_inputs
from verb_server import Ended, Fault, Verbs

#: A process that the disk's limit killed inside a write, or that was killed at a call.
KILLED = (-signal.SIGKILL, -signal.SIGXFSZ)


class Stage:
    """Runs commands in one folder, one after the other.

    Args:
        folder: an empty one.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.verbs = folder, Verbs()
        self._undisturbed: dict[str, tuple[dict[str, str], int]] = {}
        make_inputs(folder, self.verbs)

    @property
    def out(self) -> Path:
        return self.folder / "out"

    def clear(self) -> None:
        """Forget all results."""
        shutil.rmtree(self.out, ignore_errors=True)

    def undisturbed(self, command: Command) -> tuple[dict[str, str], int]:
        """What a command makes that nothing befalls, and how many calls it takes; leaves no results."""
        if command.name not in self._undisturbed:
            self.clear()
            ended = self.verbs.run(command.tokens, self.folder)
            assert ended.code == 0, ended.output
            self._undisturbed[command.name] = contents(command, self.out), ended.calls
        self.clear()
        return self._undisturbed[command.name]

    def run(self, command: Command, fault: Fault | None = None) -> Ended:
        """Run a command as it is, or under a fault."""
        return self.verbs.run(command.tokens, self.folder, fault)

    def require_the_same(self, command: Command) -> None:
        """Run a command to its end, which must leave what an undisturbed one leaves, and nothing else."""
        ended = self.run(command)
        assert ended.code == 0, ended.output
        found, (wanted, _) = contents(command, self.out), self._undisturbed[command.name]
        assert sorted(found) == sorted(wanted)
        assert [name for name in found if found[name] != wanted[name]] == []

    def leftovers(self) -> list[str]:
        """Drafts and locks in the results."""
        return [path.name for path in self.out.rglob("*") if path.name.startswith(".")]
