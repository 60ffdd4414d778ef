"""ELECTRA from the stock `transformers` classes, driven one layer at a time."""

from __future__ import annotations

from torch import Tensor, nn
from transformers import ElectraConfig, ElectraModel

from eebench.backbones.base import Backbone, Batch, Pooling, State
from eebench.backbones.evaluation import embedded, passed


class ElectraBackbone(Backbone):
    """`transformers.ElectraModel` behind the layer-by-layer interface; same numbers as its forward pass.

    Meant for the discriminator (the generator has the same type and loads as well, but is the weaker
    encoder). Embeddings narrower than the layers are projected before layer 1. It has no pooler.
    """

    def __init__(self, model: ElectraModel, pooling: Pooling = "cls") -> None:
        super().__init__()
        self.config: ElectraConfig = model.config
        self.embeddings = model.embeddings
        # The stock model has a projection only when the two widths differ.
        self.projection: nn.Module = getattr(model, "embeddings_project", nn.Identity())
        self.layers: nn.ModuleList = model.encoder.layer
        self.depth, self.width, self.pooling = len(self.layers), model.config.hidden_size, pooling

    def embed(self, batch: Batch) -> State:
        hidden = self.projection(embedded(self.embeddings, batch))
        return State(hidden, batch.mask, self.attend(hidden, batch.mask, batch.padded))

    def layer(self, index: int, state: State) -> State:
        return passed(self.layers[index - 1], state)

    def pooler_weights(self, layer: int | None = None) -> tuple[Tensor, Tensor] | None:
        return None
