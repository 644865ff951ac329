"""Files of JSON and YAML that others wrote: right, or one sentence that names the file."""

from __future__ import annotations

import os
import tracemalloc
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from reddino.foundations.errors import RedDinoError
from reddino.foundations.structured import fit, parse_json, parse_yaml, read_json, read_json_lines, read_yaml

DOUBLING = "a0: &a0 [x, x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 40))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_read_json__reads_every_encoding_with_a_mark(tmp_path: Path, encoding: str) -> None:
    file = tmp_path / "a.json"
    file.write_bytes('{"é": [1, 2.5, "😀"]}'.encode(encoding))
    assert read_json(file) == {"é": [1, 2.5, "😀"]}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b" \n", "is empty"),
        ('{"é": 1}'.encode("latin-1"), "is not UTF-8 text (byte 2); save it as UTF-8"),
        (b"\xff\xfea", "is not UTF-16 text"),
        (b'{"a": ', "Expecting value"),
        (b"[1]", "does not hold an object of keys and values"),
        (b'{"a": 1, "a": 2}', "the key 'a' stands there twice"),
        (b'{"a": NaN}', "the number NaN is not finite"),
        (b'{"a": -Infinity}', "the number -Infinity is not finite"),
        (b'{"a": 1e999}', "the number 1e999 is not finite"),
        (b'{"a": ' + b"9" * 5000 + b"}", "has more than 64 bits"),
        (b'{"a": 18446744073709551616}', "has more than 64 bits"),
        (b'{"a": ' * 100_000, "stand inside each other"),
        (b'{"a": ' * 70 + b"1" + b"}" * 70, "stand inside each other"),
        (rb'{"a": "\ud800"}', "lone surrogate"),
        (rb'{"a\u0000": 1}', "the character NUL"),
    ],
)
def test_read_json__refuses_in_one_sentence_that_names_the_file(
    tmp_path: Path, content: bytes, reason: str
) -> None:
    file = tmp_path / "a.json"
    file.write_bytes(content)
    with pytest.raises(RedDinoError) as caught:
        read_json(file)
    assert str(file) in str(caught.value)
    assert reason in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_read_json__of_no_regular_file(tmp_path: Path) -> None:
    with pytest.raises(RedDinoError, match="there is no such file"):
        read_json(tmp_path / "none.json")
    with pytest.raises(RedDinoError, match="it is not a file"):
        read_json(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(RedDinoError, match="it is not a file"):
        read_json(tmp_path / "pipe")
    (tmp_path / "large.json").write_text("[" + "1," * (1 << 20) + "1]")
    with pytest.raises(RedDinoError, match="larger than the 1 MB"):
        read_json(tmp_path / "large.json", limit=1 << 20)


def test_read_json__keeps_numbers_that_fit_and_nan_on_request() -> None:
    assert parse_json('{"a": 18446744073709551615, "b": 1e-3}', "x") == {"a": (1 << 64) - 1, "b": 0.001}
    assert str(parse_json('{"a": NaN}', "x", nan=True)["a"]) == "nan"
    assert parse_json("3", "x", top=None) == 3


def test_read_json_lines__names_the_line_and_passes_over_one_that_was_cut_off(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text('{"a": 1}\n\n{"a": 2}\n{"a": ')
    assert list(read_json_lines(file)) == [{"a": 1}, {"a": 2}]
    file.write_text('{"a": 1}\n{"a": \n{"a": 2}\n')
    with pytest.raises(RedDinoError, match=r"a\.jsonl, line 2, cannot be read as JSON"):
        list(read_json_lines(file))


def test_read_yaml__by_the_core_schema(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_bytes(
        b"\xef\xbb\xbfa: no\nb: 010\nc: 1e-4\nd: 2024-01-01\ne: 12:30\nf: 0x1f\ng:\nh: true\n~: -7\n"
    )
    expected: dict[str | None, Any] = {"a": "no", "b": "010", "c": 1e-4, "d": "2024-01-01", "e": "12:30"}
    assert read_yaml(file) == {**expected, "f": 31, "g": None, "h": True, None: -7}
    file.write_text("NO: [yes, 010, true, 1.50]\nempty:\n")
    assert read_yaml(file, as_text=True) == {"NO": ["yes", "010", "true", "1.50"], "empty": None}


def test_read_yaml__keeps_aliases_and_merged_keys() -> None:
    text = "a: &a {x: 1, y: 2}\nb: *a\nc: {<<: *a, x: 3}\n"
    assert parse_yaml(text, "x") == {"a": {"x": 1, "y": 2}, "b": {"x": 1, "y": 2}, "c": {"x": 3, "y": 2}}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (DOUBLING, "its aliases unfold to more than 1,000,000 values (line 19)"),
        ("a: &x [*x]", "an alias refers to itself (line 1)"),
        (
            "a: 1\nb: !!python/object/apply:os.system [id]",
            "'!!python/object/apply:os.system' is not read (line 2)",
        ),
        ("a: !local x", "the tag '!local' is not read"),
        ("a: !!timestamp x", "the tag '!!timestamp' is not read"),
        ("a: !!int x", "invalid literal"),
        ("a: 1\na: 2", "the key 'a' stands there twice (line 2)"),
        ("? [1]\n: 2", "a list or an object stands where a key belongs"),
        ("a: " + "9" * 6000, "has more than 64 bits"),
        ("a: .inf", "the number .inf is not finite"),
        ("[" * 5000, "stand inside each other"),
        ("a: b: c", "mapping values are not allowed here (line 1)"),
        ('a: "\\0"', "the character NUL"),
        ("- 1", "does not hold an object of keys and values"),
        ("a: *b", "found undefined alias 'b' (line 1)"),
        ("# nothing", "does not hold an object"),
    ],
)
def test_read_yaml__refuses_in_one_sentence_that_names_the_file(text: str, reason: str) -> None:
    with pytest.raises(RedDinoError) as caught:
        parse_yaml(text, "file.yaml")
    assert str(caught.value).startswith("file.yaml ")
    assert reason in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@dataclass(frozen=True)
class _Part:
    start: int
    names: tuple[str, ...] = ()


def test_fit__gives_the_type_or_names_the_key() -> None:
    assert fit(_Part, {"start": 3, "names": ["a"]}, "x") == _Part(3, ("a",))
    for content, reason in (
        ({"start": "3"}, "x: start: Input should be a valid integer"),
        ({"start": True}, "x: start: Input should be a valid integer"),
        ({}, "x: start: Field required"),
        ({"start": 1, "names": ["a", 3]}, "x: names.1: Input should be a valid string"),
        ({"start": 1, "more": 2}, "x: more: unknown key"),
        ({"start": 1, "two\nlines": 2}, "x: two lines: unknown key"),
        ([], "x: "),
    ):
        with pytest.raises(RedDinoError) as caught:
            fit(_Part, content, "x")
        assert str(caught.value).startswith(reason)


def test_read_json__takes_memory_for_the_file_not_for_its_limit(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{}")
    tracemalloc.start()
    try:
        read_json(tmp_path / "a.json", limit=1 << 30)
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


def test_read_yaml__names_the_line_of_a_number_only_where_there_are_several() -> None:
    with pytest.raises(
        RedDinoError, match=r"^override 'a' cannot be read: the number \.inf is not finite; give"
    ):
        parse_yaml("a: .inf", "override 'a'")
    with pytest.raises(RedDinoError, match=r"is not finite \(line 2\); give another"):
        parse_yaml("a: 1\nb: .inf\n", "file.yaml")
