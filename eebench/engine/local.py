"""Runs a plan on this machine, one run after the other; a run that fails is an outcome, not the end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from eebench.engine.execute import Executor
from eebench.errors import EebenchError
from eebench.plan import Cell, Job, Plan
from eebench.tasks.splits import HELD_OUT
from eebench.trace import Trace
from eebench.training.loop import Moment


@dataclass(frozen=True)
class Outcome:
    """What became of a cell: status ok, failed or skipped, the reason, and its traces when ok.

    `trace` is that of dev, `holdout` that of the held-out slice of train; None where it was not asked for.
    """

    cell: Cell
    status: str
    reason: str = ""
    trace: Trace | None = None
    holdout: Trace | None = None

    def on(self, split: str) -> Trace | None:
        """The trace on a split, "dev" or "holdout"."""
        return self.holdout if split == HELD_OUT else self.trace


class Reporter(Protocol):
    """Shows how far a plan has come."""

    def started(self, job: Job, number: int, total: int) -> None:
        """A job begins (or is looked up)."""
        ...

    def step(self, moment: Moment) -> None:
        """A training step of the current job is done."""
        ...

    def finished(self, job: Job, trace: Trace | None) -> None:
        """A job is done, or was found done; `trace` is that of dev, where one was asked for."""
        ...

    def failed(self, job: Job, reason: str) -> None:
        """A job failed."""
        ...


class Silent:
    """Says nothing of a plan's progress."""

    def started(self, job: Job, number: int, total: int) -> None:
        """Nothing."""

    def step(self, moment: Moment) -> None:
        """Nothing."""

    def finished(self, job: Job, trace: Trace | None) -> None:
        """Nothing."""

    def failed(self, job: Job, reason: str) -> None:
        """Nothing: the outcome has the reason."""


def run_plan(
    plan: Plan, executor: Executor, reporter: Reporter, splits: Sequence[str] = ("dev",)
) -> list[Outcome]:
    """Makes every run of the plan and its traces on `splits` ("dev", "holdout"), needs first.

    Returns one outcome per cell, in the plan's order.
    """
    failures: dict[str, str] = {}
    shown: dict[str, set[str]] = {}
    for cell in plan.cells:
        if cell.job is not None:
            shown.setdefault(cell.job.key, set()).add(cell.task.dev_split)
    traces: dict[str, dict[str, Trace]] = {}
    for number, job in enumerate(plan.jobs, start=1):
        blocked = [needed for needed in job.needs.values() if needed.key in failures]
        if blocked:
            failures[job.key] = f"skipped: it needs {blocked[0].title}, which failed"
            continue
        reporter.started(job, number, len(plan.jobs))
        with _recorded(job, executor, reporter, failures):
            if job.key in shown:
                own = sorted(shown[job.key]) if "dev" in splits else []
                asked = [*own, *(split for split in splits if split != "dev")]
                traces[job.key] = {split: executor.ensure_trace(job, split, reporter.step) for split in asked}
            else:
                executor.ensure_trained(job, reporter.step)
            reporter.finished(job, traces.get(job.key, {}).get(job.task.dev_split))
    return [_outcome(cell, failures, traces) for cell in plan.cells]


@contextmanager
def _recorded(job: Job, executor: Executor, reporter: Reporter, failures: dict[str, str]) -> Iterator[None]:
    """The one place where a run's failure, whatever it is, becomes a recorded reason."""
    try:
        yield
    except Exception as error:  # noqa: BLE001
        reason = str(error) if isinstance(error, EebenchError) else f"{type(error).__name__}: {error}"
        reason = " ".join(reason.split())
        failures[job.key] = reason
        reporter.failed(job, reason)
        _note_failure(executor, job, reason)


def _note_failure(executor: Executor, job: Job, reason: str) -> None:
    try:
        executor.run(job).fail(reason)
    except EebenchError:
        return  # a full disk cannot take the note either; the outcome still carries the reason


def _outcome(cell: Cell, failures: dict[str, str], traces: dict[str, dict[str, Trace]]) -> Outcome:
    if cell.job is None:
        return Outcome(cell, "failed", cell.problem)
    key = cell.job.key
    if key in failures:
        reason = failures[key]
        status = "skipped" if reason.startswith("skipped: ") else "failed"
        return Outcome(cell, status, reason.removeprefix("skipped: "))
    return Outcome(cell, "ok", "", traces[key].get(cell.task.dev_split), traces[key].get(HELD_OUT))
