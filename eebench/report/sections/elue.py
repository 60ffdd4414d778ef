"""The ELUE score: how far a method's points lie above the reference's own curve at the same FLOPs.

On one task it is mean_k [p_k - p_EB(f_k)] over the points (FLOPs f_k, score p_k) of a method, where p_EB is
ElasticBERT's score at those FLOPs; over tasks it is the plain mean. This is what ELUE's leaderboard ranks by
(Liu et al. 2022, "Towards Efficient NLP: A Standard Evaluation and A Strong Baseline"). CsdBERT uses the benchmark and
prints no ELUE score.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from eebench.report.figures import numbers
from eebench.report.markdown import MISSING, escape, signed, table
from eebench.report.sections.ground import Block, Ground, Spread
from eebench.sections import ElueSection

MEANING = (
    "ELUE score (what ELUE's leaderboard ranks by; Liu et al. 2022): the mean over a method's points (every setting of "
    "its default rule) of its score minus {reference}'s at the same FLOPs, in points of percent. {reference}'s score "
    "between two of its own settings lies on the straight line between them; points cheaper than its cheapest setting "
    "or dearer than its dearest have nothing to be compared with and are left out (in brackets: points compared of "
    "points there are). The average is over all tasks shown, for methods with a score on each."
)


@dataclass(frozen=True)
class Gain:
    """The mean difference to the reference in 0..1 (NaN when no point compares), over `used` of `points` points."""

    mean: float
    used: int
    points: int


def elue(section: ElueSection, ground: Ground) -> Iterator[Block]:
    """A row per method, a column per task, and their average."""
    tasks = [task for task in ground.tasks(section) if len(ground.curve(section.reference, task))]
    gains = {
        label: [gain(ground.curve(label, task), ground.curve(section.reference, task)) for task in tasks]
        for label in section.methods
    }
    gains = {label: row for label, row in gains.items() if any(found.points for found in row)}
    if not gains:
        return
    body = [
        [escape(ground.title(label)), *map(_cell, row), signed(_average(row))] for label, row in gains.items()
    ]
    yield table(["method", *map(escape, tasks), "average"], body)
    yield MEANING.format(reference=escape(ground.title(section.reference)))


def gain(points: pd.DataFrame, reference: pd.DataFrame) -> Gain:
    """How far points lie above the reference's curve; of its settings that cost the same the best counts.

    Example: a reference of 0.5 at 100 and 0.7 at 200 FLOPs scores 0.6 at 150, so a point of 0.65 there gains 0.05.
    """
    ours = points[points["flops_per_sample"].notna() & points["score_mean"].notna()]
    theirs = reference[reference["flops_per_sample"].notna() & reference["score_mean"].notna()]
    if ours.empty or theirs.empty:
        return Gain(float("nan"), 0, len(ours))
    curve = theirs.assign(cost=numbers(theirs, "flops_per_sample")).groupby("cost")["score_mean"].max()
    costs, scores = curve.index.to_numpy(dtype=np.float64), curve.to_numpy(dtype=np.float64)
    cost = numbers(ours, "flops_per_sample")
    inside = (cost >= costs[0]) & (cost <= costs[-1])
    differences = numbers(ours, "score_mean")[inside] - np.interp(cost[inside], costs, scores)
    return Gain(Spread.of(differences.tolist()).mean, int(inside.sum()), len(ours))


def _cell(found: Gain) -> str:
    if not found.points:
        return MISSING
    return f"{signed(found.mean)} ({found.used} of {found.points})"


def _average(row: list[Gain]) -> float:
    """The mean over tasks; NaN when one has no score."""
    return float(np.mean([found.mean for found in row]))
