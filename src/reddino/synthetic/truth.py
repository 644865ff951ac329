"""Truth: where the bodies of a scene are in a source's picture, in pixels."""

from __future__ import annotations

from dataclasses import dataclass

from reddino.synthetic.bystanders import Platelet, WhiteCell
from reddino.synthetic.camera import picture_size
from reddino.synthetic.cells import RedCell
from reddino.synthetic.scene import Scene
from reddino.synthetic.sources import Source


@dataclass(frozen=True)
class CellBox:
    """A body in a picture: top-left corner and size in pixels, clipped to the picture.

    `cell` numbers the bodies of a scene, alike under every source; `visible` is the fraction of the unclipped
    box that the picture shows; `diameter` is that of the equal-area circle in micrometres.
    """

    cell: str
    label: str
    x: float
    y: float
    w: float
    h: float
    visible: float
    diameter: float


def _box(
    body: RedCell | WhiteCell | Platelet, cell: str, label: str, scene: Scene, source: Source
) -> CellBox:
    left, top, width, height = body.box()
    x0, y0 = max(left, 0.0), max(top, 0.0)
    x1, y1 = min(left + width, scene.width), min(top + height, scene.height)
    w, h = max(x1 - x0, 0.0), max(y1 - y0, 0.0)
    # the picture has whole pixels, so its scale differs from the source's by a fraction of one per cent
    rows, columns = picture_size(scene, source)
    sx, sy = columns / scene.width, rows / scene.height
    return CellBox(cell, label, x0 * sx, y0 * sy, w * sx, h * sy, w * h / (width * height), body.diameter)


def boxes(scene: Scene, source: Source, *, bystanders: bool = False, visible: float = 0.75) -> list[CellBox]:
    """Return the boxes of the red cells of a scene as `source` photographs it.

    Args:
        scene: what lies on the slide.
        source: the laboratory.
        bystanders: add white cells and platelets, labelled 'white cell' and 'platelet'.
        visible: leave out what the picture's edge cuts down to less than this fraction.
    """
    found = [_box(c, f"r{i}", c.morphology, scene, source) for i, c in enumerate(scene.cells)]
    if bystanders:
        found += [_box(c, f"w{i}", "white cell", scene, source) for i, c in enumerate(scene.white_cells)]
        found += [_box(p, f"p{i}", "platelet", scene, source) for i, p in enumerate(scene.platelets)]
    return [box for box in found if box.visible > 0.0 and box.visible >= visible]
