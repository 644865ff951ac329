"""Text of others: what acts on a terminal is written out, and names that are cut stay apart."""

from __future__ import annotations

import pytest

from reddino.foundations.visible import file_stem, short_names, visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2Jgone", r"\x1b[2Jgone"),
        ("bell\x07", r"bell\x07"),
        ("\x1b]8;;http://x\x1b\\link", r"\x1b]8;;http://x\x1b\link"),
        ("\x9b31m", r"\x9b31m"),
        ("a\rb\tc\x00", r"a\rb\tc\x00"),
        ("abc\u202egnp.exe", r"abc\u202egnp.exe"),
        ("zero\u200bwidth\ufeff", r"zero\u200bwidth\ufeff"),
        ("line\u2028break", r"line\u2028break"),
        ("tag\U000e0041", r"tag\U000e0041"),
        ("caf\udce9", r"caf\udce9"),
        ("two\nlines", "two\nlines"),
        ("[red]a[/] :smile: $x$ \\", "[red]a[/] :smile: $x$ \\"),
        ("棘红细胞 مرحبا e\u0301 🩸", "棘红细胞 مرحبا e\u0301 🩸"),
    ],
)
def test_visible__writes_out_what_acts_and_keeps_what_shows(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_short_names__number_what_is_cut_alike() -> None:
    names = ["x" * 10_000 + "1", "x" * 10_000 + "2", "b", "x" * 10_000 + "1", "two\nlines"]
    assert short_names(names, 5) == ["xxxx… (1)", "xxxx… (2)", "b", "xxxx… (1)", "two\\…"]


def test_file_stem__is_short_plain_and_keeps_names_apart() -> None:
    assert file_stem("slide_1.png") == "slide_1"
    assert file_stem("no suffix") == "no suffix"
    assert file_stem("棘红.png") == "棘红"
    long = [file_stem("a" * 240 + end) for end in ("1.png", "2.png")]
    assert long[0] != long[1]
    assert all(name.startswith("a" * 100) and len(name) < 120 for name in long)
    odd = file_stem("a\x1b[2J:b.png")
    assert odd.startswith("a_x1b_2J_b-")
