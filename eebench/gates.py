"""Gates that skip layers: before each layer a small network gives the probability that a sample does without it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor, nn

from eebench.backbones.base import Backbone, Batch, State
from eebench.heads import NarrowAttention
from eebench.model import HEADS, MultiExitModel, Outputs
from eebench.rules.base import Signals

HARD_THRESHOLD = 0.5
"""The probability of skipping from which a hard gate closes a layer in training, and by default at inference."""


class Gate(NarrowAttention):
    """The probability of skipping a layer from the states before it, fp32 [B] (SmartBERT).

    The narrow attention with two heads; the [CLS] row; linear to one number; sigmoid. 148,097 parameters at H = 768.
    The paper only says that the gate is light; this form is its code's.
    """

    def __init__(self, width: int) -> None:
        super().__init__(width, heads=2)
        self.dropout = nn.Dropout(0.1)
        self.decide = nn.Linear(self.WIDTH, 1)

    def forward(self, state: State) -> Tensor:
        dropout = self.dropout.p if self.training else 0.0
        first = self.attended(self.narrowed(state), state.mask, rows=1, dropout=dropout)[:, 0]
        return torch.sigmoid(self.decide(first).float())[:, 0]


def straight_through(gate: Tensor) -> Tensor:
    """1 where gate >= 0.5, else 0; the gradient is that of `gate` itself (SmartBERT Eq. 11-12).

    Written so that the values are exact: in floating point g + (1 - g) need not be 1.
    """
    hard = (gate >= HARD_THRESHOLD).to(gate.dtype)
    return hard + (gate - gate.detach())


@dataclass(frozen=True)
class Blend:
    """A layer in training: its soft `gate` fp32 [B], the state it `ran` to, and the gated one that goes `onward`."""

    gate: Tensor
    ran: State
    onward: State


class GatedModel(MultiExitModel):
    """A multi-exit model with a gate before each layer.

    In evaluation mode a layer is computed only for the rows whose gate is below `gate_threshold`; a threshold of 1
    skips nothing, even where a sigmoid has saturated at 1. In training mode every layer is computed for every row and
    its gate blends it with the state before it, `hard` or soft.
    """

    comparable: ClassVar[bool] = False

    def __init__(
        self, backbone: Backbone, heads: dict[int, nn.Module], gate_threshold: float = HARD_THRESHOLD
    ) -> None:
        super().__init__(backbone, heads)
        self.gates = nn.ModuleDict({str(layer): Gate(backbone.width) for layer in range(1, self.depth + 1)})
        self.gate_threshold = gate_threshold
        self.hard = False

    def parts(self, layer: int) -> Mapping[str, Callable[[State], Tensor]]:
        return {"gate": self.gates[str(layer)]}

    def advance(self, layer: int, state: State) -> State:
        if self.training:
            return self.blend(layer, state).onward
        gate: Tensor = self.gates[str(layer)](state)
        executed = self._executed(gate)
        return replace(self._run(layer, state, executed), executed=executed, gate=gate)

    def blend(self, layer: int, state: State) -> Blend:
        """One layer in training: X^i = G X^(i-1) + (1 - G) Enc_i(X^(i-1)), one G per row (SmartBERT Eq. 1)."""
        gate: Tensor = self.gates[str(layer)](state)
        share = straight_through(gate) if self.hard else gate
        ran = self.layer(layer, state)
        # One kernel that is exact at G = 0 and G = 1.
        start, end = ran.hidden, state.hidden.to(ran.hidden.dtype)
        hidden = torch.lerp(start, end, share.to(start.dtype)[:, None, None])
        return Blend(gate, ran, replace(ran, hidden=hidden, gate=gate))

    def _executed(self, gate: Tensor) -> Tensor:
        if self.gate_threshold is None or self.gate_threshold >= 1:
            return torch.ones_like(gate, dtype=torch.bool)
        return ~(gate >= self.gate_threshold)

    def _run(self, layer: int, state: State, executed: Tensor) -> State:
        """The state after `layer` has run for the executed rows alone; the others keep theirs."""
        rows = executed.nonzero()[:, 0]
        if len(rows) == 0:
            return state
        if len(rows) == len(executed):
            return self.layer(layer, state)
        ran = self.layer(layer, self.backbone.select(state, rows)).hidden
        return replace(state, hidden=state.hidden.index_copy(0, rows, ran.to(state.hidden.dtype)))

    def signals(self, layer: int, state: State) -> Signals:
        """What the head shows a rule: zeros for a row that skipped the layer, whose head is not asked.

        The last exit is asked by every row: it answers whether or not its layer ran.
        """
        executed = state.executed
        if executed is None or layer == self.depth:
            return super().signals(layer, state)
        rows = executed.nonzero()[:, 0]
        logits = state.hidden.new_zeros((len(executed), self.classes), dtype=torch.float32)
        if len(rows) > 0:
            asked = self.backbone.select(state, rows)
            logits = logits.index_copy(0, rows, self.classify(layer, asked))
        return Signals(logits, executed=executed)

    def forward(self, batch: Batch, kinds: frozenset[str] = HEADS) -> Outputs:
        """All exits in one pass; where a row skipped an exit's layer, its logits are those of its last exit before."""
        outputs = super().forward(batch, kinds)
        return outputs if outputs.executed is None else replace(outputs, logits=carried(outputs))


def carried(outputs: Outputs) -> Tensor:
    """Logits [E, B, C] with each skipped exit's taken from the exit before; zeros where no layer has run yet.

    No rule reads them; scores of single exits then mean "the latest answer by this layer", of the samples that have one
    (`Trace.answered`).
    """
    assert outputs.executed is not None
    latest = [outputs.logits[0]]
    for logits, executed in zip(outputs.logits[1:-1], outputs.executed[1:-1], strict=True):
        latest.append(torch.where(executed[:, None], logits, latest[-1]))
    return torch.stack([*latest, *outputs.logits[len(latest) :]])
