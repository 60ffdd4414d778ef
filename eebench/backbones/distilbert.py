"""DistilBERT from the stock `transformers` classes, driven one layer at a time."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor, nn
from transformers import DistilBertConfig, DistilBertModel

from eebench.backbones.base import Backbone, Batch, Pooling, State


class DistilBertBackbone(Backbone):
    """`transformers.DistilBertModel` behind the layer-by-layer interface; same numbers as its forward pass.

    It was distilled without segment embeddings and without a pooler, so segments are never fed.
    """

    def __init__(self, model: DistilBertModel, pooling: Pooling = "cls") -> None:
        super().__init__()
        self.config: DistilBertConfig = model.config
        self.embeddings = model.embeddings
        self.layers: nn.ModuleList = model.transformer.layer
        self.depth, self.width, self.pooling = len(self.layers), model.config.hidden_size, pooling

    def embed(self, batch: Batch) -> State:
        hidden = self.embeddings(batch.input_ids)
        return State(hidden, batch.mask, self.attend(hidden, batch.mask, batch.padded))

    def layer(self, index: int, state: State) -> State:
        return replace(state, hidden=self.layers[index - 1](state.hidden, state.attention))

    def pooler_weights(self, layer: int | None = None) -> tuple[Tensor, Tensor] | None:
        return None
