"""Exit heads: how an internal classifier reads the state of its layer.

The forms of the literature (who uses which is in each method's file): pool the tokens, optionally pass a
pooler (dense + tanh), drop out, one linear map to the classes.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from eebench.backbones.base import Backbone, Pooling, State
from eebench.backbones.evaluation import given, linear

PoolerForm = Literal["none", "tanh", "shared", "own"]
AttentionForm = Literal["none", "fastbert", "smartbert"]


class HeadConfig(BaseModel):
    """Form of the exits.

    `pooler`: none (linear on the pooled state), tanh (no dense map: COST-EFF), shared (one for all exits:
    PABEE), own (one per exit: DeeBERT). `attention`: none, or an attention layer over all tokens in place of
    pooling and pooler, as FastBERT and SmartBERT build it. `pooling`: [CLS] or the mean over real tokens; None
    takes what the backbone was trained with.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    pooling: Pooling | None = None
    attention: AttentionForm = "none"
    pooler: PoolerForm = "shared"
    pooler_init: Literal["pretrained", "random"] = "pretrained"
    dropout: float = Field(default=0.1, ge=0.0, lt=1.0)


def pool(state: State, pooling: Pooling) -> Tensor:
    """One vector per sample, [B, H]: the [CLS] row, or the mean over real tokens."""
    if pooling == "cls":
        return state.hidden[:, 0]
    # A matrix product instead of a masked sum: one pass over the hidden states, padding weighs zero.
    if state.attention is None:  # nothing is padded; the operations saved count at batch 1
        weights = state.hidden.new_full(state.mask.shape, 1.0 / state.mask.shape[1])
    else:
        weights = state.mask.to(state.hidden.dtype)
        weights = weights / weights.sum(dim=1, keepdim=True)
    return torch.bmm(weights.unsqueeze(1), state.hidden).squeeze(1)


class Pooler(nn.Module):
    """BERT's pooler: dense H x H and tanh."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.dense = nn.Linear(width, width)
        nn.init.normal_(self.dense.weight, std=0.02)
        nn.init.zeros_(self.dense.bias)

    def forward(self, pooled: Tensor) -> Tensor:
        return torch.tanh(linear(self.dense, pooled))

    @classmethod
    def of(cls, backbone: Backbone, init: str, layer: int | None = None) -> Pooler:
        """A pooler that starts from the backbone's pretrained one where there is one and it is wanted.

        `layer` chooses among the poolers of a backbone that was pretrained with one per layer (ElasticBERT).
        """
        pooler = cls(backbone.width)
        weights = backbone.pooler_weights(layer)
        if init == "pretrained" and weights is not None:
            with torch.no_grad():
                pooler.dense.weight.copy_(weights[0])
                pooler.dense.bias.copy_(weights[1])
        return pooler


class ExitHead(nn.Module):
    """Pooled state -> logits [B, C]; the classifier starts from N(0, 0.02) with bias 0."""

    def __init__(
        self, width: int, classes: int, pooling: Pooling, pooler: nn.Module | None, dropout: float
    ) -> None:
        super().__init__()
        self.pooling: Pooling = pooling
        self.classes = classes
        self.pooler = pooler
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(width, classes)
        nn.init.normal_(self.classifier.weight, std=0.02)
        nn.init.zeros_(self.classifier.bias)

    def pooled(self, state: State) -> Tensor:
        """What the classifier reads, before dropout: [B, H]."""
        pooled, pooler = pool(state, self.pooling), self.pooler
        return pooled if pooler is None else given(pooler, pooled)

    def read(self, pooled: Tensor) -> Tensor:
        """Logits [B, C] of that vector."""
        # Asked here, because at batch 1 a dropout that does nothing takes as long as the classifier.
        return linear(self.classifier, self.dropout(pooled) if self.training else pooled)

    def forward(self, state: State) -> Tensor:
        return self.read(self.pooled(state))


class NarrowAttention(nn.Module):
    """Dense H x 128 and tanh, then self-attention at width 128 without residual or LayerNorm.

    What exits and gates with an attention of their own begin with. Keeps the framework's default initialisation,
    as FastBERT's and SmartBERT's codes do.
    """

    WIDTH = 128

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.narrow = nn.Linear(width, self.WIDTH)
        self.query, self.key, self.value = (nn.Linear(self.WIDTH, self.WIDTH) for _ in range(3))

    def narrowed(self, state: State) -> Tensor:
        """The tokens before the attention, [B, T, 128]."""
        return torch.tanh(self.narrow(state.hidden))

    def attended(self, tokens: Tensor, mask: Tensor, rows: int | None = None, dropout: float = 0.0) -> Tensor:
        """The first `rows` tokens (None: all) after the attention over all of them, [B, rows, 128].

        `tokens` [B, T, 128] are the narrowed ones, `mask` bool [B, T]; `dropout` is that of the attention weights.
        """
        query, key, value = (self._split(part(tokens)) for part in (self.query, self.key, self.value))
        context = F.scaled_dot_product_attention(
            query[:, :, :rows], key, value, attn_mask=mask[:, None, None, :], dropout_p=dropout
        )
        return context.transpose(1, 2).flatten(2)

    def _split(self, tokens: Tensor) -> Tensor:
        """[B, T, 128] -> [B, heads, T, 128 / heads]."""
        return tokens.view(*tokens.shape[:2], self.heads, -1).transpose(1, 2)


class AttentionHead(NarrowAttention):
    """A small attention layer over all tokens, then the classifier: logits [B, C].

    The narrow attention; the [CLS] row; dense 128 x 128 and tanh; linear to the classes. FastBERT: two heads and an
    output projection (181,250 parameters at H = 768, two classes); SmartBERT: four heads and none (164,738).
    """

    def __init__(self, width: int, classes: int, form: AttentionForm) -> None:
        super().__init__(width, heads=2 if form == "fastbert" else 4)
        self.classes = classes
        self.output = nn.Linear(self.WIDTH, self.WIDTH) if form == "fastbert" else nn.Identity()
        self.dense = nn.Linear(self.WIDTH, self.WIDTH)
        self.classifier = nn.Linear(self.WIDTH, classes)

    def forward(self, state: State) -> Tensor:
        # Only the [CLS] row is read on, so only its attention is computed.
        first = self.attended(self.narrowed(state), state.mask, rows=1)[:, 0]
        return self.answer(self.output(first))

    def contextual(
        self, tokens: Tensor, mask: Tensor, rows: int | None = None, dropout: float = 0.0
    ) -> Tensor:
        """Token states after the self-attention, [B, rows, 128]; see `attended`. The first is what `answer` reads."""
        states: Tensor = self.output(self.attended(tokens, mask, rows, dropout))
        return states

    def answer(self, first: Tensor) -> Tensor:
        """Logits [B, C] from the [CLS] row after the attention, [B, 128]."""
        logits: Tensor = self.classifier(torch.tanh(self.dense(first)))
        return logits


def exit_heads(
    backbone: Backbone, classes: int, config: HeadConfig, layers: tuple[int, ...]
) -> dict[int, nn.Module]:
    """One head after each of `layers` (1-based), in the form `config` asks for."""
    if config.attention != "none":
        return {layer: AttentionHead(backbone.width, classes, config.attention) for layer in layers}
    pooling = config.pooling or backbone.pooling
    shared = Pooler.of(backbone, config.pooler_init) if config.pooler == "shared" else None
    heads: dict[int, nn.Module] = {}
    for layer in layers:
        pooler: nn.Module | None = shared
        if config.pooler == "own":
            pooler = Pooler.of(backbone, config.pooler_init, layer)
        elif config.pooler == "tanh":
            pooler = nn.Tanh()
        heads[layer] = ExitHead(backbone.width, classes, pooling, pooler, config.dropout)
    return heads
