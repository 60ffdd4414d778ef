"""How far a plan has come: a bar with time left on a terminal, one line per run elsewhere."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from eebench.plan import Job


class PlanProgress:
    """Reporter of a plan; a context manager, silent about single steps when not on a terminal."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._bar = Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("steps, left"),
            TimeRemainingColumn(), console=console, transient=True, disable=not console.is_terminal,
        )  # fmt: skip
        self._task = self._bar.add_task("", total=None)

    def __enter__(self) -> PlanProgress:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def started(self, job: Job, number: int, total: int) -> None:
        """A job begins (or is looked up)."""
        text = f"[{number}/{total}] {job.title}"
        self._bar.reset(self._task, total=None, description=escape(text))
        if not self.console.is_terminal:
            self.console.print(text, markup=False, highlight=False)

    def step(self, done: int, total: int) -> None:
        """`done` of `total` training steps of the current job."""
        self._bar.update(self._task, completed=done, total=total)

    def failed(self, job: Job, reason: str) -> None:
        """A job failed; the others go on."""
        self.console.print(f"failed: {job.title}: {reason}", markup=False, highlight=False, soft_wrap=True)
