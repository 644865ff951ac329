"""DICOM files of whole slides: which files of a folder are the levels of one slide, and which its label."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from reddino.smears.failures import ImageError
from reddino.smears.slides.libraries import library
from reddino.smears.slides.names import DICOM

_SLIDE_CLASS = "1.2.840.10008.5.1.4.1.1.77.1.6"
#: Of the data set as a whole, compressed: it would be unpacked before anything is known of it.
_DEFLATED = ("1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.8.1")
_INSTALL = "reddino[slides]"
_TAGS = (
    "SOPClassUID", "SeriesInstanceUID", "ImageType", "TotalPixelMatrixColumns", "TotalPixelMatrixRows",
    "Manufacturer", "ManufacturerModelName", "OpticalPathSequence",
)  # fmt: skip
#: Not of the specimen: what a slide's label and its overview are called.
_ASIDE = ("LABEL", "OVERVIEW", "THUMBNAIL", "LOCALIZER")


@dataclass(frozen=True)
class DicomFile:
    """What the header of a DICOM file holds.

    Attributes:
        series: its series, which is that of all levels of a slide.
        kind: `VOLUME`, or `LABEL` and the like.
        area: pixels of the level.
        about: maker of the scanner and its objective, and nothing of the patient.
    """

    series: str
    kind: str
    area: int
    about: dict[str, str]


def slide_files(path: Path) -> dict[Path, DicomFile]:
    """Return the files of the slide that a file belongs to, the largest level first.

    Raises:
        ImageError: it is no whole slide, or its label.
    """
    known = _folder(path.parent, path.parent.stat().st_mtime_ns)
    own = known.get(path.name) or _head(path)
    if own.kind in _ASIDE:
        raise ImageError(path, f"is the {own.kind.lower()} of a slide, which is never read")
    others = {path.parent / name: one for name, one in known.items() if one.series == own.series}
    volumes = {file: one for file, one in (others | {path: own}).items() if one.kind not in _ASIDE}
    return {file: volumes[file] for file in sorted(volumes, key=lambda one: (-volumes[one].area, one.name))}


@lru_cache(maxsize=64)
def _folder(folder: Path, modified: int) -> dict[str, DicomFile]:
    """Return the slide files of a folder by name; others are passed over."""
    found: dict[str, DicomFile] = {}
    for file in sorted(folder.iterdir()):
        if file.name.lower().endswith(DICOM) and not file.name.startswith(".") and file.is_file():
            try:
                found[file.name] = _head(file)
            except ImageError:
                continue
    return found


def _head(path: Path) -> DicomFile:
    pydicom: Any = library(path, "pydicom", "a DICOM file", _INSTALL)
    with path.open("rb") as file:
        file.seek(128)
        if file.read(4) != b"DICM":
            raise ImageError(path, "is no DICOM file")
    try:
        meta = pydicom.filereader.read_file_meta_info(str(path))
        if str(getattr(meta, "TransferSyntaxUID", "")) in _DEFLATED:
            raise ImageError(path, "is a DICOM file that is compressed as a whole, which is not read")
        head = pydicom.dcmread(str(path), stop_before_pixels=True, specific_tags=list(_TAGS))
        if str(head.get("SOPClassUID", "")) != _SLIDE_CLASS:
            raise ImageError(path, "is a DICOM file, but no whole slide")
        kinds = [str(one).upper() for one in head.get("ImageType", [])]
        kind = next((one for one in _ASIDE if one in kinds), "VOLUME")
        area = int(head.get("TotalPixelMatrixColumns", 0)) * int(head.get("TotalPixelMatrixRows", 0))
        return DicomFile(str(head.get("SeriesInstanceUID", "")), kind, area, _about(head))
    except ImageError:
        raise
    except Exception as error:  # pydicom raises anything on a damaged file
        words = " ".join(str(error).split())[:120] or type(error).__name__
        raise ImageError(path, f"damaged (its DICOM head cannot be read: {words})") from error


def _about(head: Any) -> dict[str, str]:
    found: dict[str, str] = {}
    maker = " ".join(str(head.get(name, "")) for name in ("Manufacturer", "ManufacturerModelName")).strip()
    if maker:
        found["scanner"] = maker[:80]
    power = next((one.get("ObjectiveLensPower") for one in head.get("OpticalPathSequence") or []), None)
    if power:
        found["objective"] = f"{float(power):g}x"
    return found


def base_file(path: Path) -> Path:
    """Return the file of the largest level of the slide that a file belongs to.

    Raises:
        ImageError: as `slide_files`.
    """
    return next(iter(slide_files(path)))


def dicom_name(path: Path) -> str:
    """Return what a DICOM slide is called: the name of its folder, where it lies there alone, or its stem."""
    known = _folder(path.parent, path.parent.stat().st_mtime_ns)
    return path.absolute().parent.name if len({one.series for one in known.values()}) == 1 else path.stem
