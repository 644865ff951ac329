"""Pretraining, and what goes before it: pretrain, pack, plan."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from reddino.api.arguments import Advance, with_former_names
from reddino.api.sole_writer import sole_writer
from reddino.evaluation.online import online_neighbours
from reddino.pretraining import train
from reddino.pretraining.data.pack_sources import pack_data
from reddino.pretraining.distributed.processes import joined
from reddino.pretraining.run.diameters import needed_diameters, run_diameters
from reddino.pretraining.run.folder import only_trainer
from reddino.pretraining.run.plan import PretrainingPlan, make_plan
from reddino.pretraining.run.recipe import Recipe, read_recipe
from reddino.pretraining.train import Outcome
from reddino.smears.failures import Failures
from reddino.smears.manifest import Manifest, join_manifests
from reddino.smears.opening import Data, open_data, require_no_pack
from reddino.views.choices import Side
from reddino.views.spec import DEFAULT_SIDES

log = logging.getLogger(__name__)


@with_former_names(labelled="online_data", label_side="online_view", label_cells="online_cells")
def pretrain(
    recipe: str | Path | Recipe,
    data: Data | Sequence[Data],
    out: str | Path,
    *,
    overrides: Sequence[str] = (),
    online_data: Data | None = None,
    online_view: Side = DEFAULT_SIDES["cells"],
    online_cells: int = 2000,
    progress: Advance | None = None,
) -> Outcome:
    """Pretrain a network; the same call continues a run that was interrupted.

    Processes that torchrun started compute one run together; each of them makes this call.

    Args:
        recipe: name or path of a recipe, or the recipe itself.
        data: manifests, their files or folders of images, of which several are joined; or one pack.
        out: the run folder.
        overrides: such as `optim.lr=1e-4` or `model.start=dinov2-small`.
        online_data: cells with labels, on which the teacher is scored while it trains (online 20-NN).
        online_view: side of the squares around these cells, and its unit.
        online_cells: the largest number of them that take part, drawn at random once.
        progress: called with steps done and steps planned.

    Returns:
        The outcome; `finished` is False after Ctrl-C or SIGTERM, `model` is the model folder.

    Raises:
        RedDinoError: recipe, images or run folder do not fit, or another process trains in it.
    """
    resolved = recipe if isinstance(recipe, Recipe) else read_recipe(recipe, overrides)
    sources = [data] if isinstance(data, str | Path | Manifest) else data
    not_opened = Failures()
    opened = [open_data(one, not_opened, subfolders="none") for one in sources]
    require_no_pack(opened)
    images = opened[0] if len(opened) == 1 else join_manifests(opened)
    with joined(resolved.runtime.device) as processes, only_trainer(Path(out), processes):
        if not_opened.count and processes.is_main:
            log.warning(not_opened.summary())
        score = None
        if online_data is not None and processes.is_main:
            size = resolved.crops.global_size
            score = online_neighbours(online_data, online_view, online_cells, size)
        return train.pretrain(
            resolved,
            images,
            Path(out),
            cell_diameters=processes.from_main(lambda: run_diameters(resolved, images, Path(out))),
            online_score=score,
            not_opened=not_opened,
            progress=progress if processes.is_main else None,
            processes=processes,
        )


@sole_writer(folders=("out",))
def pack(
    data: Data | Sequence[Data],
    out: str | Path,
    *,
    recipe: str | Path | Recipe | None = None,
    failures: Failures | None = None,
    progress: Advance | None = None,
) -> Manifest:
    """Decode images once into a folder for any number of pretraining runs.

    Args:
        data: manifests, their files or folders of images; or tar shards, as file names or URLs, in which
            `{000..012}` stands for a range.
        out: a new folder.
        recipe: the recipe that the images are for, whose cell diameters they are measured and shrunk to; None
            keeps them as they are.
        failures: takes what could not be used.
        progress: called with images done and images in all; in all is 0 for shards, which are streamed.

    Raises:
        RedDinoError: shards and manifests at once, no image that can be decoded, or `out` is a pack.
    """
    return pack_data(data, Path(out), recipe, Failures() if failures is None else failures, progress)


def plan(
    recipe: str | Path | Recipe,
    *,
    overrides: Sequence[str] = (),
    devices: int = 1,
    device_kind: str = "this",
    samples: int | None = None,
    check: Data | None = None,
) -> PretrainingPlan:
    """Estimate what a pretraining run takes: operations, memory, samples a second, hours.

    Args:
        recipe: name or path of a recipe, or the recipe itself.
        overrides: such as `crops.local_count=4`.
        devices: number of devices.
        device_kind: `this` measures a probe on this machine; else a name of
            `reddino.pretraining.run.plan.DEVICES`, or peak TFLOP/s and GB of memory such as `300/80`.
        samples: length of the run; None: as the recipe has it.
        check: images that a short real run is made on, to compare the plan with (this machine only).

    Raises:
        RedDinoError: no such recipe or kind of device.
    """
    resolved = recipe if isinstance(recipe, Recipe) else read_recipe(recipe, overrides)
    images = None if check is None else open_data(check, subfolders="none")
    return make_plan(
        resolved,
        devices=devices,
        device_kind=device_kind,
        samples=samples,
        check=images,
        cell_diameters=None if images is None else needed_diameters(resolved, images),
    )
