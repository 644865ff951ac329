"""RedDino: self-supervised foundation models for red blood cell images.

The package exports what the commands do: `reddino.manifest`, `check`, `synthesise`, `cells`, `pack`, `plan`,
`pretrain`, `embed`, `convert`, `evaluate`, `batch`, `fit`, `predict`, `explore`, `patches`, `report`,
`models`, `export`, `push` and `demo`;
they are described in `reddino.api`.
`reddino.load` opens a model, and `reddino.EmbeddingTransformer` is one as a step of a scikit-learn pipeline.
"""

from __future__ import annotations

import os
from typing import Any

from reddino.verbs import EXPORTS, ROOMS, find

# OpenMP threads that spin while another process holds their core make a training step 3-7 times slower; the
# variable is read when the OpenMP runtime loads, that is before torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# Libraries would report their use to their makers; ONNX Runtime reads its variable when it is imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

__version__ = "0.1.0"
__all__ = ["__version__", *EXPORTS, *ROOMS]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    # Importing reddino must stay fast, so nothing heavy is loaded before it is asked for.
    return find(name)


def __dir__() -> list[str]:
    return sorted([*globals(), *EXPORTS, *ROOMS])
