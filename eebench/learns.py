"""Whether a method learns what plain fine-tuning learns: both trained on the same real text, as long as each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from eebench.conformance import Result
from eebench.engine.execute import Executor
from eebench.engine.local import Outcome, Reporter, run_plan
from eebench.methods.catalogue import find_method
from eebench.options import merge, resolve_options
from eebench.plan import Cell, Plan, Planner, in_order
from eebench.tasks.metrics import metric_title
from eebench.tasks.specs import TaskSpec
from eebench.training.evaluation import exit_scores, scored
from eebench.training.learning import verdict

REFERENCE = "finetune"
BUDGET: Mapping[str, Any] = {
    "epochs": 1, "lr": 1e-4, "batch_size": 32, "warmup_share": 0.1, "warmup_epochs": None, "weight_decay": 0.01,
    "select": "last", "holdout": 0.0, "patience": None,
}  # fmt: skip
"""A recipe under which small encoders learn in one epoch; what a method has of its own is left to it."""
ROWS = 2000
"""Training rows of the check: minutes on two cores."""
MARGIN = 0.03
"""How far below plain fine-tuning the last exit may stay: three points."""
SEED = 1


def compared(planner: Planner, name: str, given: Mapping[str, Any], place: tuple[TaskSpec, str]) -> Plan:
    """Plain fine-tuning and the method, on a task and backbone; `given` changes both where both have the option."""
    task, backbone = place
    shared = merge({**BUDGET, "train_rows": ROWS}, given)
    cells = []
    for label in (REFERENCE, name):
        method = find_method(label)
        own = (
            shared
            if label == name
            else {key: shared[key] for key in shared if key in {*BUDGET, "train_rows"}}
        )
        job = planner.job(method, resolve_options(method, own, "--set"), backbone, task, SEED)
        cells.append(Cell(label, method, task, backbone, SEED, job))
    return Plan(tuple(cells), in_order(cell.job for cell in cells if cell.job is not None))


def results(plan: Plan, executor: Executor, reporter: Reporter) -> list[Result]:
    """Trains what is missing and judges the method: that it learned anything, and how near it comes."""
    plain, own = run_plan(plan, executor, reporter)
    if plain.trace is None or own.trace is None:
        return [Result("trains", "failed", own.reason or plain.reason)]
    learned = said(own, executor)
    checks = [
        Result("learns more than one answer", "passed" if learned.startswith("yes") else "failed", learned)
    ]
    metric = own.cell.task.metric
    ours, theirs = (scored(exit_scores(trace, metric)) for trace in (own.trace, plain.trace))
    near = ours[-1] >= theirs[-1] - MARGIN
    text = (
        f"{metric_title(metric)} {100 * ours[-1]:.1f}, {REFERENCE} {100 * theirs[-1]:.1f}; by exit "
        f"{' '.join(f'{100 * value:.1f}' for value in ours)}"
    )
    return [
        *checks,
        Result(
            f"last exit within {100 * MARGIN:g} points of {REFERENCE}", "passed" if near else "failed", text
        ),
    ]


def said(outcome: Outcome, executor: Executor) -> str:
    """What the run's record says of its learning; runs from before there was such a record say so."""
    assert outcome.cell.job is not None
    return verdict(executor.run(outcome.cell.job).record()) or "unknown: trained before this was looked at"
