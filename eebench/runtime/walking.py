"""The step that all ways of leaving early share: a group of rows goes on to the next exit, and some leave there."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eebench.backbones.base import State
from eebench.errors import UserError
from eebench.kernels import Gram
from eebench.model import MultiExitModel
from eebench.rules.base import Rule, RuleState, join_rows, judge, keep_rows
from eebench.runtime.entries import Entry
from eebench.trace import full_precision

Precision = Literal["fp32", "bf16", "fp16"]
TYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}
CPU = torch.device("cpu")


def find_precision(name: str) -> Precision:
    """fp32, bf16 or fp16; UserError for anything else."""
    known: tuple[Precision, ...] = get_args(Precision)
    for precision in known:
        if name == precision:
            return precision
    raise UserError(f"unknown precision '{name}'; choose {', '.join(known)}.")


@dataclass(frozen=True)
class Group:
    """Rows of the stream that stand behind the same layer.

    `places`, `lengths` int64 [n] on the host; `state` behind `layer` (0: the embedding), the rule's `memory` and
    what the next exit is compared with (`gram`); `executed` int64 [n], layers that ran for each row, None in models
    that skip none. `since` is when its longest waiting row came: the number of its batch, or seconds.
    """

    places: NDArray[np.int64]
    lengths: NDArray[np.int64]
    layer: int
    state: State
    memory: RuleState
    gram: Gram | None = None
    executed: Tensor | None = None
    since: float = 0

    def __len__(self) -> int:
        return len(self.places)

    @property
    def width(self) -> int:
        """Tokens of its longest row."""
        return int(self.lengths.max())


@dataclass(frozen=True)
class Departure:
    """Rows that left together: `places` int64 [n]; `logits` fp32 [n, C] and `executed` int64 [n] on the device.

    `ran` bool [n] says for which rows the last layer ran, in models that skip layers; None where it did for all.
    """

    places: NDArray[np.int64]
    exit_index: int
    layer: int
    logits: Tensor
    executed: Tensor | None = None
    ran: Tensor | None = None


class Walk:
    """A model under one setting of a rule. The rows of a group given to a method are the method's: use what it returns.

    On a graphics card the host waits once per exit, to learn how many rows leave: that decides the shapes of
    everything after it. A rule that reads no signal (a fixed exit) is asked on the host and costs no wait at all.
    """

    def __init__(
        self, model: MultiExitModel, rule: Rule, threshold: float, precision: Precision = "fp32"
    ) -> None:
        self.model, self.rule, self.threshold, self.precision = model, rule, threshold, precision
        self._nearest = float(np.float32(threshold))
        self.exits = {layer: index for index, layer in enumerate(model.exit_layers)}
        # A skipped layer is a signal too, and the card alone knows of it.
        self._on_host = not rule.needs and model.gate_threshold is None

    def enter(self, entry: Entry, since: float = 0) -> Group:
        """A batch behind the embedding."""
        with computing(entry.batch.mask.device, self.precision):
            return self._enter(entry, since)

    def onward(self, group: Group) -> tuple[Departure | None, Group | None]:
        """The group at the next exit: the rows that leave there and those that stay, None for none of them."""
        with computing(group.state.hidden.device, self.precision):
            return self._onward(group)

    def alone(self, group: Group) -> Departure:
        """A group of one row to its exit: nothing is ever dropped from it, so nothing is rebuilt on the way."""
        with computing(group.state.hidden.device, self.precision):
            return self._alone(group)

    def single(self, entry: Entry) -> Departure:
        """A batch of one row from its embedding to its exit."""
        with computing(entry.batch.mask.device, self.precision):
            return self._alone(self._enter(entry, 0))

    def _enter(self, entry: Entry, since: float) -> Group:
        state = self.model.embed(entry.batch)
        home = CPU if self._on_host else state.hidden.device
        memory = self.rule.start(len(entry.places), home)
        return Group(entry.places, entry.lengths, 0, state, memory, since=since)

    def _alone(self, group: Group) -> Departure:
        state, executed, gram = group.state, group.executed, group.gram
        for layer in range(group.layer + 1, self.model.depth):
            state = self.model.advance(layer, state)
            executed = counted(executed, state)
            if layer not in self.exits:
                continue
            signals, gram = self.model.observe(layer, state, self.rule.needs, gram)
            criterion = judge(self.rule, layer, signals, group.memory)
            if self.rule.leaves(criterion.item(), self._nearest):
                logits = self.model.classify(layer, state) if signals.logits is None else signals.logits
                return self._departure(group.places, layer, logits, executed)
        return self._last(group, state, executed)

    def _leaves(self, criterion: Tensor) -> NDArray[np.bool_]:
        """Which rows leave, bool [n] on the host: the one wait that cannot be avoided, see above."""
        return self.rule.leaves(criterion.cpu().numpy(), self.threshold)

    def _onward(self, group: Group) -> tuple[Departure | None, Group | None]:
        state, executed = group.state, group.executed
        for layer in range(group.layer + 1, self.model.depth):
            state = self.model.advance(layer, state)
            executed = counted(executed, state)
            if layer in self.exits:
                return self._decide(group, layer, state, executed)
        return self._last(group, state, executed), None

    def _last(self, group: Group, state: State, executed: Tensor | None) -> Departure:
        """The departure of rows that stand before the last layer."""
        depth = self.model.depth
        state = self.model.advance(depth, state)
        logits = self.model.classify(depth, state)
        departure = self._departure(group.places, depth, logits, counted(executed, state))
        return replace(departure, ran=state.executed)

    def _decide(
        self, group: Group, layer: int, state: State, executed: Tensor | None
    ) -> tuple[Departure | None, Group | None]:
        """Asks the rule at the exit after `layer`."""
        signals, gram = self.model.observe(layer, state, self.rule.needs, group.gram)
        criterion = judge(self.rule, layer, signals, group.memory)
        leaves = self._leaves(criterion)
        here = Group(
            group.places, group.lengths, layer, state, group.memory, gram, executed, group.since
        )  # fmt: skip
        if not leaves.any():
            return None, here
        if leaves.all():
            logits = self.model.classify(layer, state) if signals.logits is None else signals.logits
            return self._departure(group.places, layer, logits, executed), None
        return self._leaving(here, np.flatnonzero(leaves), signals.logits), self._staying(
            here, np.flatnonzero(~leaves)
        )

    def _leaving(self, group: Group, rows: NDArray[np.int64], logits: Tensor | None) -> Departure:
        places = on_device(rows, group.state.hidden.device)
        if logits is None:
            # No head has looked at this exit yet: it looks at the rows that leave alone.
            kept = self.model.select(group.state, places, int(group.lengths[rows].max()))
            answers = self.model.classify(group.layer, kept)
        else:
            answers = logits[places]
        executed = None if group.executed is None else group.executed[places]
        return self._departure(group.places[rows], group.layer, answers, executed)

    def _staying(self, group: Group, rows: NDArray[np.int64]) -> Group:
        """The group without the rows that left, padded no longer than its longest row."""
        places, lengths = on_device(rows, group.state.hidden.device), group.lengths[rows]
        width = int(lengths.max())
        return Group(
            group.places[rows], lengths, group.layer,
            self.model.select(group.state, places, width),
            keep_rows(group.memory, torch.from_numpy(rows) if self._on_host else places),
            None if group.gram is None else group.gram.select(places, width),
            None if group.executed is None else group.executed[places], group.since,
        )  # fmt: skip

    def _departure(
        self, places: NDArray[np.int64], layer: int, logits: Tensor, executed: Tensor | None
    ) -> Departure:
        return Departure(places, self.exits[layer], layer, logits, executed)

    def join(self, groups: Sequence[Group]) -> Group:
        """Groups behind the same layer as one, rows in order."""
        if len(groups) == 1:
            return groups[0]
        with computing(groups[0].state.hidden.device, self.precision):
            grams = [group.gram for group in groups if group.gram is not None]
            counts = [group.executed for group in groups if group.executed is not None]
            return Group(
                np.concatenate([group.places for group in groups]),
                np.concatenate([group.lengths for group in groups]),
                groups[0].layer,
                self.model.join([group.state for group in groups]),
                join_rows([group.memory for group in groups]),
                Gram.join(grams) if grams else None,
                torch.cat(counts) if counts else None,
                min(group.since for group in groups),
            )


def counted(before: Tensor | None, state: State) -> Tensor | None:
    """Layers that ran so far for each row, int64 [n]; None in models that skip none."""
    if state.executed is None:
        return before
    now = state.executed.long()
    return now if before is None else before + now


def on_device(rows: NDArray[np.int64], device: torch.device) -> Tensor:
    """Row numbers as a tensor, without making the host wait for the copy."""
    index = torch.from_numpy(rows)
    return index.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else index


class computing:  # noqa: N801
    """Without gradients, in exact fp32 or autocast. Never held while a caller has the turn."""

    def __init__(self, device: torch.device, precision: Precision) -> None:
        self._inference = torch.inference_mode()
        self._arithmetic: AbstractContextManager[Any] = (
            full_precision() if precision == "fp32" else torch.autocast(device.type, TYPES[precision])
        )

    def __enter__(self) -> None:
        self._inference.__enter__()
        self._arithmetic.__enter__()

    def __exit__(self, *raised: Any) -> None:
        self._arithmetic.__exit__(*raised)
        self._inference.__exit__(*raised)
