"""The stage loop: trains a model through its stages, one checkpoint per epoch, no device sync per step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from eebench.errors import DivergedError
from eebench.model import MultiExitModel, load_weights, weights_of
from eebench.slender import conform
from eebench.tasks.scale import LabelScale
from eebench.trace import trace_model
from eebench.training.batches import epoch_batches
from eebench.training.checkpoints import Checkpoint, CheckpointFile, Progress, part, restore
from eebench.training.evaluation import exit_scores, scored
from eebench.training.options import TrainingOptions
from eebench.training.stages import Examples, Stage, Step, Terms, refuse_shared

CHECK_EVERY = 50
"""Steps between looks at the loss on CUDA, where looking means waiting for the device."""


@dataclass(frozen=True)
class Setup:
    """All that training depends on besides the model: data, metric, options, seed, device.

    `train` is in the task's units, `targets` is what the losses see.
    """

    train: Examples
    selection: Examples | None
    metric: str
    options: TrainingOptions
    seed: int
    device: torch.device

    @property
    def scale(self) -> LabelScale | None:
        """How scores are standardised, from the rows trained on; None for classes."""
        return LabelScale.of(self.train.labels)

    @property
    def targets(self) -> Examples:
        """The training rows with the scores of a regression standardised."""
        scale = self.scale
        return (
            self.train if scale is None else replace(self.train, labels=scale.standardised(self.train.labels))
        )


@dataclass(frozen=True)
class Moment:
    """Where training stands after a step: `done` of `total` steps of all stages, in epoch `epoch` (from 1) of `epochs`.

    `loss()` is the mean loss of the epoch so far; asking waits for the device.
    """

    done: int
    total: int
    stage: str
    epoch: int
    epochs: int
    loss: Callable[[], float]


OnStep = Callable[[Moment], None]


def unwatched(moment: Moment) -> None:
    """Nobody asks how far training has come."""


class Trainer:
    """Runs the stages of one method on one model; `on_step` is told after every step, for whoever shows progress."""

    def __init__(
        self,
        model: MultiExitModel,
        stages: Sequence[Stage],
        setup: Setup,
        file: CheckpointFile,
        on_step: OnStep = unwatched,
    ) -> None:
        self.model, self.stages, self.setup, self.file, self.on_step = model, stages, setup, file, on_step
        self.checkpoint = Checkpoint(Progress())
        size = setup.options.batch_size
        self.steps_per_epoch = -(-len(setup.train.encoded) // size)
        self.total_steps = sum(stage.steps(self.steps_per_epoch) for stage in stages)

    @property
    def progress(self) -> Progress:
        """Where training stands."""
        return self.checkpoint.progress

    def run(self) -> Progress:
        """Trains to the end, from the saved checkpoint if there is one; the model then holds the kept weights."""
        self.model.to(self.setup.device)
        loaded = self.file.load()
        tensors = None
        if loaded is not None:
            self.checkpoint, tensors = loaded
        while self.progress.stage < len(self.stages):
            self._stage(self.stages[self.progress.stage], tensors)
            tensors = None
        return self.progress

    def _stage(self, stage: Stage, tensors: dict[str, Tensor] | None) -> None:
        if self.progress.epoch == 0:
            stage.first(self.model, self.setup.targets)
        if tensors is not None:
            conform(self.model, part(tensors, "model"))  # training may have changed the shapes
        trained = freeze_others(self.model, stage)
        optimizer = make_optimizer(trained, stage, self.setup.options)
        if tensors is not None:
            restore(tensors, self.model, optimizer, self.setup.device)
        rounds = stage.rounds(self.steps_per_epoch)
        while self.progress.epoch < rounds and not self._patience_spent():
            self._epoch(stage, optimizer, trained)
            if self.progress.epoch < rounds or self.progress.stage + 1 < len(self.stages):
                self.file.save(self.checkpoint, self.model, optimizer, self.setup.device)
        if self.checkpoint.best:
            load_weights(self.model, self.checkpoint.best)
        self._next_stage()

    def _next_stage(self) -> None:
        self.checkpoint.best = {}
        self.progress.stage += 1
        self.progress.epoch = 0
        self.progress.best_score = None
        self.progress.epochs_without_gain = 0

    def _patience_spent(self) -> bool:
        patience = self.setup.options.patience
        return patience is not None and self.progress.epochs_without_gain >= patience

    def _epoch(
        self, stage: Stage, optimizer: torch.optim.Optimizer, trained: Sequence[tuple[str, nn.Parameter]]
    ) -> None:
        options, progress, data = self.setup.options, self.progress, self.setup.targets
        schedule, total = stage.rates(options, self.steps_per_epoch), stage.steps(self.steps_per_epoch)
        epoch_seed = progress.steps  # distinct for every epoch of every stage, and known after a resume
        set_modes(self.model)
        labels = torch.from_numpy(data.labels)
        watch = LossWatch(self.setup.device, stage.series)
        batches = epoch_batches(data.encoded.lengths, options.batch_size, self.setup.seed, epoch_seed)
        before = progress.epoch * self.steps_per_epoch
        for index, rows in enumerate(batches[: total - before]):
            done = before + index
            for group in optimizer.param_groups:
                group["lr"] = group["factor"] * schedule.at(done)
            step = Step(index, rows, progress.epoch, done, total)
            watch.add(self._step(stage, optimizer, trained, step, labels), progress.steps)
            progress.steps += 1
            self.on_step(
                Moment(
                    progress.steps, self.total_steps, stage.name, progress.epoch + 1,
                    stage.rounds(self.steps_per_epoch), watch.mean_loss,
                )
            )  # fmt: skip
        progress.epoch += 1
        self._close_epoch(stage, watch.record())

    def _step(
        self,
        stage: Stage,
        optimizer: torch.optim.Optimizer,
        trained: Sequence[tuple[str, nn.Parameter]],
        step: Step,
        labels: Tensor,
    ) -> Terms:
        device = self.setup.device
        stage.before(self.model, step)
        batch = self.setup.train.encoded.batch(step.rows).to(device)
        target = labels[step.rows].to(device, non_blocking=True)
        with torch.autocast(device.type, torch.bfloat16, enabled=self.setup.options.precision == "bf16"):
            outputs = self.model(batch)
        terms = stage.objective(outputs, target, step)
        logged = stage.update(terms, trained)
        nn.utils.clip_grad_norm_([parameter for _, parameter in trained], self.setup.options.clip_norm)
        optimizer.step()
        optimizer.zero_grad()
        return {name: value.detach() for name, value in (terms | logged).items()}

    def _close_epoch(self, stage: Stage, watched: dict[str, Any]) -> None:
        progress = self.progress
        record: dict[str, Any] = {"stage": stage.name, "epoch": progress.epoch, **watched}
        if self.setup.selection is not None and self._selects(stage):
            trace = trace_model(
                self.model, self.setup.selection.encoded, self.setup.selection.labels, self.setup.device
            )
            record["exit_scores"] = exit_scores(trace, self.setup.metric)
            self._select(stage, stage.judge(scored(record["exit_scores"])))
        progress.history.append(record)

    def _keeps_best(self, stage: Stage) -> bool:
        return (stage.select or self.setup.options.select) == "best"

    def _selects(self, stage: Stage) -> bool:
        return self._keeps_best(stage) or self.setup.options.patience is not None

    def _select(self, stage: Stage, score: float) -> None:
        """Keeps the weights of the stage's best epoch; a tie is no gain, whichever of the two it keeps."""
        progress, best = self.progress, self.progress.best_score
        if best is None or score > best:
            progress.best_score, progress.epochs_without_gain = score, 0
        else:
            progress.epochs_without_gain += 1
            if score < best or stage.ties == "earlier":
                return
        if self._keeps_best(stage):
            self.checkpoint.best = {name: weight.clone() for name, weight in weights_of(self.model).items()}


class LossWatch:
    """Sums the terms of an epoch on the device and stops a run whose loss is not finite.

    The terms in `series` are kept step by step.
    """

    def __init__(self, device: torch.device, series: tuple[str, ...] = ()) -> None:
        self.every = CHECK_EVERY if device.type == "cuda" else 1
        self.sums: Terms = {}
        self.count = 0
        self.first_step = 0
        self.kept: dict[str, list[Tensor]] = {name: [] for name in series}

    def add(self, terms: Terms, step: int) -> None:
        """Adds one step's terms; raises DivergedError once the sum of losses is NaN or infinite."""
        self.first_step = step - self.count
        self.count += 1
        for name, value in terms.items():
            self.sums[name] = self.sums[name] + value if name in self.sums else value.double()
            if name in self.kept:
                self.kept[name].append(value)
        if self.count % self.every == 0:
            self.check(step)

    def check(self, step: int) -> None:
        """Raises DivergedError when a loss up to `step` (0-based) was not finite."""
        if not bool(torch.isfinite(self.sums["loss"])):
            raise DivergedError(
                f"the loss is not finite at step {step + 1}; try a lower learning rate (--set lr=...) "
                "or precision=fp32."
            )

    def mean_loss(self) -> float:
        """Mean loss so far."""
        return float(self.sums["loss"]) / self.count

    def means(self) -> dict[str, float]:
        """Mean of each term over the epoch."""
        self.check(self.first_step + self.count - 1)
        return {name: float(value) / self.count for name, value in self.sums.items()}

    def record(self) -> dict[str, Any]:
        """The means, and under "series" the values of every step, to five decimals."""
        series = {
            name: [round(value, 5) for value in torch.stack(values).tolist()]
            for name, values in self.kept.items()
            if values
        }
        return self.means() | ({"series": series} if series else {})


def freeze_others(model: MultiExitModel, stage: Stage) -> list[tuple[str, nn.Parameter]]:
    """Turns gradients on for what the stage trains and off for the rest; returns the trained parameters.

    UserError where a parameter is on both sides.
    """
    refuse_shared(stage, model)
    trained = []
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(stage.trains(name, model))
        if parameter.requires_grad:
            trained.append((name, parameter))
    return trained


def set_modes(model: MultiExitModel) -> None:
    """Training mode, except for parts with nothing to train: their dropout would only add noise.

    Such a part is the backbone, one of its direct children that has parameters (frozen embeddings), or an exit.
    """
    model.train()
    children = [child for child in model.backbone.children() if any(True for _ in child.parameters())]
    for module in [model.backbone, *children, *model.heads.values()]:
        if not any(parameter.requires_grad for parameter in module.parameters()):
            module.eval()


def make_optimizer(
    trained: Sequence[tuple[str, nn.Parameter]], stage: Stage, options: TrainingOptions
) -> torch.optim.Optimizer:
    """AdamW without decay on biases and LayerNorm; one group per decay and learning-rate factor.

    The rate itself is set before every step.
    """
    members: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in trained:
        decay = 0.0 if _no_decay(name) else options.weight_decay
        members.setdefault((decay, stage.lr_factor(name)), []).append(parameter)
    groups = [
        {"params": parameters, "weight_decay": decay, "factor": factor}
        for (decay, factor), parameters in members.items()
    ]
    return torch.optim.AdamW(groups, eps=options.adam_eps, fused=True)


def _no_decay(name: str) -> bool:
    # DistilBERT and ALBERT write sa_layer_norm, output_layer_norm and full_layer_layer_norm.
    return name.endswith("bias") or "LayerNorm" in name or "layer_norm" in name.lower()
