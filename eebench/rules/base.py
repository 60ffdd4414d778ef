"""The contract of an exit rule, shared by replay and by really leaving early.

A rule turns the signals of each exit into one number per sample, the *criterion*, and compares it with a
threshold. Everything else a rule remembers (the patience counter, the last label) lives in a state of plain
tensors with one row per sample, so that rows which left can be dropped from it. The criterion does not
depend on the threshold; that is what lets replay evaluate every threshold at once.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeVar

import torch
from numpy.typing import NDArray
from torch import Tensor

from eebench.errors import UserError

RuleState = dict[str, Tensor]
Values = TypeVar("Values", Tensor, NDArray[Any], float)


@dataclass(frozen=True)
class Signals:
    """What one exit shows a rule; never the label.

    Shapes: `logits` fp32 [n, C]; `score` fp32 [n], a learned certainty in [0, 1] (BERxiT); `similarity` fp32 [n],
    the alignment of this exit's hidden states with the previous exit's (CKA; NaN where it is not defined). None
    where the model has no such signal, or the rule needs none.

    `executed` bool [n] says whose layer was not skipped; None where no layer ever is. A skipped layer shows a rule
    nothing: see `judge`.
    """

    logits: Tensor | None
    score: Tensor | None = None
    similarity: Tensor | None = None
    executed: Tensor | None = None

    def required_logits(self) -> Tensor:
        """The logits, for rules whose `needs` name them."""
        if self.logits is None:
            raise ValueError("this rule reads logits")
        return self.logits


@dataclass(frozen=True)
class Geometry:
    """What a default grid depends on: the layers that have an exit, the number of classes (1 for regression)."""

    exit_layers: tuple[int, ...]
    classes: int


class Rule(ABC):
    """One way of deciding to leave.

    `knob` names the threshold in settings and files. `sense` says when a sample leaves: "below" when
    criterion < threshold (strict), "reached" when criterion >= threshold. `evaluates` says which heads a
    sample pays for: "all" it passes, or only the "last". The rule is never asked at the last exit.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    source: ClassVar[str]
    knob: ClassVar[str]
    sense: ClassVar[Literal["below", "reached"]]
    evaluates: ClassVar[Literal["all", "last"]] = "all"
    needs: ClassVar[frozenset[str]] = frozenset({"logits"})
    """The kinds of signal it reads: logits, score, similarity."""
    classification: ClassVar[bool] = True
    regression: ClassVar[bool] = False
    """For which kind of task the rule is defined; regression has one output."""
    counts: ClassVar[bool] = False
    """Whether the criterion is a whole number, so that the default grid has all settings there are."""
    fixed: ClassVar[Mapping[str, tuple[float, ...]]] = {}
    """Knobs that shape the criterion, with the values a default sweep tries; the first is the default."""

    def __init__(self, **knobs: float) -> None:
        unknown = sorted(knobs.keys() - self.fixed.keys())
        if unknown:
            have = ", ".join(self.fixed) or "none besides its threshold"
            raise UserError(f"rule '{self.name}' has no knob '{unknown[0]}'; it has {have}.")
        self.knobs = {name: float(knobs.get(name, values[0])) for name, values in self.fixed.items()}

    @abstractmethod
    def start(self, rows: int, device: torch.device) -> RuleState:
        """State of `rows` samples before the first exit; every tensor has `rows` as its first dimension."""

    @abstractmethod
    def criterion(self, layer: int, signals: Signals, state: RuleState) -> Tensor:
        """Criterion of each row at the exit after `layer` (1-based), fp32 [n]; updates `state` in place."""

    @abstractmethod
    def grid(self, geometry: Geometry) -> list[float]:
        """Default thresholds of a sweep, cheapest setting last."""

    @abstractmethod
    def bounds(self, geometry: Geometry) -> tuple[float, float]:
        """Smallest and largest threshold that makes sense, both allowed."""

    def leaves(self, criterion: Values, threshold: float) -> Values:
        """Which rows leave, bool [n], on the device or (an array) on the host; both compare in the criterion's type.

        Of a single row, a number and a bool: give it the threshold in fp32 as well, as tensor and array do themselves.
        """
        return criterion < threshold if self.sense == "below" else criterion >= threshold

    def distance(self, criterion: Tensor, signals: Signals, state: RuleState, threshold: float) -> Tensor:
        """How far each row is from the other decision, fp32 [n]; `state` is that after `criterion`."""
        return (criterion - threshold).abs()

    def setting(self, threshold: float) -> str:
        """Canonical text of one setting: `S=0.1`, `patience=3`, `t=2;tau=0.3`."""
        knobs = {**self.knobs, self.knob: threshold}
        return ";".join(f"{name}={number(value)}" for name, value in knobs.items())

    def check(self, threshold: float, geometry: Geometry) -> None:
        """Raises UserError when `threshold` is outside the rule's bounds."""
        low, high = self.bounds(geometry)
        if math.isnan(threshold) or not low <= threshold <= high:
            raise UserError(
                f"{self.name}: {self.knob}={number(threshold)} is outside {number(low)}..{number(high)}; "
                f"choose a value in that range."
            )


def judge(rule: Rule, layer: int, signals: Signals, state: RuleState) -> Tensor:
    """The criterion of each row, fp32 [n], and the rule's next state; the one way to ask a rule.

    Only an executed layer can exit (SmartBERT): a row that skipped it keeps its state and never passes.
    """
    if signals.executed is None:
        return rule.criterion(layer, signals, state)
    before = dict(state)
    criterion = rule.criterion(layer, signals, state)
    for name, old in before.items():
        kept = signals.executed.view(-1, *[1] * (old.dim() - 1))
        state[name] = torch.where(kept, state[name], old)
    never = math.inf if rule.sense == "below" else -math.inf
    return torch.where(signals.executed, criterion, never)


def number(value: float) -> str:
    """Shortest text of a number that reads back the same; integers without a point."""
    return str(int(value)) if float(value).is_integer() else repr(float(value))


def keep_rows(state: RuleState, rows: Tensor) -> RuleState:
    """The state of the rows (bool or index tensor) that are still inside."""
    return {name: tensor[rows] for name, tensor in state.items()}


def join_rows(states: Sequence[RuleState]) -> RuleState:
    """The states of several batches at the same depth as one, rows in order."""
    return {name: torch.cat([state[name] for state in states]) for name in states[0]}


def parse_setting(text: str) -> Mapping[str, float]:
    """`"theta=0.06;R=2"` -> {"theta": 0.06, "R": 2.0}; UserError when it is not such a text."""
    try:
        return {name: float(value) for name, value in (part.split("=") for part in text.split(";"))}
    except ValueError as error:
        raise UserError(f"'{text}' is no setting; write it like S=0.1 or patience=3.") from error
