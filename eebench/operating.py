"""Operating points, chosen among all settings of a rule that decide differently on a trace.

A replayed curve is exact at every threshold, and between two neighbouring values of the criterion nothing changes. So
the values themselves are all the settings there are: a few thousand a trace, evaluated at once. What a table calls
"twice the speed" is then no accident of a grid.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eebench.replay import Replayed, chunks, exit_indices, replay
from eebench.rules.base import Rule, judge
from eebench.stats import best_at_speedup, fast_enough, fastest_within, nearest_speedup
from eebench.tasks.metrics import METRICS, from_confusion, score

if TYPE_CHECKING:
    from eebench.sweep import Measured
    from eebench.trace import Trace

Floats = NDArray[np.float64]

MOST_SETTINGS = 20_000
"""Of more distinct values every so many are tried: then a step between two settings moves few of the decisions."""
MOST_GATHERED = 500
"""The same where a score needs the answers themselves (correlations), at a millisecond a setting."""
ROOM = 0.01
"""How far beyond the outermost value the thresholds lie under which nothing, or everything, leaves."""


@dataclass(frozen=True)
class Curve:
    """A rule at S settings, ordered from the strictest: mean `scores` and `speedups` (FLOPs) over seeds, fp64 [S].

    Setting i stands for every threshold in (`low` i, `high` i], fp32 [S].
    """

    rule: Rule
    low: NDArray[np.float32]
    high: NDArray[np.float32]
    scores: Floats
    speedups: Floats

    def threshold(self, place: int, known: Sequence[float] = ()) -> float:
        """A number that decides as setting `place` does: one of the `known` ones, else the shortest there is.

        Its text reproduces the point exactly.
        """
        low, high = float(self.low[place]), float(self.high[place])
        if self.rule.counts:
            return high
        there = [number for number in known if low < float(np.float32(number)) <= high]
        return there[0] if there else shortest(low, high)

    def nearest(self, target: float) -> int:
        """The setting whose speed-up is nearest to `target`, of equals the one with the best score."""
        return nearest_speedup(self.speedups, self.scores, target)

    def slowest_at(self, target: float) -> int | None:
        """The slowest setting of `target` times the speed or more, of equals the best; None if none is so fast."""
        fast = np.flatnonzero(fast_enough(self.speedups, target))
        if not len(fast):
            return None
        return int(min(fast, key=lambda place: (self.speedups[place], -self.scores[place])))

    def below(self, place: int) -> int | None:
        """The fastest setting that is slower than setting `place`, of equals the best; None if there is none."""
        slower = np.flatnonzero(self.speedups < self.speedups[place])
        return (
            int(max(slower, key=lambda other: (self.speedups[other], self.scores[other])))
            if len(slower)
            else None
        )

    def chosen(self, full_score: float, targets: Sequence[float]) -> list[int]:
        """The settings that tables show: nearest to each target, fastest within a point of `full_score`, and the
        best at the first target or more.
        """
        places = [self.nearest(target) for target in targets]
        places += [
            place
            for place in (
                fastest_within(self.speedups, self.scores, full_score),
                best_at_speedup(self.speedups, self.scores, targets[0]),
            )
            if place is not None
        ]
        return list(dict.fromkeys(places))


def curve_of(rule: Rule, seeds: Sequence[Measured]) -> Curve:
    """The curve of a rule over all its settings on the traces of several seeds, by their headline metric."""
    metric = seeds[0].metrics[0]
    most = MOST_SETTINGS if METRICS[metric].counted is not None else MOST_GATHERED
    low, high = intervals(rule, [measured.trace for measured in seeds], most)
    thresholds = high.astype(np.float64).tolist()
    scores, paid, full = [], [], []
    for measured in seeds:
        replayed = replay(rule, measured.trace, thresholds, measured.table(rule))
        assert replayed.total_cost is not None
        scores.append(scores_of(replayed, measured.trace, (metric,))[metric])
        paid.append(replayed.total_cost.numpy() / measured.trace.samples)
        full.append(measured.reference / measured.trace.samples)
    return Curve(rule, low, high, np.mean(scores, axis=0), np.mean(full) / np.mean(paid, axis=0))


def intervals(
    rule: Rule, traces: Sequence[Trace], most: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The thresholds (low, high] of each setting, fp32 [S], from the strictest to the loosest.

    Rules that count have their grid; all others the gaps between the values that their criterion takes, thinned
    evenly to `most` of them.
    """
    if rule.counts:
        grid = np.array(rule.grid(traces[0].geometry), dtype=np.float32)
        return grid - 1, grid
    values = np.unique(torch.cat([values_of(rule, trace) for trace in traces]).numpy())
    if len(values) > most:
        values = values[np.unique(np.linspace(0, len(values) - 1, most).round().astype(np.int64))]
    if not len(values):
        values = np.zeros(1, dtype=np.float32)
    first, last = values[0], values[-1]
    edges = np.concatenate(
        ([first - ROOM * (1 + abs(first))], values, [last + ROOM * (1 + abs(last))])
    ).astype(np.float32)
    low, high = edges[:-1], edges[1:]
    return (low, high) if rule.sense == "below" else (low[::-1], high[::-1])


def values_of(rule: Rule, trace: Trace) -> Tensor:
    """The finite values at which some sample's decision changes, fp32 [M]: the running best of the criterion."""
    found = []
    for rows in chunks(trace.samples):
        state = rule.start(len(range(*rows.indices(trace.samples))), trace.logits.device)
        best: Tensor | None = None
        for index, layer in enumerate(trace.exit_layers[:-1]):
            criterion = judge(rule, layer, trace.signals(index, rows), state)
            if best is None:
                best = criterion
            elif rule.sense == "below":
                best = torch.fmin(best, criterion)
            else:
                best = torch.fmax(best, criterion)
            found.append(best[best.isfinite()])
    return torch.cat(found).cpu() if found else torch.empty(0)


def shortest(low: float, high: float) -> float:
    """The number with the fewest digits that, in fp32, is above `low` and at most `high`; both are fp32 numbers.

    Example: ``shortest(0.1234, 0.1278)`` is ``0.126``.
    """
    if low < 0.0 <= high:
        return 0.0
    middle = (low + high) / 2
    for digits in range(1, 18):
        number = float(f"{middle:.{digits}g}")
        if low < float(np.float32(number)) <= high:
            return number
    return high


def scores_of(replayed: Replayed, trace: Trace, metrics: Sequence[str]) -> dict[str, Floats]:
    """Each metric at each setting of a replay, fp64 [S]."""
    if METRICS[metrics[0]].counted is not None:
        return {metric: np.asarray(from_confusion(metric, replayed.confusion.numpy())) for metric in metrics}
    labels, answers = trace.labels.numpy(), trace.answers()
    rows = exit_indices(replayed.rule, trace, replayed.thresholds)
    given = [answers.gather(0, row[None])[0].numpy() for row in rows]
    return {metric: np.array([score(metric, labels, answer) for answer in given]) for metric in metrics}
