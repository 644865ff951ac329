"""Microscope files as other programs write them: DICOM by pydicom, pyramids by tifffile, and more."""

from __future__ import annotations

import struct
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]
_TILE = 256
_SERIES = "1.2.826.0.1.3680043.8.498.1"
_PURE = ("FF0000", "00FF00", "0000FF")


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
    resolution: dict[str, Any] = (
        {} if um is None else {"resolution": (1e4 / um, 1e4 / um), "resolutionunit": 3}
    )
    with tifffile.TiffWriter(path, bigtiff=options.pop("bigtiff", False)) as tiff:
        for level, one in enumerate(found):
            extra: dict[str, Any] = resolution if level == 0 else {"subfiletype": 1}
            tiff.write(one, tile=(256, 256), photometric="rgb", metadata=None, **extra, **options)
    return found


def write_dicom(
    folder: Path,
    pixels: Pixels,
    *,
    levels: int = 2,
    um: float = 0.25,
    jpeg: bool = False,
    kind: str = "VOLUME",
) -> list[Path]:
    """Write the levels of a slide with pydicom, one file each; return the files, the largest level first."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for level in range(levels):
        path = folder / f"{kind.lower()}-{level}.dcm"
        shrunk = np.ascontiguousarray(pixels[:: 2**level, :: 2**level])
        _dicom_level(path, shrunk, um * 2**level, jpeg=jpeg, kind=kind, level=level)
        files.append(path)
    return files


def _dicom_level(path: Path, pixels: Pixels, um: float, *, jpeg: bool, kind: str, level: int) -> None:
    from pydicom import Dataset, FileMetaDataset
    from pydicom.encaps import encapsulate
    from pydicom.uid import ExplicitVRLittleEndian, JPEGBaseline8Bit

    height, width = pixels.shape[:2]
    frames = _tiles(pixels)
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = JPEGBaseline8Bit if jpeg else ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.77.1.6"
    meta.MediaStorageSOPInstanceUID = f"{_SERIES}.{len(kind)}.{level + 1}"
    data = Dataset()
    data.file_meta = meta
    original = ["ORIGINAL", "PRIMARY", kind, "NONE"]
    values: dict[str, Any] = {
        "SOPClassUID": meta.MediaStorageSOPClassUID, "SOPInstanceUID": meta.MediaStorageSOPInstanceUID,
        "StudyInstanceUID": f"{_SERIES}.8", "SeriesInstanceUID": f"{_SERIES}.9",
        "FrameOfReferenceUID": f"{_SERIES}.7", "Modality": "SM", "PatientName": "Secret^Name",
        "PatientID": "secret-7", "Manufacturer": "Maker", "ManufacturerModelName": "Model",
        "DeviceSerialNumber": "1", "SoftwareVersions": "1",
        "ImageType": original if level == 0 else ["DERIVED", "PRIMARY", kind, "RESAMPLED"],
        "DimensionOrganizationType": "TILED_FULL", "SamplesPerPixel": 3, "PlanarConfiguration": 0,
        "PhotometricInterpretation": "YBR_FULL_422" if jpeg else "RGB", "NumberOfFrames": len(frames),
        "Rows": _TILE, "Columns": _TILE, "BitsAllocated": 8, "BitsStored": 8, "HighBit": 7,
        "PixelRepresentation": 0, "TotalPixelMatrixColumns": width, "TotalPixelMatrixRows": height,
        "TotalPixelMatrixFocalPlanes": 1, "NumberOfOpticalPaths": 1,
        "ImageOrientationSlide": [0, -1, 0, -1, 0, 0], "FocusMethod": "AUTO", "ExtendedDepthOfField": "NO",
        "SpecimenLabelInImage": "NO", "BurnedInAnnotation": "NO", "ImagedVolumeWidth": width * um / 1e3,
        "ImagedVolumeHeight": height * um / 1e3, "ImagedVolumeDepth": 1.0,
        "ContainerIdentifier": "secret-slide", "VolumetricProperties": "VOLUME", "InstanceNumber": level + 1,
        "AcquisitionDateTime": "20200101000000", "LossyImageCompression": "01" if jpeg else "00",
        "SharedFunctionalGroupsSequence": [
            _dataset(
                PixelMeasuresSequence=[_dataset(PixelSpacing=[um / 1e3, um / 1e3], SliceThickness=0.001)],
                WholeSlideMicroscopyImageFrameTypeSequence=[_dataset(FrameType=original)],
            )
        ],
        "OpticalPathSequence": [_dataset(OpticalPathIdentifier="0", ObjectiveLensPower=40)],
        "TotalPixelMatrixOriginSequence": [
            _dataset(XOffsetInSlideCoordinateSystem=0.0, YOffsetInSlideCoordinateSystem=0.0)
        ],
        "PixelData": encapsulate([_jpeg(one) for one in frames]) if jpeg else _raw(frames),
    }  # fmt: skip
    for name, value in values.items():
        setattr(data, name, value)
    data["PixelData"].VR = "OB"
    data.save_as(path, enforce_file_format=True)


def _dataset(**values: Any) -> Any:
    from pydicom import Dataset

    made = Dataset()
    for name, value in values.items():
        setattr(made, name, value)
    return made


def _tiles(pixels: Pixels) -> list[Pixels]:
    """Return the tiles of a picture, row by row; those at the border repeat its last pixels."""
    height, width = pixels.shape[:2]
    across, down = -(-width // _TILE), -(-height // _TILE)
    padded = np.pad(pixels, ((0, down * _TILE - height), (0, across * _TILE - width), (0, 0)), mode="edge")
    return [
        np.ascontiguousarray(padded[y * _TILE : (y + 1) * _TILE, x * _TILE : (x + 1) * _TILE])
        for y in range(down)
        for x in range(across)
    ]


def _raw(frames: list[Pixels]) -> bytes:
    data = b"".join(frame.tobytes() for frame in frames)
    return data + b"\0" * (len(data) % 2)


def _jpeg(pixels: Pixels) -> bytes:
    file = BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=90)
    data = file.getvalue()
    return data + b"\0" * (len(data) % 2)


def write_czi(path: Path, scenes: list[Pixels], *, um: float = 0.25, **metadata: Any) -> None:
    """Write a CZI file with pylibCZIrw: each scene lies to the right of the one before."""
    from pylibCZIrw import czi

    left = 5
    with czi.create_czi(str(path)) as document:
        for number, pixels in enumerate(scenes):
            document.write(np.ascontiguousarray(pixels[:, :, ::-1]), location=(left, 7), scene=number)
            left += pixels.shape[1] + 100
        document.write_metadata("slide", scale_x=um * 1e-6, scale_y=um * 1e-6, **metadata)


def write_grey_czi(path: Path, channels: list[list[Pixels]], **metadata: Any) -> None:
    """Write a CZI file of grey channels with pylibCZIrw, each with its focus planes."""
    from pylibCZIrw import czi

    with czi.create_czi(str(path)) as document:
        for channel, planes in enumerate(channels):
            for plane, pixels in enumerate(planes):
                document.write(np.ascontiguousarray(pixels[:, :, None]), plane={"C": channel, "Z": plane})
        document.write_metadata("field", **metadata)


def write_zarr(
    folder: Path, pixels: Pixels, *, version: int = 2, levels: int = 2, um: float = 0.25
) -> list[Pixels]:
    """Write an OME-Zarr image of red, green and blue with zarr; return its levels."""
    import zarr

    axes = [
        {"name": "c", "type": "channel"},
        *({"name": axis, "type": "space", "unit": "micrometer"} for axis in "yx"),
    ]
    sizes = [{"type": "scale", "scale": [1, um * 2**level, um * 2**level]} for level in range(levels)]
    sets = [{"path": str(level), "coordinateTransformations": [size]} for level, size in enumerate(sizes)]
    shown = [{"label": name, "color": colour} for name, colour in zip("abc", _PURE, strict=True)]
    described = {
        "multiscales": [{"version": "0.4", "axes": axes, "datasets": sets}],
        "omero": {"channels": shown},
    }
    group = zarr.open_group(str(folder), mode="w", zarr_format=2 if version == 2 else 3)
    group.attrs.update(described if version == 2 else {"ome": described})
    found = [np.ascontiguousarray(pixels[:: 2**level, :: 2**level]) for level in range(levels)]
    for level, one in enumerate(found):
        group.create_array(
            str(level), data=np.ascontiguousarray(one.transpose(2, 0, 1)), chunks=(1, 256, 256)
        )
    return found


def write_lif(path: Path, images: list[Pixels], *, um: float = 0.25) -> None:
    """Write RGB images as a LIF file, by its published layout: no program that writes one is at hand."""
    elements = "".join(_lif_image(number, pixels, um) for number, pixels in enumerate(images))
    top = f'<Element Name="lif"><Children>{elements}</Children></Element>'
    text = f'<LMSDataContainerHeader Version="2">{top}</LMSDataContainerHeader>'
    encoded = text.encode("utf-16-le")
    parts = [struct.pack("<IIBI", 0x70, len(encoded) + 5, 0x2A, len(encoded) // 2), encoded]
    for number, pixels in enumerate(images):
        name = f"MemBlock_{number}".encode("utf-16-le")
        parts += [
            struct.pack("<IIBQBI", 0x70, len(name) + 14, 0x2A, pixels.nbytes, 0x2A, len(name) // 2),
            name,
        ]
        parts.append(pixels.tobytes())
    path.write_bytes(b"".join(parts))


def _lif_image(number: int, pixels: Pixels, um: float) -> str:
    height, width = pixels.shape[:2]
    channels = "".join(
        f'<ChannelDescription DataType="0" ChannelTag="{at + 1}" Resolution="8" NameOfMeasuredQuantity="" '
        f'Min="0" Max="255" Unit="" LUTName="{name}" IsLUTInverted="0" BytesInc="{at}" BitInc="0"/>'
        for at, name in enumerate(("Red", "Green", "Blue"))
    )
    sizes = "".join(
        f'<DimensionDescription DimID="{axis}" NumberOfElements="{count}" Origin="0" '
        f'Length="{um * 1e-6 * (count - 1)}" Unit="m" BitInc="0" BytesInc="{step}"/>'
        for axis, count, step in ((1, width, 3), (2, height, 3 * width))
    )
    inner = f"<Channels>{channels}</Channels><Dimensions>{sizes}</Dimensions>"
    image = f"<Data><Image><ImageDescription>{inner}</ImageDescription></Image></Data>"
    memory = f'<Memory Size="{pixels.nbytes}" MemoryBlockID="MemBlock_{number}"/>'
    return f'<Element Name="Image{number}">{image}{memory}</Element>'
