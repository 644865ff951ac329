"""What works on Ray, where a caller gives `ray`."""

from __future__ import annotations

from reddino.embedding.ray_cluster import LOCAL
from reddino.embedding.ray_pass import RayPass
from reddino.embedding.ray_pictures import RayPictures
from reddino.foundations.errors import RedDinoError


def ray_pass(ray: bool | str, workers: int, device: str) -> RayPass | None:
    """Return what embeds on Ray; None where that is not given.

    Raises:
        RedDinoError: a number of workers without Ray, or the package ray is not installed.
    """
    address = _address(ray, workers)
    return None if address is None else RayPass(address, workers, device)


def ray_pictures(ray: bool | str, workers: int) -> RayPictures | None:
    """Return what searches pictures on Ray; None where that is not given.

    Raises:
        RedDinoError: as `ray_pass`.
    """
    address = _address(ray, workers)
    return None if address is None else RayPictures(address, workers)


def _address(ray: bool | str, workers: int) -> str | None:
    if ray is False:
        if workers:
            raise RedDinoError("a number of Ray workers is given, but no Ray: give --ray (ray=True) as well")
        return None
    return LOCAL if ray is True else ray
