"""What a method asks of the training loop: a list of stages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from torch import Tensor, nn

from eebench.backbones.tokens import Encoded
from eebench.errors import UserError
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


def refuse_shared(stage: Stage, model: MultiExitModel) -> None:
    """UserError where the stage trains a parameter that, under another name, it holds frozen (a shared pooler).

    A parameter belongs to all modules that share it, so what trains one of them moves the others.
    """
    names: dict[int, list[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), []).append(name)
    for shared in names.values():
        trained = {name: stage.trains(name, model) for name in shared}
        if len(set(trained.values())) > 1:
            moved, frozen = (next(name for name in shared if trained[name] is side) for side in (True, False))
            raise UserError(
                f"stage '{stage.name}' trains {moved}, which is also {frozen}, and that is to stay frozen; give each "
                "part parameters of its own (exits with a shared pooler: set head.pooler to own, tanh or none)."
            )


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

    `trains` says by name (and model) which parameters move; all others, and every buffer, are the same bits afterwards.
    The backbone, a direct child of it or an exit with none that move runs in evaluation mode, so its dropout is off.
    `lr_factor` multiplies the learning rate of a parameter by name. The terms in `series` are recorded at every step,
    all others as their mean over an epoch.

    `first` changes the model once, before the stage's optimiser is made (pruning); `before` sets it up for a step
    (replacement rates, soft or hard gates). `select` None takes the options'; of equally good epochs `ties` says
    which is kept; `judge` turns the scores of the exits [E] into the one that selects. The last epoch is cut short
    where `epochs` is not whole. `schedule` gives the learning rate from the steps of an epoch, None takes the options'
    form with the peak `lr`.
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
