"""BERT-type layers in evaluation, computed with the stock modules' weights but without calling the modules.

The same operations in the same order, so the same bits. What is saved is the machinery of some fifteen module calls:
nothing to a batch, about a tenth of a layer's time to a single row on a CPU.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from eebench.backbones.base import State


def passed(layer: nn.Module, state: State) -> State:
    """The state after a stock layer of BERT, RoBERTa or ELECTRA.

    In inference mode without calling modules, unless the layer has hooks; those of modules inside it are not heard.
    """
    watched = layer.training or layer._forward_hooks or layer._forward_pre_hooks
    run = evaluated if torch.is_inference_mode_enabled() and not watched else nn.Module.__call__
    return replace(state, hidden=run(layer, state.hidden, state.attention))


def evaluated(layer: Any, hidden: Tensor, attention: Tensor | None) -> Tensor:
    """What the layer gives in evaluation, [B, T, H]; `attention` is its mask, None where nothing is padded."""
    inside, mixing, feed_forward, output = (
        layer.attention.self, layer.attention.output, layer.intermediate, layer.output,
    )  # fmt: skip
    rows, tokens, _ = hidden.shape
    query, key, value = (
        linear(part, hidden).view(rows, tokens, -1, inside.attention_head_size).transpose(1, 2)
        for part in (inside.query, inside.key, inside.value)
    )
    context = F.scaled_dot_product_attention(query, key, value, attn_mask=attention, scale=inside.scaling)
    mixed = linear(mixing.dense, context.transpose(1, 2).reshape(rows, tokens, -1))
    hidden = normalised(mixing.LayerNorm, mixed + hidden)
    widened = feed_forward.intermediate_act_fn(linear(feed_forward.dense, hidden))
    return normalised(output.LayerNorm, linear(output.dense, widened) + hidden)


def linear(part: nn.Module, vectors: Tensor) -> Tensor:
    """What a linear map gives; anything else in its place is called as it is."""
    if type(part) is nn.Linear:
        return F.linear(vectors, part.weight, part.bias)
    found: Tensor = part(vectors)
    return found


def normalised(norm: nn.LayerNorm, vectors: Tensor) -> Tensor:
    """Layer normalisation over the last axis."""
    return F.layer_norm(vectors, norm.normalized_shape, norm.weight, norm.bias, norm.eps)
