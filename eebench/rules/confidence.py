"""Rules that read one exit at a time: entropy, normalised entropy, maximum probability."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from eebench.rules.base import Geometry, Rule, RuleState, Signals

# Normalised thresholds u of a sweep; S = u ln C.
SHARES = (
    0.02, *(round(0.05 * step, 2) for step in range(1, 20)), 0.98, 0.99, 0.995, 0.999,
)  # fmt: skip


def entropy(logits: Tensor) -> Tensor:
    """-sum_c p_c ln p_c in nats, fp32 [n] from logits [n, C].

    `entr` gives 0 at p = 0, where p * log(p) gives NaN once a probability underflows (and NaN < S is false, so the
    surest samples would never leave).
    """
    surprise: Tensor = torch.special.entr(torch.softmax(logits.float(), dim=-1))
    return surprise.sum(dim=-1)


class _Stateless(Rule):
    """A rule whose criterion at an exit depends on that exit alone."""

    def start(self, rows: int, device: torch.device) -> RuleState:
        return {}


class Entropy(_Stateless):
    """Leave when the entropy in nats is below S (DeeBERT, SmartBERT, COST-EFF); S=0 never leaves."""

    name, title, knob, sense = "entropy", "entropy (nats)", "S", "below"
    source = "DeeBERT (Xin et al. 2020)"

    def criterion(self, layer: int, signals: Signals, state: RuleState) -> Tensor:
        return entropy(signals.required_logits())

    def grid(self, geometry: Geometry) -> list[float]:
        top = math.log(geometry.classes)
        return [0.0, *(round(share * top, 3) for share in SHARES)]

    def bounds(self, geometry: Geometry) -> tuple[float, float]:
        return 0.0, math.inf


class NormalizedEntropy(_Stateless):
    """Leave when entropy / ln C, in [0, 1], is below the speed (FastBERT)."""

    name, title, knob, sense = "normalized-entropy", "normalised entropy", "speed", "below"
    source = "FastBERT (Liu et al. 2020)"

    def criterion(self, layer: int, signals: Signals, state: RuleState) -> Tensor:
        logits = signals.required_logits()
        return entropy(logits) / math.log(logits.shape[-1])

    def grid(self, geometry: Geometry) -> list[float]:
        return [0.0, *SHARES]

    def bounds(self, geometry: Geometry) -> tuple[float, float]:
        return 0.0, math.inf


class MaxProbability(_Stateless):
    """Leave when the largest probability is at least q (Shallow-Deep); q > 1 never leaves."""

    name, title, knob, sense = "max-prob", "maximum probability", "q", "reached"
    source = "Shallow-Deep Networks (Kaya et al. 2019)"

    def criterion(self, layer: int, signals: Signals, state: RuleState) -> Tensor:
        return torch.softmax(signals.required_logits().float(), dim=-1).amax(dim=-1)

    def grid(self, geometry: Geometry) -> list[float]:
        floor = 1.0 / geometry.classes
        confident = [0.999, 0.995, 0.99, 0.98, 0.97, 0.96]
        plain = [q for q in (round(0.95 - 0.05 * step, 2) for step in range(19)) if q > floor + 0.03]
        return [*confident, *plain, *(round(floor + step, 3) for step in (0.03, 0.02, 0.01))]

    def bounds(self, geometry: Geometry) -> tuple[float, float]:
        return 0.0, math.inf
