"""The contract of a method: what is added to the backbone, the stages of training, what it needs first.

A new method is one file with a subclass of `Method` and one entry in the catalogue (or an entry point of the
group `eebench.methods` in another package).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from torch import Tensor

from eebench.backbones.base import Backbone
from eebench.heads import exit_heads
from eebench.model import MultiExitModel
from eebench.training.options import TrainingOptions
from eebench.training.stages import Stage


@dataclass(frozen=True)
class Need:
    """Another run that must be trained first: its method and options; task and seed are shared.

    `backbone` is another backbone's name; None shares that as well.
    """

    method: str
    options: Mapping[str, Any] = field(default_factory=dict)
    backbone: str | None = None


@dataclass(frozen=True)
class Needed:
    """A needed run, finished: its weights by name, and `model()`, a fresh copy of it in evaluation mode, on the CPU."""

    weights: Mapping[str, Tensor]
    model: Callable[[], MultiExitModel]


class Method(ABC):
    """One way to build and train an early-exit model.

    `version` is raised whenever a change alters what the same options train to. `default_rule` is the rule of
    its paper. Options classes hold the paper's defaults.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    paper: ClassVar[str]
    version: ClassVar[int] = 1
    default_rule: ClassVar[str]
    options_type: ClassVar[type[TrainingOptions]] = TrainingOptions
    regression: ClassVar[bool] = True
    inference: ClassVar[frozenset[str]] = frozenset()
    """Options that change what a trained model does and not how it is trained: no part of a run's identity."""

    @property
    def recipe(self) -> str:
        """What training is named after; two methods with one recipe share their runs."""
        return self.name

    def label(self, options: TrainingOptions) -> str:
        """How results call this method with these options."""
        return self.name

    def heading(self, options: TrainingOptions) -> str:
        """How tables call this method with these options."""
        return self.title

    def exit_form(self, options: TrainingOptions) -> str:
        """How results call the form of the exits."""
        head = options.head
        if head.attention != "none":
            return f"{head.attention} attention"
        return "linear" if head.pooler == "none" else f"{head.pooler} pooler"

    def depth(self, options: TrainingOptions, layers: int) -> int:
        """How many layers of a backbone of `layers` layers are kept."""
        return layers

    def exit_layers(self, options: TrainingOptions, depth: int) -> tuple[int, ...]:
        """The layers (1-based) that get an exit: all of them unless a method says otherwise."""
        return tuple(range(1, depth + 1))

    def settled(self, options: TrainingOptions, backbone: str) -> TrainingOptions:
        """The options as they are for the backbone called `backbone`; UserError where they do not fit its name."""
        return options

    def others(self, options: TrainingOptions) -> tuple[str, ...]:
        """Names of the backbones that the model consists of besides the run's own; it reads the tokens of each."""
        return ()

    def needs(self, options: TrainingOptions) -> dict[str, Need]:
        """Runs that must exist first, by role."""
        return {}

    def build(self, backbone: Backbone, classes: int, options: TrainingOptions) -> MultiExitModel:
        """The backbone with this method's parts added."""
        layers = self.exit_layers(options, backbone.depth)
        return MultiExitModel(backbone, exit_heads(backbone, classes, options.head, layers))

    def finished(self, backbone: Backbone, classes: int, options: TrainingOptions) -> MultiExitModel:
        """The model as training leaves it, where stages change its structure (pruning); the weights are set later."""
        return self.build(backbone, classes, options)

    def check(self, options: TrainingOptions, skeleton: Callable[[], Backbone]) -> None:
        """Raises UserError when the options do not fit the backbone, here without weights, before anything trains."""

    def initialise(self, model: MultiExitModel, needed: Mapping[str, Needed]) -> None:
        """Gives the model what `needs` asked for, by role, before training: weights to start from, teachers."""

    def chooses(self, options: TrainingOptions) -> bool:
        """Whether scores have a say in training: an epoch is chosen, or training stops when they stop rising."""
        chosen = any((stage.select or options.select) == "best" for stage in self.stages(options))
        return chosen or options.patience is not None

    @abstractmethod
    def stages(self, options: TrainingOptions) -> list[Stage]:
        """The stages of training, in order."""
