"""A model that leaves early, as one stream of answers in input order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from eebench.backbones.base import Batch
from eebench.backbones.tokens import Encoded
from eebench.errors import UserError
from eebench.model import MultiExitModel
from eebench.rules.base import Rule
from eebench.runtime.entries import Entry, Stream, entries
from eebench.runtime.executors import compact, find_executor
from eebench.runtime.walking import Departure, Precision, Walk


@dataclass(frozen=True)
class Left:
    """How one sample left: `exit_index` (0-based), its layer, the answering exit's logits fp32 [C] on the host.

    `executed` is the number of layers that ran for it: fewer than `layer` where a gate skipped some. `ran` is False
    where `layer` itself is one of those: the last exit is asked whether or not its layer ran.
    """

    exit_index: int
    layer: int
    logits: torch.Tensor
    executed: int
    ran: bool = True


@dataclass(frozen=True)
class Execution:
    """How a model is run: by which executor, on how many rows at once, where, and in which precision.

    fp32 is exact (no TF32) and decides as the trace does; bf16 and fp16 are autocast.
    """

    executor: str = "compact"
    batch_size: int = 32
    device: torch.device = torch.device("cpu")  # noqa: RUF009
    precision: Precision = "fp32"

    def __post_init__(self) -> None:
        find_executor(self.executor)
        if self.batch_size < 1:
            raise UserError(
                f"a batch of {self.batch_size} rows cannot be run; choose a batch size of 1 or more."
            )
        if self.executor == "sequential" and self.batch_size != 1:
            raise UserError(
                "the executor 'sequential' runs one sample at a time; use batch size 1, or compact."
            )


def execute(
    model: MultiExitModel, rule: Rule, threshold: float, stream: Stream, how: Execution
) -> Iterator[Left]:
    """How each sample of `stream` left, in input order, as soon as it and all before it are known.

    `model` is on `how.device`. Memory is bounded whatever the length of the stream.

    Example: ``execute(model, find_rule("entropy"), 0.3, encoded, Execution("compact", 32))``.
    """
    model.eval()
    walk = Walk(model, rule, threshold, how.precision)
    batches = entries(stream, how.batch_size, how.device)
    departures = find_executor(how.executor)(walk, batches, how.batch_size)
    yield from in_order(answers(departures, how.batch_size))


def sequential(
    model: MultiExitModel, rule: Rule, threshold: float, encoded: Encoded, device: torch.device
) -> Iterator[Left]:
    """Every sample of a split on its own, in order, as the published scripts do (batch size 1)."""
    return execute(model, rule, threshold, encoded, Execution("sequential", 1, device))


def leave_early(model: MultiExitModel, rule: Rule, threshold: float, batch: Batch) -> Left:
    """Runs one sample (batch of one) until `rule` lets it go."""
    entry = Entry(np.zeros(1, dtype=np.int64), np.array([batch.mask.shape[1]]), batch)
    ((_, left),) = answers(compact(Walk(model, rule, threshold), [entry]), 1)
    return left


def answers(departures: Iterable[Departure], size: int) -> Iterator[tuple[int, Left]]:
    """Each row's place and how it left, in the order of leaving.

    Departures of at least `size` rows cross to the host together: one wait for the device, not one for each.
    """
    held: list[Departure] = []
    for departure in departures:
        held.append(departure)
        if sum(len(one.places) for one in held) >= size:
            yield from _unpacked(held)
            held = []
    if held:
        yield from _unpacked(held)


def _unpacked(held: Sequence[Departure]) -> Iterator[tuple[int, Left]]:
    logits = iter(torch.cat([one.logits for one in held]).cpu().unbind())
    counts = [one.executed for one in held if one.executed is not None]
    executed = iter(torch.cat(counts).tolist() if counts else ())
    flags = [one.ran for one in held if one.ran is not None]
    last = iter(torch.cat(flags).tolist() if flags else ())
    for one in held:
        for place in one.places.tolist():
            layers = one.layer if one.executed is None else next(executed)
            ran = one.ran is None or next(last)
            yield place, Left(one.exit_index, one.layer, next(logits), layers, ran)


def in_order(found: Iterable[tuple[int, Left]]) -> Iterator[Left]:
    """The answers by place, each as soon as all before it are there."""
    early: dict[int, Left] = {}
    place = 0
    for at, left in found:
        early[at] = left
        while place in early:
            yield early.pop(place)
            place += 1
