"""Options of several commands: what names one thing twice is refused."""

from __future__ import annotations

import pytest

from reddino.cli.options import new_labels
from reddino.foundations.errors import RedDinoError


def test_new_labels__are_by_the_old_ones() -> None:
    assert new_labels(["a=b", "c=d=e", "a=b"]) == {"a": "b", "c": "d=e"}


@pytest.mark.parametrize(
    ("entries", "fault"),
    [
        (["a=b", "a=c"], "--map renames 'a' to 'b' and 'c'"),
        (["a"], "--map takes old=new, not 'a'"),
        (["=b"], "--map takes old=new"),
        (["a="], "use --drop to leave a label out"),
    ],
)
def test_new_labels__of_two_meanings_are_refused(entries: list[str], fault: str) -> None:
    with pytest.raises(RedDinoError, match=fault):
        new_labels(entries)
