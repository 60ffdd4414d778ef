"""What every encoder looks like to the rest of eebench: embed once, then one layer at a time.

Exits, gates, pruned widths and early leaving all need the layers one by one, so that is the interface; a
whole forward pass is the loop over it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

Pooling = Literal["cls", "mean"]


@dataclass(frozen=True)
class Batch:
    """One tokenised batch.

    Shapes: `input_ids`, `segments` int64 [B, T]; `mask` bool [B, T], True at real tokens ([CLS] and [SEP]
    included). `padded` is False when every row has T real tokens, known on the host so that no device
    has to be asked. `others` are the same rows in the tokens of other backbones, in models that read several.
    """

    input_ids: Tensor
    mask: Tensor
    segments: Tensor
    padded: bool = True
    others: tuple[Batch, ...] = ()

    def to(self, device: torch.device) -> Batch:
        """The same batch on `device` (asynchronous from pinned memory)."""
        if self.input_ids.device == device:
            return self
        move = {
            name: getattr(self, name).to(device, non_blocking=True)
            for name in ("input_ids", "mask", "segments")
        }
        return replace(self, **move, others=tuple(other.to(device) for other in self.others))


@dataclass(frozen=True)
class State:
    """Hidden states between two layers.

    Shapes: `hidden` [B, T, H]; `mask` bool [B, T]; `attention` is what the layers take as attention mask,
    first axis B (None when nothing is padded; MPNet's also carries its position bias and is never None).
    `executed` bool [B] and `gate` fp32 [B] say which rows the last layer ran for and the probability of skipping
    it, in models that skip layers; None in all others.
    """

    hidden: Tensor
    mask: Tensor
    attention: Tensor | None
    executed: Tensor | None = None
    gate: Tensor | None = None


class Backbone(nn.Module, ABC):
    """A pretrained encoder, callable layer by layer.

    `depth` is the number of layers, `width` the hidden size, `pooling` how its checkpoint was trained to be
    read (architecture default, a method's head may say otherwise). `layers` are the stock modules that
    `layer` calls (the same module several times where layers share weights), `config` the stock configuration.
    """

    config: Any
    layers: nn.ModuleList
    depth: int
    width: int
    pooling: Pooling

    @abstractmethod
    def embed(self, batch: Batch) -> State:
        """Token embeddings, the state before layer 1; hidden [B, T, H]."""

    @abstractmethod
    def layer(self, index: int, state: State) -> State:
        """The state after layer `index` (1..depth)."""

    def attend(self, hidden: Tensor, mask: Tensor, padded: bool) -> Tensor | None:
        """What the layers take as attention mask for hidden states [B, T, H] and their mask bool [B, T]."""
        return mask[:, None, None, :] if padded else None

    def select(self, state: State, rows: Tensor, length: int | None = None) -> State:
        """The state of `rows` (bool or index tensor), cut to the first `length` tokens."""
        # Cut before the rows are copied: the result lies in one piece, and no padding is copied.
        hidden, mask = state.hidden[:, :length][rows], state.mask[:, :length][rows]
        return State(hidden, mask, self.attend(hidden, mask, state.attention is not None))

    def join(self, states: Sequence[State]) -> State:
        """The rows of several states at the same depth as one, in order, padded to the longest."""
        length = max(state.mask.shape[1] for state in states)
        padded = any(state.attention is not None or state.mask.shape[1] < length for state in states)
        # Zeros stay finite through a layer, and nobody attends to them.
        hidden = stretched([state.hidden for state in states], length)
        mask = stretched([state.mask for state in states], length)
        return State(hidden, mask, self.attend(hidden, mask, padded))

    @abstractmethod
    def pooler_weights(self, layer: int | None = None) -> tuple[Tensor, Tensor] | None:
        """Copies of the pretrained pooler's weight [H, H] and bias [H]; None when it has none.

        Most encoders have one pooler, whatever the `layer`. Where each layer was pretrained with its own,
        `layer` (1..depth) chooses, and None is the last.
        """

    def load_poolers(self, directory: Path) -> None:
        """Reads pretrained poolers for which the stock class has no place; most encoders have none.

        Raises ModelError when the checkpoint in `directory` should have them and does not.
        """

    def stock(self) -> Callable[[Batch], Tensor] | None:
        """The forward pass of the library's own class over these modules, hidden states [B, T, H] after the last layer.

        What users come from, for measuring; None where it cannot be put together from the modules.
        """
        return None

    def forward(self, batch: Batch) -> State:
        """The state after the last layer."""
        state = self.embed(batch)
        for index in range(1, self.depth + 1):
            state = self.layer(index, state)
        return state


def dense_weights(dense: nn.Linear) -> tuple[Tensor, Tensor]:
    """Copies of a linear map's weight and bias, without their gradients."""
    return dense.weight.detach().clone(), dense.bias.detach().clone()


def stretched(parts: Sequence[Tensor], length: int) -> Tensor:
    """Tensors [B_i, T_i, ...] as one [sum of B_i, `length`, ...], zero (False) behind each part's own T_i."""
    if all(part.shape[1] == length for part in parts):
        return torch.cat(list(parts))
    joined = parts[0].new_zeros((sum(map(len, parts)), length, *parts[0].shape[2:]))
    start = 0
    for part in parts:
        joined[start : start + len(part), : part.shape[1]] = part
        start += len(part)
    return joined
