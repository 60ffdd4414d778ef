"""Whether a trained model learned anything: its exits on rows it was trained on, beside one answer for all of them.

A model that gives every row the same answer runs, is stored and stands in a table like any other; here it is noticed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from eebench.trace import Trace

ROWS = 256
"""Training rows that are looked at: a fraction of a second to a few, beside minutes of training."""


def look(trace: Trace) -> dict[str, Any]:
    """What a run's record keeps: per exit how many different `answers` it gives and how `good` they are.

    `constant` is how good one answer for all rows is. For classes that is the share of right answers, for a regression
    the share of the scores' variance that is explained (1 - mean squared error / variance), so 0 for the mean score.
    """
    labels, answers = trace.labels, trace.answers()
    if trace.geometry.classes > 1:
        constant = float(torch.bincount(labels).max()) / len(labels)
        good = (answers == labels).double().mean(dim=1)
    else:
        constant = 0.0
        variance = labels.double().var(correction=0)
        good = 1 - (answers - labels).double().square().mean(dim=1) / variance.clamp_min(1e-12)
    return {
        "rows": trace.samples, "constant": round(constant, 4), "answers": [distinct(row) for row in answers],
        "good": [round(value, 4) for value in good.tolist()],
    }  # fmt: skip


def distinct(answers: Tensor) -> int:
    """How many different answers [N] there are; scores that a thousandth of their size separates are one."""
    if not answers.is_floating_point():
        return len(set(answers.tolist()))
    spread = float(answers.max() - answers.min())
    return 1 if spread <= 1e-3 * (1 + float(answers.abs().max())) else len(set(answers.tolist()))


def verdict(record: Mapping[str, Any]) -> str:
    """What a run's row says of its record: "yes", "no" and why, or nothing for a run that was not looked at.

    Exits before the last that give one answer are named after a yes.
    """
    seen = record.get("learning")
    if seen is None:
        return ""
    layers = record["exit_layers"]
    stuck = [layer for layer, answers in zip(layers, seen["answers"], strict=True) if answers == 1]
    if len(stuck) == len(layers):
        return f"no: {named(stuck)} {'gives' if len(stuck) == 1 else 'give'} one answer to every row"
    if layers[-1] in stuck:
        return f"no: exit {layers[-1]} gives one answer to every row"
    if seen["good"][-1] <= seen["constant"]:
        return f"no: exit {layers[-1]} is no better on its training rows than one answer for all of them"
    if stuck:
        return f"yes; {named(stuck)} {'gives' if len(stuck) == 1 else 'give'} one answer to every row"
    return "yes"


def named(layers: Sequence[int]) -> str:
    """ "exit 2", or "exits 1, 2, 3"."""
    return f"exit{'s' if len(layers) > 1 else ''} {', '.join(map(str, layers))}"
