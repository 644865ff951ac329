"""Microscope files as other programs write them, for tests: DICOM by pydicom, pyramids by tifffile, and more."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]


def smear(width: int, height: int, seed: int = 0) -> Pixels:
    """Draw a picture with detail of several sizes, (height, width, 3)."""
    random = np.random.default_rng(seed)
    coarse = cv2.resize(
        random.integers(90, 220, (height // 16 + 2, width // 16 + 2, 3)).astype(np.uint8), (width, height)
    )
    fine = random.integers(0, 30, (height, width, 3)).astype(np.uint8)
    return np.asarray(cv2.add(coarse, fine), np.uint8)


def write_pyramid(
    path: Path, pixels: Pixels, *, levels: int = 3, um: float | None = 0.25, **options: Any
) -> list[Pixels]:
    """Write a tiled pyramid with tifffile; return its levels as they were written."""
    import tifffile

    found = [np.ascontiguousarray(pixels[:: 2**level, :: 2**level]) for level in range(levels)]
    resolution = {} if um is None else {"resolution": (1e4 / um, 1e4 / um), "resolutionunit": 3}
    with tifffile.TiffWriter(path, bigtiff=options.pop("bigtiff", False)) as tiff:
        for level, one in enumerate(found):
            extra = resolution if level == 0 else {"subfiletype": 1}
            tiff.write(one, tile=(256, 256), photometric="rgb", metadata=None, **extra, **options)
    return found


def write_dicom(
    folder: Path,
    pixels: Pixels,
    *,
    levels: int = 2,
    um: float = 0.25,
    tile: int = 256,
    jpeg: bool = False,
    kind: str = "VOLUME",
    series: str = "1.2.826.0.1.3680043.8.498.1",
) -> list[Path]:
    """Write the levels of a slide with pydicom, one file each; return the files, the largest level first."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for level in range(levels):
        path = folder / f"{kind.lower()}-{level}.dcm"
        shrunk = np.ascontiguousarray(pixels[:: 2**level, :: 2**level])
        _dicom_level(path, shrunk, um * 2**level, tile, jpeg=jpeg, kind=kind, series=series, level=level)
        files.append(path)
    return files


def _dicom_level(
    path: Path, pixels: Pixels, um: float, tile: int, *, jpeg: bool, kind: str, series: str, level: int
) -> None:
    from pydicom import Dataset, FileMetaDataset
    from pydicom.encaps import encapsulate
    from pydicom.uid import ExplicitVRLittleEndian, JPEGBaseline8Bit

    height, width = pixels.shape[:2]
    across, down = -(-width // tile), -(-height // tile)
    padded = np.pad(pixels, ((0, down * tile - height), (0, across * tile - width), (0, 0)), mode="edge")
    frames = [
        np.ascontiguousarray(padded[y * tile : (y + 1) * tile, x * tile : (x + 1) * tile])
        for y in range(down)
        for x in range(across)
    ]
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = JPEGBaseline8Bit if jpeg else ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.77.1.6"
    meta.MediaStorageSOPInstanceUID = f"{series}.{level + 1}"
    data = Dataset()
    data.file_meta = meta
    values: dict[str, Any] = {
        "SOPClassUID": meta.MediaStorageSOPClassUID, "SOPInstanceUID": meta.MediaStorageSOPInstanceUID,
        "StudyInstanceUID": f"{series}.8", "SeriesInstanceUID": f"{series}.9", "FrameOfReferenceUID": f"{series}.7",
        "Modality": "SM", "PatientName": "Secret^Name", "PatientID": "secret-7", "Manufacturer": "Maker",
        "ManufacturerModelName": "Model", "DeviceSerialNumber": "1", "SoftwareVersions": "1",
        "ImageType": ["ORIGINAL" if level == 0 else "DERIVED", "PRIMARY", kind, "NONE" if level == 0 else "RESAMPLED"],
        "DimensionOrganizationType": "TILED_FULL", "SamplesPerPixel": 3, "PlanarConfiguration": 0,
        "PhotometricInterpretation": "YBR_FULL_422" if jpeg else "RGB", "NumberOfFrames": len(frames),
        "Rows": tile, "Columns": tile, "BitsAllocated": 8, "BitsStored": 8, "HighBit": 7, "PixelRepresentation": 0,
        "TotalPixelMatrixColumns": width, "TotalPixelMatrixRows": height, "TotalPixelMatrixFocalPlanes": 1,
        "NumberOfOpticalPaths": 1, "ImageOrientationSlide": [0, -1, 0, -1, 0, 0], "FocusMethod": "AUTO",
        "ExtendedDepthOfField": "NO", "SpecimenLabelInImage": "NO", "BurnedInAnnotation": "NO",
        "ImagedVolumeWidth": width * um / 1e3, "ImagedVolumeHeight": height * um / 1e3, "ImagedVolumeDepth": 1.0,
        "ContainerIdentifier": "secret-slide", "VolumetricProperties": "VOLUME",
        "AcquisitionDateTime": "20200101000000", "InstanceNumber": level + 1, "LossyImageCompression": "01" if jpeg else "00",
    }  # fmt: skip
    for name, value in values.items():
        setattr(data, name, value)
    measures = Dataset()
    measures.PixelSpacing, measures.SliceThickness = [um / 1e3, um / 1e3], 0.001
    shared = Dataset()
    shared.PixelMeasuresSequence = [measures]
    light = Dataset()
    light.ImageType = data.ImageType
    frame_type = Dataset()
    frame_type.FrameType = data.ImageType
    shared.WholeSlideMicroscopyImageFrameTypeSequence = [frame_type]
    data.SharedFunctionalGroupsSequence = [shared]
    optical = Dataset()
    optical.OpticalPathIdentifier, optical.ObjectiveLensPower = "0", 40
    data.OpticalPathSequence = [optical]
    origin = Dataset()
    origin.XOffsetInSlideCoordinateSystem, origin.YOffsetInSlideCoordinateSystem = 0.0, 0.0
    data.TotalPixelMatrixOriginSequence = [origin]
    if jpeg:
        data.PixelData = encapsulate([_jpeg(frame) for frame in frames])
        data["PixelData"].VR = "OB"
    else:
        raw = b"".join(frame.tobytes() for frame in frames)
        data.PixelData = raw + b"\0" * (len(raw) % 2)
        data["PixelData"].VR = "OB"
    data.save_as(path, enforce_file_format=True)


def _jpeg(pixels: Pixels) -> bytes:
    from PIL import Image

    file = BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=90)
    data = file.getvalue()
    return data + b"\0" * (len(data) % 2)
