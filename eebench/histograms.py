"""Distributions over training steps, counted in bins that are the same for every run and method."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


def _edges(low: float, high: float, bins: int, open_ends: bool) -> tuple[float, ...]:
    """Edges of equal bins from `low` to `high`; with open ends there is one more bin at each side."""
    # Rounding keeps the edges what they are in the file: 0.25 and not 0.25000000000000044.
    inner = [round(float(edge), 6) for edge in np.linspace(low, high, bins + 1)]
    return (-math.inf, *inner, math.inf) if open_ends else tuple(inner)


EDGES: Mapping[str, tuple[float, ...]] = {
    "angle": _edges(0, 180, 36, open_ends=False),
    "c": _edges(-5, 5, 40, open_ends=True),
    "delta": _edges(-0.5, 0.5, 100, open_ends=True),
    "flipped": _edges(0, 1, 100, open_ends=False),
}
"""Bins by quantity: an angle in degrees by 5, a projection c by 0.25, a change of similarity and a share by 0.01."""


class Bin(NamedTuple):
    """One bin, `low` inside and `high` outside (the last one of an angle holds both), and how many steps fell there."""

    low: float
    high: float
    steps: int


def counts(quantity: str, values: Iterable[float]) -> NDArray[np.int64]:
    """How many of the values lie in each bin of `EDGES[quantity]`, int64 [bins]; NaN lies nowhere.

    Example: ``counts("angle", [0.0, 4.9, 180.0])`` is 2 in the first bin and 1 in the last.
    """
    edges = np.asarray(EDGES[quantity])
    known = np.asarray(list(values), dtype=np.float64)
    known = known[~np.isnan(known)]
    places = np.clip(np.searchsorted(edges, known, side="right") - 1, 0, len(edges) - 2)
    return np.bincount(places, minlength=len(edges) - 1).astype(np.int64)


def recorded(record: Mapping[str, Any]) -> Iterator[tuple[str, NDArray[np.int64]]]:
    """What a run's record has of each quantity, epoch by epoch: its name and counts; nothing without a series."""
    for epoch in record.get("history") or ():
        for quantity, values in (epoch.get("series") or {}).items():
            if quantity in EDGES:
                yield quantity, counts(quantity, values)


def bins_of(quantity: str, found: NDArray[np.int64]) -> list[Bin]:
    """The bins of a quantity with their counts."""
    edges = EDGES[quantity]
    return [Bin(low, high, int(steps)) for low, high, steps in zip(edges[:-1], edges[1:], found, strict=True)]


def share_below(bins: Iterable[Bin], limit: float) -> tuple[float, float]:
    """Least and largest share of the steps that lie below `limit`; one number twice where it is an edge.

    The bin that holds the limit leaves open how much of it lies below. NaN without steps.
    """
    total = least = most = 0
    for low, high, steps in bins:
        total += steps
        least += steps if high <= limit else 0
        most += steps if low < limit else 0
    return (least / total, most / total) if total else (math.nan, math.nan)


def mean_share(bins: Iterable[Bin]) -> float:
    """The mean of a quantity between 0 and 1, each bin at its middle but the first at 0 and the last at 1.

    Right within half a bin; exact where each value is 0 or 1. NaN without steps.
    """
    filled = [found for found in bins if found.steps]
    total = sum(found.steps for found in filled)
    middles = (
        0.0 if found.low == 0.0 else 1.0 if found.high == 1.0 else (found.low + found.high) / 2
        for found in filled
    )
    weighed = sum(middle * found.steps for middle, found in zip(middles, filled, strict=True))
    return weighed / total if total else math.nan


def percentile(bins: Iterable[Bin], share: float) -> float:
    """The value below which `share` of the steps lie, spread evenly inside a bin.

    -inf or inf when it lies in an open bin, NaN without steps.
    """
    filled = [found for found in bins if found.steps]
    left = share * sum(found.steps for found in filled)
    for low, high, steps in filled:
        if left <= steps:
            if math.isinf(low) or math.isinf(high):
                return low if math.isinf(low) else high
            return low + (high - low) * left / steps
        left -= steps
    return filled[-1].high if filled else math.nan
