"""BERT-of-Theseus: modules of two layers are replaced by single layers, at random and then for good."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Literal

import torch
from pydantic import Field
from torch import nn

from eebench.backbones.base import Backbone, State
from eebench.errors import UserError
from eebench.heads import exit_heads
from eebench.methods.base import Method, Need, Needed
from eebench.methods.finetune import FinetuneOptions, last_exit_loss
from eebench.methods.needs import finetuned
from eebench.model import MultiExitModel, copy_weights
from eebench.training.options import TrainingOptions
from eebench.training.stages import Stage, Step, Terms

RateForm = Literal["linear", "constant"]


class TheseusOptions(FinetuneOptions):
    """The released example: 15 epochs, neither weight decay nor warm-up, r(t) = min(1, k t + b) with b = 0.3.

    Its k = 0.0006 reaches 1 after two thirds of MRPC's steps; here k follows from `full_at`, so that the share is the
    same on every task, unless `slope` gives it. In the code the successor's fine-tuning is what the same loop does
    once the rate is 1, with the head frozen (the default); the paper's separate phase is `successor_epochs`.

    Dropout is on in the frozen parts too (embeddings, head, the predecessor's layers), as in the code: run_glue.py puts
    the whole model into training mode and only its optimiser leaves them out; the paper says nothing of it. They are no
    teacher beside the model but part of the network that the successor learns in.
    """

    epochs: int = 15
    weight_decay: float = 0.0
    warmup_share: float = 0.0
    rate: RateForm = Field("linear", description="replacement rate: rising, or constant and then 1")
    first_rate: float | None = Field(
        None,
        gt=0,
        le=1,
        description="rate of the first step; None: 0.3 where it rises, 0.5 where it is constant",
    )
    full_at: float = Field(0.6, ge=0, le=1, description="share of the steps after which the rate is 1")
    slope: float | None = Field(
        None, gt=0, description="growth of the linear rate per step, instead of full_at"
    )
    group: int = Field(2, ge=2, description="layers of the predecessor that one successor layer replaces")
    successor_epochs: int = Field(0, ge=0, description="epochs of a second stage with a new schedule, rate 1")
    train_head: bool = Field(False, description="the second stage trains the head as well")


def replacement_rate(options: TheseusOptions, step: Step) -> float:
    """The probability r of a successor layer in place of its module, at one step.

    linear: r(t) = min(1, k t + b), with k = (1 - b) / (full_at * steps) unless given: r is 1 from step
    ceil(full_at * steps) on. constant: b before that step.
    """
    full, constant = options.full_at * step.total, options.rate == "constant"
    first = options.first_rate or (0.5 if constant else 0.3)
    if step.done >= full and (constant or options.slope is None):
        return 1.0
    if constant:
        return first
    slope = (1 - first) / full if options.slope is None else options.slope
    return min(1.0, first + slope * step.done)


class TheseusModel(MultiExitModel):
    """The successor; while it trains, each of its layers may give way to the predecessor's layers it replaces.

    The predecessor is frozen and no part of the model: not saved, not counted. `draw` says which layers give way in the
    next forward pass, one draw a layer for the whole batch.
    """

    def __init__(self, backbone: Backbone, heads: dict[int, nn.Module], group: int) -> None:
        super().__init__(backbone, heads)
        self.group = group
        self.replaced: tuple[bool, ...] = (True,) * backbone.depth
        # A tuple keeps the predecessor out of this module's parameters and modes.
        self._predecessor: tuple[Backbone, ...] = ()

    def follow(self, predecessor: MultiExitModel) -> None:
        """Takes over embeddings, first layers and head of `predecessor`, whose layers come back in training.

        The successor's layers start as copies of the predecessor's first ones (the code's choice).
        """
        whole = predecessor.train().requires_grad_(False)
        mine = dict(self.backbone.named_parameters())
        copy_weights(
            self.backbone, {name: w for name, w in whole.backbone.named_parameters() if name in mine}
        )
        copy_weights(self.heads[str(self.depth)], dict(whole.heads[str(whole.depth)].named_parameters()))
        self._predecessor = (whole.backbone,)

    def draw(self, rate: float) -> None:
        """Bernoulli(rate) for each layer; the predecessor comes to where this model is."""
        # Drawn on the CPU, whose random state every checkpoint holds, and without waiting for a device.
        self.replaced = tuple(bool(draw < rate) for draw in torch.rand(self.depth, device="cpu").tolist())
        for predecessor in self._predecessor:
            predecessor.to(next(self.parameters()).device)

    def layer(self, layer: int, state: State) -> State:
        if not self.training or self.replaced[layer - 1] or not self._predecessor:
            return super().layer(layer, state)
        for index in range((layer - 1) * self.group + 1, layer * self.group + 1):
            state = self._predecessor[0].layer(index, state)
        return state


def set_rate(model: MultiExitModel, step: Step, options: TheseusOptions) -> None:
    """Draws the replacements of one step; frozen parts drop out as well."""
    assert isinstance(model, TheseusModel)
    model.train()
    model.draw(replacement_rate(options, step))


def replace_all(model: MultiExitModel, step: Step) -> None:
    """Only successor layers, as after training; frozen parts drop out as well."""
    assert isinstance(model, TheseusModel)
    model.train()
    model.replaced = (True,) * model.depth


def descend_if_replaced(terms: Terms, parameters: Sequence[tuple[str, nn.Parameter]]) -> Terms:
    """The gradient of "loss"; a step in which no layer was replaced has none, and changes nothing."""
    if terms["loss"].requires_grad:
        terms["loss"].backward()  # type: ignore[no-untyped-call]
    return {}


def successor_layers(name: str, model: MultiExitModel) -> bool:
    """Only the layers train; embeddings and head stay the predecessor's."""
    return name.startswith("backbone.layers.")


def successor_and_head(name: str, model: MultiExitModel) -> bool:
    """The layers and the head train."""
    return successor_layers(name, model) or name.startswith("heads.")


class Theseus(Method):
    """A fine-tuned predecessor (a `finetune` run), then module replacing; the successor has half the layers."""

    name, title, default_rule = "theseus", "BERT-of-Theseus", "budgeted"
    paper = "BERT-of-Theseus (Xu et al. 2020)"
    options_type = TheseusOptions
    version = 3

    def depth(self, options: TrainingOptions, layers: int) -> int:
        group = _own(options).group
        if layers % group:
            fitting = [number for number in range(2, layers + 1) if layers % number == 0]
            raise UserError(
                f"theseus: {layers} layers cannot be replaced in groups of {group}; set group to one of "
                f"{', '.join(map(str, fitting)) or 'none: this backbone has too few layers'}."
            )
        return layers // group

    def exit_layers(self, options: TrainingOptions, depth: int) -> tuple[int, ...]:
        return (depth,)

    def needs(self, options: TrainingOptions) -> dict[str, Need]:
        return {"predecessor": finetuned(options)}

    def build(self, backbone: Backbone, classes: int, options: TrainingOptions) -> MultiExitModel:
        heads = exit_heads(backbone, classes, options.head, (backbone.depth,))
        return TheseusModel(backbone, heads, _own(options).group)

    def initialise(self, model: MultiExitModel, needed: Mapping[str, Needed]) -> None:
        assert isinstance(model, TheseusModel)
        model.follow(needed["predecessor"].model())

    def stages(self, options: TrainingOptions) -> list[Stage]:
        own = _own(options)
        replacing = Stage(
            "replacing", own.epochs, own.lr, last_exit_loss, update=descend_if_replaced, trains=successor_layers,
            before=partial(set_rate, options=own),
        )  # fmt: skip
        if not own.successor_epochs:
            return [replacing]
        trains = successor_and_head if own.train_head else successor_layers
        tuning = Stage(
            "successor", own.successor_epochs, own.lr, last_exit_loss, trains=trains, before=replace_all
        )
        return [replacing, tuning]


def _own(options: TrainingOptions) -> TheseusOptions:
    assert isinstance(options, TheseusOptions)
    return options
