"""Scores of every exit on a split, for choosing epochs and for the layer-wise results."""

from __future__ import annotations

import numpy as np

from eebench.tasks.metrics import score
from eebench.trace import Trace


def exit_scores(trace: Trace, metric: str) -> list[float]:
    """The metric of each exit on its own, in depth order."""
    labels = trace.labels.numpy()
    return [score(metric, labels, np.asarray(answer)) for answer in trace.answers().numpy()]
