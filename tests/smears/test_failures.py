"""The list of files that cannot be used, in one line."""

from __future__ import annotations

from reddino.smears.failures import Failures


def test_summary__says_what_helps_where_files_are_damaged() -> None:
    failures = Failures()
    failures.add("a.gif", "is a GIF image, which is not read")
    assert failures.summary() == "1 entry was left out: a.gif (is a GIF image, which is not read)"
    failures.add("b.jpg", "truncated (scans of the JPEG are missing)")
    assert failures.summary().endswith("; copy what is damaged again from where it came")
