"""Replay: what every setting of a rule would have done, from the trace alone.

A sample leaves at the first exit whose criterion passes the threshold. The running best of the criterion
over exits is therefore monotone, and each (sample, exit) pair is an interval of thresholds, found by one
binary search. All statistics that add over samples (confusion counts, exit counts, FLOPs) are then sums of
interval ends: cost grows with samples x exits, and hardly with the number of settings.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from eebench.errors import UserError
from eebench.rules.base import Rule, judge
from eebench.rules.catalogue import RULES
from eebench.trace import Trace

ROWS_PER_CHUNK = 1 << 16
NEAR = 1e-4


@dataclass(frozen=True)
class Replayed:
    """What S settings of one rule do on N samples with E exits and C classes.

    `thresholds`: the settings, in the order asked for. `exits` int64 [S, E]: samples answered by each exit.
    `confusion` int64 [S, C, C], axes (label, answer); empty for regression. `total_cost` int64 [S]: sum of
    the cost over samples, in the unit of the cost table given (None without one).
    """

    rule: Rule
    thresholds: tuple[float, ...]
    exits: Tensor
    confusion: Tensor
    total_cost: Tensor | None

    def mean_exit(self, exit_layers: Sequence[int]) -> Tensor:
        """Mean layer of the exit that answers, fp64 [S]; layers before it that were skipped count too."""
        layers = torch.tensor(exit_layers, dtype=torch.int64)
        return (self.exits * layers).sum(dim=1).double() / self.exits.sum(dim=1)


@dataclass(frozen=True)
class CostTable:
    """Cost of leaving at each exit: `costs` int64 [E, U], `column` int64 [N] says which column a sample uses."""

    costs: Tensor
    column: Tensor


def first_settings(rule: Rule, trace: Trace, thresholds: Tensor, rows: slice) -> Iterator[Tensor]:
    """For each exit in turn, the first setting by which a row has left, int64 [n].

    `thresholds` [S] is ordered from strictest to loosest (see `order`); a row uses exit e for the settings
    in [value at e, value at e - 1), and the value at the last exit is 0 because it always answers.
    """
    samples = len(range(*rows.indices(trace.samples)))
    device = trace.logits.device
    state = rule.start(samples, device)
    best: Tensor | None = None
    for index, layer in enumerate(trace.exit_layers[:-1]):
        criterion = judge(rule, layer, trace.signals(index, rows), state)
        # Below: passes from the first threshold that is larger. Reached: the same after a change of sign,
        # where equality passes too.
        signed = criterion if rule.sense == "below" else -criterion
        best = signed if best is None else torch.minimum(best, signed)
        yield torch.searchsorted(thresholds, best, right=rule.sense == "below")
    yield torch.zeros(samples, dtype=torch.int64, device=device)


def order(rule: Rule, thresholds: Sequence[float], device: torch.device) -> tuple[Tensor, Tensor]:
    """Signed thresholds fp32 [S] from strictest to loosest, and the place of each in the order asked for."""
    values = torch.tensor(thresholds, dtype=torch.float32, device=device)
    signed = values if rule.sense == "below" else -values
    return torch.sort(signed, stable=True)


def chunks(samples: int, size: int = ROWS_PER_CHUNK) -> Iterator[slice]:
    """Slices that cover `samples` rows, bounding the memory of one step."""
    for start in range(0, samples, size):
        yield slice(start, min(start + size, samples))


def replay(rule: Rule, trace: Trace, thresholds: Sequence[float], cost: CostTable | None = None) -> Replayed:
    """Statistics of every threshold at once.

    Memory: O(rows per chunk + settings x exits x classes^2), whatever the number of samples.
    """
    require(rule, trace)
    exits, classes = len(trace.exit_layers), trace.logits.shape[2]
    device = trace.logits.device
    signed, places = order(rule, thresholds, device)
    settings, cells = len(thresholds), classes * classes
    joint = torch.zeros(exits, (settings + 1) * cells, dtype=torch.int64, device=device)
    spent = torch.zeros(settings + 1, dtype=torch.int64, device=device)
    for rows in chunks(trace.samples):
        labels = trace.labels[rows] if classes > 1 else torch.zeros_like(trace.ids[rows])
        before, one = torch.full_like(labels, settings), torch.ones_like(labels)
        for index, since in enumerate(first_settings(rule, trace, signed, rows)):
            cell = labels * classes + trace.logits[index, rows].argmax(dim=-1)
            joint[index].index_add_(0, since * cells + cell, one).index_add_(0, before * cells + cell, -one)
            if cost is not None:
                paid = cost.costs[index][cost.column[rows]]
                spent.index_add_(0, since, paid).index_add_(0, before, -paid)
            before = since
    counts = joint.view(exits, settings + 1, classes, classes).cumsum(dim=1)[:, :settings]
    back = torch.argsort(places)
    return Replayed(
        rule,
        tuple(thresholds),
        counts.sum(dim=(2, 3)).T[back].cpu(),
        counts.sum(dim=0)[back].cpu(),
        None if cost is None else spent.cumsum(dim=0)[:settings][back].cpu(),
    )


def exit_indices(rule: Rule, trace: Trace, thresholds: Sequence[float]) -> Tensor:
    """Which exit (0-based) answers each sample at each setting, int64 [S, N]; for inspection and regression."""
    require(rule, trace)
    signed, places = order(rule, thresholds, trace.logits.device)
    steps = torch.arange(len(thresholds), device=signed.device)[:, None]
    left = torch.zeros(len(thresholds), trace.samples, dtype=torch.int64, device=signed.device)
    for rows in chunks(trace.samples):
        for since in first_settings(rule, trace, signed, rows):
            left[:, rows] += steps < since  # never at the last exit, which has left by setting 0
    return left[torch.argsort(places)]


def near_threshold(rule: Rule, trace: Trace, threshold: float, margin: float = NEAR) -> Tensor:
    """Samples whose decision could tip by rounding, bool [N].

    At some exit before the last the rule is within `margin` of the other decision, or at some layer the gate is,
    if it can skip any.
    """
    close = torch.zeros(trace.samples, dtype=torch.bool)
    for rows in chunks(trace.samples):
        state = rule.start(len(range(*rows.indices(trace.samples))), trace.logits.device)
        for index, layer in enumerate(trace.exit_layers[:-1]):
            signals = trace.signals(index, rows)
            criterion = judge(rule, layer, signals, state)
            tips = rule.distance(criterion, signals, state, threshold) <= margin
            close[rows] |= (tips if signals.executed is None else tips & signals.executed).cpu()
    # From 1 on no gate skips anything, however near it comes.
    if trace.gates is not None and trace.gate_threshold is not None and trace.gate_threshold < 1:
        close |= ((trace.gates - trace.gate_threshold).abs() <= margin).any(dim=0).cpu()
    return close


def require(rule: Rule, trace: Trace) -> None:
    """Raises UserError when the rule is not defined on this trace, naming rules that are."""
    if defined(rule, trace):
        return
    works = ", ".join(name for name in RULES if defined(RULES[name](), trace))
    missing = sorted(rule.needs - trace.kinds)
    kind = "regression" if trace.geometry.classes == 1 else "classification"
    reason = f"needs the signal '{missing[0]}', which this model has not" if missing else f"is not for {kind}"
    raise UserError(f"rule '{rule.name}' {reason}; rules that work here: {works}.")


def defined(rule: Rule, trace: Trace) -> bool:
    """Whether the trace is of the rule's kind of task and has the signals it needs."""
    kind = rule.regression if trace.geometry.classes == 1 else rule.classification
    return kind and rule.needs <= trace.kinds
