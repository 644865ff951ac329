"""The choices of an evaluation; without scikit-learn, so that the command line can name them."""

from __future__ import annotations

from typing import Literal, get_args

Protocol = Literal["kfold", "grouped-kfold", "cross-source", "leave-one-source-out", "fixed", "few-shot"]
PublishedClassifier = Literal["probe", "1-NN", "20-NN"]
OptionalClassifier = Literal["scaled probe", "cosine 1-NN", "cosine 20-NN", "nearest mean"]
Classifier = Literal[PublishedClassifier, OptionalClassifier]
#: As coded in the published evaluation; always computed.
PUBLISHED: tuple[Classifier, ...] = get_args(PublishedClassifier)
#: Computed by option.
OPTIONAL: tuple[Classifier, ...] = get_args(OptionalClassifier)
