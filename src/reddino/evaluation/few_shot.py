"""Few-shot splits: a handful of training cells a class, tested on groups that gave none of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from reddino.evaluation.splits import Folds, Rows, Split, grouped_folds


def few_shot(
    labels: Sequence[str],
    groups: Sequence[str],
    *,
    shots: int,
    repeats: int = 10,
    folds: int = 5,
    seed: int = 0,
) -> tuple[tuple[Split, ...], tuple[str, ...]]:
    """Draw `shots` training cells a class, repeatedly.

    Each repeat deals the groups into `folds` again and tests one fold; the training cells come from the
    others, from as many groups as they can. A class that has fewer cells there contributes all of them.

    Returns:
        One split per repeat, and a note where classes were too small.

    Raises:
        RedDinoError: classes and groups that cannot be dealt into folds.
    """
    truth, group = np.asarray(labels), np.asarray(groups)
    splits, short = [], set[str]()
    # Grouped folds do not depend on the repeat's number beyond their seed: one deal serves `folds` repeats.
    deals: dict[int, Folds] = {}
    for repeat in range(repeats):
        deal = deals.setdefault(repeat // folds, grouped_folds(labels, groups, folds, seed + repeat // folds))
        pool, test = list(deal)[repeat % folds]
        draw = np.random.default_rng([seed, shots, repeat])
        chosen = []
        for name in np.unique(truth[pool]):
            own = spread_over_groups(pool[truth[pool] == name], group, draw)
            if len(own) < shots:
                short.add(str(name))
            chosen.append(own[:shots])
        name = f"draw {repeat + 1}"
        splits.append(Split(name, np.sort(np.concatenate(chosen)), ((name, test),)))
    notes = (
        (f"Fewer than {shots} training cells in some draws, all of which train: {', '.join(sorted(short))}.",)
        if short
        else ()
    )
    return tuple(splits), notes


def spread_over_groups(
    rows: Rows, group: np.typing.NDArray[np.str_] | Rows, draw: np.random.Generator
) -> Rows:
    """Order rows at random such that each group's second row comes after the first of all groups."""
    rows = draw.permutation(rows)
    codes = np.unique(group[rows], return_inverse=True)[1]
    order = np.argsort(codes, kind="stable")
    starts = np.searchsorted(codes[order], np.arange(codes.max(initial=-1) + 1))
    turn = np.empty(len(rows), dtype=np.int64)
    turn[order] = np.arange(len(rows)) - starts[codes[order]]
    return rows[np.argsort(turn, kind="stable")]
