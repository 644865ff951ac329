"""Class maps: labels that are joined, renamed or dropped, so that data sets with other names meet."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError, field_validator, model_validator

from reddino.embedding.embeddings import Embeddings
from reddino.foundations.errors import RedDinoError
from reddino.foundations.structured import fit, read_yaml
from reddino.smears.spelling import clean, spelling_key, tidy


class ClassMap(BaseModel):
    """Which labels become which classes.

    Attributes:
        join: class -> the labels that become it.
        drop: labels that take no part.
        others: labels that are not named keep their name as a class, or are dropped.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    join: Mapping[str, tuple[str, ...]] = {}
    drop: tuple[str, ...] = ()
    others: Literal["keep", "drop"] = "keep"

    @field_validator("join")
    @classmethod
    def _tidy_classes(cls, join: Mapping[str, tuple[str, ...]]) -> Mapping[str, tuple[str, ...]]:
        classes: dict[str, tuple[str, ...]] = {}
        for name, labels in join.items():
            classes[tidy(name)] = (*classes.get(tidy(name), ()), *map(tidy, labels))
        return classes

    @field_validator("drop")
    @classmethod
    def _tidy_labels(cls, drop: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(map(tidy, drop))

    @model_validator(mode="after")
    def _each_label_once(self) -> ClassMap:
        named = [*(label for labels in self.join.values() for label in labels), *self.drop]
        double = {label for label in named if named.count(label) > 1}
        if double:
            raise ValueError(f"the label {sorted(double)[0]!r} is named twice")
        return self

    @classmethod
    def of_pairs(cls, pairs: Mapping[str, str | None]) -> ClassMap:
        """Make a map from old label -> class, None to drop it."""
        classes: dict[str, list[str]] = {}
        for label, name in pairs.items():
            if name:
                classes.setdefault(name, []).append(label)
        dropped = tuple(label for label, name in pairs.items() if not name)
        return cls(join={name: tuple(labels) for name, labels in classes.items()}, drop=dropped)

    def named(self) -> set[str]:
        """Return every label that the map names."""
        return {label for labels in self.join.values() for label in labels} | set(self.drop)

    def class_of(self, label: str) -> str:
        """Return the class of a label, "" if it takes no part."""
        label = clean(label)
        for name, labels in self.join.items():
            if label in labels:
                return name
        if label in self.drop or (self.others == "drop" and label not in self.join):
            return ""
        return label

    def restricted_to(self, labels: Iterable[str]) -> ClassMap:
        """Return the part of the map that bears on `labels`."""
        present = set(map(clean, labels))
        kept = {name: tuple(one for one in old if one in present) for name, old in self.join.items()}
        dropped = tuple(label for label in self.drop if label in present)
        return ClassMap(join=kept, drop=dropped, others=self.others)

    def require_known(self, labels: Iterable[str]) -> None:
        """Refuse a map that names a label which does not occur: it is misspelt.

        Raises:
            RedDinoError: names it, and the labels that there are.
        """
        present = set(map(clean, set(labels))) - {""}
        unknown = sorted(self.named() - present)
        if unknown:
            keys = {spelling_key(label) for label in unknown}
            meant = sorted(label for label in present if spelling_key(label) in keys)
            hint = f" (spelt {', '.join(map(repr, meant))} there)" if meant else ""
            raise RedDinoError(
                f"no row is labelled {', '.join(map(repr, unknown))}{hint}; "
                f"labels are: {', '.join(sorted(present))}"
            )


def read_class_map(path: str | Path) -> ClassMap:
    """Read a class map from YAML with the keys `join`, `drop` and `others`.

    Raises:
        RedDinoError: no such file, or a key or value that does not fit.
    """
    # Labels are text: 010, yes and 1.50 are not numbers or booleans in it.
    return fit(ClassMap, read_yaml(path, as_text=True), f"class map {path}")


def class_map(
    classes: str | Path | ClassMap | None, drop: Sequence[str] = (), rename: Mapping[str, str] | None = None
) -> ClassMap:
    """Return a class map from a map or its file, with further labels dropped and renamed (old to new).

    Raises:
        RedDinoError: the file does not fit, or a label is named twice.
    """
    base = classes if isinstance(classes, ClassMap) else read_class_map(classes) if classes else ClassMap()
    join = {name: list(labels) for name, labels in base.join.items()}
    for old, new in (rename or {}).items():
        join.setdefault(new, []).append(old)
    try:
        return ClassMap.model_validate({"join": join, "drop": (*base.drop, *drop), "others": base.others})
    except ValidationError as error:
        raise RedDinoError(f"class map: {error.errors()[0]['msg']}") from error


def labelled_rows(
    emb: Embeddings, label: str, classes: ClassMap | Mapping[str, str | None] | None = None
) -> tuple[Embeddings, list[str]]:
    """Return the rows that take part once labels are mapped to classes, and their classes.

    Args:
        emb: the table.
        label: its column of labels.
        classes: a map, or old label -> class, None to drop it.

    Raises:
        RedDinoError: no row is left, or the map names a label that does not occur.
    """
    raw = emb.strings(label)
    mapping = classes if isinstance(classes, ClassMap) else ClassMap.of_pairs(classes or {})
    mapping.require_known(raw)
    class_of = {name: mapping.class_of(name) for name in set(raw)}
    found = [class_of[name] for name in raw]
    mask = np.array([name != "" for name in found], dtype=np.bool_)
    if not mask.any():
        raise RedDinoError(f"no row of the embedding table has a label in column '{label}'")
    return emb.select(mask), [name for name in found if name]
