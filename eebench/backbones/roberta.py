"""RoBERTa from the stock `transformers` classes, driven one layer at a time."""

from __future__ import annotations

from torch import Tensor, nn
from transformers import RobertaConfig, RobertaModel

from eebench.backbones.base import Backbone, Batch, Pooling, State, dense_weights
from eebench.backbones.evaluation import passed


class RobertaBackbone(Backbone):
    """`transformers.RobertaModel` behind the layer-by-layer interface; same numbers as its forward pass.

    Differs from BERT before layer 1 only: positions are counted from `padding_idx + 1` over the ids that are
    not padding (the stock embeddings do so), and a pair of texts has no segments, so these are never fed.
    The masked language model is released without a pooler: `pooler_weights` is None unless one was saved.
    """

    def __init__(self, model: RobertaModel, pooling: Pooling = "cls") -> None:
        super().__init__()
        self.config: RobertaConfig = model.config
        self.embeddings = model.embeddings
        self.layers: nn.ModuleList = model.encoder.layer
        self.depth, self.width, self.pooling = len(self.layers), model.config.hidden_size, pooling
        # A tuple keeps the pooler out of this module's parameters: it belongs to the exits.
        self._pooler = (model.pooler,) if model.pooler is not None else ()

    def embed(self, batch: Batch) -> State:
        hidden = self.embeddings(input_ids=batch.input_ids)
        return State(hidden, batch.mask, self.attend(hidden, batch.mask, batch.padded))

    def layer(self, index: int, state: State) -> State:
        return passed(self.layers[index - 1], state)

    def pooler_weights(self, layer: int | None = None) -> tuple[Tensor, Tensor] | None:
        for pooler in self._pooler:
            return dense_weights(pooler.dense)
        return None
