"""Which rows train and which test: folds with and without groups, and fixed splits."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from reddino.foundations.errors import RedDinoError
from reddino.smears.sides import side_of
from reddino.smears.spelling import tidy

Rows = npt.NDArray[np.int64]
TRAIN_ONLY = -1


@dataclass(frozen=True)
class Split:
    """One training set and what is tested on it.

    Attributes:
        name: of the training side or the fold.
        train: row numbers.
        tests: (name, row numbers) of each test set; each is scored by itself.
    """

    name: str
    train: Rows
    tests: tuple[tuple[str, Rows], ...]


@dataclass(frozen=True)
class Folds:
    """A partition of rows into test folds.

    Attributes:
        of_row: (n,) the fold in which a row is tested; TRAIN_ONLY where it never is.
        notes: for the reader of the scores.
    """

    of_row: Rows
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return int(self.of_row.max(initial=TRAIN_ONLY)) + 1

    def __iter__(self) -> Iterator[tuple[Rows, Rows]]:
        """Yield row numbers (train, test) of each fold."""
        for fold in range(len(self)):
            yield np.flatnonzero(self.of_row != fold), np.flatnonzero(self.of_row == fold)

    def splits(self) -> tuple[Split, ...]:
        """Return the folds as splits with a test set each."""
        return tuple(
            Split(f"fold {number}", train, ((f"fold {number}", test),))
            for number, (train, test) in enumerate(self, 1)
        )


def stratified_folds(labels: Sequence[str], folds: int = 5, seed: int = 0) -> Folds:
    """Make folds of rows, each with the classes in the proportions of the whole: the paper's split.

    Cells of one field stand on both sides, which flatters the score; `grouped_folds` does not allow that.

    Raises:
        RedDinoError: a class has fewer rows than there are folds.
    """
    names, counts = np.unique(np.asarray(labels), return_counts=True)
    require_two_classes(names)
    rare = [f"'{name}' ({count})" for name, count in zip(names, counts, strict=True) if count < folds]
    if rare:
        raise RedDinoError(
            f"{folds} folds need {folds} cells of each class, but there are fewer of {', '.join(rare)}: "
            "use fewer folds or drop these classes"
        )
    splitter = StratifiedKFold(n_splits=folds, shuffle=True, random_state=seed)
    return Folds(_fold_of_row(len(labels), splitter.split(np.zeros(len(labels)), labels)))


def grouped_folds(labels: Sequence[str], groups: Sequence[str], folds: int = 5, seed: int = 0) -> Folds:
    """Make folds of whole groups (field, slide, patient), with the classes' proportions about equal.

    A class that lives in fewer groups than folds is absent from some test folds, as the notes list.

    Raises:
        RedDinoError: fewer groups than folds, no class of as many rows, or a class that lives in one group
            only: where that group is tested, nothing could have learned the class.
    """
    truth, group = np.asarray(labels), np.asarray(groups)
    require_two_classes(truth)
    present = len(np.unique(group))
    if present < folds:
        raise RedDinoError(
            f"{folds} folds need at least {folds} groups, but there are {present}: use fewer folds"
        )
    spread = {str(name): len(np.unique(group[truth == name])) for name in np.unique(truth)}
    lonely = [f"'{name}'" for name, count in spread.items() if count < 2]
    if lonely:
        raise RedDinoError(
            f"all cells of {', '.join(lonely)} are in one group, so no fold can learn and test that class: "
            "drop it, or group by another column"
        )
    largest = int(np.unique(truth, return_counts=True)[1].max())
    if largest < folds:
        raise RedDinoError(
            f"{folds} folds need a class of at least {folds} cells, but the largest has {largest}: use fewer "
            "folds, or join classes"
        )
    splitter = StratifiedGroupKFold(n_splits=folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        # scikit-learn counts rows here; the notes below count groups, which is what matters.
        warnings.filterwarnings("ignore", message="The least populated class", category=UserWarning)
        of_row = _fold_of_row(len(truth), splitter.split(np.zeros(len(truth)), truth, group))
    require_whole_groups(of_row, group)
    notes = [
        f"Class '{name}' lives in {count} groups, fewer than the {folds} folds: some folds do not test it."
        for name, count in spread.items()
        if count < folds
    ]
    return Folds(of_row, tuple(notes))


def folds_of_groups(groups: Sequence[str], folds: int = 5, seed: int = 0) -> list[Rows]:
    """Return the row numbers of folds of whole groups, whatever their classes.

    There are as many as `folds`, or as groups where these are fewer.
    """
    names, number = np.unique(np.asarray(groups), return_inverse=True)
    parts = min(folds, len(names))
    of_group = np.empty(len(names), dtype=np.int64)
    of_group[np.random.default_rng(seed).permutation(len(names))] = np.arange(len(names)) % max(parts, 1)
    return [np.flatnonzero(of_group[number] == part) for part in range(parts)]


def held_out(values: Sequence[str], test_values: Sequence[str]) -> Folds:
    """Make one split: rows whose value (of a patient, a source, a column) is named test, all others train.

    Raises:
        RedDinoError: a named value does not occur, or nothing is left to train on.
    """
    value, test_values = np.asarray(values), [tidy(name) for name in test_values]
    missing = sorted(set(test_values) - set(value.tolist()))
    if missing:
        raise RedDinoError(
            f"no row has the test value {', '.join(map(repr, missing))}; "
            f"there are: {', '.join(map(repr, np.unique(value).tolist()[:20]))}"
        )
    tested = np.isin(value, np.asarray(test_values))
    if tested.all() or not tested.any():
        raise RedDinoError(
            "the test values must leave rows on both sides: name some, but not all, of the values"
        )
    return Folds(np.where(tested, 0, TRAIN_ONLY).astype(np.int64))


def on_a_side(values: Sequence[str]) -> npt.NDArray[np.bool_]:
    """Return which rows (n,) train or test by `split_column`."""
    return np.isin(_sides(values), ("train", "test"))


def split_column(values: Sequence[str]) -> tuple[Split, ...]:
    """Return the split that a column has by its values `train` and `test`; other rows take no part.

    Raises:
        RedDinoError: no row trains, or none tests.
    """
    value = _sides(values)
    train, test = np.flatnonzero(value == "train"), np.flatnonzero(value == "test")
    if not len(train) or not len(test):
        have = ", ".join(map(repr, np.unique(np.asarray(values)).tolist()[:20]))
        raise RedDinoError(
            f"the split column needs the values 'train' and 'test'; it has {have}: "
            "name the values that test, or another column"
        )
    return (Split("train", train, (("test", test),)),)


def sides_of(values: Sequence[str]) -> list[str]:
    """Return the side that each value of a split column names, as it is written there where it names none."""
    return [side_of(value) for value in values]


def _sides(values: Sequence[str]) -> npt.NDArray[np.str_]:
    return np.asarray(sides_of(values), dtype=np.str_)


def require_whole_groups(of_row: Rows, groups: npt.ArrayLike) -> None:
    """Refuse folds in which a group stands on both sides of a split.

    Raises:
        RedDinoError: names one such group.
    """
    group = np.asarray(groups)
    names, index = np.unique(group, return_inverse=True)
    low = np.full(len(names), np.iinfo(np.int64).max)
    high = np.full(len(names), np.iinfo(np.int64).min)
    np.minimum.at(low, index, of_row)
    np.maximum.at(high, index, of_row)
    if (low != high).any():
        raise RedDinoError(
            f"group '{names[low != high][0]}' stands on both sides of a split: group by a coarser column"
        )


def unlearned_classes(splits: Sequence[Split], labels: npt.ArrayLike) -> list[str]:
    """Return a note for each class that a split tests without a single training row of it."""
    truth = np.asarray(labels)
    missing: dict[str, list[str]] = {}
    for split in splits:
        for test, rows in split.tests:
            where = test if test == split.name else f"{split.name} -> {test}"
            for name in np.setdiff1d(truth[rows], truth[split.train]):
                missing.setdefault(str(name), []).append(where)
    return [
        f"Class '{name}' is tested without a training cell of it in: {', '.join(places)}."
        for name, places in missing.items()
    ]


def untested_classes(tests: Sequence[tuple[str, npt.NDArray[np.int64]]], names: Sequence[str]) -> list[str]:
    """Return notes on the classes that test sets lack, so that no score there is about them.

    Args:
        tests: name of each test set, and the class numbers of its rows.
        names: of the classes, by number.

    Returns:
        One note per class, and one on sets of a single class, in which there is nothing to separate.
    """
    absent: dict[str, list[str]] = {}
    single: dict[str, str] = {}
    for where, truth in tests:
        present = np.unique(truth)
        for number in np.setdiff1d(np.arange(len(names)), present).tolist():
            absent.setdefault(names[number], []).append(where)
        if len(present) == 1:
            single[where] = names[int(present[0])]
    found = [
        f"Class '{name}' has no cell in {len(places)} of {len(tests)} test sets ({_some(places)}): bAcc and "
        "macro F1 there are means over the other classes"
        + (", and there is no AUROC." if len(names) == 2 else ".")
        for name, places in absent.items()
    ]
    if single:
        sets = _some([f"{where}: '{name}'" for where, name in single.items()])
        found.append(
            f"{len(single)} of {len(tests)} test sets hold a single class ({sets}): their scores show how "
            "often it is recognised, and nothing of what is taken for it."
        )
    return found


def _some(places: Sequence[str], most: int = 5) -> str:
    more = f" and {len(places) - most} more" if len(places) > most else ""
    return ", ".join(places[:most]) + more


def straddling(splits: Sequence[Split], groups: npt.ArrayLike) -> str | None:
    """Return a note on the tested cells whose group (field, slide, patient) trains as well; or None."""
    names, group = np.unique(np.asarray(groups), return_inverse=True)
    shared = tested = 0
    for split in splits:
        trains = np.zeros(len(names), dtype=np.bool_)
        trains[group[split.train]] = True
        for _, rows in split.tests:
            shared += int(trains[group[rows]].sum())
            tested += len(rows)
    if not shared:
        return None
    return (
        f"{100 * shared / tested:.0f} % of the tested cells share a group (field, slide or patient) with a "
        "training cell, which flatters the scores."
    )


def _fold_of_row(rows: int, split: Iterator[tuple[Rows, Rows]]) -> Rows:
    of_row = np.full(rows, TRAIN_ONLY, dtype=np.int64)
    for fold, (_, test) in enumerate(split):
        of_row[test] = fold
    return of_row


def require_two_classes(labels: npt.ArrayLike) -> None:
    """Refuse labels of fewer than two classes."""
    names = np.unique(np.asarray(labels))
    if len(names) < 2:
        raise RedDinoError(f"scoring needs cells of at least two classes; here: {names.tolist()}")
