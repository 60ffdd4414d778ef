"""CascadeBERT: complete models of growing size, the smallest taught which samples to be sure of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import Field, field_validator
from torch import Tensor

from eebench.backbones.base import Backbone
from eebench.backbones.checkpoints import backbone_depth, load_backbone, skeleton_backbone
from eebench.cascades import (
    CascadeModel,
    CascadeOutputs,
    Member,
    difficult,
    fitted_temperature,
    ranking_loss,
)
from eebench.depth import first_layers
from eebench.errors import UserError
from eebench.heads import exit_heads
from eebench.losses import exit_losses
from eebench.methods.base import Method, Need, Needed
from eebench.methods.finetune import FinetuneOptions, FirstK, FirstKOptions
from eebench.methods.needs import finetuned, first_layers_finetuned
from eebench.model import MultiExitModel, Outputs, copy_weights
from eebench.trace import trace_model
from eebench.training.options import TrainingOptions
from eebench.training.stages import Examples, Stage, Step, Terms

FULL = "full"
CALIBRATION_ROWS = 2048
"""Rows that temperatures are fitted on at most, spread over all that are kept back: one number needs no more."""


class CascadeOptions(FinetuneOptions):
    """The released recipe: members of 2 and all layers, margin 0.5, weight 0.5; batch 16, 5 epochs for the smallest.

    Members share nothing, so the sum of their cross-entropies trains each on its own: all but the smallest are
    ordinary `first-k` and `finetune` runs, with fine-tuning's own batch and epochs unless these are given. Each has
    its own configuration (the code builds all with the largest's).
    """

    epochs: int = 5
    batch_size: int = 16
    members: tuple[int | str, ...] = Field(
        (2, FULL),
        description="smallest first: layers of the backbone (`full`: all), or the name or directory of another one",
    )
    dar_weight: float = Field(0.5, ge=0, description="weight of the difficulty-aware regularisation; 0: none")
    margin: float = Field(0.5, ge=0, description="how much surer of an easy row than of a hard one")
    folds: int = Field(5, ge=2, description="folds of the cross-prediction that tells easy from hard")
    repeats: int = Field(1, ge=1, description="cross-predictions with other folds, at most as many as folds")
    calibration: float = Field(
        0.1, ge=0, le=0.5,
        description="share of train the smallest member does not see; temperatures (not middle ones) are fitted "
        "there; 0: none",
    )  # fmt: skip

    @field_validator("members", mode="before")
    @classmethod
    def _from_list(cls, members: Any) -> Any:
        return tuple(members) if isinstance(members, list) else members  # YAML has no tuples

    @field_validator("members")
    @classmethod
    def _ascending(cls, members: tuple[int | str, ...]) -> tuple[int | str, ...]:
        numbers = [member for member in members if isinstance(member, int)]
        if len(members) < 2 or FULL in members[:-1] or "" in members or min(numbers, default=1) < 1:
            raise ValueError(
                "write two or more numbers of layers or names of backbones, `full` only as the last: [2, full], "
                "[minilm-l6, full]"
            )
        if any(a >= b for a, b in pairwise(numbers)) or len(set(members)) < len(members):
            raise ValueError("write the members in ascending order, each once: [2, 6]")
        return members


def fold_of(rows: np.ndarray, folds: int, repeat: int) -> np.ndarray:
    """The fold of each training row, int64 [B]; every `repeat` below `folds` divides the rows in another way."""
    return np.asarray((rows + repeat * (rows // folds)) % folds)


def is_kept_back(rows: np.ndarray, share: float) -> np.ndarray:
    """Which training rows are for calibration, bool [B]: evenly spread from the first; ceil(n share) of the first n."""
    # The small term undoes rounding such as 3 * 0.1 = 0.30000000000000004.
    return np.asarray(np.ceil((rows + 1) * share - 1e-9) > np.ceil(rows * share - 1e-9))


def places(chosen: np.ndarray, like: Tensor) -> Tensor:
    """Where `chosen`, bool [B] on the host, is true, int64 [n] on the device of `like`, which is not waited for."""
    return torch.from_numpy(np.flatnonzero(chosen)).to(like.device, non_blocking=True)


def cascade_loss(outputs: Outputs, labels: Tensor, step: Step, options: CascadeOptions) -> Terms:
    """CE + w * DAR of the smallest member, over the batch's rows that are not kept back for calibration."""
    learned = places(~is_kept_back(step.rows, options.calibration), labels)
    if not len(learned):
        return {"loss": outputs.logits.sum() * 0.0}
    logits, labels = outputs.logits[:, learned], labels[learned]
    ce = exit_losses(logits, labels)[0]
    if not isinstance(outputs, CascadeOutputs):
        return {"loss": ce}
    hard = difficult(outputs.unseen[:, learned], labels)
    dar = ranking_loss(logits[0], hard, options.margin)
    return {"loss": ce + options.dar_weight * dar, "ce": ce, "dar": dar, "hard": hard.float().mean()}


def fold_loss(outputs: Outputs, labels: Tensor, step: Step, options: FoldOptions) -> Terms:
    """Cross-entropy of the last exit over the batch's rows outside the fold."""
    seen = places(fold_of(step.rows, options.folds, options.repeat) != options.fold, labels)
    if not len(seen):
        return {"loss": outputs.logits.sum() * 0.0}
    return {"loss": exit_losses(outputs.logits[-1:, seen], labels[seen])[0]}


def tell_rows(model: MultiExitModel, step: Step, options: CascadeOptions) -> None:
    """Tells the model which fold each row of the next batch belongs to."""
    assert isinstance(model, CascadeModel)
    folds = [fold_of(step.rows, options.folds, repeat) for repeat in range(options.repeats)]
    model.folds = torch.from_numpy(np.stack(folds))


def calibrate(model: MultiExitModel, train: Examples, share: float) -> None:
    """Fits temperatures on the rows kept back.

    All members but the smallest have learned from these rows, so the middle ones, whose confidence decides, keep
    T = 1; the last one's is fitted all the same, for it never decides.
    """
    assert isinstance(model, CascadeModel)
    rows = calibration_rows(len(train.encoded), share)
    labels = train.labels[rows]
    with torch.no_grad():
        model.temperatures.fill_(1.0)
        trace = trace_model(model, train.encoded.take(rows), labels, model.temperatures.device)
        for member in (0, -1):
            model.temperatures[member] = fitted_temperature(trace.logits[member], torch.from_numpy(labels))


def calibration_rows(rows: int, share: float) -> np.ndarray:
    """The training rows temperatures are fitted on, of `rows` in all: evenly spread over those kept back, int64 [R]."""
    kept = np.flatnonzero(is_kept_back(np.arange(rows), share))
    count = min(len(kept), CALIBRATION_ROWS)
    return kept[np.arange(count) * len(kept) // max(1, count)]


def smallest_member(name: str, model: MultiExitModel) -> bool:
    """Trains the smallest member's encoder and head."""
    return name.startswith(("smaller.0.", f"heads.{model.exit_layers[0]}."))


def of_smallest(scores: Sequence[float]) -> float:
    """The best epoch is the smallest member's: the others do not change."""
    return scores[0]


class Cascade(Method):
    """Members by size; sees easy and hard rows through models trained on the other folds (`first-k-fold` runs).

    The paper's members are pretrained each for itself (`[minilm-l6, full]` on `mpnet-base`, say), and read their own
    tokens. `[2, full]` is its ablation, a small member cut from the large one, and the default because it needs no
    second checkpoint.
    """

    name, title, default_rule = "cascade", "CascadeBERT", "max-prob"
    version = 2
    paper = "CascadeBERT (Li et al. 2021)"
    options_type: ClassVar[type[TrainingOptions]] = CascadeOptions
    regression = False

    def label(self, options: TrainingOptions) -> str:
        return "-".join(["cascade", *map(short_name, _own(options).members)])

    def heading(self, options: TrainingOptions) -> str:
        own = _own(options)
        return (
            f"CascadeBERT ({' + '.join(map(short_name, own.members))}{'' if self.others(own) else ' layers'})"
        )

    def settled(self, options: TrainingOptions, backbone: str) -> TrainingOptions:
        """The last member by name is the run's backbone, which speed-ups count from."""
        own = _own(options)
        *smaller, last = own.members
        if isinstance(last, str) and last not in (FULL, backbone):
            raise UserError(
                f"cascade: the last member is '{last}', but speed-ups count from the backbone, which is '{backbone}'; "
                f"write --backbone {last}, or `full` as the last member."
            )
        if backbone in smaller:
            raise UserError(
                f"cascade: members={list(own.members)} has the backbone itself, '{backbone}', before the end; cut it "
                "to a number of layers, or name a smaller one."
            )
        return own.model_copy(update={"members": (*smaller, FULL if last == backbone else last)})

    def others(self, options: TrainingOptions) -> tuple[str, ...]:
        return tuple(member for member in _own(options).members if isinstance(member, str) and member != FULL)

    def depth(self, options: TrainingOptions, layers: int) -> int:
        """The largest member's layers; UserError where a member is not smaller than the next, or too large."""
        own = _own(options)
        named = self.others(own)
        sizes = [int(layers if member == FULL else member) for member in own.members if member not in named]
        if sizes[-1] > layers or any(a >= b for a, b in pairwise(sizes)):
            raise UserError(
                f"cascade: members={list(own.members)} of a backbone with {layers} layers; give ascending numbers of "
                f"layers, at most {layers}, for example members=[{max(1, layers // 3)},full]."
            )
        if own.repeats > own.folds:
            raise UserError(f"cascade: repeats={own.repeats} is more than folds={own.folds}; raise folds.")
        return sizes[-1]

    def exit_layers(self, options: TrainingOptions, depth: int) -> tuple[int, ...]:
        return tuple(int(end) for end in np.cumsum(member_sizes(_own(options), depth)))

    def needs(self, options: TrainingOptions) -> dict[str, Need]:
        own = _own(options)
        needs = {
            f"member-{number}": as_member(own, member)
            for number, member in enumerate(own.members[1:], start=1)
        }
        if own.dar_weight > 0:
            smallest = as_member(own, own.members[0])
            k = {"k": member_sizes(own, 0)[0]}
            for repeat, fold in fold_numbers(own):
                left_out = {"folds": own.folds, "fold": fold, "repeat": repeat}
                needs[f"fold-{repeat}-{fold}"] = Need(
                    "first-k-fold", {**smallest.options, **k, **left_out}, smallest.backbone
                )
        return needs

    def build(self, backbone: Backbone, classes: int, options: TrainingOptions) -> MultiExitModel:
        own, members = _own(options), []
        others = self.others(own)
        bare = next(backbone.parameters()).is_meta
        for member in own.members:
            head, reads = own.head, 0
            if member in others:
                encoder = skeleton_backbone(str(member)) if bare else load_backbone(str(member))
                # Each checkpoint is read as it was trained to be.
                head, reads = (
                    head.model_copy(update={"pooling": encoder.pooling}),
                    others.index(str(member)) + 1,
                )
            elif member == own.members[-1]:
                encoder = backbone
            else:
                encoder = first_layers(backbone, int(member))
            exits = exit_heads(encoder, classes, head, (encoder.depth,))
            members.append(Member(encoder, exits[encoder.depth], reads))
        return CascadeModel(members)

    def initialise(self, model: MultiExitModel, needed: Mapping[str, Needed]) -> None:
        assert isinstance(model, CascadeModel)
        for number, encoder in enumerate(model.encoders[1:], start=1):
            member = needed[f"member-{number}"].model()
            copy_weights(encoder, dict(member.backbone.named_parameters()))
            head = model.heads[str(model.exit_layers[number])]
            copy_weights(head, dict(member.heads[str(member.depth)].named_parameters()))
        judges: dict[int, list[MultiExitModel]] = {}
        for role in (role for role in needed if role.startswith("fold-")):
            judges.setdefault(int(role.split("-")[1]), []).append(needed[role].model().requires_grad_(False))
        model.judges = tuple(judges.values())

    def stages(self, options: TrainingOptions) -> list[Stage]:
        own = _own(options)
        stages = [
            Stage(
                "smallest", own.epochs, own.lr, partial(cascade_loss, options=own), trains=smallest_member,
                before=partial(tell_rows, options=own), judge=of_smallest,
            )
        ]  # fmt: skip
        if own.calibration > 0:
            fit = partial(calibrate, share=own.calibration)
            stages.append(
                Stage("calibration", 0, own.lr, stages[0].objective, trains=smallest_member, first=fit)
            )
        return stages


def member_sizes(options: CascadeOptions, layers: int) -> list[int]:
    """Layers of each member, where the run's backbone has `layers`."""
    return [
        layers if member == FULL else member if isinstance(member, int) else backbone_depth(member)
        for member in options.members
    ]


def short_name(member: int | str) -> str:
    """How labels call a member: a directory by its last part."""
    return str(member) if isinstance(member, int) else Path(member).name


def as_member(options: CascadeOptions, member: int | str) -> Need:
    """The ordinary run that a member's weights come from: the backbone, its first layers, or another backbone."""
    if isinstance(member, int):
        return first_layers_finetuned(options, member)
    whole = finetuned(options)
    if member == FULL:
        return whole
    head = options.head.model_dump(exclude={"pooling"})
    return Need("finetune", {**whole.options, "head": head}, member)


def fold_numbers(options: CascadeOptions) -> Iterator[tuple[int, int]]:
    """(repeat, fold) of every model that the cross-prediction needs."""
    for repeat in range(options.repeats):
        yield from ((repeat, fold) for fold in range(options.folds))


class FoldOptions(FirstKOptions):
    """`first-k` on all training rows but those of one fold."""

    folds: int = Field(5, ge=2, description="folds the training rows are divided into")
    fold: int = Field(0, ge=0, description="the fold that is not learned from, counted from 0")
    repeat: int = Field(0, ge=0, description="which division of the rows into folds")


class FirstKFold(FirstK):
    """A small model that never saw one fold of the rows, to tell which of them are hard (CascadeBERT needs it)."""

    name, title = "first-k-fold", "First k layers, a fold left out"
    paper = "CascadeBERT (Li et al. 2021)"
    options_type: ClassVar[type[TrainingOptions]] = FoldOptions
    regression = False

    def label(self, options: TrainingOptions) -> str:
        own = _fold(options)
        return f"first-{own.k}-fold-{own.fold}-of-{own.folds}" + (f"-{own.repeat}" if own.repeat else "")

    def heading(self, options: TrainingOptions) -> str:
        return f"{super().heading(options)} without fold {_fold(options).fold} of {_fold(options).folds}"

    def depth(self, options: TrainingOptions, layers: int) -> int:
        own = _fold(options)
        if max(own.fold, own.repeat) >= own.folds:
            raise UserError(
                f"first-k-fold: fold={own.fold}, repeat={own.repeat} of {own.folds} folds; both count from 0 and "
                f"end at {own.folds - 1}."
            )
        return super().depth(options, layers)

    def stages(self, options: TrainingOptions) -> list[Stage]:
        objective = partial(fold_loss, options=_fold(options))
        return [Stage("finetune", options.epochs, options.lr, objective)]


def _own(options: TrainingOptions) -> CascadeOptions:
    assert isinstance(options, CascadeOptions)
    return options


def _fold(options: TrainingOptions) -> FoldOptions:
    assert isinstance(options, FoldOptions)
    return options
