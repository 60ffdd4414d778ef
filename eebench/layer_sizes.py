"""The size of each layer of a trained model, and the FLOPs of it, its exit and its gate, without its weights."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from eebench.backbones.base import Backbone
from eebench.cost.components import model_cost
from eebench.cost.conventions import Convention, flops
from eebench.errors import ModelError
from eebench.model import MultiExitModel
from eebench.slender import layer_parts


def layer_rows(model: MultiExitModel, tokens: int, convention: Convention) -> Iterator[dict[str, Any]]:
    """One row per layer, shallow first; `model` may be on the meta device.

    Layers that are behind those of the model's own backbone (a cascade's larger member) have a cost and no size.
    """
    cost = model_cost(model)
    for layer, operations in enumerate(cost.layers, start=1):
        answer = cost.exits.get(layer)
        gated = any(name.endswith(f"_{layer}") for name in cost.extras)
        yield {
            "layer": layer, **_size(model.backbone, layer),
            "layer_flops": flops(operations, tokens, convention),
            "exit_flops": None if answer is None else flops(answer, tokens, convention),
            "gate_flops": flops(cost.before(layer), tokens, convention) if gated else None,
        }  # fmt: skip


def _size(backbone: Backbone, layer: int) -> dict[str, int | None]:
    """Hidden width, heads, width of a head, inner neurons; what the configuration says of layers that are never cut."""
    if layer > len(backbone.layers):
        return dict.fromkeys(("width", "heads", "head_width", "ffn_width"))
    try:
        parts = layer_parts(backbone.layers[layer - 1])
    except ModelError:
        heads = int(backbone.config.num_attention_heads)
        inner = int(backbone.config.intermediate_size)
        return {
            "width": backbone.width,
            "heads": heads,
            "head_width": backbone.width // heads,
            "ffn_width": inner,
        }
    return {
        "width": backbone.width, "heads": parts.heads, "head_width": parts.head_size, "ffn_width": parts.feed_forward,
    }  # fmt: skip
