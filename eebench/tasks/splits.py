"""Rows in memory, and deterministic ways to cut them.

Every cut orders rows by a sha256 of their text instead of drawing random numbers, so it is the same for ever,
whatever the version of any library and whatever order the rows came in.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eebench.errors import UserError
from eebench.tasks.layouts import Shares
from eebench.tasks.specs import TaskSpec

Labels = NDArray[np.int64] | NDArray[np.float32]

# Between the texts of a pair in hash keys; it cannot be confused with text a user would type.
SEPARATOR = "\x1f"
HELD_OUT = "holdout"
"""The name of the slice of train that a run does not train on, wherever splits are named."""
# Splits a trained model depends on; others (a second dev set, a test set) leave the fingerprint alone.
FINGERPRINTED = ("train", "dev")


@dataclass(frozen=True, eq=False)
class Split:
    """n rows: `texts` n tuples of one or two strings, `labels` [n] int64 or float32 (scores), `ids` [n].

    An id is the row's place in the split as loaded; it stays with the row through `take`, `head`, `hold_out`.
    """

    texts: list[tuple[str, ...]]
    labels: Labels
    ids: NDArray[np.int64]

    def __post_init__(self) -> None:
        lengths = (len(self.texts), len(self.labels), len(self.ids))
        if len(set(lengths)) != 1:
            raise ValueError("texts, labels and ids must be equally long, not {}, {}, {}".format(*lengths))

    def __len__(self) -> int:
        return len(self.texts)

    def take(self, indices: Iterable[int] | NDArray[np.int64]) -> Split:
        """The rows at `indices` (0-based places in this split), in that order."""
        chosen = np.asarray(list(indices), dtype=np.int64)
        return Split([self.texts[i] for i in chosen], self.labels[chosen], self.ids[chosen])

    def head(self, count: int, seed: int = 0) -> Split:
        """`count` rows chosen by hash order, kept in row order; a smaller head is part of a larger one.

        All rows when there are no more than `count`. Raises UserError for a count below 1.
        """
        if count < 1:
            raise UserError(f"cannot keep {count} rows of a split; give a number of at least 1.")
        if count >= len(self):
            return self
        return self.take(sorted(_hash_order(self, range(len(self)), seed)[:count]))


@dataclass(frozen=True, eq=False)
class TaskData:
    """The loaded splits of a task; `fingerprint` names their content, whichever source it came from."""

    spec: TaskSpec
    splits: dict[str, Split]
    fingerprint: str


def fingerprint(splits: Mapping[str, Split]) -> str:
    """sha256 (hex) over the texts and labels of "train" and "dev" as far as loaded, else of all splits."""
    names = [name for name in FINGERPRINTED if name in splits] or sorted(splits)
    digest = hashlib.sha256()
    for name in names:
        digest.update(f"{name}\n".encode())
        for texts, label in zip(splits[name].texts, splits[name].labels.tolist(), strict=True):
            digest.update(json.dumps([*texts, label], separators=(",", ":")).encode() + b"\n")
    return digest.hexdigest()


def hold_out(split: Split, fraction: float, seed: int) -> tuple[Split, Split]:
    """(rest, held-out): about `fraction` of the rows of every class, chosen by `seed`, both in row order.

    Rows with equal texts and labels land on the same side. Every class of two or more rows is on both sides,
    if it has two different texts; scores are held out without classes.
    Raises UserError when `fraction` is not between 0 and 1 or a side would be empty.
    """
    if not 0 < fraction < 1:
        raise UserError(
            f"cannot hold out a fraction of {fraction}; give one between 0 and 1, for example 0.1."
        )
    held: list[int] = []
    for rows in _strata(split):
        ordered = _hash_order(split, rows, seed)
        wanted = min(max(int(fraction * len(rows) + 0.5), 1), len(rows) - 1)
        held += ordered[: _between_texts(split, ordered, wanted)]
    rest = sorted(set(range(len(split))) - set(held))
    if not held or not rest:
        raise UserError(f"cannot hold out a fraction of {fraction} of {len(split)} rows; give more rows.")
    return split.take(rest), split.take(sorted(held))


def partition(split: Split, shares: Shares) -> dict[str, Split]:
    """Cuts `split` into parts of `shares` percent of every class; each part is in hash order, with new ids.

    Within a class, rows are ordered by sha256 of their text; a part ends at
    floor(rows * percent so far / 100), or later if equal texts would be torn apart. Nothing is dropped.
    """
    parts: dict[str, list[int]] = {name: [] for name, _ in shares}
    for rows in _strata(split):
        ordered = _hash_order(split, rows)
        start, percent = 0, 0
        for name, share in shares:
            percent += share
            end = _between_texts(split, ordered, len(ordered) * percent // 100)
            parts[name] += ordered[start:end]
            start = max(start, end)
    return {name: _renumbered(split.take(_hash_order(split, rows))) for name, rows in parts.items()}


def _renumbered(split: Split) -> Split:
    return Split(split.texts, split.labels, np.arange(len(split), dtype=np.int64))


def _strata(split: Split) -> list[list[int]]:
    """Row numbers by class; all rows together for scores."""
    if split.labels.dtype != np.int64:
        return [list(range(len(split)))]
    return [np.flatnonzero(split.labels == label).tolist() for label in np.unique(split.labels)]


def _hash_order(split: Split, rows: Sequence[int], seed: int | None = None) -> list[int]:
    """`rows` by sha256 of seed and text; rows of equal text stay together, in row order."""
    salt = "" if seed is None else f"{seed}{SEPARATOR}"

    def key(row: int) -> bytes:
        # A lone surrogate can reach us through JSON escapes; it must not stop the hash.
        return hashlib.sha256(
            (salt + SEPARATOR.join(split.texts[row])).encode(errors="surrogatepass")
        ).digest()

    return sorted(rows, key=key)


def _between_texts(split: Split, ordered: Sequence[int], cut: int) -> int:
    """The first place at or after `cut` where the text changes; `cut` itself when it never does."""
    if not 0 < cut < len(ordered):
        return cut
    places = range(cut, len(ordered))
    changes = (i for i in places if split.texts[ordered[i]] != split.texts[ordered[i - 1]])
    return next(changes, cut)
