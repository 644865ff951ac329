"""What users can name as images: files, folders, manifests, patterns and tar shards."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from reddino.foundations.errors import RedDinoError
from reddino.smears.decode import decode_image, image_size
from reddino.smears.failures import Failures, ImageError
from reddino.smears.gather import expand_braces, gather
from reddino.smears.manifest import Manifest, read_manifest, write_manifest
from reddino.smears.shards import open_shard


def picture(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (12, 16, 3), dtype=np.uint8)


def encoded(seed: int, suffix: str = ".png") -> bytes:
    return cv2.imencode(suffix, picture(seed)[:, :, ::-1])[1].tobytes()


def save(path: Path, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encoded(seed))
    return path


def pack(path: Path, members: dict[str, bytes], *more: tarfile.TarInfo) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
        for info in more:
            tar.addfile(info)
    return path


def names(manifest: Manifest) -> list[str]:
    return [path.relative_to(manifest.root).as_posix() for path in manifest.paths()]


def clean(*named: str | Path | Manifest) -> Manifest:
    """Gather, and nothing may have failed."""
    failures = Failures()
    manifest = gather(named, failures)
    assert list(failures) == []
    return manifest


def test_gather__one_file_several_files_and_a_folder(tmp_path: Path) -> None:
    a, b = save(tmp_path / "lab" / "a.png"), save(tmp_path / "lab" / "deep" / "b.png")
    assert [clean(a).strings("path"), clean(a).strings("source")] == [["a.png"], ["lab"]]
    both = clean(str(b), a)
    assert (both.strings("path"), both.strings("source")) == (["deep/b.png", "a.png"], ["deep", "lab"])
    assert names(clean(tmp_path / "lab")) == ["a.png", "deep/b.png"]
    assert clean(tmp_path / "lab").strings("source") == ["lab", "lab"]


def test_gather__a_manifest_as_it_is_and_joined_with_others(tmp_path: Path) -> None:
    save(tmp_path / "lab" / "a.png")
    write_manifest(clean(tmp_path / "lab").with_column("label", ["x"]), tmp_path / "lab" / "m.csv")
    alone = clean(tmp_path / "lab" / "m.csv")
    assert alone.fingerprint() == read_manifest(tmp_path / "lab" / "m.csv").fingerprint()
    other = save(tmp_path / "other" / "b.png")
    joined = clean(tmp_path / "lab" / "m.csv", other)
    assert (names(joined), joined.strings("label")) == (["lab/a.png", "other/b.png"], ["x", ""])


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("lab/*.png", ["2.png", "10.png"]),
        ("lab/?.png", ["2.png"]),
        ("**/*.png", ["lab/2.png", "lab/10.png", "lab/deep/3.png"]),
        ("lab/**", ["2.png", "10.png", "deep/3.png"]),
        ("lab/*", ["lab/2.png", "lab/10.png", "lab/deep/3.png"]),
        ("lab/{10,2}.png", ["10.png", "2.png"]),
    ],
)
def test_gather__a_pattern_takes_the_images_that_match_it(
    tmp_path: Path, pattern: str, expected: list[str]
) -> None:
    for name in ("lab/10.png", "lab/2.png", "lab/deep/3.png"):
        save(tmp_path / name)
    (tmp_path / "lab" / "notes.txt").write_text("not an image")
    (tmp_path / "lab" / "m.csv").write_text("path\n2.png\n")
    found = clean(f"{tmp_path}/{pattern}")
    assert [path.name for path in found.paths()] == [Path(name).name for name in expected]


def test_gather__a_pattern_for_manifests_takes_those(tmp_path: Path) -> None:
    for lab in ("a", "b"):
        save(tmp_path / lab / "1.png")
        (tmp_path / lab / "m.csv").write_text(f"path,source\n1.png,{lab}\n")
    assert clean(f"{tmp_path}/*/m.csv").strings("source") == ["a", "b"]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("s-{008..010}.tar", ["s-008.tar", "s-009.tar", "s-010.tar"]),
        ("s-{8..10}.tar", ["s-8.tar", "s-9.tar", "s-10.tar"]),
        ("{2..0}", ["2", "1", "0"]),
        ("{a,b}{1,2}", ["a1", "a2", "b1", "b2"]),
        ("plain.png", ["plain.png"]),
        ("{one}", ["{one}"]),
    ],
)
def test_expand_braces__as_a_shell_does(pattern: str, expected: list[str]) -> None:
    assert expand_braces(pattern) == expected


@pytest.mark.parametrize("name", ["absent.png", "absent", "no-{0..2}.tar", "*.png", "m.csv"])
def test_gather__what_is_not_there_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(RedDinoError, match=r"no such file or folder|no .* file matches this pattern"):
        gather([f"{tmp_path}/{name}"], Failures())


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("ftp://host/smears", "URLs of s3, gs, http and https are read, not this one"),
        ("gs://b/*.png", "patterns are for files of this machine"),
        ("https://host/smears", "a web server does not list its files"),
        ("https://user:secret@host/a.png", "https://host/a.png names a user or a password"),
        ("https://host/a.png?X-Amz-Signature=secret", "continues with '\\?' or '#', such as a signature"),
    ],
)
def test_gather__a_url_that_is_not_read_is_refused_in_words(name: str, why: str) -> None:
    with pytest.raises(RedDinoError, match=why) as refused:
        gather([name], Failures())
    assert "secret" not in str(refused.value)


def test_gather__a_file_whose_name_holds_a_pattern_is_that_file(tmp_path: Path) -> None:
    save(tmp_path / "cell[1].png")
    save(tmp_path / "cell1.png")
    assert clean(f"{tmp_path}/cell[1].png").strings("path") == ["cell[1].png"]


def test_gather__lists_what_only_seems_to_be_an_image(tmp_path: Path) -> None:
    save(tmp_path / "lab" / "a.png")
    save(tmp_path / "lab" / "slide.tif" / "tile.png")
    bad = str(tmp_path / "lab").encode() + b"/\xff.png"
    with open(bad, "wb"):  # noqa: PTH123
        pass
    failures = Failures()
    assert names(gather([tmp_path / "lab"], failures)) == ["a.png", "slide.tif/tile.png"]
    assert {Path(path).name: reason for path, reason in failures} == {
        "slide.tif": "is a folder",
        "\\udcff.png": "its name is not valid UTF-8; rename the file",
    }


def test_gather__refuses_a_place_where_nothing_is(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(RedDinoError, match=r"no image could be found in .*empty; .*holds no images"):
        gather([tmp_path / "empty"], Failures())
    (tmp_path / "a.tar.gz").write_bytes(b"\x1f\x8b")
    with pytest.raises(RedDinoError, match=r"compressed.*unpack it"):
        gather([tmp_path / "a.tar.gz"], Failures())


def test_shards__members_are_images_with_the_labels_next_to_them(tmp_path: Path) -> None:
    cells = [{"x": 3, "y": 4, "w": 2, "h": 2, "label": "oval"}, {"x": 7, "y": 5.5, "stain": "Giemsa"}]
    pack(
        tmp_path / "s-00.tar",
        {
            "./a/1.png": encoded(1),
            "./a/1.cls": b"sickle\n",
            "2.json": json.dumps({"label": "round", "patient": "p7", "score": 3, "boxes": [[1]]}).encode(),
            "2.jpg": encoded(2, ".jpg"),
            "notes.txt": b"nothing",
            ".hidden.png": b"nothing",
        },
    )
    pack(tmp_path / "s-01.tar", {"3.bmp": encoded(3, ".bmp"), "3.json": json.dumps(cells).encode()})
    found = clean(f"{tmp_path}/s-{{00..01}}.tar")
    assert found.strings("path") == ["s-00.tar::a/1.png", "s-00.tar::2.jpg", *["s-01.tar::3.bmp"] * 2]
    assert found.strings("label") == ["sickle", "round", "oval", ""]
    assert found.strings("patient") == ["", "p7", "", ""]
    assert (found.strings("score"), found.strings("stain")) == (["", "3", "", ""], ["", "", "", "Giemsa"])
    assert np.array_equal(found.numbers("y"), [np.nan, np.nan, 4, 5.5], equal_nan=True)
    assert set(found.strings("source")) == {tmp_path.name}
    assert np.array_equal(decode_image(found.paths()[0]), picture(1))
    assert np.array_equal(decode_image(found.paths()[3]), picture(3))
    assert image_size(found.paths()[1]) == (16, 12)
    assert found.missing_files() == []


def test_shards__stay_readable_through_a_manifest_file(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    pack(tmp_path / "data" / "s.tar", {f"{i}.png": encoded(i) for i in range(4)})
    found = clean(tmp_path / "data")
    write_manifest(found, tmp_path / "elsewhere" / "m.csv")
    again = read_manifest(tmp_path / "elsewhere" / "m.csv", check_files=True)
    assert again.strings("path")[2] == "../data/s.tar::2.png"
    assert np.array_equal(decode_image(again.paths()[2]), picture(2))
    gone = again.with_column(
        "path", ["../data/s.tar::0.png", "../data/s.tar::9.png", "x.tar::1.png", "a.png"]
    )
    assert gone.missing_files() == ["../data/s.tar::9.png", "x.tar::1.png", "a.png"]


def test_shards__what_cannot_be_used_is_listed_by_member(tmp_path: Path) -> None:
    folder, link = tarfile.TarInfo("x.png"), tarfile.TarInfo("link.png")
    folder.type, link.type, link.linkname = tarfile.DIRTYPE, tarfile.SYMTYPE, "good.png"
    pack(
        tmp_path / "s.tar",
        {
            "good.png": encoded(1),
            "good.json": b'{"label": ',
            "half.png": encoded(2)[:100],
            "none.png": b"",
            "text.png": b"a text",
            "boxes.png": encoded(3),
            "boxes.json": b'[{"x": 1}]',
        },
        folder,
        link,
    )
    failures = Failures()
    found = gather([tmp_path / "s.tar"], failures)
    assert found.strings("label") == [""] * 5
    for path in found.paths():
        try:
            decode_image(path)
        except ImageError as error:
            failures.add(error.path, error.reason)
    listed = {path.split("::")[1]: reason for path, reason in failures}
    for member, reason in {
        "good.json": "labels not read: it cannot be read as JSON: Expecting value",
        "boxes.json": "labels not read: the manifest, row 1, column 'y': is empty although x is given",
        "half.png": "truncated",
        "none.png": "the file is empty",
        "text.png": "is not a PNG, JPEG",
        "x.png": "is a folder",
        "link.png": "is a link",
    }.items():
        assert reason in listed.pop(member), member
    assert listed == {}


@pytest.mark.parametrize(
    ("left", "readable", "reason"),
    [
        (
            3 * 1024 + 512 + 60,
            ["0.png", "1.png", "2.png"],
            {"3.png": "truncated", "": "truncated or damaged"},
        ),
        (3 * 1024 + 100, ["0.png", "1.png", "2.png"], {"": "truncated or damaged after 3 files"}),
        (3 * 1024, ["0.png", "1.png", "2.png"], {"": "truncated or damaged after 3 files"}),
    ],
)
def test_shards__a_truncated_one_gives_what_it_holds_and_is_reported(
    tmp_path: Path, left: int, readable: list[str], reason: dict[str, str]
) -> None:
    small = cv2.imencode(".png", np.zeros((2, 2, 3), np.uint8))[1].tobytes()
    assert len(small) < 512  # a block for the header, and one for the image
    whole = pack(tmp_path / "s.tar", {f"{i}.png": small for i in range(6)})
    whole.write_bytes(whole.read_bytes()[:left])
    failures = Failures()
    found = gather([whole], failures)
    assert [path.split("::")[1] for path in found.strings("path")] == readable
    listed = {path.partition("::")[2]: why for path, why in failures}
    assert listed.keys() == reason.keys()
    assert all(reason[key] in listed[key] for key in reason)


def test_shards__a_damaged_header_does_not_pass_for_the_end(tmp_path: Path) -> None:
    path = pack(tmp_path / "s.tar", {f"{i}.png": encoded(i) for i in range(6)})
    content = bytearray(path.read_bytes())
    at = open_shard(path).members["4.png"][0] - 512
    content[at : at + 20] = b"\xff" * 20
    path.write_bytes(content)
    failures = Failures()
    assert len(gather([path], failures)) == 4
    assert "truncated or damaged after 4 files" in failures.summary()


@pytest.mark.parametrize("content", [b"", b"not a tar file" * 100, b"\x1f\x8b" + bytes(600)])
def test_shards__one_that_cannot_be_read_is_listed_and_the_others_are_used(
    tmp_path: Path, content: bytes
) -> None:
    pack(tmp_path / "good.tar", {"1.png": encoded(1)})
    (tmp_path / "bad.tar").write_bytes(content)
    failures = Failures()
    assert gather([tmp_path / "bad.tar", tmp_path / "good.tar"], failures).strings("path") == [
        "good.tar::1.png"
    ]
    assert [Path(path).name for path, _ in failures] == ["bad.tar"]


def test_shards__members_are_read_by_offset_and_not_through_the_shard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = pack(tmp_path / "s.tar", {f"{i}.png": encoded(i) for i in range(50)})
    found = clean(path)
    read = []
    open_shard(path)

    class Counted(io.FileIO):
        def read(self, size: int | None = -1, /) -> bytes:
            read.append(size)
            return super().read(size) or b""

    monkeypatch.setattr(Path, "open", lambda self, mode: Counted(self, mode.replace("b", "")))
    for number in (31, 4, 49):
        assert np.array_equal(decode_image(found.paths()[number]), picture(number))
    assert read == [len(encoded(number)) for number in (31, 4, 49)]
