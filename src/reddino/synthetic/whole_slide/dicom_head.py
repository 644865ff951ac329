"""What a DICOM file states of a level of a synthetic slide, next to its pixels."""

from __future__ import annotations

from typing import Any

from reddino.foundations.version import __version__
from reddino.synthetic.whole_slide.levels import TILE, SlideLevel, tiles_of
from reddino.synthetic.whole_slide.settings import SlideSettings

_SLIDE_CLASS = "1.2.840.10008.5.1.4.1.1.77.1.6"
_JPEG, _JPEG_2000 = "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.90"
#: A slide follows from its settings alone, so that it has no date of its own.
_DATE, _TIME = "20000101", "000000"


def slide_head(level: SlideLevel, settings: SlideSettings, *, ratio: float) -> Any:
    """Return the attributes of a level: those of a whole slide's image (PS3.3 A.32.8), and no patient.

    Args:
        level: of the slide.
        settings: what the slide follows from; its identifiers do, too.
        ratio: bytes of the pixels to those of their frames. The head is as long whatever it is.
    """
    from pydicom import FileMetaDataset  # slow to import

    meta = FileMetaDataset()
    meta.TransferSyntaxUID = _JPEG_2000 if settings.lossless else _JPEG
    meta.MediaStorageSOPClassUID = _SLIDE_CLASS
    meta.MediaStorageSOPInstanceUID = _uid(settings, f"level {level.number}")
    head = _dataset(
        **_whose(level, settings), **_image(level, settings), **_pixels(level, settings), **_optics(settings)
    )
    if not settings.lossless:
        head.LossyImageCompressionRatio = f"{ratio:09.3f}"
        head.LossyImageCompressionMethod = "ISO_10918_1"
    head.file_meta = meta
    return head


def _whose(level: SlideLevel, settings: SlideSettings) -> dict[str, Any]:
    """Return study, series, maker and specimen; no patient is named."""
    name = f"synthetic-{settings.seed}"
    return {
        "SOPClassUID": _SLIDE_CLASS,
        "SOPInstanceUID": _uid(settings, f"level {level.number}"),
        "PatientName": "", "PatientID": "", "PatientBirthDate": "", "PatientSex": "",
        "StudyInstanceUID": _uid(settings, "study"),
        "StudyDate": "", "StudyTime": "", "StudyID": "", "AccessionNumber": "", "ReferringPhysicianName": "",
        "SeriesInstanceUID": _uid(settings, "series"),
        "SeriesNumber": 1, "Modality": "SM",
        "SeriesDescription": "synthetic blood smear, of no patient",
        "FrameOfReferenceUID": _uid(settings, "place"), "PositionReferenceIndicator": "SLIDE_CORNER",
        "Manufacturer": "RedDino", "ManufacturerModelName": "synthetic smear", "DeviceSerialNumber": "0",
        "SoftwareVersions": __version__,
        "ContainerIdentifier": name, "IssuerOfTheContainerIdentifierSequence": [],
        "ContainerTypeCodeSequence": [_code("433466003", "SCT", "Microscope slide")],
        "AcquisitionContextSequence": [],
        "SpecimenDescriptionSequence": [
            _dataset(
                SpecimenIdentifier=name,
                SpecimenUID=_uid(settings, "specimen"),
                IssuerOfTheSpecimenIdentifierSequence=[],
                SpecimenPreparationSequence=[],
            )
        ],
    }  # fmt: skip


def _image(level: SlideLevel, settings: SlideSettings) -> dict[str, Any]:
    """Return what the level shows of the slide, and at which scale."""
    height, width, _ = level.shape
    millimetres = settings.um_per_px / 1e3
    kind = ["DERIVED", "PRIMARY", "VOLUME", "RESAMPLED" if level.number else "NONE"]
    spacing = [
        settings.height * millimetres / height,
        settings.width * millimetres / width,
    ]
    organisation = _uid(settings, "dimensions")
    return {
        "ImageType": kind,
        "InstanceNumber": level.number + 1,
        "ContentDate": _DATE, "ContentTime": _TIME, "AcquisitionDateTime": _DATE + _TIME,
        "TotalPixelMatrixColumns": width, "TotalPixelMatrixRows": height,
        "TotalPixelMatrixFocalPlanes": 1,
        "TotalPixelMatrixOriginSequence": [
            _dataset(XOffsetInSlideCoordinateSystem="0", YOffsetInSlideCoordinateSystem="0")
        ],
        "ImageOrientationSlide": [0, -1, 0, -1, 0, 0],
        "ImagedVolumeWidth": settings.width * millimetres,
        "ImagedVolumeHeight": settings.height * millimetres,
        "ImagedVolumeDepth": 1.0,
        "VolumetricProperties": "VOLUME", "SpecimenLabelInImage": "NO", "BurnedInAnnotation": "NO",
        "FocusMethod": "AUTO", "ExtendedDepthOfField": "NO",
        "DimensionOrganizationType": "TILED_FULL",
        "DimensionOrganizationSequence": [_dataset(DimensionOrganizationUID=organisation)],
        "SharedFunctionalGroupsSequence": [
            _dataset(
                PixelMeasuresSequence=[
                    _dataset(PixelSpacing=[_decimal(one) for one in spacing], SliceThickness="0.001")
                ],
                WholeSlideMicroscopyImageFrameTypeSequence=[_dataset(FrameType=kind)],
                OpticalPathIdentificationSequence=[_dataset(OpticalPathIdentifier="1")],
            )
        ],
    }  # fmt: skip


def _pixels(level: SlideLevel, settings: SlideSettings) -> dict[str, Any]:
    """Return how the frames are stored."""
    return {
        "NumberOfFrames": tiles_of(level.shape), "Rows": TILE, "Columns": TILE,
        "SamplesPerPixel": 3, "PlanarConfiguration": 0, "PixelRepresentation": 0,
        "BitsAllocated": 8, "BitsStored": 8, "HighBit": 7,
        "PhotometricInterpretation": "YBR_RCT" if settings.lossless else "YBR_FULL_422",
        "LossyImageCompression": "00" if settings.lossless else "01",
    }  # fmt: skip


def _optics(settings: SlideSettings) -> dict[str, Any]:
    path = _dataset(
        OpticalPathIdentifier="1",
        IlluminationTypeCodeSequence=[_code("111744", "DCM", "Brightfield illumination")],
        IlluminationColorCodeSequence=[_code("414298005", "SCT", "Full Spectrum")],
        ICCProfile=_srgb(),
    )
    return {"NumberOfOpticalPaths": 1, "OpticalPathSequence": [path]}


def _srgb() -> bytes:
    """Return a profile of sRGB, without the date of its making."""
    from PIL import ImageCms

    made = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return made[:24] + bytes(12) + made[36:] + b"\0" * (len(made) % 2)


def _uid(settings: SlideSettings, what: str) -> str:
    """Return an identifier that no other slide has."""
    from pydicom.uid import generate_uid

    given = [f"{name}={value}" for name, value in sorted(vars(settings).items())]
    return str(generate_uid(entropy_srcs=["reddino synthesise slide", __version__, *given, what]))


def _decimal(value: float) -> str:
    """Return a number within the 16 characters of a decimal string."""
    return f"{value:.10f}"


def _code(value: str, scheme: str, meaning: str) -> Any:
    return _dataset(CodeValue=value, CodingSchemeDesignator=scheme, CodeMeaning=meaning)


def _dataset(**values: Any) -> Any:
    from pydicom import Dataset

    made = Dataset()
    for name, value in values.items():
        setattr(made, name, value)
    return made
