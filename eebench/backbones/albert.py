"""ALBERT from the stock `transformers` classes, driven one layer at a time."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor, nn
from transformers import AlbertConfig, AlbertModel

from eebench.backbones.base import Backbone, Batch, Pooling, State, dense_weights


class AlbertBackbone(Backbone):
    """`transformers.AlbertModel` behind the layer-by-layer interface; same numbers as its forward pass.

    A layer is one step of the stock loop over `num_hidden_layers`: one pass through the layer group of that
    step (all its inner layers, `inner_group_num` of them). `layers[i]` is the group of layer i + 1, so the
    same module stands there several times and its parameters count once. Embeddings are narrower than the
    layers and projected before layer 1.
    """

    def __init__(self, model: AlbertModel, pooling: Pooling = "cls", depth: int | None = None) -> None:
        """Takes the first `depth` layers of `model`, all if None.

        Cut here and not in the configuration: which group a layer uses depends on the full number of layers.
        """
        super().__init__()
        self.config: AlbertConfig = model.config
        self.embeddings = model.embeddings
        self.projection = model.encoder.embedding_hidden_mapping_in
        layers = self.config.num_hidden_layers
        groups = model.encoder.albert_layer_groups
        self.depth, self.width, self.pooling = depth or layers, self.config.hidden_size, pooling
        # The stock expression, float division included, so that layers fall into the same groups.
        self.layers = nn.ModuleList(groups[int(i / (layers / len(groups)))] for i in range(self.depth))
        # A tuple keeps the pooler out of this module's parameters: it belongs to the exits.
        self._pooler = (model.pooler,) if model.pooler is not None else ()

    def embed(self, batch: Batch) -> State:
        hidden = self.embeddings(input_ids=batch.input_ids, token_type_ids=batch.segments)
        hidden = self.projection(hidden)
        return State(hidden, batch.mask, self.attend(hidden, batch.mask, batch.padded))

    def layer(self, index: int, state: State) -> State:
        return replace(state, hidden=self.layers[index - 1](state.hidden, state.attention))

    def pooler_weights(self, layer: int | None = None) -> tuple[Tensor, Tensor] | None:
        for pooler in self._pooler:
            return dense_weights(pooler)
        return None
