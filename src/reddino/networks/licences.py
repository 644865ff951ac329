"""The licence of a model's weights, where their makers state one."""

from __future__ import annotations

import re
from pathlib import Path

from reddino.networks import hub
from reddino.networks.catalogue import (
    EFFICIENTNET_LITE0,
    EFFICIENTNET_LITE0_LICENCE,
    HUB,
    PUBLISHED,
    RESNET50,
    RESNET50_LICENCE,
    TIMM,
    UNTRAINED,
)
from reddino.networks.model_names import AT, TURNED
from reddino.networks.shipped import as_folder

README = "README.md"
#: What stands for no licence on the hub.
UNKNOWN = "unknown"
_ENTRY = re.compile(r"""(license|license_name): *["']?([\w.+-]{1,60})["']? *$""")


def licence_of(name: str) -> str | None:
    """Return the licence of a model's weights as the hub spells it, such as `apache-2.0`; None: not stated.

    Stated is what the model card next to the weights has (`license:` on top of README.md), what this package
    records for its short names, and what timm has for its networks. Weights of a run of one's own have the
    licence that their maker gives them.

    Args:
        name: as `open_model` takes it.
    """
    name = as_folder(name.removeprefix(TURNED))
    if Path(name).is_dir():
        return _of_card(Path(name))
    if name.startswith(UNTRAINED):
        return None
    if name in PUBLISHED:
        return PUBLISHED[name].licence
    short = {EFFICIENTNET_LITE0: EFFICIENTNET_LITE0_LICENCE, RESNET50: RESNET50_LICENCE}
    if name in short:
        return short[name]
    if name.startswith(HUB):
        return _of_repository(name.removeprefix(HUB[0]).removeprefix(HUB[1]))
    return None if Path(name).exists() or AT in name else _of_timm(name.removeprefix(TIMM))


def front_matter_licence(card: Path) -> str | None:
    """Return the licence on top of a model card, between its first two lines of dashes.

    A licence that the hub has no name for stands there as `other`, with its name below.
    """
    lines = card.read_text("utf-8", errors="replace").splitlines()
    if not lines or lines[0].strip() != "---":
        return None
    found: dict[str, str] = {}
    for line in lines[1:]:
        if line.strip() == "---":
            break
        entry = _ENTRY.match(line)
        if entry is not None:
            found[entry[1]] = entry[2]
    licence = found.get("license", UNKNOWN).lower()
    if licence == "other":
        return found.get("license_name")
    return None if licence == UNKNOWN else licence


def _of_card(folder: Path) -> str | None:
    """Return what the card of a model folder states on top."""
    return front_matter_licence(folder / README) if (folder / README).is_file() else None


def _of_repository(repository: str) -> str | None:
    """Return what the card of a repository of the hub states."""
    card = hub.fetch_optional(repository, README)
    return front_matter_licence(card) if card is not None else None


def _of_timm(name: str) -> str | None:
    """Return what timm has for the weights of one of its networks."""
    import timm

    if not timm.is_model(name.partition(".")[0]):
        return None
    try:
        settings = timm.get_pretrained_cfg(name)
    except RuntimeError:  # no such tag
        return None
    return None if settings is None else settings.license
