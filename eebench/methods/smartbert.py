"""SmartBERT: gates skip layers, exits leave early; consecutive layers are drawn together by contrastive learning.

Stage 1 trains backbone, gates and the last exit, first with soft gates and then with hard ones; stage 2 the other
exits on what stage 1 left, frozen. Where the paper and its released code differ there is an option, with the choice
of methods table 2.7 as its default.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar, Literal

import torch
from pydantic import Field, field_validator
from torch import Tensor, nn

from eebench.backbones.base import Backbone, Batch, State
from eebench.crosslayer import Contrast, Projection, crosslayer_losses
from eebench.gates import HARD_THRESHOLD, GatedModel
from eebench.heads import AttentionHead, HeadConfig, exit_heads
from eebench.losses import exit_losses
from eebench.methods.base import Method
from eebench.model import HEADS, MultiExitModel, Outputs
from eebench.rules.base import number
from eebench.training.options import TrainingOptions
from eebench.training.schedules import Schedule, schedule_of
from eebench.training.stages import Stage, Step, Terms, inner_exits

Mix = Literal["code", "paper"]


class SmartbertOptions(TrainingOptions):
    """The released recipe at the paper's batch size; `epochs` and `select` are those of stage 1.

    Stage 2 keeps its last epoch, as in the code; the best one is that with the best mean over exits.

    The paper gives neither lambda nor eta nor tau, so these are the run script's. `lr` is the best of
    {1e-5, 2e-5, 5e-5} in the paper. The sum S is over soft gates in every mode, as in the code: over hard ones, as one
    may read Eq. 3, it is zero when nothing is skipped. The paper names no schedule; each stage warms up for ten steps
    and decays, as in the script (run.sh, main.py). A `warmup_share` or `warmup_epochs` that is longer wins.
    """

    epochs: int = 5
    warmup_share: float = 0.0
    select: Literal["last", "best"] = "best"
    head: HeadConfig = HeadConfig(attention="smartbert")
    gate_mode: Literal["soft", "hard", "soft_then_hard"] = Field(
        "soft_then_hard", description="gates in stage 1; stage 2 and inference are hard in any case (Fig. 6)"
    )
    soft_epochs: int = Field(3, ge=0, description="epochs of stage 1 with soft gates in soft_then_hard")
    gate_weight: float = Field(0.04, ge=0, description="lambda, weight of 1 / S, S the mean number of skips")
    loss_mix: Mix = Field("code", description="code: (1 - eta) L + eta CCL; paper: L + eta CCL (Eq. 3, 8)")
    ccl_stage1: bool = Field(True, description="contrastive learning across layers (Fig. 5)")
    ccl_stage2: bool = Field(True, description="contrastive learning across exits (Fig. 5)")
    ccl1_weight: float = Field(0.01, ge=0, le=1, description="eta of stage 1")
    ccl2_weight: float = Field(0.05, ge=0, le=1, description="eta of stage 2")
    ccl1_temperature: float = Field(0.5, gt=0, description="tau of stage 1")
    ccl2_temperature: float = Field(0.55, gt=0, description="tau of stage 2")
    ccl1_average: Literal["sum", "mean"] = Field("sum", description="over pairs of layers; paper: mean")
    ccl1_states: Literal["inputs", "outputs"] = Field("inputs", description="of the layers; paper: outputs")
    ccl2_state: Literal["before", "after"] = Field(
        "after", description="token states before or after the exit's self-attention; code: before"
    )
    ccl2_denominator: Literal["with_positive", "without_positive"] = Field(
        "with_positive", description="whether the positive stands in the denominator too; code: without"
    )
    warmup_steps: int = Field(10, ge=0, description="steps of warm-up in each stage, at least")
    exit_epochs: int = Field(4, ge=1, description="epochs of stage 2")
    exit_lr: float | None = Field(None, gt=0, description="learning rate of stage 2; None: lr")
    exit_select: Literal["last", "best"] = Field("last", description="which epoch of stage 2 is kept")
    exit_input: Literal["raw", "gated"] = Field(
        "raw", description="what stage 2 shows exit i: layer i's own output even where skipped; paper: gated"
    )
    gate_threshold: float = Field(
        HARD_THRESHOLD, ge=0, le=1, description="probability from which inference skips a layer; 1 skips none"
    )

    @field_validator("head")
    @classmethod
    def _attention_heads(cls, head: HeadConfig) -> HeadConfig:
        if head.attention == "none":
            raise ValueError("SmartBERT contrasts token states inside its exits; use attention: smartbert")
        return head

    @property
    def contrasts(self) -> tuple[Contrast, Contrast]:
        """The forms of the two stages' contrastive losses."""
        with_positive = self.ccl2_denominator == "with_positive"
        return (
            Contrast(self.ccl1_temperature),
            Contrast(self.ccl2_temperature, with_positive),
        )


@dataclass(frozen=True, kw_only=True)
class CrossOutputs(Outputs):
    """What a training step sees: the `logits` of the exits it trains, all soft `gates` [L, B] and, for the contrastive
    loss, the projected token states [L, B, T, 128] with their mask bool [B, T] (None where there is no such loss).
    """

    mask: Tensor
    projected: Tensor | None


class SmartbertModel(GatedModel):
    """A gated model with the projections of both contrastive losses; `stage` says which one it trains.

    `layer_projections` are for layer states (one per layer, in stage 1), `exit_projections` for token states inside
    the exits (stage 2).
    """

    training_only: ClassVar[tuple[str, ...]] = ("layer_projections.", "exit_projections.")

    def __init__(self, backbone: Backbone, heads: dict[int, nn.Module], options: SmartbertOptions) -> None:
        super().__init__(backbone, heads, options.gate_threshold)
        self.options, self.stage = options, 1
        self.attention_dropout = nn.Dropout(options.head.dropout)

        def projections(width: int) -> nn.ModuleDict:
            return nn.ModuleDict({str(layer): Projection(width) for layer in range(1, self.depth + 1)})

        self.layer_projections = projections(backbone.width)
        self.exit_projections = projections(AttentionHead.WIDTH)

    def begin(self, stage: int, hard: bool) -> None:
        """Sets the model up for a step of training; what is frozen in stage 2 has its dropout off."""
        self.stage, self.hard = stage, hard
        self.gates.train(stage == 1)
        # Epochs are compared as the model is trained, whatever threshold the finished one is used with.
        self.gate_threshold = HARD_THRESHOLD

    def forward(self, batch: Batch, kinds: frozenset[str] = HEADS) -> Outputs:
        if not self.training:
            return super().forward(batch, kinds)
        return self._through_layers(batch) if self.stage == 1 else self._through_exits(batch)

    def _through_layers(self, batch: Batch) -> CrossOutputs:
        """Stage 1: all gates, the states of all layers, the last exit alone."""
        inputs = self.options.ccl1_states == "inputs"
        state, gates, projected = self.embed(batch), [], []
        for layer in range(1, self.depth + 1):
            blend = self.blend(layer, state)
            gates.append(blend.gate)
            if self.options.ccl_stage1:
                shown = state if inputs else blend.onward
                projected.append(self.layer_projections[str(layer)](shown.hidden))
            state = blend.onward
        _, logits = self._answer(self.depth, state, rows=1)
        return cross_outputs([logits], gates, projected, batch.mask)

    def _through_exits(self, batch: Batch) -> CrossOutputs:
        """Stage 2: exits 1..L-1 on the output of each layer; the state that goes on is gated."""
        options = self.options
        contrasted = options.ccl_stage2 and options.ccl2_state == "after"
        state, gates, logits, projected = self.embed(batch), [], [], []
        for layer in range(1, self.depth):
            blend = self.blend(layer, state)
            gates.append(blend.gate)
            state = blend.onward
            shown = blend.ran if options.exit_input == "raw" else state
            (before, after), answer = self._answer(layer, shown, rows=None if contrasted else 1)
            logits.append(answer)
            if options.ccl_stage2:
                tokens = after if contrasted else before
                projected.append(self.exit_projections[str(layer)](tokens))
        return cross_outputs(logits, gates, projected, batch.mask)

    def _answer(self, layer: int, state: State, rows: int | None) -> tuple[tuple[Tensor, Tensor], Tensor]:
        """Token states before [B, T, 128] and after [B, rows, 128] the exit's attention, and its logits [B, C]."""
        head = self.heads[str(layer)]
        assert isinstance(head, AttentionHead)
        tokens = head.narrowed(state)
        dropout = self.attention_dropout.p if head.training else 0.0
        after = head.contextual(tokens, state.mask, rows, dropout)
        return (tokens, after), head.answer(after[:, 0]).float()


def cross_outputs(
    logits: list[Tensor], gates: list[Tensor], projected: list[Tensor], mask: Tensor
) -> CrossOutputs:
    """One tensor of each kind, layers first."""
    return CrossOutputs(
        logits=torch.stack(logits), gates=torch.stack(gates), mask=mask,
        projected=torch.stack(projected) if projected else None,
    )  # fmt: skip


def mixed(task: Tensor, contrast: Tensor, weight: float, mix: Mix) -> Tensor:
    """(1 - eta) task + eta contrast as in the code, or task + eta contrast (Eq. 3, 8)."""
    return (1 - weight) * task + weight * contrast if mix == "code" else task + weight * contrast


def gates_loss(outputs: Outputs, labels: Tensor, step: Step, options: SmartbertOptions) -> Terms:
    """Stage 1, Eq. 3: CE of the last exit + lambda / S, with the contrastive loss over the layers (Eq. 4) mixed in.

    S = sum over layers of the batch-mean soft gate. Logged: `skips` is S, `closed` the mean number of gates at 0.5 or
    more, `ce`, and `ccl` where it is on.
    """
    assert isinstance(outputs, CrossOutputs) and outputs.gates is not None
    ce = exit_losses(outputs.logits, labels)[0]
    skips = outputs.gates.mean(dim=1).sum()
    closed = (outputs.gates >= HARD_THRESHOLD).float().mean(dim=1).sum()
    terms = {"loss": ce + options.gate_weight / skips, "ce": ce, "skips": skips, "closed": closed}
    if outputs.projected is None:
        return terms
    pairs = crosslayer_losses(outputs.projected, outputs.mask, options.contrasts[0])
    ccl = pairs.sum() if options.ccl1_average == "sum" else pairs.sum() / max(1, len(pairs))
    loss = mixed(terms["loss"], ccl, options.ccl1_weight, options.loss_mix)
    return {**terms, "loss": loss, "ccl": ccl}


def exits_loss(outputs: Outputs, labels: Tensor, step: Step, options: SmartbertOptions) -> Terms:
    """Stage 2, Eq. 8: sum of the CEs of exits 1..L-1, with the contrastive loss between them (Eq. 5-6) mixed in.

    Its mean is over the L-2 pairs of the exits that train; the code's ninth is its last (an index off by one).
    """
    assert isinstance(outputs, CrossOutputs)
    ce = exit_losses(outputs.logits, labels).sum()
    if outputs.projected is None:
        return {"loss": ce, "ce": ce}
    pairs = crosslayer_losses(outputs.projected, outputs.mask, options.contrasts[1])
    ccl = pairs.sum() / max(1, len(pairs))
    return {"loss": mixed(ce, ccl, options.ccl2_weight, options.loss_mix), "ce": ce, "ccl": ccl}


def set_up(model: MultiExitModel, step: Step, stage: int, first_hard_epoch: float) -> None:
    """Soft or hard gates by the epoch of the stage; known from the step, so that nothing is stored to resume."""
    assert isinstance(model, SmartbertModel)
    model.begin(stage, step.epoch >= first_hard_epoch)


def stage_rates(steps_per_epoch: int, options: SmartbertOptions, lr: float, epochs: int) -> Schedule:
    """The learning rate over a stage: as the options have it, with no fewer steps of warm-up than `warmup_steps`."""
    rates = schedule_of(options, lr, epochs, steps_per_epoch)
    return replace(rates, warmup=min(rates.total, max(options.warmup_steps, rates.warmup)))


def trains_gates(name: str, model: MultiExitModel) -> bool:
    """Stage 1: backbone, gates, projections of layers, the last exit."""
    return name.startswith(("backbone.", "gates.", "layer_projections.", f"heads.{model.depth}."))


def trains_exits(name: str, model: MultiExitModel) -> bool:
    """Stage 2: the exits before the last, with their projections."""
    last = f"exit_projections.{model.depth}."
    return inner_exits(name, model) or (name.startswith("exit_projections.") and not name.startswith(last))


def last_exit(scores: Sequence[float]) -> float:
    """Stage 1 is judged by the one exit it trains."""
    return scores[-1]


class Smartbert(Method):
    """Two stages of one run; the gate threshold is chosen at inference, so all thresholds share the run.

    Selection in stage 1 keeps the later of equal epochs, as the code does. What is frozen in stage 2 (backbone, gates,
    the last exit) runs in evaluation mode, where the code keeps its dropout on.
    """

    name, title, default_rule = "smartbert", "SmartBERT", "entropy"
    paper = "SmartBERT (Hu et al. 2023)"
    options_type = SmartbertOptions
    version = 2
    inference: ClassVar[frozenset[str]] = frozenset({"gate_threshold"})

    def label(self, options: TrainingOptions) -> str:
        threshold = _smart(options).gate_threshold
        return self.name if threshold == HARD_THRESHOLD else f"{self.name}-gate-{number(threshold)}"

    def heading(self, options: TrainingOptions) -> str:
        threshold = _smart(options).gate_threshold
        return self.title if threshold == HARD_THRESHOLD else f"{self.title}, gate {number(threshold)}"

    def build(self, backbone: Backbone, classes: int, options: TrainingOptions) -> MultiExitModel:
        layers = self.exit_layers(options, backbone.depth)
        return SmartbertModel(backbone, exit_heads(backbone, classes, options.head, layers), _smart(options))

    def stages(self, options: TrainingOptions) -> list[Stage]:
        smart, exit_lr = _smart(options), _smart(options).exit_lr or options.lr
        first_hard = {"soft": torch.inf, "hard": 0, "soft_then_hard": smart.soft_epochs}[smart.gate_mode]
        return [
            Stage(
                "gates", smart.epochs, smart.lr, partial(gates_loss, options=smart), trains=trains_gates,
                before=partial(set_up, stage=1, first_hard_epoch=first_hard), ties="later", judge=last_exit,
                schedule=partial(stage_rates, options=smart, lr=smart.lr, epochs=smart.epochs),
            ),
            Stage(
                "exits", smart.exit_epochs, exit_lr, partial(exits_loss, options=smart),
                trains=trains_exits, before=partial(set_up, stage=2, first_hard_epoch=0), select=smart.exit_select,
                schedule=partial(stage_rates, options=smart, lr=exit_lr, epochs=smart.exit_epochs),
            ),
        ]  # fmt: skip


def _smart(options: TrainingOptions) -> SmartbertOptions:
    assert isinstance(options, SmartbertOptions)
    return options
