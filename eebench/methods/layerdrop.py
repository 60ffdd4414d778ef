"""LayerDrop: whole layers are left out at random in training, so that some can be left out for good afterwards."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from pydantic import Field, field_validator
from torch import nn

from eebench.backbones.base import Backbone, State
from eebench.depth import keep_layers
from eebench.errors import UserError
from eebench.heads import exit_heads
from eebench.methods.base import Method
from eebench.methods.finetune import FinetuneOptions, last_exit_loss
from eebench.model import MultiExitModel
from eebench.training.options import TrainingOptions
from eebench.training.stages import Examples, Stage, Step


class LayerdropOptions(FinetuneOptions):
    """Fine-tuning with layers dropped as often as they will be missing: 1 - r / N where r of N layers stay.

    This is the paper's rate for a network that will be cut to r layers, 0.5 for half of them; the documentation of the
    released code says the same (0.5 to remove half or more, 0.2 to remove less). The paper's models were pre-trained
    with 0.2 (`drop_rate: 0.2`), which fine-tuning alone does not make robust enough.

    By default every other layer is kept, from the first (0-based 0, 2, 4, ... as the library's documentation says);
    `layers: [2, 4, 6]` is the other phase.
    """

    drop_rate: float | None = Field(
        None, ge=0, lt=1,
        description="probability that a training step leaves a layer out; None: the share of layers cut",
    )  # fmt: skip
    keep: int | None = Field(None, ge=1, description="how many layers stay, evenly spread; None: every other")
    layers: tuple[int, ...] | None = Field(
        None, description="exactly which layers stay, counted from 1, in place of keep"
    )

    @field_validator("layers", mode="before")
    @classmethod
    def _from_list(cls, layers: Any) -> Any:
        return tuple(layers) if isinstance(layers, list) else layers  # YAML has no tuples

    @field_validator("layers")
    @classmethod
    def _ascending(cls, layers: tuple[int, ...] | None) -> tuple[int, ...] | None:
        if layers is not None and (not layers or layers[0] < 1 or list(layers) != sorted(set(layers))):
            raise ValueError("write layers in ascending order, counted from 1, each once: [1, 3, 5]")
        return layers


def kept_layers(options: LayerdropOptions, depth: int) -> tuple[int, ...]:
    """The layers (1-based) of `depth` that stay: those given, or evenly spread ones from the first.

    UserError where there are fewer. Examples for 12 layers: every other is 1, 3, 5, ..., 11; keep 4 gives 1, 4, 7, 10.
    """
    if options.layers is not None:
        if options.layers[-1] > depth:
            raise UserError(
                f"layerdrop: layer {options.layers[-1]} of a backbone with {depth}; choose 1..{depth}."
            )
        return options.layers
    if options.keep is None:
        return tuple(range(1, depth + 1, 2))
    keep = options.keep
    if keep > depth:
        raise UserError(f"layerdrop: keep={keep} layers of a backbone with {depth}; choose 1..{depth}.")
    return tuple(1 + number * depth // keep for number in range(keep))


class DroppingModel(MultiExitModel):
    """A model before its layers are cut: it leaves out the `dropped` ones in training, all but `kept` otherwise."""

    def __init__(self, backbone: Backbone, heads: dict[int, nn.Module], kept: tuple[int, ...]) -> None:
        super().__init__(backbone, heads)
        self.kept = kept
        self.dropped: frozenset[int] = frozenset()

    def draw(self, rate: float) -> None:
        """Which layers the next step leaves out, one draw a layer for the whole batch; it may be all of them.

        A layer is dropped when u ~ U(0, 1) is at most the rate; what stays is not rescaled.
        """
        # Drawn on the CPU, whose random state every checkpoint holds, and without waiting for a device.
        draws = torch.rand(self.backbone.depth, device="cpu").tolist()
        self.dropped = frozenset(layer for layer, u in enumerate(draws, start=1) if u <= rate)

    def layer(self, layer: int, state: State) -> State:
        left_out = layer in self.dropped if self.training else layer not in self.kept
        return state if left_out else super().layer(layer, state)

    def cut(self) -> None:
        """Leaves only the layers that are kept, without any training after it."""
        head = self.heads[str(self.depth)]
        keep_layers(self.backbone, self.kept)
        self.exit_layers, self.kept, self.dropped = (
            (len(self.kept),),
            tuple(range(1, len(self.kept) + 1)),
            frozenset(),
        )
        self.heads = nn.ModuleDict({str(self.depth): head})


def drop(model: MultiExitModel, step: Step, rate: float | None) -> None:
    """Draws the dropped layers of one step, at `rate` or at the share of layers that will be cut."""
    assert isinstance(model, DroppingModel)
    model.draw(1 - len(model.kept) / model.backbone.depth if rate is None else rate)


def cut_layers(model: MultiExitModel, train: Examples) -> None:
    """The end of training: only the kept layers remain."""
    assert isinstance(model, DroppingModel)
    model.cut()


class Layerdrop(Method):
    """One exit; trained with all layers, some of them dropped at every step, and cut to the kept ones afterwards.

    In evaluation mode the model skips what will be cut, so an epoch is chosen by what the kept layers score.
    """

    name, title, default_rule = "layerdrop", "LayerDrop", "budgeted"
    paper = "LayerDrop (Fan et al. 2020)"
    options_type = LayerdropOptions
    version = 2

    def check(self, options: TrainingOptions, skeleton: Callable[[], Backbone]) -> None:
        kept_layers(_own(options), skeleton().depth)

    def exit_layers(self, options: TrainingOptions, depth: int) -> tuple[int, ...]:
        return (depth,)

    def build(self, backbone: Backbone, classes: int, options: TrainingOptions) -> MultiExitModel:
        heads = exit_heads(backbone, classes, options.head, (backbone.depth,))
        return DroppingModel(backbone, heads, kept_layers(_own(options), backbone.depth))

    def finished(self, backbone: Backbone, classes: int, options: TrainingOptions) -> MultiExitModel:
        model = self.build(backbone, classes, options)
        assert isinstance(model, DroppingModel)
        model.cut()
        return model

    def stages(self, options: TrainingOptions) -> list[Stage]:
        own = _own(options)
        return [
            Stage("dropping", own.epochs, own.lr, last_exit_loss, before=partial(drop, rate=own.drop_rate)),
            Stage("cut", 0, own.lr, last_exit_loss, first=cut_layers),
        ]


def _own(options: TrainingOptions) -> LayerdropOptions:
    assert isinstance(options, LayerdropOptions)
    return options
