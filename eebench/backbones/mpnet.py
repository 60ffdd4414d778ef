"""MPNet from the stock `transformers` classes, driven one layer at a time."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn
from transformers import MPNetConfig, MPNetModel

from eebench.backbones.base import Backbone, Batch, Pooling, State, dense_weights


class MPNetBackbone(Backbone):
    """`transformers.MPNetModel` behind the layer-by-layer interface; same numbers as its forward pass.

    All layers add the same relative position bias to their attention scores. It is computed once, in `attend`,
    and travels as `State.attention`, summed with the padding mask: per sample, so rows that leave take theirs
    along. Positions are counted from 2 over the ids that are not padding (the stock embeddings do so); there
    are no segments. The stock attention is eager, it has no fused form.
    """

    def __init__(self, model: MPNetModel, pooling: Pooling = "cls") -> None:
        super().__init__()
        self.config: MPNetConfig = model.config
        self.embeddings = model.embeddings
        self.layers: nn.ModuleList = model.encoder.layer
        self.relative_attention_bias: nn.Embedding = model.encoder.relative_attention_bias
        self.depth, self.width, self.pooling = len(self.layers), model.config.hidden_size, pooling
        # Tuples keep the pooler, which belongs to the exits, and a second name of every layer out of this
        # module's parameters.
        self._encoder = (model.encoder,)
        self._pooler = (model.pooler,) if model.pooler is not None else ()

    def embed(self, batch: Batch) -> State:
        hidden = self.embeddings(input_ids=batch.input_ids)
        return State(hidden, batch.mask, self.attend(hidden, batch.mask, batch.padded))

    def attend(self, hidden: Tensor, mask: Tensor, padded: bool) -> Tensor:
        attention = self.position_bias(hidden)
        if not padded:
            return attention
        # Adding the most negative number hides a key, as in the stock mask; infinity would give NaN rows.
        return attention.masked_fill(~mask[:, None, None, :], torch.finfo(attention.dtype).min)

    def position_bias(self, hidden: Tensor) -> Tensor:
        """What the distance between two tokens adds to their attention score, [B, heads, T, T]."""
        one: Tensor = self._encoder[0].compute_position_bias(hidden[:1])
        return one.expand(len(hidden), -1, -1, -1)

    def layer(self, index: int, state: State) -> State:
        return replace(state, hidden=self.layers[index - 1](state.hidden, state.attention)[0])

    def pooler_weights(self, layer: int | None = None) -> tuple[Tensor, Tensor] | None:
        for pooler in self._pooler:
            return dense_weights(pooler.dense)
        return None
