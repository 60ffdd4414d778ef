"""How far a plan has come: a bar with time left on a terminal; elsewhere, as in a log file, lines."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from eebench.plan import Job
    from eebench.trace import Trace
    from eebench.training.loop import Moment

BETWEEN_LINES = 60.0
"""Seconds between two lines about one run."""


class PlanProgress:
    """Reporter of a plan; a context manager.

    Without a terminal a run has a line when it starts, at most one a minute while it trains, and one with its score.
    `clock` gives seconds.
    """

    def __init__(self, console: Console, clock: Callable[[], float] = monotonic) -> None:
        self.console, self._clock = console, clock
        self._bar = Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("steps, left"),
            TimeRemainingColumn(), console=console, transient=True, disable=not console.is_terminal,
        )  # fmt: skip
        self._task = self._bar.add_task("", total=None)
        self._started = self._said = 0.0
        self._first: tuple[float, int] | None = None
        self._place = ""

    def __enter__(self) -> PlanProgress:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def started(self, job: Job, number: int, total: int) -> None:
        """A job begins (or is looked up)."""
        self._place, self._first = f"[{number}/{total}]", None
        self._started = self._said = self._clock()
        text = f"{self._place} {job.title}"
        self._bar.reset(self._task, total=None, description=escape(text))
        self._line(text)

    def step(self, moment: Moment) -> None:
        """A training step of the current job is done."""
        self._bar.update(self._task, completed=moment.done, total=moment.total)
        now = self._clock()
        if self._first is None:
            # A run that goes on from its checkpoint has not done all its steps in this time.
            self._first = self._started, moment.done - 1
        if now - self._said < BETWEEN_LINES or self.console.is_terminal:
            return
        self._said = now
        since, before = self._first
        rate = (moment.done - before) / max(now - since, 1e-9)
        left = (moment.total - moment.done) / rate
        self._line(
            f"{self._place} {moment.stage}: epoch {moment.epoch} of {moment.epochs}, step {moment.done:,} of "
            f"{moment.total:,}, {rate:.2g} steps/s, {duration(left)} left, loss {moment.loss():.4g}"
        )

    def finished(self, job: Job, trace: Trace | None) -> None:
        """A job is done, or was found done."""
        took = f"done in {duration(self._clock() - self._started)}" if self._first else "was done already"
        self._line(f"{self._place} {took}{self._score(job, trace)}")

    def failed(self, job: Job, reason: str) -> None:
        """A job failed; the others go on."""
        self.console.print(f"failed: {job.title}: {reason}", markup=False, highlight=False, soft_wrap=True)

    def _line(self, text: str) -> None:
        if not self.console.is_terminal:
            self.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def _score(self, job: Job, trace: Trace | None) -> str:
        """The last exit's score on dev, in words; empty where it was not asked for."""
        if trace is None or self.console.is_terminal:
            return ""
        from eebench.tasks.metrics import metric_title
        from eebench.training.evaluation import exit_scores

        value = exit_scores(trace, job.task.metric)[-1]
        return "" if value is None else f", {metric_title(job.task.metric)} {100 * value:.1f} on dev"


def duration(seconds: float) -> str:
    """`0:07`, `12:34` or `1:02:03`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
