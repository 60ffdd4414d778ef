"""Leave when the hidden states of consecutive layers stop drawing nearer (CsdBERT)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from eebench.rules.base import Geometry, Rule, RuleState, Signals


class KernelAlignment(Rule):
    """CsdBERT's rule: count the layers at which the change of similarity is below theta; leave at the R-th count.

    Similarity i is the CKA of layers i and i + 1, so the first change is known after layer 3 and the earliest
    leave is layer R + 2. As printed, the change is signed and the count is never reset; the variants take its
    absolute value, or start again at a layer that does not count. An undefined similarity counts nothing.
    """

    name, title, knob, sense = "cka", "kernel alignment (signed)", "R", "reached"
    source = "CsdBERT (2023), Sec. 3.6"
    evaluates = "last"
    counts = True
    needs = frozenset({"similarity"})
    regression = True
    fixed: ClassVar[Mapping[str, tuple[float, ...]]] = {
        "theta": (0.06, -0.05, -0.02, -0.01, 0.0, 0.01, 0.02, 0.1)
    }
    absolute: ClassVar[bool] = False
    consecutive: ClassVar[bool] = False

    def start(self, rows: int, device: torch.device) -> RuleState:
        return {
            "similarity": torch.full((rows,), math.nan, device=device),
            "change": torch.full((rows,), math.nan, device=device),
            "count": torch.zeros(rows, dtype=torch.float32, device=device),
        }

    def criterion(self, layer: int, signals: Signals, state: RuleState) -> Tensor:
        if signals.similarity is None:
            raise ValueError("this rule reads the similarity of consecutive exits")
        change = signals.similarity - state["similarity"]
        change = change.abs() if self.absolute else change
        fires = change < self.knobs["theta"]
        count = state["count"] + fires
        state["count"] = count * fires if self.consecutive else count
        state["similarity"], state["change"] = signals.similarity, change
        return state["count"]

    def distance(self, criterion: Tensor, signals: Signals, state: RuleState, threshold: float) -> Tensor:
        return (state["change"] - self.knobs["theta"]).abs().nan_to_num(math.inf)

    def grid(self, geometry: Geometry) -> list[float]:
        return [float(count) for count in range(max(1, len(geometry.exit_layers) - 2), 0, -1)]

    def bounds(self, geometry: Geometry) -> tuple[float, float]:
        return 1.0, float(len(geometry.exit_layers))


def changes(similarities: Tensor, executed: Tensor | None = None) -> Tensor:
    """The change of similarity that the rule compares at each exit, fp32 [E, N]; NaN where none is made.

    `similarities` fp32 [E, N] are those of a trace. Layers that a sample skipped (`executed`, bool [E, N]) are passed
    over, as `judge` does. The last exit has a change too, although no rule is asked there.

    Example: similarities NaN, 0.5, 0.75 of one sample have the changes NaN, NaN, 0.25.
    """
    found, previous = torch.full_like(similarities, math.nan), torch.full_like(similarities[0], math.nan)
    for index, similarity in enumerate(similarities):
        ran = torch.ones_like(similarity, dtype=torch.bool) if executed is None else executed[index]
        found[index] = torch.where(ran, similarity - previous, math.nan)
        previous = torch.where(ran, similarity, previous)
    return found


def checks(rule: KernelAlignment, found: Tensor) -> tuple[int, int]:
    """How many comparisons `rule` makes with the `changes` of a trace, and how many of them fire."""
    compared = found.abs() if rule.absolute else found
    return int((~compared.isnan()).sum()), int((compared < rule.knobs["theta"]).sum())


class AbsoluteAlignment(KernelAlignment):
    """As `cka`, with the absolute change of similarity."""

    name, title = "cka-abs", "kernel alignment (absolute)"
    fixed: ClassVar[Mapping[str, tuple[float, ...]]] = {"theta": (0.06, 0.005, 0.01, 0.02)}
    absolute = True


class ConsecutiveAlignment(KernelAlignment):
    """As `cka`, counting consecutive layers only."""

    name, title = "cka-consecutive", "kernel alignment (signed, consecutive)"
    consecutive = True


class AbsoluteConsecutiveAlignment(AbsoluteAlignment):
    """As `cka-abs`, counting consecutive layers only."""

    name, title = "cka-abs-consecutive", "kernel alignment (absolute, consecutive)"
    consecutive = True
