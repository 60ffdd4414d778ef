"""Passes over samples on the clock. They take turns, so that noise of the machine hits all of them alike."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eebench.backbones.base import Batch, State
from eebench.backbones.tokens import Encoded
from eebench.engine.turns import clock, rotated
from eebench.model import MultiExitModel
from eebench.runtime.entries import Entry, entries
from eebench.runtime.walking import Departure, Precision, computing

ROWS_PER_TURN = 32
"""Samples of a turn: short enough that all of a round meet the same machine, long enough to warm the caches again."""


@dataclass(frozen=True)
class Measurand:
    """Something to measure: what `run` does with batches of `size` rows."""

    size: int
    run: Callable[[Iterable[Entry]], Iterator[Departure]]


@dataclass(frozen=True)
class Pass:
    """One pass over N samples: `seconds` in all, `waits` fp64 [N] from a sample's batch being made to its answer."""

    seconds: float
    waits: NDArray[np.float64]
    departures: Sequence[Departure]

    @property
    def layers(self) -> NDArray[np.int64]:
        """How many layers ran for each sample, int64 [N]."""
        found = np.empty(len(self.waits), dtype=np.int64)
        for one in self.departures:
            found[one.places] = one.layer if one.executed is None else one.executed.cpu().numpy()
        return found

    @property
    def answers(self) -> NDArray[np.generic]:
        """The answer of each sample [N]: its class, or its score for regression."""
        logits = torch.cat([one.logits for one in self.departures]).cpu()
        values = logits.argmax(dim=-1) if logits.shape[1] > 1 else logits[:, 0]
        found = np.empty(len(self.waits), dtype=values.numpy().dtype)
        found[np.concatenate([one.places for one in self.departures])] = values.numpy()
        return found


def full_forward(
    model: MultiExitModel, batches: Iterable[Entry], precision: Precision = "fp32"
) -> Iterator[Departure]:
    """Every row through all layers to the last exit: what leaving early is set beside."""
    model.eval()
    last, depth = len(model.exit_layers) - 1, model.depth
    for entry in batches:
        with computing(entry.batch.mask.device, precision):
            state = model.embed(entry.batch)
            for layer in range(1, depth + 1):
                state = model.advance(layer, state)
            logits = model.classify(depth, state)
        yield Departure(entry.places, last, depth, logits)


def stock_forward(
    model: MultiExitModel,
    stock: Callable[[Batch], Tensor],
    batches: Iterable[Entry],
    precision: Precision = "fp32",
) -> Iterator[Departure]:
    """The same rows through the library's own forward pass, and the same last exit."""
    model.eval()
    last, depth = len(model.exit_layers) - 1, model.depth
    for entry in batches:
        batch = entry.batch
        with computing(batch.mask.device, precision):
            hidden = stock(batch)
            attention = model.backbone.attend(hidden, batch.mask, batch.padded)
            logits = model.classify(depth, State(hidden, batch.mask, attention))
        yield Departure(entry.places, last, depth, logits)


class Runner:
    """One pass over the samples that stands still between its turns; its clock stands still with it.

    Making the batches counts; what is done with the answers does not.
    """

    def __init__(self, measurand: Measurand, encoded: Encoded, device: torch.device) -> None:
        self.device, self.samples = device, len(encoded)
        self.finished = False
        self._before, self._since = 0.0, 0.0
        # Moments are sorted to their samples once the clock has stopped: that work is no part of the pass.
        self._begun: list[tuple[NDArray[np.int64], float]] = []
        self._departures: list[tuple[Departure, float]] = []
        self._running = measurand.run(self._noted(entries(encoded, measurand.size, device)))

    def turn(self, rows: int) -> None:
        """Goes on until `rows` more samples have left, or all."""
        left = 0
        self._since = clock(self.device)
        while left < rows:
            departure = next(self._running, None)
            if departure is None:
                self.finished = True
                break
            self._departures.append((departure, self._now()))
            left += len(departure.places)
        self._before = self._now()

    def result(self) -> Pass:
        """The pass, once it is finished."""
        begun, left = np.zeros(self.samples), np.zeros(self.samples)
        for places, moment in self._begun:
            begun[places] = moment
        for departure, moment in self._departures:
            left[departure.places] = moment
        return Pass(self._before, left - begun, [departure for departure, _ in self._departures])

    def _now(self) -> float:
        """Seconds of its own turns so far."""
        return self._before + clock(self.device) - self._since

    def _noted(self, batches: Iterator[Entry]) -> Iterator[Entry]:
        """The batches; when the making of each began is written down."""
        while True:
            now = self._now()
            entry = next(batches, None)
            if entry is None:
                return
            self._begun.append((entry.places, now))
            yield entry


@dataclass(frozen=True)
class Timed:
    """The counted passes of one measurand, `waits` fp64 [repeats, N]; answers and layers are those of the first."""

    seconds: Sequence[float]
    waits: NDArray[np.float64]
    first: Pass


def in_turns(
    measurands: Sequence[Measurand],
    encoded: Encoded,
    repeats: int,
    device: torch.device,
    on_turn: Callable[[int, int], None] = lambda done, total: None,
) -> list[Timed]:
    """`repeats` passes of each, side by side: a turn is `ROWS_PER_TURN` samples. One more at first warms up.

    `on_turn` hears how many of all passes are finished.
    """
    taken: list[list[Pass]] = [[] for _ in measurands]
    for number in range(repeats + 1):
        for passes, one in zip(taken, side_by_side(measurands, encoded, number, device), strict=True):
            passes.append(one)
        on_turn(number + 1, repeats + 1)
    return [
        Timed([one.seconds for one in counted], np.stack([one.waits for one in counted]), counted[0])
        for _, *counted in taken
    ]


def side_by_side(
    measurands: Sequence[Measurand], encoded: Encoded, number: int, device: torch.device
) -> list[Pass]:
    """One pass of each, turn by turn; pass `number` and then every round of turns begins with another."""
    runners = [Runner(measurand, encoded, device) for measurand in measurands]
    gc.collect()  # before the clocks run, so that it does not happen while one does
    while waiting := [runner for runner in runners if not runner.finished]:
        for runner in rotated(waiting, number):
            runner.turn(ROWS_PER_TURN)
        number += 1
    return [runner.result() for runner in runners]
