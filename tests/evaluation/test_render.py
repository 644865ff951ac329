"""Tables in Markdown, LaTeX and CSV: names of every kind stay names."""

from __future__ import annotations

import csv
import io

from reddino.evaluation.render import Grid, comma_separated, latex, markdown

NAMES = [
    r"a|b <i> [x](http://y) *z* `c` \d",
    r"\input{/etc/passwd} 100 % $x$ a_b^2~c #1 {&}",
    "[1] two\nlines \x1b[2J",
    "=1+1",
    "*star",
]
GRID = Grid("T | <b>", ("model", "score"), tuple((name, "-0.5 ± 0.1") for name in NAMES), 1, ("a -> b [c]",))


def test_markdown__shows_names_as_they_are_in_one_cell_each() -> None:
    lines = markdown(GRID).splitlines()
    assert lines[0] == r"### T \| \<b>"
    rows = lines[4:9]
    assert [line.replace(r"\|", "").count("|") for line in rows] == [3] * 5
    assert r"a\|b \<i> \[x\](http://y) \*z\* \`c\` \\d" in rows[0]
    assert r"\[1\] two lines \\x1b\[2J" in rows[2]
    assert lines[10] == r"- a -> b \[c\]"


def test_latex__runs_no_name() -> None:
    text = latex(GRID)
    assert (
        r"\textbackslash{}input\{/etc/passwd\} 100 \% \$x\$ a\_b\textasciicircum{}2\textasciitilde{}c \#1 "
        r"\{\&\} & -0.5 $\pm$ 0.1 \\"
    ) in text
    assert r"{[}1{]} two lines \textbackslash{}x1b{[}2J" in text
    assert r"{*}star" in text
    assert r"\caption{T \textbar{} \textless{}b\textgreater{} a $\to$ b {[}c{]}}" in text


def test_comma_separated__is_harmless_and_keeps_numbers() -> None:
    grid = Grid("=T", ("@model", "gain"), (("=1+1", "+0.013 (-0.001 to +0.027)"), ("a", "-")), 1)
    assert list(csv.reader(io.StringIO(comma_separated([grid])))) == [
        ["'=T"],
        ["'@model", "gain"],
        ["'=1+1", "+0.013 (-0.001 to +0.027)"],
        ["a", "-"],
    ]
