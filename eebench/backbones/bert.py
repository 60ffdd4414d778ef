"""BERT-type encoders from the stock `transformers` classes, driven one layer at a time."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from transformers import BertConfig, BertModel

from eebench.backbones.base import Backbone, Batch, Pooling, State, dense_weights
from eebench.backbones.evaluation import embedded, passed


class BertBackbone(Backbone):
    """`transformers.BertModel` behind the layer-by-layer interface; same numbers as its forward pass.

    The pretrained pooler is set aside: exits that want it copy it through `pooler_weights`.
    """

    def __init__(self, model: BertModel, pooling: Pooling = "cls") -> None:
        super().__init__()
        self.config: BertConfig = model.config
        self.embeddings = model.embeddings
        self.layers: nn.ModuleList = model.encoder.layer
        self.depth, self.width, self.pooling = len(self.layers), model.config.hidden_size, pooling
        # A tuple keeps the pooler out of this module's parameters: it belongs to the exits.
        self._pooler = (model.pooler,) if model.pooler is not None else ()

    def embed(self, batch: Batch) -> State:
        hidden = embedded(self.embeddings, batch)
        return State(hidden, batch.mask, self.attend(hidden, batch.mask, batch.padded))

    def layer(self, index: int, state: State) -> State:
        return passed(self.layers[index - 1], state)

    def stock(self) -> Callable[[Batch], Tensor]:
        with torch.device("meta"):
            model = BertModel(self.config, add_pooling_layer=False)
        model.embeddings, model.encoder.layer = self.embeddings, self.layers

        def run(batch: Batch) -> Tensor:
            found = model(batch.input_ids, batch.mask.long(), batch.segments)
            hidden: Tensor = found.last_hidden_state
            return hidden

        return run

    def pooler_weights(self, layer: int | None = None) -> tuple[Tensor, Tensor] | None:
        for pooler in self._pooler:
            return dense_weights(pooler.dense)
        return None
