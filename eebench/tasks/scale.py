"""Scores as training sees them: with mean 0 and deviation 1 on the rows trained on.

A classifier's bias moves by about the learning rate a step, so it cannot reach the mean of raw scores (2.7 on
STS-B). The network then supplies the mean through its representation, which collapses when several exits pull at
once: every exit answers the mean. Standardised scores need no bias.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eebench.tasks.splits import Labels


@dataclass(frozen=True)
class LabelScale:
    """How standardised scores become the task's own: times `deviation`, plus `mean`."""

    mean: float
    deviation: float

    @classmethod
    def of(cls, labels: Labels) -> LabelScale | None:
        """The scale of scores [n] fp32; None for classes. Scores that are all equal keep deviation 1.

        Example: ``LabelScale.of(np.float32([1, 3]))`` is ``LabelScale(mean=2.0, deviation=1.0)``.
        """
        if labels.dtype == np.int64:
            return None
        scores = labels.astype(np.float64)
        return cls(float(scores.mean()), float(scores.std()) or 1.0)

    @classmethod
    def read(cls, record: Mapping[str, Any]) -> LabelScale | None:
        """The scale that a run's record keeps; None for a run that has none."""
        kept = record.get("label_scale")
        return None if kept is None else cls(float(kept["mean"]), float(kept["deviation"]))

    def standardised(self, scores: Labels) -> NDArray[np.float32]:
        """Scores [n] in the task's units as training sees them."""
        return ((scores - self.mean) / self.deviation).astype(np.float32)
