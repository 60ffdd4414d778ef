"""What a method asks of the training loop: a list of stages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from torch import Tensor, nn

from eebench.backbones.tokens import Encoded
from eebench.model import MultiExitModel, Outputs
from eebench.training.options import TrainingOptions
from eebench.training.schedules import Schedule, schedule_of, steps_in


@dataclass(frozen=True)
class Examples:
    """A tokenised split with labels (int64 [N], fp32 for regression)."""

    encoded: Encoded
    labels: np.ndarray


Terms = dict[str, Tensor]
"""Named scalars of one step; "loss" is what is reported and must stay finite."""


@dataclass(frozen=True)
class Step:
    """Which optimiser step this is: `number` counts from 0 within the epoch, `rows` int64 [B] are its samples.

    `epoch` counts from 0 within the stage; `done` of the stage's `total` steps lie behind it.
    """

    number: int
    rows: np.ndarray
    epoch: int = 0
    done: int = 0
    total: int = 1


Objective = Callable[[Outputs, Tensor, Step], Terms]
"""(outputs of one forward pass, labels [B], which step) -> terms."""


class Update(Protocol):
    """Turns the terms of one step into gradients."""

    def __call__(self, terms: Terms, parameters: Sequence[tuple[str, nn.Parameter]]) -> Terms:
        """Fills `.grad` of the parameters; returns further terms to log."""
        ...


def descend(terms: Terms, parameters: Sequence[tuple[str, nn.Parameter]]) -> Terms:
    """The ordinary update: the gradient of "loss"."""
    terms["loss"].backward()  # type: ignore[no-untyped-call]
    return {}


def everything(name: str, model: MultiExitModel) -> bool:
    """Trains every parameter."""
    return True


def inner_exits(name: str, model: MultiExitModel) -> bool:
    """Trains the exits before the last, on a frozen backbone and final classifier."""
    return name.startswith("heads.") and not name.startswith(f"heads.{model.depth}.")


def nothing_before(model: MultiExitModel, step: Step) -> None:
    """Leaves the model as it is."""


def nothing_first(model: MultiExitModel, train: Examples) -> None:
    """Leaves the model as it is."""


def mean_over_exits(scores: Sequence[float]) -> float:
    """GAML-BERT's criterion of selection: the best epoch is the one with the best mean over exits."""
    return float(np.mean(scores))


def same_rate(name: str) -> float:
    """One learning rate for every parameter."""
    return 1.0


@dataclass(frozen=True)
class Stage:
    """One stretch of training with its own optimiser and schedule.

    `trains` says by name (and model) which parameters move; the backbone, a direct child of it or an exit with none of
    them is frozen and runs in evaluation mode, so its dropout is off. `lr_factor` multiplies the learning rate of a
    parameter by name. The terms in `series` are recorded at every step, all others as their mean over an epoch.

    `first` changes the model once, before the stage's optimiser is made (pruning); `before` sets it up for a step
    (replacement rates, soft or hard gates). `select` None takes the options'; of equally good epochs `ties` says
    which is kept; `judge` turns the scores of the exits
    [E] into the one that selects. The last epoch is cut short where `epochs` is not whole. `schedule` gives the
    learning rate from the steps of an epoch, None takes the options' form with the peak `lr`.
    """

    name: str
    epochs: float
    lr: float
    objective: Objective
    update: Update = descend
    trains: Callable[[str, MultiExitModel], bool] = everything
    lr_factor: Callable[[str], float] = same_rate
    series: tuple[str, ...] = ()
    first: Callable[[MultiExitModel, Examples], None] = nothing_first
    before: Callable[[MultiExitModel, Step], None] = nothing_before
    schedule: Callable[[int], Schedule] | None = None
    select: Literal["last", "best"] | None = None
    ties: Literal["earlier", "later"] = "earlier"
    judge: Callable[[Sequence[float]], float] = mean_over_exits

    def steps(self, steps_per_epoch: int) -> int:
        """Optimiser steps of the whole stage."""
        return steps_in(self.epochs, steps_per_epoch)

    def rounds(self, steps_per_epoch: int) -> int:
        """Epochs begun; a checkpoint follows each."""
        return -(-self.steps(steps_per_epoch) // steps_per_epoch)

    def rates(self, options: TrainingOptions, steps_per_epoch: int) -> Schedule:
        """The learning rate over the stage's steps."""
        if self.schedule is not None:
            return self.schedule(steps_per_epoch)
        return schedule_of(options, self.lr, self.epochs, steps_per_epoch)
