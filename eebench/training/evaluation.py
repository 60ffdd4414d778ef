"""Scores of every exit on a split, for choosing epochs and for the layer-wise results."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from eebench.tasks.metrics import score
from eebench.trace import Trace


def exit_scores(trace: Trace, metric: str) -> list[float | None]:
    """The metric of each exit on its own, in depth order, over the samples that have an answer there; None for none.

    An exit has no answer for a sample that skipped every layer until then.
    """
    labels, answered = trace.labels.numpy(), trace.answered.numpy()
    return [
        score(metric, labels[there], answers[there]) if there.any() else None
        for answers, there in zip(trace.answers().numpy(), answered, strict=True)
    ]


def scored(scores: Sequence[float | None]) -> list[float]:
    """The scores of the exits that have one; the last exit always has."""
    return [score for score in scores if score is not None]


def mean_over_scored(scores: Sequence[float | None]) -> float:
    """The mean over the exits that have a score."""
    return float(np.mean(scored(scores)))
