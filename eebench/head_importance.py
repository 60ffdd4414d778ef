"""How much each attention head matters, and the removal of those that matter least (Michel et al. 2019)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from eebench.backbones.base import Backbone
from eebench.losses import exit_losses
from eebench.model import MultiExitModel
from eebench.slender import LayerParts, keep_heads, layer_parts
from eebench.trace import full_precision
from eebench.training.stages import Examples

ROWS_PER_PASS = 16
TINY = 1e-20


def head_counts(backbone: Backbone) -> list[int]:
    """Attention heads of each layer; ModelError where layers cannot be cut."""
    return [layer_parts(layer).heads for layer in backbone.layers]


@contextmanager
def gated(backbone: Backbone, rows: int) -> Iterator[list[Tensor]]:
    """Within it a gate of 1 multiplies each head's context, for each sample: one leaf [rows, heads] per layer."""
    gates, hooks = [], []
    for layer in backbone.layers:
        parts = layer_parts(layer)
        gate = torch.ones(rows, parts.heads, device=parts.output.weight.device, requires_grad=True)
        # What the output projection reads is the heads' contexts side by side, whatever attention computed them.
        hooks.append(parts.output.register_forward_pre_hook(_multiplied(parts, gate)))
        gates.append(gate)
    try:
        yield gates
    finally:
        for hook in hooks:
            hook.remove()


def _multiplied(parts: LayerParts, gate: Tensor) -> Any:
    def hook(module: Any, inputs: tuple[Tensor]) -> tuple[Tensor]:
        return (inputs[0] * gate.repeat_interleave(parts.head_size, dim=1)[:, None],)

    return hook


def head_importance(model: MultiExitModel, examples: Examples, rows: np.ndarray) -> list[Tensor]:
    """I_{l,h} = mean over samples of |dLoss / dxi_{l,h}| (Eq. 5 of the paper), one fp32 [heads] per layer.

    Gates differ from sample to sample, so one pass over a batch gives every sample's own gradient (the code adds
    gradients up before it takes the absolute value). Evaluation mode, fp32.
    """
    model.eval()
    device = next(model.parameters()).device
    totals = [torch.zeros(count, device=device) for count in head_counts(model.backbone)]
    frozen = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    model.requires_grad_(False)
    for start in range(0, len(rows), ROWS_PER_PASS):
        some = rows[start : start + ROWS_PER_PASS]
        labels = torch.from_numpy(examples.labels[some]).to(device)
        with full_precision(), gated(model.backbone, len(some)) as gates:
            logits = model(examples.encoded.batch(some).to(device)).logits
            loss = exit_losses(logits[-1:], labels)[0] * len(some)  # the sum: samples do not weigh each other
            gradients = torch.autograd.grad(loss, gates)
        totals = [total + g.abs().sum(dim=0) for total, g in zip(totals, gradients, strict=True)]
    for parameter, trained in frozen:
        parameter.requires_grad_(trained)
    return [total / len(rows) for total in totals]


def normalised(importance: Sequence[Tensor]) -> list[Tensor]:
    """Each layer's importances over their L2 norm; the code's min-max over all layers would not change the order."""
    return [layer / (layer.norm() + TINY) for layer in importance]


def without_least(importance: Sequence[Tensor], count: int) -> list[list[int]]:
    """The heads of each layer that stay when the `count` least important go; the best of each layer always stays.

    Ties go to the deeper layer, then to the later head. ValueError when so many cannot go.
    """
    candidates = [
        (float(value), -layer, -head)
        for layer, values in enumerate(importance)
        for head, value in enumerate(values)
        if head != int(values.argmax())
    ]
    if count > len(candidates):
        raise ValueError(f"cannot remove {count} heads: only {len(candidates)} may go")
    gone = {(-layer, -head) for _, layer, head in sorted(candidates)[:count]}
    return [
        [head for head in range(len(values)) if (layer, head) not in gone]
        for layer, values in enumerate(importance)
    ]


def remove_heads(model: MultiExitModel, kept: Sequence[Sequence[int]]) -> None:
    """Cuts the matrices of every layer down to the heads that stay."""
    for layer, heads in zip(model.backbone.layers, kept, strict=True):
        if len(heads) < layer_parts(layer).heads:
            keep_heads(layer, heads)
