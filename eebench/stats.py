"""What a set of (cost, score) points says: the front, the summary numbers, the spread over seeds.

Scores are in 0..1 (a Matthews correlation in -1..1) and higher is better. A *speed-up* is the cost of the
full model divided by the cost of the point, in whatever unit the caller counts (FLOPs, layers or seconds); a
*relative cost* is its inverse. A point whose cost or score is NaN is no point: the functions pass it over.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    import pandas as pd

TOLERANCE = 1e-12
"""Slack of comparisons: in binary floating point 0.1 - 0.01 is larger than 0.09."""
SPEEDUP_TOLERANCE = 0.005
"""A speed-up that prints as 2.00x is one of 2x: half of its last digit."""


def pareto_front(cost: ArrayLike, score: ArrayLike) -> NDArray[np.bool_]:
    """Which points are worth having: bool ``[points]`` for cost and score ``[points]``.

    A point is on the front if no other point costs as much or less and scores as much or more, one of the two
    strictly. Of several identical points only the first is kept, so the front has one point per cost.

    Example: ``pareto_front([1, 2, 3], [0.5, 0.9, 0.8])`` is ``[True, True, False]``.
    """
    costs, scores = _paired(cost, score)
    kept = np.flatnonzero(~(np.isnan(costs) | np.isnan(scores)))
    # Cheapest first, best first among equally cheap ones; lexsort is stable, so the first of two twins leads.
    order = kept[np.lexsort((-scores[kept], costs[kept]))]
    best_before = np.maximum.accumulate(np.concatenate(([-np.inf], scores[order])))[:-1]
    front = np.zeros(costs.shape, dtype=bool)
    front[order[scores[order] > best_before]] = True
    return front


def speedup_within(
    speedup: ArrayLike, score: ArrayLike, full_score: float, drop: float = 0.01
) -> float | None:
    """The largest speed-up among points that score at least ``full_score - drop``; None if no point does.

    The default drop is one point of a score in percent.

    Example: ``speedup_within([1, 2, 3], [0.90, 0.89, 0.85], full_score=0.90)`` is ``2.0``.
    """
    place = fastest_within(speedup, score, full_score, drop)
    return None if place is None else float(np.ravel(speedup)[place])


def fastest_within(speedup: ArrayLike, score: ArrayLike, full_score: float, drop: float = 0.01) -> int | None:
    """The place of the point behind `speedup_within`, the first of equals; None if no point qualifies.

    Example: ``fastest_within([1, 2, 3], [0.90, 0.89, 0.85], full_score=0.90)`` is ``1``.
    """
    speedups, scores = _paired(speedup, score)
    return _place_of_largest(speedups, scores >= full_score - drop - TOLERANCE)


def score_at_speedup(speedup: ArrayLike, score: ArrayLike, target: float = 2.0) -> float | None:
    """The best score among points at least `target` times as fast as the full model; None if no point is.

    Measured points only: nothing is interpolated between two settings. Speed-ups count as printed, to two decimals.

    Example: ``score_at_speedup([1.0, 2.1, 3.0], [0.9, 0.86, 0.8])`` is ``0.86``.
    """
    place = best_at_speedup(speedup, score, target)
    return None if place is None else float(np.ravel(score)[place])


def best_at_speedup(speedup: ArrayLike, score: ArrayLike, target: float = 2.0) -> int | None:
    """The place of the point behind `score_at_speedup`, the first of equals; None if no point is fast enough.

    Example: ``best_at_speedup([1.0, 2.1, 3.0], [0.9, 0.86, 0.8])`` is ``1``.
    """
    speedups, scores = _paired(speedup, score)
    return _place_of_largest(scores, fast_enough(speedups, target))


def fast_enough(speedup: ArrayLike, target: float) -> NDArray[np.bool_]:
    """Which speed-ups are `target` or more, as printed to two decimals.

    Example: ``fast_enough([1.99, 1.996], 2.0)`` is ``[False, True]``.
    """
    return np.asarray(speedup, dtype=np.float64) >= target - SPEEDUP_TOLERANCE


def nearest_speedup(speedup: ArrayLike, score: ArrayLike, target: float = 2.0) -> int:
    """The place of the point whose speed-up is nearest to `target`, of equals the one with the best score.

    Raises ValueError without points.

    Example: ``nearest_speedup([1.5, 2.1, 2.1], [0.9, 0.8, 0.85])`` is ``2``.
    """
    speedups, scores = _paired(speedup, score)
    distances = np.where(np.isnan(speedups), np.inf, np.abs(speedups - target))
    return int(np.lexsort((-scores, distances))[0])


def area_under_front(relative_cost: ArrayLike, score: ArrayLike) -> float:
    """The integral over c in [0, 1] of the best score attainable at a relative cost of c or less.

    The integrand is a step function: it rises at each point of the front, and is 0 below the cheapest point,
    where nothing is affordable. The area is the mean score of someone whose budget is uniform between nothing
    and the full model; 1.0 would be a perfect score for free. Points dearer than the full model do not enter.

    Example: one point of score 0.8 at relative cost 0.25 has an area of ``0.75 * 0.8 = 0.6``.
    """
    costs, scores = _paired(relative_cost, score)
    known = ~(np.isnan(costs) | np.isnan(scores))
    costs, scores = costs[known], scores[known]
    order = np.argsort(costs)  # among equally dear points any order gives the same area
    best = np.maximum.accumulate(scores[order]) if order.size else scores
    # Clipping gives every point dearer than the full model a step of width 0.
    edges = np.append(np.clip(costs[order], 0.0, 1.0), 1.0)
    return float(np.sum(best * np.diff(edges)))


def mean_and_std(values: Iterable[float]) -> tuple[float, float | None]:
    """Mean and sample standard deviation (divisor n - 1) over seeds; the deviation of one seed is None.

    A NaN among the values makes both NaN: a seed without a score is never silently left out.

    Raises ValueError without values.
    """
    array = np.asarray(list(values), dtype=np.float64)
    if array.size == 0:
        raise ValueError("mean_and_std needs at least one value")
    return float(array.mean()), (float(array.std(ddof=1)) if array.size > 1 else None)


def aggregate_seeds(rows: pd.DataFrame, keys: Sequence[str], values: Sequence[str]) -> pd.DataFrame:
    """One row per combination of `keys`, in order of first appearance, over the seeds it was measured with.

    `rows` has one row per seed. The result has the keys, then ``<value>_mean`` and ``<value>_std`` of each
    value (`mean_and_std`; NaN for the deviation of one seed), then ``seeds``, the rows behind the mean.

    Raises ValueError when a column named ``seed`` shows that one seed was counted twice.
    """
    if "seed" in rows and bool(rows.duplicated([*keys, "seed"]).any()):
        raise ValueError(f"a seed appears twice for one combination of {', '.join(keys)}")
    groups = rows.groupby(list(keys), sort=False, dropna=False)
    result = groups.size().rename("seeds").reset_index()
    for value in values:
        pairs = [mean_and_std(group) for _, group in groups[value]]
        result[f"{value}_mean"] = [mean for mean, _ in pairs]
        result[f"{value}_std"] = [float("nan") if std is None else std for _, std in pairs]
    return result[[*keys, *(f"{value}_{part}" for value in values for part in ("mean", "std")), "seeds"]]


def _paired(first: ArrayLike, second: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Both as flat float arrays; ValueError unless they have one length."""
    left, right = np.asarray(first, dtype=np.float64).ravel(), np.asarray(second, dtype=np.float64).ravel()
    if left.shape != right.shape:
        raise ValueError(f"{left.size} costs or speed-ups, but {right.size} scores")
    return left, right


def _place_of_largest(values: NDArray[np.float64], allowed: NDArray[np.bool_]) -> int | None:
    """The place of the largest allowed value that is not NaN, None when there is none."""
    allowed = allowed & ~np.isnan(values)
    return int(np.where(allowed, values, -np.inf).argmax()) if allowed.any() else None
