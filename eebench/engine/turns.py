"""Training loops that take turns: noise of the machine then hits all of them alike, and their times compare."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Semaphore
from typing import TypeVar

import torch

from eebench.errors import RunError
from eebench.model import MultiExitModel
from eebench.training.checkpoints import CheckpointFile
from eebench.training.loop import Moment, Setup, Trainer
from eebench.training.stages import Stage

Item = TypeVar("Item")


class Stopped(Exception):
    """Ends a paused loop that is not needed any more."""


class PausedLoop:
    """A real training loop in a thread of its own that stands still but for the blocks of steps it is asked for.

    Several such loops take turns, so that noise of the machine hits all alike. A context manager, so that no
    thread and no file is left behind.
    """

    def __init__(self, model: MultiExitModel, stages: Sequence[Stage], setup: Setup, steps: int) -> None:
        self.model = model
        self._device, self._steps, self._stopping = setup.device, steps, False
        self._go, self._paused = Semaphore(0), Semaphore(0)
        self._folder = TemporaryDirectory()
        self._trainer = Trainer(model, stages, setup, CheckpointFile(Path(self._folder.name)), self._on_step)
        self._pool = ThreadPoolExecutor(max_workers=1)
        self._outcome = self._pool.submit(self._run)

    def __enter__(self) -> PausedLoop:
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping = True
        self._go.release()
        self._pool.shutdown()
        self._folder.cleanup()

    def _run(self) -> None:
        try:
            self._wait()
            self._trainer.run()
        finally:
            self._paused.release()

    def _on_step(self, moment: Moment) -> None:
        if moment.done % self._steps == 0:
            self._paused.release()
            self._wait()

    def _wait(self) -> None:
        self._go.acquire()
        if self._stopping:
            raise Stopped

    def block(self) -> float:
        """Seconds of the next block of steps; raises what the loop raised."""
        taken = seconds(self._turn, self._device)
        if self._outcome.done():
            self._outcome.result()
        return taken

    def _turn(self) -> None:
        self._go.release()
        self._paused.acquire()


def take_turns(
    loops: Mapping[str, PausedLoop], rounds: int, on_round: Callable[[], None] = lambda: None
) -> dict[str, list[float]]:
    """Seconds of the blocks of each loop, one block a round; another loop begins each round."""
    taken: dict[str, list[float]] = {name: [] for name in loops}
    for number in range(rounds):
        for name in rotated(list(loops), number):
            try:
                taken[name].append(loops[name].block())
            except RunError as error:
                raise RunError(f"{name}: {error}") from error
        on_round()
    return taken


def rotated(items: Sequence[Item], turn: int) -> list[Item]:
    """The items beginning with another one each turn."""
    place = turn % len(items)
    return [*items[place:], *items[:place]]


def clock(device: torch.device) -> float:
    """Seconds now, once the device has finished what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def seconds(work: Callable[[], object], device: torch.device) -> float:
    """How long `work` takes."""
    start = clock(device)
    work()
    return clock(device) - start


def device_name(device: torch.device) -> str:
    """The name of the graphics card or the processor."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else processor()


def processor() -> str:
    """The processor's name where the system tells it, else its architecture."""
    listing = Path("/proc/cpuinfo")
    if listing.exists():
        for line in listing.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
