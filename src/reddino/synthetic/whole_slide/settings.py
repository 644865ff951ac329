"""What a synthetic slide follows from."""

from __future__ import annotations

from dataclasses import dataclass

from reddino.synthetic.choices import SlideFormat


@dataclass(frozen=True)
class SlideSettings:
    """What a synthetic slide follows from, as recorded next to it.

    Attributes:
        width, height: of level 0, in pixels.
        seed: of all that is drawn.
        um_per_px: micrometres of a pixel of level 0.
        source: the laboratory.
        profile: the disease of the patient.
        crowd: multiplies how densely red cells lie.
        faults: whether there are any.
        bank: red cells that are painted, to be stamped again and again.
        format: of the slide.
        lossless: keep pixels as they were drawn (deflate in a TIFF, JPEG 2000 in DICOM), instead of JPEG.
    """

    width: int
    height: int
    seed: int = 0
    um_per_px: float = 0.25
    source: str = "lilac"
    profile: str = "thalassaemia"
    crowd: float = 1.0
    faults: bool = True
    bank: int = 400
    format: SlideFormat = "tiff"
    lossless: bool = False
