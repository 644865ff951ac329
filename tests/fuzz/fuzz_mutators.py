"""Mutations of input files that keep their structure more often than not, so that readers look deeper."""

from __future__ import annotations

import csv
import io
import json
import random
import re
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from fuzz_bundle import Bundle
from fuzz_values import NUMBERS, OBJECTS, TEXTS, payload_pickles

Mutator = Callable[[bytes, random.Random], bytes]
MOST_BYTES = 6_000_000


def mutate(bundle: Bundle, rng: random.Random) -> Bundle:
    """A changed copy: mostly one file's content, sometimes which files there are."""
    bundle = dict(bundle)
    if not bundle:
        return {"empty": b""}
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        name = rng.choice(list(bundle))
        if rng.random() < 0.04:
            _change_files(bundle, name, rng)
        else:
            bundle[name] = mutate_file(name, bundle[name], rng)[:MOST_BYTES]
        if not bundle:
            break
    return bundle


def mutate_file(name: str, content: bytes, rng: random.Random) -> bytes:
    """A changed content, by what the file's name says of it; now and then as plain bytes."""
    suffix = PurePosixPath(name).suffix or PurePosixPath(name).name
    chosen = MUTATORS.get(suffix.lower(), mutate_bytes)
    if chosen is not mutate_bytes and rng.random() < 0.25:
        chosen = mutate_bytes
    try:
        return chosen(content, rng)
    except Exception:  # no longer what its name says, after earlier mutations
        return mutate_bytes(content, rng)


def _change_files(bundle: Bundle, name: str, rng: random.Random) -> None:
    action = rng.randrange(4)
    if action == 0:
        del bundle[name]
    elif action == 1:
        bundle[str(PurePosixPath(name).with_suffix(rng.choice([".png", ".json", ".txt", ".csv", ""])))] = (
            bundle[name]
        )
    elif action == 2:
        bundle[f"{name}/{PurePosixPath(name).name}"] = bundle.pop(name)
    else:
        bundle[name] = bundle[rng.choice(list(bundle))]


def mutate_bytes(content: bytes, rng: random.Random) -> bytes:
    """Bits flipped, runs removed, doubled or overwritten, numbers set to their limits, ends cut off."""
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        if not data:
            data += rng.randbytes(rng.randint(1, 40))
            continue
        place = rng.randrange(len(data))
        if rng.random() < 0.5:
            place = min(place, rng.randrange(min(len(data), 256)))  # heads of files decide most
        length = rng.choice((1, 2, 4, 8, 64))
        action = rng.randrange(8)
        if action == 0:
            data[place] ^= 1 << rng.randrange(8)
        elif action == 1:
            data[place : place + length] = rng.randbytes(length)
        elif action == 2:
            del data[place : place + length]
        elif action == 3:
            data[place:place] = data[place : place + length] * rng.choice((1, 2, 50))
        elif action == 4:
            del data[place:]
        elif action == 5:
            order, kind = rng.choice("<>"), rng.choice("HIQ")
            number = rng.choice((0, 1, 0x7F, 0xFF, 2**15, 2**16 - 1, 2**31 - 1, 2**32 - 1, 2**63 - 1))
            size = struct.calcsize(kind)
            data[place : place + size] = struct.pack(order + kind, number % 2 ** (8 * size))
        elif action == 6:
            data[place:place] = rng.choice(TEXTS).encode("utf-8", "surrogatepass")
        else:
            other = rng.randrange(len(data))
            data[place : place + length] = data[other : other + length]
    return bytes(data)


def any_value(rng: random.Random, depth: int = 0) -> Any:
    """A number, a text, nothing, a list or a mapping."""
    kind = rng.random()
    if kind < 0.4:
        return rng.choice(NUMBERS)
    if kind < 0.75:
        return rng.choice(TEXTS)
    if kind < 0.95 or depth > 3:
        return rng.choice(OBJECTS)
    return {rng.choice(TEXTS): any_value(rng, depth + 1), "a": [any_value(rng, depth + 1)]}


def mutate_tree(tree: Any, rng: random.Random) -> Any:
    """A copy of a JSON-like tree with one place changed."""
    if isinstance(tree, dict) and tree and rng.random() < 0.9:
        tree = dict(tree)
        key = rng.choice(list(tree))
        action = rng.randrange(12)
        if action == 0:
            del tree[key]
        elif action == 1:
            tree[rng.choice(TEXTS)] = tree[key]
        elif action == 2:
            tree[key] = any_value(rng)
        else:
            tree[key] = mutate_tree(tree[key], rng)
        return tree
    if isinstance(tree, list) and tree and rng.random() < 0.9:
        tree = list(tree)
        place = rng.randrange(len(tree))
        action = rng.randrange(12)
        if action == 0:
            del tree[place]
        elif action == 1:
            tree.insert(place, tree[place])
        elif action == 2:
            tree *= rng.choice((2, 100))
        else:
            tree[place] = mutate_tree(tree[place], rng)
        return tree
    if rng.random() < 0.1:
        return [tree] if rng.random() < 0.5 else {"a": tree}
    return any_value(rng)


def _deep(opening: str, closing: str) -> str:
    return opening * 100_000 + closing * 100_000


def mutate_json(content: bytes, rng: random.Random) -> bytes:
    if rng.random() < 0.03:
        inserted = rng.choice((_deep("[", "]"), _deep('{"a":', "}"), "9" * 5000, "1e999999999", '"\\ud800"'))
        place = rng.choice([match.end() for match in re.finditer(rb":", content)] or [0])
        return content[:place] + inserted.encode() + re.sub(rb"^[^,}]*", b"", content[place:])
    tree = mutate_tree(json.loads(content), rng)
    text = json.dumps(tree, ensure_ascii=rng.random() < 0.5)
    return (rng.choice(("", "", "", "\ufeff")) + text).encode("utf-8", "surrogatepass")


_YAML_TRICKS = (
    "a: &a [x, x, x, x, x, x, x, x, x]\nb: &b [*a, *a, *a, *a, *a, *a, *a, *a, *a]\n"
    "c: &c [*b, *b, *b, *b, *b, *b, *b, *b]\nd: &d [*c, *c, *c, *c, *c, *c, *c, *c]\n"
    "e: &e [*d, *d, *d, *d, *d, *d, *d, *d]\nf: [*e, *e, *e, *e, *e, *e]\n",
    "x: !!python/object/apply:os.system ['touch EXECUTED']\n",
    "x: !!python/name:os.system\n",
    "x: &x {y: *x}\n",
    "? [a, b]\n: c\n",
    "? {a: b}\n: c\n",
    "x: 2026-02-30\n",
    "x: 0o9:99:99\n",
    "<<: *nothing\n",
    "<<: [1, 2]\n",
    "1: 2\n",
    "null: 2\n",
    "x: =\n",
    "x: " + "[" * 3000 + "\n",
)


def mutate_yaml(content: bytes, rng: random.Random) -> bytes:
    if rng.random() < 0.15:
        lines = content.decode().splitlines(keepends=True)
        indent = " " * rng.choice((0, 0, 2, 4))
        lines.insert(rng.randint(0, len(lines)), indent + rng.choice(_YAML_TRICKS))
        return "".join(lines).encode()
    tree = mutate_tree(yaml.safe_load(content), rng)
    return yaml.safe_dump(tree, allow_unicode=True, sort_keys=False).encode("utf-8", "surrogatepass")


def mutate_csv(content: bytes, rng: random.Random) -> bytes:
    rows = list(csv.reader(io.StringIO(content.decode())))
    for _ in range(rng.choice((1, 1, 3))):
        row = rng.choice(rows[:3] if rng.random() < 0.5 else rows)
        place = rng.randrange(len(row))
        action = rng.randrange(8)
        if action == 0:
            del row[place]
        elif action == 1:
            row.insert(place, row[place])
        elif action == 2:
            rows.insert(rng.randrange(len(rows) + 1), list(row))
        elif action == 3:
            column = rng.randrange(len(rows[0]))
            value = str(any_value(rng))
            for one in rows[1:]:
                if column < len(one):
                    one[column] = value
        elif action == 4:
            row[place] = row[place].upper() + rng.choice(("", " ", "\xa0", "\u200b"))
        else:
            row[place] = str(any_value(rng))
        if not rows or not all(rows):
            break
    out = io.StringIO()
    csv.writer(
        out, delimiter=rng.choice(",,,,,,;\t"), lineterminator=rng.choice(("\n", "\n", "\r\n", "\r"))
    ).writerows(rows)
    text = out.getvalue()
    encoding = rng.choice(("utf-8", "utf-8", "utf-8", "utf-8", "utf-8-sig", "utf-16", "cp1252", "utf-32"))
    return text.encode(encoding, "replace")


_KINDS: list[Any] = [
    pa.array([b"\xff\xfe", None]),
    pa.array([[1], None]),
    pa.array([{"a": 1}, None]),
    pa.array([2**63 - 1, None]),
    pa.array([True, None]),
    pa.array([1e300, None]),
    pa.array([float("nan"), float("inf")]),
    pa.array([None, None]),
    pa.array([0, None], pa.timestamp("ns", "UTC")),
    pa.array([0, None], pa.date32()),
    pa.array([0, None], pa.duration("s")),
    pa.array([0, None], pa.time64("ns")),
    pa.array(["a", None]).dictionary_encode(),
    pa.array([b"ab", None], pa.binary(2)),
    pa.array([1, None], pa.decimal128(20, 2)),
    pa.array(["a\0b", "\u200b"]),
    pa.array([[("a", 1)], None], pa.map_(pa.string(), pa.int64())),
    pa.array([1.5, None], pa.float16()) if hasattr(pa, "float16") else pa.array([1.5, None]),
    pa.array([2**64 - 1, None], pa.uint64()),
]


def mutate_parquet(content: bytes, rng: random.Random) -> bytes:
    table = pq.read_table(pa.BufferReader(content))
    action = rng.randrange(8)
    place = rng.randrange(table.num_columns)
    name = table.column_names[place]
    if action == 0:
        table = table.drop_columns([name])
    elif action == 1:
        table = table.rename_columns(
            [rng.choice([*TEXTS, one]) if one == name else one for one in table.column_names]
        )
    elif action == 2:
        table = table.append_column(name, table.column(place))
    elif action == 3:
        metadata = {key: mutate_json(value, rng) for key, value in (table.schema.metadata or {}).items()}
        table = table.replace_schema_metadata(metadata)
    else:
        kind = rng.choice(_KINDS)
        values = pa.concat_arrays([kind] * (table.num_rows // 2 + 1))[: table.num_rows]
        table = table.set_column(place, name, values)
    out = io.BytesIO()
    pq.write_table(table, out)
    return out.getvalue()


def mutate_safetensors(content: bytes, rng: random.Random) -> bytes:
    (length,) = struct.unpack_from("<Q", content)
    header = mutate_json(content[8 : 8 + length], rng)
    return struct.pack("<Q", len(header)) + header + content[8 + length :]


def mutate_zip(content: bytes, rng: random.Random) -> bytes:
    """torch's and NumPy's files are zips: one member is changed, or replaced with code."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    pickled = [name for name in members if name.endswith(".pkl")]
    name = rng.choice(pickled) if pickled and rng.random() < 0.7 else rng.choice(list(members))
    if name in pickled and rng.random() < 0.2:
        members[name] = rng.choice(payload_pickles())
    else:
        members[name] = mutate_bytes(members[name], rng)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return out.getvalue()


def mutate_pickle(content: bytes, rng: random.Random) -> bytes:
    return rng.choice(payload_pickles()) if rng.random() < 0.1 else mutate_bytes(content, rng)


def mutate_png(content: bytes, rng: random.Random) -> bytes:
    """A chunk changed, dropped or doubled, with its checksum right again."""
    chunks, place = [], 8
    while place + 8 <= len(content):
        (length,) = struct.unpack_from(">I", content, place)
        chunks.append([content[place + 4 : place + 8], content[place + 8 : place + 8 + length]])
        place += 12 + length
    chosen = rng.randrange(len(chunks))
    action = rng.randrange(6)
    if action == 0:
        del chunks[chosen]
    elif action == 1:
        chunks.insert(chosen, list(chunks[chosen]))
    elif action == 2:
        raw = mutate_bytes(zlib.decompress(chunks[-2][1]), rng)
        chunks[-2][1] = zlib.compress(raw)
    else:
        chunks[chosen][1] = mutate_bytes(chunks[chosen][1], rng)
    parts = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    ]
    return content[:8] + b"".join(parts)


def mutate_tar(content: bytes, rng: random.Random) -> bytes:
    """A field of a header or a member's bytes changed, checksums right again."""
    data = bytearray(content)
    headers = [at for at in range(0, len(data) - 511, 512) if data[at + 257 : at + 262] == b"ustar"]
    at = rng.choice(headers)
    if rng.random() < 0.4:
        start = at + 512
        size = int(bytes(data[at + 124 : at + 135]), 8)
        data[start : start + size] = mutate_bytes(bytes(data[start : start + size]), rng)[:size].ljust(
            size, b"\0"
        )
        return bytes(data)
    field, width = rng.choice(((0, 100), (100, 8), (124, 12), (156, 1), (157, 100), (257, 8), (345, 155)))
    value = rng.choice(
        (
            b"77777777777",
            b"\x80" + b"\xff" * 10,
            b"-1",
            b"",
            b"a/b.c.d.png",
            b"../x.png",
            b"\xff.png",
            b"L",
            b"2",
            b"x",
        )
    )
    data[at + field : at + field + width] = value[:width].ljust(width, b"\0")
    data[at + 148 : at + 156] = b" " * 8
    data[at + 148 : at + 156] = b"%06o\0 " % sum(data[at : at + 512])
    return bytes(data)


def mutate_text(content: bytes, rng: random.Random) -> bytes:
    """One number, word or tag of a text replaced."""
    text = content.decode()
    tokens = list(re.finditer(r"[^\s<>]+|<[^>]*>", text))
    token = rng.choice(tokens)
    new = str(any_value(rng))
    if rng.random() < 0.2:
        new = token[0] * rng.choice((0, 2, 300))
    elif rng.random() < 0.1:
        new = '<!DOCTYPE a [<!ENTITY b "' + "c" * 1000 + '">' + "]>" + "&b;" * 1000
    elif rng.random() < 0.05:
        new = "<a>" * 100_000
    text = rng.choice(("", "", "", "\ufeff")) + text[: token.start()] + new + text[token.end() :]
    return text.encode(rng.choice(("utf-8", "utf-8", "utf-8", "utf-16")), "surrogatepass")


MUTATORS: dict[str, Mutator] = {
    ".json": mutate_json,
    ".jsonl": mutate_text,
    ".yaml": mutate_yaml,
    ".csv": mutate_csv,
    ".parquet": mutate_parquet,
    ".safetensors": mutate_safetensors,
    ".pth": mutate_zip,
    ".pt": mutate_zip,
    ".npz": mutate_zip,
    ".metadata": mutate_pickle,
    ".png": mutate_png,
    ".tar": mutate_tar,
    ".txt": mutate_text,
    ".xml": mutate_text,
    ".names": mutate_text,
}
