"""A backbone with exits: the one model class that training, tracing and leaving early share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor, nn

from eebench.backbones.base import Backbone, Batch, State
from eebench.backbones.evaluation import given
from eebench.kernels import Gram, alignment, centred_gram
from eebench.rules.base import Signals
from eebench.tasks.scale import LabelScale

HEADS = frozenset({"logits", "score"})
"""The signals that heads give, all that training needs."""


@dataclass(frozen=True)
class Outputs:
    """What one forward pass through all exits gives, exits in depth order.

    Shapes: `logits` fp32 [E, B, C]; fp32 [E, B]: `scores`, learned certainties, `similarities` of each exit's hidden
    states with the previous exit's (NaN at the first), `gates`, probabilities of skipping; `executed` bool [E, B].
    None for models without, or where they were not asked for.
    """

    logits: Tensor
    scores: Tensor | None = None
    similarities: Tensor | None = None
    executed: Tensor | None = None
    gates: Tensor | None = None


class MultiExitModel(nn.Module):
    """Backbone plus one head after each layer in `exit_layers` (1-based, ascending).

    `embed`, `advance` and `observe` are the three steps of leaving early; `forward` runs all layers and exits. Parts
    whose names start with one of `training_only` are not needed at inference. `comparable` says whether the hidden
    states of consecutive exits can be compared (not where layers are skipped, or exits belong to different models).
    """

    training_only: ClassVar[tuple[str, ...]] = ()
    comparable: ClassVar[bool] = True
    gate_threshold: float | None = None
    """The probability of skipping from which a layer is skipped; None where none ever is."""
    scale: LabelScale | None = None
    """What takes the exits' scores of a regression to the task's units; None while it trains, and for classes."""

    def __init__(self, backbone: Backbone, heads: dict[int, nn.Module]) -> None:
        super().__init__()
        self.backbone = backbone
        self.exit_layers = tuple(sorted(heads))
        self.heads = nn.ModuleDict({str(layer): heads[layer] for layer in self.exit_layers})

    @property
    def depth(self) -> int:
        """Layers that a sample passes which never leaves early."""
        return self.exit_layers[-1]

    def embed(self, batch: Batch) -> State:
        """The state before layer 1."""
        return self.backbone.embed(batch)

    def layer(self, layer: int, state: State) -> State:
        """The state after `layer` has run for all rows."""
        return self.backbone.layer(layer, state)

    def advance(self, layer: int, state: State) -> State:
        """The state behind `layer`, where a model may have skipped it for some rows."""
        return self.layer(layer, state)

    def select(self, state: State, rows: Tensor, length: int | None = None) -> State:
        """The state of `rows` (index tensor), cut to the first `length` tokens."""
        return self.backbone.select(state, rows, length)

    def join(self, states: Sequence[State]) -> State:
        """The rows of several states behind the same layer as one state."""
        return self.backbone.join(states)

    def parts(self, layer: int) -> Mapping[str, Callable[[State], Tensor]]:
        """What `advance` computes besides the layer, from the state before it, by name (gates); for counting."""
        return {}

    def classify(self, layer: int, state: State) -> Tensor:
        """Logits [B, C] of the exit after `layer`, in fp32 whatever the autocast."""
        return self.in_units(given(self.heads[str(layer)], state))

    def in_units(self, logits: Tensor) -> Tensor:
        """What a head gives, in fp32 and, once training is over, in the task's units."""
        scores, scale = logits.float(), self.scale
        return scores if scale is None else scores * scale.deviation + scale.mean

    def signals(self, layer: int, state: State) -> Signals:
        """What the head after `layer` shows a rule."""
        return Signals(self.classify(layer, state), executed=state.executed)

    def observe(
        self, layer: int, state: State, kinds: frozenset[str], before: Gram | None
    ) -> tuple[Signals, Gram | None]:
        """Signals of the `kinds` asked for at the exit after `layer`, and what the next exit compares itself with."""
        unasked = kinds.isdisjoint(HEADS)
        signals = Signals(None, executed=state.executed) if unasked else self.signals(layer, state)
        if "similarity" not in kinds:
            return signals, None
        now = centred_gram(state)
        undefined = state.hidden.new_full((len(state.mask),), torch.nan, dtype=torch.float32)
        similarity = undefined if before is None else alignment(before, now)
        return replace(signals, similarity=similarity), now

    @property
    def kinds(self) -> frozenset[str]:
        """The kinds of signal a trace of this model holds; two changes of similarity need three exits."""
        compared = self.comparable and len(self.exit_layers) > 2
        return frozenset({"logits", "score", "similarity"} if compared else {"logits", "score"})

    def reads(self, layer: int) -> int:
        """Whose tokens `layer` works on: 0 for the run's own backbone, i for the i-th of `Batch.others`."""
        return 0

    def onward(self, layer: int, state: State) -> State:
        """What the next layer gets once the exit after `layer` has read the state (training only)."""
        return state

    def forward(self, batch: Batch, kinds: frozenset[str] = HEADS) -> Outputs:
        """All exits in one pass, with the `kinds` of signal asked for."""
        state, gram = self.embed(batch), None
        seen, gates = [], []
        for layer in range(1, self.depth + 1):
            state = self.advance(layer, state)
            if layer in self.exit_layers:
                signals, gram = self.observe(layer, state, kinds, gram)
                seen.append(signals)
                gates.append(state.gate)
            state = self.onward(layer, state)
        return gather(seen, gates)

    @property
    def classes(self) -> int:
        """Width of the exits' output (1 for regression)."""
        width: int = self.heads[str(self.depth)].classes  # type: ignore[assignment]
        return width

    def parameter_count(self) -> int:
        """Parameters needed at inference, shared ones once."""
        return sum(
            parameter.numel()
            for name, parameter in self.named_parameters()
            if not name.startswith(self.training_only)
        )


def gather(seen: Sequence[Signals], gates: Sequence[Tensor | None] = ()) -> Outputs:
    """The exits' signals as one tensor of each kind."""
    return Outputs(
        torch.stack([signals.required_logits() for signals in seen]),
        stacked([signals.score for signals in seen]),
        stacked([signals.similarity for signals in seen]),
        stacked([signals.executed for signals in seen]),
        stacked(gates),
    )


def stacked(tensors: Sequence[Tensor | None]) -> Tensor | None:
    """The tensors as one, None if there are none."""
    found = [tensor for tensor in tensors if tensor is not None]
    return torch.stack(found) if found else None


def weights_of(model: nn.Module) -> dict[str, Tensor]:
    """Parameters by name, each tensor once (a shared pooler is stored under its first name)."""
    return {name: parameter.detach() for name, parameter in model.named_parameters()}


def load_weights(model: nn.Module, weights: dict[str, Tensor]) -> None:
    """Copies `weights` into the model; names and shapes must match exactly."""
    parameters = dict(model.named_parameters())
    if parameters.keys() != weights.keys():
        odd = sorted(parameters.keys() ^ weights.keys())
        raise ValueError(f"weights do not belong to this model: {odd[:3]}")
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(weights[name])


def copy_weights(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Copies `weights` into the parameters of the same names; the others stay as they are."""
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for name, weight in weights.items():
            parameters[name].copy_(weight)
