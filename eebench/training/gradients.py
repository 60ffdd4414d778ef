"""Gradient transforms: alignment of a distillation gradient with the cross-entropy gradient (GAML-BERT)."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from eebench.training.stages import Terms, descend

Scope = Literal["global", "without_embeddings", "per_layer", "per_tensor"]

EMBEDDINGS = "backbone.embeddings"
"""The part of a model that is no layer and no exit."""


@dataclass(frozen=True)
class GradientAlignment:
    """Projects the distillation gradient g_K on the cross-entropy gradient g_C (GAML Eqs. 5-7).

    With c = <g_K, g_C> / |g_C|^2, soft: g = ((1 - alpha) + alpha c) g_C; hard: the same where c >= 0, else
    g = g_C. `scope` says over what one dot product runs; the paper's is all parameters at once, which makes
    the update a scalar times g_C. Its text names layers and exits only: `without_embeddings` leaves the embeddings
    out of the dot product, and scales their gradient like all others.

    Reads terms "ce" and "kd"; logs "c" over all that is compared, whatever the groups (the mean of theirs, weighed by
    |g_C|^2: an unweighted one is ruled by classifier biases of two elements and gradients near 0), the share of groups
    that are "obtuse" and "flipped" (their update runs against g_C), and "angle", in degrees, between the two whole
    gradients (Fig. 3).
    """

    alpha: float
    mode: Literal["soft", "hard"]
    scope: Scope = "global"

    def __call__(self, terms: Terms, parameters: Sequence[tuple[str, nn.Parameter]]) -> Terms:
        names, tensors = zip(*parameters, strict=True)
        task = torch.autograd.grad(terms["ce"], tensors, retain_graph=True, allow_unused=True)
        distil = torch.autograd.grad(terms["kd"], tensors, allow_unused=True)
        used = [index for index, gradient in enumerate(task) if gradient is not None]
        gradients = [task[index] for index in used]
        numbers = group_numbers([names[index] for index in used], self.scope)
        count, groups = int(numbers.max()) + 1, numbers.to(gradients[0].device)
        dots, squares = inner_products(gradients, [distil[index] for index in used]), squared_norms(gradients)
        seen = self.compared([names[index] for index in used]).to(dots.device)
        c = projections(dots * seen, squares * seen, groups, count)
        factors = self.scales(c)
        scale = factors[groups]
        torch._foreach_mul_(gradients, list(scale.unbind()))
        for index, gradient in zip(used, gradients, strict=True):
            tensors[index].grad = gradient
        whole = squared_norms([gradient for gradient in distil if gradient is not None]).sum()
        overall = (dots * seen).sum() / (squares * seen).sum().clamp_min(1e-24)
        return {
            "c": overall, "obtuse": (c < 0).float().mean(), "flipped": (factors < 0).float().mean(),
            "angle": angle(dots.sum(), squares.sum(), whole),
        }  # fmt: skip

    def compared(self, names: Sequence[str]) -> Tensor:
        """1.0 for each parameter that c looks at and 0.0 for the others, fp32 [P]."""
        all_seen = self.scope != "without_embeddings"
        return torch.tensor([float(all_seen or layer_of(name) != EMBEDDINGS) for name in names])

    def scales(self, c: Tensor) -> Tensor:
        """The factor of g_C in the update, per group, from c per group."""
        soft = (1 - self.alpha) + self.alpha * c
        return soft if self.mode == "soft" else torch.where(c >= 0, soft, torch.ones_like(c))


def descend_watching(terms: Terms, parameters: Sequence[tuple[str, nn.Parameter]]) -> Terms:
    """The ordinary update of "loss", and "angle", in degrees, between the gradients of "ce" and "kd" (Fig. 3).

    The update is that of `descend`, bit by bit; looking costs two more backward passes.
    """
    tensors = [parameter for _, parameter in parameters]
    task, distil = (
        [
            gradient if gradient is not None else torch.zeros_like(tensor)
            for gradient, tensor in zip(
                torch.autograd.grad(terms[name], tensors, retain_graph=True, allow_unused=True),
                tensors,
                strict=True,
            )
        ]
        for name in ("ce", "kd")
    )
    descend(terms, parameters)
    dots = inner_products(task, distil)
    return {"angle": angle(dots.sum(), squared_norms(task).sum(), squared_norms(distil).sum())}


def group_numbers(names: Sequence[str], scope: Scope) -> Tensor:
    """Group of each parameter, int64 [P]: one group, one per layer (or embeddings, exit), or one each."""
    keys: dict[Scope, Callable[[str], str]] = {
        "global": lambda name: "",
        "without_embeddings": lambda name: "",
        "per_layer": layer_of,
        "per_tensor": lambda name: name,
    }
    labels = [keys[scope](name) for name in names]
    order = {label: index for index, label in enumerate(dict.fromkeys(labels))}
    return torch.tensor([order[label] for label in labels])


def layer_of(name: str) -> str:
    """The part of the model a parameter belongs to: "backbone.layers.3", "heads.3", "backbone.embeddings"."""
    found = re.match(r"backbone\.layers\.\d+|heads\.\d+", name)
    return found.group() if found else ".".join(name.split(".")[:2])


def inner_products(task: Sequence[Tensor], distil: Sequence[Tensor | None]) -> Tensor:
    """<g_K, g_C> of each parameter, fp32 [P]; zero where distillation does not reach it."""
    zero = torch.zeros((), device=task[0].device)
    return torch.stack(
        [
            zero if other is None else torch.dot(other.flatten().float(), own.flatten().float())
            for own, other in zip(task, distil, strict=True)
        ]
    )


def squared_norms(gradients: Sequence[Tensor]) -> Tensor:
    """|g|^2 of each parameter, fp32 [P]."""
    return torch.stack(torch._foreach_norm(list(gradients))).float().square()


def projections(dots: Tensor, squares: Tensor, groups: Tensor, count: int) -> Tensor:
    """c = <g_K, g_C> / |g_C|^2 of each of `count` groups, fp32 [G], from both of each parameter.

    0 where |g_C|^2 < 1e-24. Counting the groups here would wait for a CUDA device.
    """
    along = torch.zeros(count, device=groups.device).index_add_(0, groups, dots)
    length = torch.zeros(count, device=groups.device).index_add_(0, groups, squares)
    return torch.where(length < 1e-24, torch.zeros_like(along), along / length.clamp_min(1e-24))


def angle(dot: Tensor, task_square: Tensor, distil_square: Tensor) -> Tensor:
    """Degrees between g_C and g_K, fp32 scalar; 90 where one of them vanishes."""
    cosine = dot / (task_square * distil_square).clamp_min(1e-24).sqrt()
    return torch.rad2deg(torch.acos(cosine.clamp(-1.0, 1.0)))
