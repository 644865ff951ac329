"""The model card (README.md) of a hub folder: what was trained, on what, how well, and its limits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from reddino.foundations.version import __version__
from reddino.networks.folder import ModelCard

UNKNOWN = "not recorded in the model folder"


def model_card(
    card: ModelCard, name: str, dim: int, scores: Mapping[str, float], licence: str | None = None
) -> str:
    """Return Markdown with the hub's front matter.

    Args:
        card: of the model.
        name: of the model.
        dim: length of its class token.
        scores: by name, from the user.
        licence: of the weights; None: unknown.
    """
    return "\n".join(
        [
            *_front_matter(licence),
            *_about(card, name, dim, licence),
            *_training(card),
            *_scores(scores),
            *_limits(),
        ]
    )


def _front_matter(licence: str | None) -> Iterator[str]:
    yield "---"
    yield f"license: {licence or 'unknown'}"
    yield "library_name: timm"
    yield "pipeline_tag: image-feature-extraction"
    yield "tags: [timm, red-blood-cells, haematology, self-supervised, dinov2]"
    yield "---"


def _about(card: ModelCard, name: str, dim: int, licence: str | None) -> Iterator[str]:
    yield f"# {name.rstrip('/').rsplit('/', 1)[-1]}"
    yield ""
    yield f"Image encoder for red blood cell smears, written by RedDino {__version__}."
    yield ""
    yield "| | |"
    yield "|---|---|"
    yield f"| backbone (timm) | `{card.backbone}` |"
    yield f"| vector | {dim} numbers (class token, or pooled output) |"
    yield f"| input | {card.image_size} x {card.image_size} px, {card.channel_order} |"
    yield f"| mean, std | {list(card.mean)}, {list(card.std)} |"
    if card.resampled_from:
        yield f"| position embedding | {card.position_resampling}, from {card.resampled_from} px |"
    yield f"| weights hash | `{card.weights_hash}` |"
    yield f"| licence of the weights | {licence or 'unknown: nothing states it'} |"
    yield ""
    yield "```python"
    yield "import timm"
    yield 'model = timm.create_model("hf_hub:OWNER/NAME", pretrained=True).eval()'
    yield "```"
    yield ""


def _training(card: ModelCard) -> Iterator[str]:
    training: dict[str, Any] = card.training
    yield "## Training data and recipe"
    yield ""
    yield f"- Training data: fingerprint {training.get('data', UNKNOWN)}"
    for key, value in training.items():
        if key not in ("data", "recipe"):
            yield f"- {key}: {value}"
    recipe = training.get("recipe")
    if not isinstance(recipe, Mapping) or not recipe:
        yield f"- Recipe: {UNKNOWN}"
    else:
        yield "- Recipe:"
        yield ""
        for section, settings in recipe.items():
            yield f"      {section}: {settings}"
    yield ""


def _scores(scores: Mapping[str, float]) -> Iterator[str]:
    yield "## Scores"
    yield ""
    if not scores:
        yield "None were given."
    for name, value in scores.items():
        yield f"- {name}: {value:.4f}"
    yield ""


def _limits() -> Iterator[str]:
    yield "## Limits"
    yield ""
    yield "**Not a medical device.** For research only: nothing computed with this model is a diagnosis, and"
    yield "it has not been validated for use on patients. Vectors depend on stain, camera and magnification;"
    yield "check them on your own laboratory's smears before relying on them."
    yield ""
