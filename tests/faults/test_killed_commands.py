"""Every command that writes, killed at any moment: the same command again ends as an undisturbed one."""

from __future__ import annotations

import signal

import numpy as np
import pytest
from commands import COMMANDS, Command
from stage import KILLED, Stage
from verb_server import Fault

EVERY = pytest.mark.parametrize("command", COMMANDS, ids=[command.name for command in COMMANDS])
INTERRUPTED = 130
#: Kills of a command, each in what the one before left.
KILLS = 2


@EVERY
@pytest.mark.kills
def test_killed__again_and_again_ends_as_an_undisturbed_one(stage: Stage, command: Command) -> None:
    _, calls = stage.undisturbed(command)
    draw = np.random.default_rng()
    for call in sorted(draw.integers(1, calls + 1, KILLS).tolist()):
        ended = stage.run(command, Fault(call=call))
        print(f"killed at call {call} of {calls}: {ended.code}")
        if ended.code == 0:  # so much had been done before that there were not so many calls left
            break
        assert ended.code in KILLED, ended.output
        # Inside a write of any library, where there is one as long.
        ended = stage.run(command, Fault(size=int(10 ** draw.uniform(2, 5)), deadly=True))
        assert ended.code in (*KILLED, 0), ended.output
        if ended.code == 0:
            break
    else:
        stage.require_the_same(command)
    assert stage.leftovers() == []


@EVERY
@pytest.mark.kills
def test_killed__at_its_last_call_is_no_reason_to_refuse_the_same_command(
    stage: Stage, command: Command
) -> None:
    _, calls = stage.undisturbed(command)
    ended = stage.run(command, Fault(call=calls))
    if ended.code == 0:  # the first run had more to do, such as a cache of a library
        stage.clear()
        ended = stage.run(command, Fault(call=ended.calls))
    assert ended.code in KILLED, ended.output
    stage.require_the_same(command)


@EVERY
def test_terminated__is_stopped_in_a_sentence_and_goes_on(stage: Stage, command: Command) -> None:
    _, calls = stage.undisturbed(command)
    ended = stage.run(command, Fault(call=calls // 2, signal=signal.SIGTERM))
    assert ended.code == INTERRUPTED, ended.output
    assert "reddino: stopped" in ended.output and "Traceback" not in ended.output
    stage.require_the_same(command)
