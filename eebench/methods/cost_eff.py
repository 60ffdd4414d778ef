"""COST-EFF: the assistant, slenderised step by step under the guidance of its exits, and recovered by distillation.

Depth and hidden width stay; heads, feed-forward neurons and the rank of the word embeddings shrink.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Literal

import torch
from pydantic import Field, ValidationInfo, field_validator
from torch import Tensor

from eebench.backbones.base import Backbone
from eebench.distillation import Asked
from eebench.errors import UserError
from eebench.importance import (
    HeadParts,
    Taylor,
    bootstrap,
    contributions,
    head_scores,
    neuron_scores,
    scored_weights,
    strongest,
    without_dropout,
)
from eebench.methods.base import Need, Needed
from eebench.methods.cost_eff_assistant import (
    EVERY,
    INNER,
    LAST,
    AssistantOptions,
    CosteffAssistant,
    CosteffModel,
    ask,
    feature_term,
    hard_term,
    last_exit,
    not_inner_exits,
    soft_term,
)
from eebench.model import MultiExitModel, Outputs, copy_weights
from eebench.slender import (
    Size,
    embedding_rank,
    factorise,
    keep_heads,
    keep_neurons,
    layer_parts,
    shrink,
    size_of,
)
from eebench.training.batches import epoch_batches
from eebench.training.options import TrainingOptions
from eebench.training.schedules import Schedule, steps_in
from eebench.training.stages import (
    Examples,
    Stage,
    Step,
    Terms,
    everything,
    inner_exits,
    mean_over_exits,
    nothing_first,
)

Preset = Literal["8x", "2x"]
SHARES: dict[Preset, tuple[int, int, int]] = {"8x": (6, 12, 6), "2x": (2, 2, 2)}
"""Heads, neurons and rank of BERT-base divided by those of each size: 2, 256, 128 and 6, 1536, 384 (Table 2).

The ranks are not printed; these are the round ones that give the printed ratios of parameters.
"""
PRUNES: dict[Preset, int] = {"8x": 10, "2x": 6}
FEATURE_EPOCHS: dict[Preset, int] = {"8x": 20, "2x": 12}
BOTH_EPOCHS: dict[Preset, int] = {"8x": 10, "2x": 5}
LEAST_WARMUP = 10


class CosteffOptions(AssistantOptions):
    """The released recipe for MRPC; `epochs` is still the assistant's (E_T).

    rho, E_P, E_RD, E_PD of the 8x model: MRPC 2.0, 20, 20, 10; SST-2 0.5, 5, 10, 6; QNLI 0.5, 5, 8, 5; MNLI 0.3,
    3, 5, 3. Of the 2x model: MRPC 2.0, 12, 12, 5; SST-2 0.5, 3, 8, 3; QNLI 0.5, 3, 6, 3; MNLI 0.33, 2, 3, 2. The
    share of features in pruning is 0.5 on MRPC, else 0.7. With a batch of 64 the code takes lr 3e-5, growth 0.15,
    4e-5 for features and still 1e-5 before the first prune, so set `prune_lr` there.
    """

    size: Preset = Field("8x", description="the paper's sizes, in proportion to the backbone")
    heads: int | None = Field(None, ge=1, description="attention heads kept in each layer; None: the size's")
    feed_forward: int | None = Field(None, ge=1, description="neurons kept in each layer; None: the size's")
    rank: int | None = Field(None, ge=1, description="rank of the word embeddings; None: the size's")
    prunes: int | None = Field(
        None,
        ge=1,
        description="times to prune; None: the size's 10 or 6, a head of twelve each; set it with explicit heads",
    )
    prune_every: float = Field(2.0, gt=0, description="epochs between prunes (rho)")
    prune_epochs: float | None = Field(
        None,
        gt=0,
        description="epochs of pruning (E_P), at most one interval more than needed, after which the rate is 0; "
        "None: no more than needed",
    )
    prune_lr: float | None = Field(
        None, gt=0, description="learning rate before the first prune; None: lr / 2"
    )
    prune_growth: float = Field(0.12, ge=0, description="by how much each prune raises the learning rate")
    representation_share: float = Field(
        0.5, ge=0, le=1, description="share of each interval on features only"
    )
    recovery_feature_epochs: int | None = Field(
        None, ge=0, description="epochs on features (E_RD); None: 20 or 12"
    )
    recovery_feature_lr: float | None = Field(None, gt=0, description="its learning rate; None: 1.5 lr")
    recovery_epochs: int | None = Field(None, ge=1, description="epochs on both (E_PD); None: 10 or 5")
    taylor: Taylor = Field("abs_elementwise", description="absolute values of elements (code), or of the sum")
    taylor_heads: HeadParts = Field(
        "output", description="a head is its columns of O (code), or whole (paper)"
    )
    taylor_loss: Literal["code", "exits"] = Field(
        "code", description="0.9 L_pred + 0.1 L_hard + L_feat, or the exits' L_pred alone (paper)"
    )
    taylor_exit_loss: bool = Field(True, description="off: importance from the last exit alone (ablation)")
    feat_distill: bool = Field(True, description="off: predictions in place of features (ablation)")
    pred_distill: Literal["soft", "hard_labels"] = Field("soft", description="teacher, or labels (ablation)")

    @field_validator("prune_epochs")
    @classmethod
    def _pruning_fits(cls, epochs: float | None, info: ValidationInfo) -> float | None:
        size, every, prunes = (info.data.get(name) for name in ("size", "prune_every", "prunes"))
        if epochs is None or size is None or every is None:
            return epochs
        needed = every * (prunes or PRUNES[size])
        if epochs < needed - 1e-9:
            raise ValueError(
                f"pruning would end before its last prune, {every:g} epochs apart; choose at least {needed:g}, or a "
                "smaller prune_every"
            )
        return epochs

    @property
    def count(self) -> int:
        """Number of prunes (K)."""
        return self.prunes or PRUNES[self.size]

    @property
    def pruning(self) -> float:
        """Epochs of the pruning stage (E_P)."""
        return self.prune_every * self.count if self.prune_epochs is None else self.prune_epochs

    @property
    def explicit(self) -> bool:
        """Whether a number replaces one of the preset's."""
        return any(value is not None for value in (self.heads, self.feed_forward, self.rank))


def own(options: TrainingOptions) -> CosteffOptions:
    """The options as this method's."""
    assert isinstance(options, CosteffOptions)
    return options


def target_size(whole: Size, options: CosteffOptions) -> Size:
    """The size to reach from `whole` (its rank the embeddings' highest); UserError when it does not fit."""
    assert whole.rank is not None
    heads, neurons, rank = SHARES[options.size]
    if options.heads is None and whole.heads % heads:
        raise UserError(
            f"cost-eff: size={options.size} keeps one attention head in {heads}, and {whole.heads} heads are not "
            f"divisible by {heads}; choose heads=1..{whole.heads}."
        )
    target = Size(
        options.heads or whole.heads // heads,
        options.feed_forward or max(1, whole.feed_forward // neurons),
        options.rank or max(1, whole.rank // rank),
    )
    for name, most, what in (
        ("heads", whole.heads, "attention heads in a layer"),
        ("feed_forward", whole.feed_forward, "feed-forward neurons in a layer"),
        ("rank", whole.rank, "the highest rank of its word embeddings"),
    ):
        if getattr(target, name) > most:
            raise UserError(
                f"cost-eff: {name}={getattr(target, name)} is more than the backbone's {most} ({what}); "
                f"choose 1..{most}."
            )
    return target


def size_after(whole: Size, target: Size, prune: int, prunes: int) -> Size:
    """The size after `prune` of `prunes`: int(F - (F - F') k / K), likewise heads and rank."""
    assert whole.rank is not None and target.rank is not None

    def between(first: int, last: int) -> int:
        return (first * prunes - (first - last) * prune) // prunes

    return Size(
        between(whole.heads, target.heads),
        between(whole.feed_forward, target.feed_forward),
        between(whole.rank, target.rank),
    )


def whole_size(backbone: Backbone) -> Size:
    """The size of an unpruned backbone, with the rank that its embeddings have at most."""
    size = size_of(backbone)
    return Size(size.heads, size.feed_forward, embedding_rank(backbone))


class SlenderModel(CosteffModel):
    """The student: `whole` is the size it started from, `target` the one it is pruned to."""

    whole: Size
    target: Size


def prune(model: MultiExitModel, train: Examples, options: CosteffOptions, number: int) -> None:
    """Prune `number` (1..K): heads and neurons of every layer by importance, embeddings by a truncated SVD."""
    assert isinstance(model, SlenderModel)
    size = size_after(model.whole, model.target, number, options.count)
    terms = importance(model, train, options)
    for index, layer in enumerate(model.backbone.layers):
        head_size = layer_parts(layer).head_size
        scores = head_scores(terms, index, head_size, options.taylor_heads)
        keep_heads(layer, strongest(scores, size.heads))
        keep_neurons(layer, strongest(neuron_scores(terms, index), size.feed_forward))
    assert size.rank is not None
    factorise(model.backbone, size.rank)


def importance(model: SlenderModel, train: Examples, options: CosteffOptions) -> dict[str, Tensor]:
    """First-order terms of the scored weights over a bootstrap sample of train, without dropout (Eq. 2)."""
    weights = scored_weights(layer_parts(layer) for layer in model.backbone.layers)
    for weight in weights.values():
        weight.requires_grad_(True)
    model.asked, balanced = Asked(hidden=options.feat_distill), model.balanced
    model.balanced = balanced and options.taylor_exit_loss
    with without_dropout(model):
        found = contributions(list(weights.values()), sample_losses(model, train, options), options.taylor)
    model.balanced = balanced
    return dict(zip(weights, found, strict=True))


def sample_losses(model: SlenderModel, train: Examples, options: CosteffOptions) -> Iterator[Tensor]:
    """The importance loss of each batch of a bootstrap sample, batches of similar length as in training."""
    device = next(model.parameters()).device
    rows = bootstrap(len(train.encoded))
    seed = int(torch.randint(2**31, ()))
    for places in epoch_batches(train.encoded.lengths[rows], options.batch_size, seed, 0):
        labels = torch.from_numpy(train.labels[rows[places]]).to(device)
        yield importance_loss(model(train.encoded.batch(rows[places]).to(device)), labels, options)


def importance_loss(outputs: Outputs, labels: Tensor, options: CosteffOptions) -> Tensor:
    """0.9 L_pred + 0.1 L_hard + L_feat, of the terms that are trained with; `taylor_loss` "exits": L_pred alone.

    So the ablations reach it: without features there is no L_feat, with labels L_pred is L_hard. L_feat is training's,
    a mean over real tokens; the code's own mean here counts padding up to 128 as zeros, by which features would weigh
    the less the shorter a text is.
    """
    exits = EVERY if options.taylor_exit_loss and options.training == "joint" else LAST
    predicted = prediction(outputs, labels, options, exits)
    if options.taylor_loss == "exits":
        return predicted
    loss = 0.9 * predicted + 0.1 * hard_term(outputs, labels, exits)
    return loss + feature_term(outputs, options.feature_loss) if options.feat_distill else loss


def taught_by(options: CosteffOptions) -> slice:
    """The assistant's exits that teach: its last one alone where its others were never trained."""
    return EVERY if options.ta_exit_loss else LAST


def prediction(outputs: Outputs, labels: Tensor, options: CosteffOptions, exits: slice) -> Tensor:
    """L_pred of `exits`, or L_hard in its place."""
    if options.pred_distill == "hard_labels":
        return hard_term(outputs, labels, exits)
    return soft_term(outputs, exits, taught_by(options))


def interval_loss(
    outputs: Outputs, labels: Tensor, step: Step, options: CosteffOptions, exits: slice, whole: float = 1.0
) -> Terms:
    """Between two prunes: L_feat for the first share of the steps, then L_pred + L_feat.

    The share is of an interval `whole` times as long as the stage.
    """
    features = options.representation_share * whole * step.total
    return recovery_loss(outputs, labels, step, options, exits, step.done < features)


def recovery_loss(
    outputs: Outputs, labels: Tensor, step: Step, options: CosteffOptions, exits: slice, features_only: bool
) -> Terms:
    """L_feat, or L_pred + L_feat (weights 1, 1); without features L_pred, so that no step is without a loss."""
    predicted = prediction(outputs, labels, options, exits)
    if not options.feat_distill:
        return {"loss": predicted}
    features = feature_term(outputs, options.feature_loss)
    loss = features if features_only else predicted + features
    return {"loss": loss, "features": features, "predictions": predicted.detach()}


def interval_rates(steps_per_epoch: int, options: CosteffOptions, number: int, epochs: float) -> Schedule:
    """The learning rate after prune `number` (0: before the first), over the interval's own steps.

    Before the first prune it decays over the whole pruning stage. Afterwards its peak grows with each prune, and
    warms up for ten steps at least.
    """
    steps = steps_in(epochs, steps_per_epoch)
    warmup = int(options.warmup_share * steps)
    peak = (options.prune_lr or options.lr / 2) * (1 + options.prune_growth) ** number
    total = steps_in(options.pruning, steps_per_epoch) if number == 0 else steps
    if number > 0:
        warmup = max(LEAST_WARMUP, warmup)
    return Schedule(peak, min(warmup, total), total, options.schedule == "linear")


class Costeff(CosteffAssistant):
    """Slenderised BERT with exits: pruning and recovery, both taught by the assistant."""

    name, title, default_rule = "cost-eff", "COST-EFF", "entropy"
    paper = "COST-EFF (Shen et al. 2022)"
    options_type, model_type = CosteffOptions, SlenderModel
    version = 2

    def label(self, options: TrainingOptions) -> str:
        return self.name if own(options).explicit else f"{self.name}-{own(options).size}"

    def heading(self, options: TrainingOptions) -> str:
        return self.title if own(options).explicit else f"{self.title} {own(options).size}"

    def check(self, options: TrainingOptions, skeleton: Callable[[], Backbone]) -> None:
        target_size(whole_size(skeleton()), own(options))

    def needs(self, options: TrainingOptions) -> dict[str, Need]:
        shared = options.model_dump(include=set(AssistantOptions.model_fields))
        return {"assistant": Need(CosteffAssistant.name, shared)}

    def build(self, backbone: Backbone, classes: int, options: TrainingOptions) -> SlenderModel:
        model = super().build(backbone, classes, options)
        assert isinstance(model, SlenderModel)
        model.whole = whole_size(backbone)
        model.target = target_size(model.whole, own(options))
        model.balanced = own(options).gradient_equilibrium and own(options).training == "joint"
        return model

    def finished(self, backbone: Backbone, classes: int, options: TrainingOptions) -> SlenderModel:
        model = self.build(backbone, classes, options)
        shrink(backbone, model.target)
        return model

    def initialise(self, model: MultiExitModel, needed: Mapping[str, Needed]) -> None:
        assert isinstance(model, SlenderModel)
        copy_weights(model, needed["assistant"].weights)
        model.teach(needed["assistant"].model())

    def stages(self, options: TrainingOptions) -> list[Stage]:
        return [*pruning_stages(own(options)), *recovery_stages(own(options))]


def pruning_stages(options: CosteffOptions) -> list[Stage]:
    """Stage 2: one stage per interval, each but the first beginning with a prune.

    The last prune begins what follows, unless pruning was given more epochs than its prunes take: what is left is
    the beginning of one more interval, with the learning rates and the features of a whole one.
    """
    left = options.pruning - options.prune_every * options.count
    epochs = [options.prune_every] * options.count + ([left] if left > 1e-9 else [])
    exits = EVERY if options.training == "joint" else LAST
    return [
        Stage(
            f"prune-{number}", part, options.prune_lr or options.lr / 2,
            partial(interval_loss, options=options, exits=exits, whole=options.prune_every / part),
            trains=everything if options.training == "joint" else not_inner_exits,
            first=partial(prune, options=options, number=number) if number else nothing_first,
            before=partial(ask, hidden=options.feat_distill),
            schedule=partial(interval_rates, options=options, number=number, epochs=options.prune_every),
            select="last",
        )
        for number, part in enumerate(epochs)
    ]  # fmt: skip


def recovery_stages(options: CosteffOptions) -> list[Stage]:
    """Stage 3, features, and stage 4, both; in two stages the inner exits follow on the frozen backbone."""
    joint, loss = options.training == "joint", partial(recovery_loss, options=options)
    before = partial(ask, hidden=options.feat_distill)
    ahead = options.recovery_feature_epochs
    features = FEATURE_EPOCHS[options.size] if ahead is None else ahead
    both = options.recovery_epochs or BOTH_EPOCHS[options.size]
    exits, trains = (EVERY, everything) if joint else (LAST, not_inner_exits)
    judge = mean_over_exits if joint else last_exit
    stages = [
        Stage("recovery-features", features, options.recovery_feature_lr or 1.5 * options.lr,
              partial(loss, exits=exits, features_only=True), trains=trains, before=before, select="last"),
        Stage("recovery", both, options.lr, partial(loss, exits=exits, features_only=False),
              trains=trains, before=before, judge=judge),
        Stage("recovery-exits", 0 if joint else both, options.lr,
              partial(loss, exits=INNER, features_only=False), trains=inner_exits, before=before),
    ]  # fmt: skip
    stages = [stage for stage in stages if stage.epochs > 0]
    if options.pruning - options.prune_every * options.count <= 1e-9:
        last = partial(prune, options=options, number=options.count)
        stages[0] = replace(stages[0], first=last)
    return stages
