"""JSON, JSON lines and YAML of files that others may have written: read right, or refused in one sentence."""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

from yaml import MarkedYAMLError, YAMLError

from reddino.foundations.errors import RedDinoError
from reddino.foundations.stores.anywhere import byte_size, read_file
from reddino.foundations.stores.urls import url_of
from reddino.foundations.yaml_loading import NumberError, load_yaml

Kind = TypeVar("Kind")

#: Bytes of a description; a list of annotations may be larger, and its reader gives its own limit.
LIMIT = 64 << 20
#: Lists and objects inside each other. Ours have six; programs that walk through them recurse.
DEPTH = 64
YAML_LIMIT = 1 << 20
#: Integers that other programs can hold as well.
_INTEGERS = range(-(1 << 63), 1 << 64)
_MARKS = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
_TOP = {
    "dict": "an object of keys and values",
    "list": "a list",
    "str": "text",
    "int": "a whole number",
    "float": "a number",
    "NoneType": "null",
}


def read_json(
    path: str | Path, *, top: type[Any] | None = dict, limit: int = LIMIT, nan: bool = False
) -> Any:
    """Read the content of a JSON file.

    Args:
        path: of the file.
        top: what stands outermost, `dict` or `list`; None accepts any value.
        limit: bytes that it may have.
        nan: accept NaN and infinite numbers.

    Raises:
        RedDinoError: it is missing, unreadable, too large or not text; is not JSON; repeats a key; or holds
            what would fail later (numbers beyond 64 bits, nesting without end, text that cannot be written).
    """
    return parse_json(read_bytes(path, limit), str(path), top=top, nan=nan)


def parse_json(data: bytes | str, origin: str, *, top: type[Any] | None = dict, nan: bool = False) -> Any:
    """Parse content as `read_json` does; `origin` names it in errors."""
    text = decode(data, origin) if isinstance(data, bytes) else data
    try:
        content = json.loads(
            text,
            object_pairs_hook=_once_each,
            parse_int=_integer,
            parse_float=float if nan else _finite,
            parse_constant=float if nan else _finite,
        )
        _inspect(content, text)
    except (ValueError, RecursionError) as error:
        raise RedDinoError(f"{origin} cannot be read as JSON: {_reason(error)}") from error
    return _require_top(content, top, origin)


def read_json_lines(path: str | Path, *, limit: int = 1 << 30, nan: bool = False) -> Iterator[dict[str, Any]]:
    """Yield the objects of a file that holds one in each line; a last line that was cut off is passed over.

    Raises:
        RedDinoError: as `read_json`; names the line.
    """
    text = decode(read_bytes(path, limit), str(path))
    lines = text.split("\n")
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            yield parse_json(line, f"{path}, line {number},", nan=nan)
        except RedDinoError:
            if number == len(lines):  # a whole line ends with a line break: a killed process wrote this one
                return
            raise


def read_yaml(
    path: str | Path, *, top: type[Any] | None = dict, limit: int = YAML_LIMIT, as_text: bool = False
) -> Any:
    """Read the content of a YAML file, by the core schema of YAML 1.2: `no`, `on`, 010 and dates are text.

    Args:
        path: of the file.
        top: what stands outermost, `dict` or `list`; None accepts any value.
        limit: bytes that it may have.
        as_text: every value that is written out is text, numbers and `true` too.

    Raises:
        RedDinoError: as `read_json`; also for tags that name programs' types, and for aliases that refer to
            themselves or unfold to more than a file could hold.
    """
    return parse_yaml(read_bytes(path, limit), str(path), top=top, as_text=as_text)


def parse_yaml(data: bytes | str, origin: str, *, top: type[Any] | None = dict, as_text: bool = False) -> Any:
    """Parse content as `read_yaml` does; `origin` names it in errors."""
    text = decode(data, origin) if isinstance(data, bytes) else data
    try:
        content = load_yaml(text, as_text=as_text)
        _inspect(content, text)
    except MarkedYAMLError as error:
        place = f" (line {error.problem_mark.line + 1})" if error.problem_mark is not None else ""
        raise RedDinoError(f"{origin} cannot be read as YAML: {error.problem or 'a fault'}{place}") from error
    except NumberError as error:
        where = error.place if "\n" in text.strip() else ""
        raise RedDinoError(f"{origin} cannot be read: {error}{where}; give another") from error
    except (ValueError, RecursionError, YAMLError) as error:
        raise RedDinoError(f"{origin} cannot be read as YAML: {_reason(error)}") from error
    return _require_top(content, top, origin)


def read_bytes(path: str | Path, limit: int) -> bytes:
    """Read the bytes of a regular file.

    Raises:
        RedDinoError: it is missing, not a file, not readable, or larger than `limit`.
    """
    path = Path(path)
    try:
        if url_of(path) is not None:
            return _object_bytes(path, limit)
        if not path.exists():
            raise RedDinoError(f"{path} cannot be read: there is no such file")
        if not path.is_file():
            raise RedDinoError(f"{path} cannot be read: it is not a file")
        with path.open("rb") as file:
            # Python allocates as much memory as it is to read.
            data = file.read(min(limit, path.stat().st_size) + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise RedDinoError(f"{path} cannot be read: {reason}") from error
    if len(data) > limit:
        raise RedDinoError(f"{path} is larger than the {limit >> 20} MB that such a file may have")
    return data


def _object_bytes(path: Path, limit: int) -> bytes:
    if byte_size(path) > limit:
        raise RedDinoError(f"{path} is larger than the {limit >> 20} MB that such a file may have")
    return read_file(path)


def decode(data: bytes, origin: str) -> str:
    """Decode text in UTF-8, or with a byte-order mark in UTF-16.

    Raises:
        RedDinoError: it is empty or in another encoding; the message names the byte.
    """
    if not data.strip():
        raise RedDinoError(f"{origin} is empty")
    encoding = next((name for mark, name in _MARKS.items() if data.startswith(mark)), "utf-8")
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        name = encoding.removesuffix("-sig").upper()
        raise RedDinoError(f"{origin} is not {name} text (byte {error.start}); save it as UTF-8") from error


def fit(kind: type[Kind], content: Any, origin: str) -> Kind:
    """Return `content` as a `kind`: a dataclass (no key beyond its fields), a pydantic model or another type.

    Types are taken strictly ("12" is not 12, true is not 1); lists stand for tuples, as in JSON.

    Raises:
        RedDinoError: `ORIGIN: key: what does not fit`.
    """
    from pydantic import ValidationError

    if dataclasses.is_dataclass(kind) and isinstance(content, dict):
        own = {field.name for field in dataclasses.fields(kind)}
        for name in content:
            if name not in own:
                raise RedDinoError(f"{origin}: {in_line(name)}: unknown key")
    try:
        found: Kind = _adapter(cast(Any, kind)).validate_json(json.dumps(content), strict=True)
    except ValidationError as error:
        raise RedDinoError(f"{origin}: {first_fault(error)}") from error
    except (ValueError, TypeError, RecursionError) as error:
        raise RedDinoError(f"{origin}: {_reason(error)}") from error
    return found


def require_keys(content: Mapping[str, Any], origin: str, **kinds: type[Any] | tuple[type[Any], ...]) -> None:
    """Refuse an object in which a key is missing or of another type; further keys are left alone.

    Raises:
        RedDinoError: `ORIGIN: key: what`.
    """
    for name, kind in kinds.items():
        kinds_of_it = kind if isinstance(kind, tuple) else (kind,)
        if name not in content:
            raise RedDinoError(f"{origin}: {name}: it is missing")
        # true is an int to Python, and not to a reader.
        if type(content[name]) not in kinds_of_it:
            wanted = " or ".join(_TOP.get(one.__name__, one.__name__) for one in kinds_of_it)
            raise RedDinoError(f"{origin}: {name}: {str(content[name])[:60]!r} is not {wanted}")


def in_line(text: object, most: int = 100) -> str:
    """Return the text of a file for a sentence: without line breaks, and short."""
    return " ".join(str(text)[:most].split())


def first_fault(error: Any) -> str:
    """Return the first of a pydantic ValidationError's faults: `key: what (2 more)`."""
    first = error.errors(include_url=False, include_input=False)[0]
    key = in_line(".".join(str(part) for part in first["loc"]))
    unknown = first["type"] in ("extra_forbidden", "unexpected_keyword_argument")
    message = "unknown key" if unknown else in_line(first["msg"].removeprefix("Value error, "), 200)
    more = f" ({error.error_count() - 1} more)" if error.error_count() > 1 else ""
    return f"{key}: {message}{more}" if key else f"{message}{more}"


@functools.cache
def _adapter(kind: Any) -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(kind)


def _require_top(content: Any, top: type[Any] | None, origin: str) -> Any:
    if top is not None and not isinstance(content, top):
        raise RedDinoError(f"{origin} does not hold {_TOP.get(top.__name__, top.__name__)}")
    return content


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        double = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {double[:60]!r} stands there twice")
    return found


def _integer(digits: str) -> int:
    if len(digits) > 20 or int(digits) not in _INTEGERS:
        raise ValueError(f"the number {digits[:20]}... has more than 64 bits")
    return int(digits)


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(f"the number {digits[:20]} is not finite")
    return number


def _inspect(content: Any, text: str) -> None:
    """Refuse nesting without end, and text that neither a path nor a file can hold."""
    escaped = re.search(r"\\(u[dD][89a-fA-F]|U0000[dD]|u0000|x00|0)", text) is not None
    level, depth = [content], 0
    while level:
        depth += 1
        if depth > DEPTH:
            raise ValueError(f"more than {DEPTH} lists and objects stand inside each other")
        inside = [part for node in level for part in _parts(node)]
        if escaped:
            for part in inside:
                if isinstance(part, str):
                    _require_text(part)
        level = [part for part in inside if isinstance(part, dict | list)]


def _parts(node: Any) -> list[Any]:
    if isinstance(node, Mapping):
        return [*node.keys(), *node.values()]
    return node if isinstance(node, list) else [node]


def _require_text(value: str) -> None:
    if "\0" in value:
        raise ValueError("a text holds the character NUL")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError("a text holds half a character (a lone surrogate)") from None


def _reason(error: BaseException) -> str:
    if isinstance(error, RecursionError):
        return f"more than {DEPTH} lists and objects stand inside each other"
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (": ".join(lines[:2]) if lines else type(error).__name__)[:300]
