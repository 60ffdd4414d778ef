"""BERT-type embeddings and layers in evaluation, from the stock modules' weights but without calling the modules.

The same operations in the same order, so the same bits. What is saved is the machinery of some fifteen module calls a
layer: nothing to a batch, about a tenth of a layer's time to a single row on a CPU.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from eebench.backbones.base import Batch, State


def embedded(embeddings: nn.Module, batch: Batch) -> Tensor:
    """What the stock embeddings of BERT or ELECTRA give, [B, T, H] (H: their own width); see `passed`."""
    if not unwatched(embeddings):
        found: Tensor = embeddings(input_ids=batch.input_ids, token_type_ids=batch.segments)
        return found
    return looked_up(embeddings, batch.input_ids, batch.segments)


def passed(layer: nn.Module, state: State) -> State:
    """The state after a stock layer of BERT, RoBERTa or ELECTRA.

    In inference mode without calling modules, unless the layer has hooks; those of modules inside it are not heard.
    """
    run = evaluated if unwatched(layer) else nn.Module.__call__
    return replace(state, hidden=run(layer, state.hidden, state.attention))


def given(module: nn.Module, seen: Any) -> Tensor:
    """What a head, or a part of one, gives for what it sees; called as a module unless it is `unwatched`."""
    found: Tensor = module.forward(seen) if unwatched(module) else module(seen)
    return found


def unwatched(module: nn.Module) -> bool:
    """Whether nobody would see that it was not called."""
    watched = module.training or module._forward_hooks or module._forward_pre_hooks
    return torch.is_inference_mode_enabled() and not watched


def looked_up(embeddings: Any, input_ids: Tensor, segments: Tensor) -> Tensor:
    """What the embeddings give in evaluation; token t of each row has position t."""
    words, positions = embeddings.word_embeddings, embeddings.position_embeddings.weight
    # COST-EFF's are factorised.
    found = F.embedding(input_ids, words.weight) if type(words) is nn.Embedding else words(input_ids)
    kinds = F.embedding(segments, embeddings.token_type_embeddings.weight)
    return normalised(embeddings.LayerNorm, found + kinds + positions[: input_ids.shape[1]])


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
    own = part._parameters  # to find them as attributes takes Python as long as a small product
    if type(part) is nn.Linear and (weight := own.get("weight")) is not None:
        return F.linear(vectors, weight, own["bias"])
    found: Tensor = part(vectors)
    return found


def normalised(norm: nn.LayerNorm, vectors: Tensor) -> Tensor:
    """Layer normalisation over the last axis."""
    own = norm._parameters
    return F.layer_norm(vectors, norm.normalized_shape, own["weight"], own["bias"], norm.eps)
