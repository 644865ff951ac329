"""Images to vectors as a step of a scikit-learn pipeline."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from reddino.embedding.finite import finite_rows
from reddino.embedding.open_encoder import load
from reddino.foundations.errors import RedDinoError
from reddino.networks.encoder import Encoder
from reddino.networks.squares import Picture


class EmbeddingTransformer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Embeds images with a frozen network; `fit` learns nothing but opens it.

    Parameters are those of `reddino.load`. A fitted transformer is pickled without the network, which is
    opened again when it is needed; other weights than those it was fitted with are refused then.

    Attributes:
        weights_hash_: of the network.
    """

    def __init__(
        self,
        model: str = "reddino-small",
        *,
        pooling: str = "cls",
        image_size: int | None = None,
        channel_order: str | None = None,
        runtime: str = "torch",
        precision: str = "auto",
        device: str = "auto",
        batch_size: int = 32,
    ) -> None:
        self.model = model
        self.pooling = pooling
        self.image_size = image_size
        self.channel_order = channel_order
        self.runtime = runtime
        self.precision = precision
        self.device = device
        self.batch_size = batch_size

    def fit(self, X: Sequence[Picture] | NDArray[np.uint8], y: object = None) -> EmbeddingTransformer:
        """Open the network.

        Args:
            X: images, as for `transform`; only their number is used.
            y: not used.

        Raises:
            RedDinoError: no images, an unknown model or option.
        """
        if not len(X):
            raise RedDinoError("there are no images to fit on: give at least one")
        encoder = self._open()
        encoder.check_pooling(self.pooling)
        self._encoder = encoder
        self.weights_hash_ = encoder.weights_hash
        # The name under which scikit-learn looks for it, to name the columns.
        self._n_features_out = encoder.dim * (2 if self.pooling == "cls+mean" else 1)
        return self

    def transform(self, X: Sequence[Picture] | NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return vectors (n, d) float32 of paths, PIL images, uint8 RGB arrays, or an array (n, h, w, 3).

        Raises:
            RedDinoError: other weights than those it was fitted with, or vectors that are not finite.
        """
        check_is_fitted(self, "weights_hash_")
        if getattr(self, "_encoder", None) is None:
            encoder = self._open()
            if encoder.weights_hash != self.weights_hash_:
                raise RedDinoError(
                    f"the weights of '{self.model}' ({encoder.weights_hash}) are not those that this "
                    f"transformer was fitted with ({self.weights_hash_}): fit it again"
                )
            self._encoder = encoder
        vectors = self._encoder.embed(X, self.pooling, batch_size=self.batch_size)
        finite = finite_rows(vectors)
        if not finite.all():
            raise RedDinoError(
                f"the vectors of {int((~finite).sum())} of {len(vectors)} images hold numbers that are not "
                f"finite (the first is image {int(np.argmin(finite))}, from 0): compute in fp32, or leave "
                "these images out"
            )
        return vectors

    def _open(self) -> Encoder:
        return load(
            self.model,
            image_size=self.image_size,
            channel_order=self.channel_order,
            runtime=self.runtime,
            precision=self.precision,
            device=self.device,
            pooling=self.pooling,
        )

    def __getstate__(self) -> dict[str, Any]:
        """Return everything but the network."""
        state: dict[str, Any] = super().__getstate__()
        return {key: value for key, value in state.items() if key != "_encoder"}

    def __sklearn_tags__(self) -> Any:
        """Declare that it takes images, not a table of numbers."""
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        tags.requires_fit = True
        tags.no_validation = True
        return tags
