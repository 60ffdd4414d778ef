"""Complete models behind each other as one multi-exit model: what one is not sure of, the next reads again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from eebench.backbones.base import Backbone, Batch, State, stretched
from eebench.model import HEADS, MultiExitModel, Outputs

FLATTEST, SHARPEST = 10.0, 0.25
"""Bounds of a temperature: rows that a model learned by heart would ask for none at all."""


@dataclass(frozen=True)
class Member:
    """One complete model: its own embeddings and layers, its head, and whose tokens it reads.

    `reads` is 0 for those of the run's own backbone, i for those of the i-th other one (`Batch.others`).
    """

    backbone: Backbone
    head: nn.Module
    reads: int = 0


@dataclass(frozen=True)
class CascadeState(State):
    """A state inside `member` (from 0); `batch` has the same rows' tokens, for the next member to embed."""

    batch: Batch | None = None
    member: int = 0

    @classmethod
    def at(cls, state: State, batch: Batch, member: int) -> CascadeState:
        """`state`, as one of `member`."""
        return cls(state.hidden, state.mask, state.attention, batch=batch, member=member)

    @property
    def tokens(self) -> Batch:
        """The tokens of its rows."""
        assert self.batch is not None
        return self.batch


@dataclass(frozen=True, kw_only=True)
class CascadeOutputs(Outputs):
    """The smallest member's outputs on a training batch, and what others answer that never saw its rows.

    `unseen` fp32 [R, B, C]: logits of R models, each trained without the row it answers.
    """

    unseen: Tensor


class CascadeModel(MultiExitModel):
    """Members in ascending size; exits are the members, after the layers that were executed until then.

    Members of 2 and 6 layers have exits after layers 2 and 8: layers 1 and 2 are the small model, layer 3 embeds
    the tokens again and runs the large model's first layer. `backbone` is the largest member's. Members of
    other backbones read the tokens of their own tokenizers. Exits show logits
    divided by the member's temperature, which training fits and never learns by gradient.

    While it trains, only the smallest member runs. `judges[r][f]` answers, in evaluation mode, the rows that
    belong to fold f of partition r; they are no part of the model, and `rows` says which rows the next batch has.
    """

    comparable = False

    def __init__(self, members: Sequence[Member]) -> None:
        ends = tuple(accumulate(member.backbone.depth for member in members))
        super().__init__(
            members[-1].backbone, {end: member.head for end, member in zip(ends, members, strict=True)}
        )
        self.sequences = tuple(member.reads for member in members)
        self.smaller = nn.ModuleList(member.backbone for member in members[:-1])
        self.temperatures = nn.Parameter(torch.ones(len(members)), requires_grad=False)
        # A tuple keeps the judges out of this module's parameters and modes.
        self.judges: tuple[Sequence[MultiExitModel], ...] = ()
        self.folds: Tensor | None = None

    @property
    def encoders(self) -> list[Backbone]:
        """The members' backbones, smallest first."""
        found = [part for part in self.smaller if isinstance(part, Backbone)]
        return [*found, self.backbone]

    def place(self, layer: int) -> tuple[int, int]:
        """Which member (from 0) the executed layer belongs to, and which of its layers it is (from 1)."""
        member = sum(end < layer for end in self.exit_layers)
        return member, layer - (self.exit_layers[member - 1] if member else 0)

    def reads(self, layer: int) -> int:
        return self.sequences[self.place(layer)[0]]

    def tokens(self, batch: Batch, member: int) -> Batch:
        """What a member reads of a batch; its first tokens where nobody tokenised it again (to count, any will do)."""
        return batch.others[self.sequences[member] - 1] if self.sequences[member] and batch.others else batch

    def embed(self, batch: Batch) -> State:
        """The state before the smallest member's first layer; it carries the tokens on."""
        return CascadeState.at(self.encoders[0].embed(self.tokens(batch, 0)), batch, member=0)

    def layer(self, layer: int, state: State) -> State:
        assert isinstance(state, CascadeState)
        member, own = self.place(layer)
        if own == 1 and member > 0:
            read = self.tokens(state.tokens, member)
            state = CascadeState.at(self.encoders[member].embed(read), state.tokens, member)
        return self.encoders[member].layer(own, state)

    def select(self, state: State, rows: Tensor, length: int | None = None) -> State:
        assert isinstance(state, CascadeState)
        # Only the run's own tokens are known to end at `length`.
        own = length if self.tokens(state.tokens, state.member) is state.tokens else None
        chosen = self.encoders[state.member].select(state, rows, own)
        return CascadeState.at(chosen, part_of(state.tokens, rows, length), state.member)

    def join(self, states: Sequence[State]) -> State:
        inside = [state for state in states if isinstance(state, CascadeState)]
        member = inside[0].member
        joined = self.encoders[member].join(states)
        return CascadeState.at(joined, as_one([state.tokens for state in inside]), member)

    def classify(self, layer: int, state: State) -> Tensor:
        """Logits [B, C] of the member that ends after `layer`, divided by its temperature."""
        member, _ = self.place(layer)
        return super().classify(layer, state) / self.temperatures[member]

    def forward(self, batch: Batch, kinds: frozenset[str] = HEADS) -> Outputs:
        if not self.training:
            return super().forward(batch, kinds)
        state = self.embed(batch)
        for layer in range(1, self.exit_layers[0] + 1):
            state = self.layer(layer, state)
        logits = self.classify(self.exit_layers[0], state)[None]
        if not self.judges or self.folds is None:
            return Outputs(logits)
        return CascadeOutputs(logits, unseen=self._unseen(batch))

    def _unseen(self, batch: Batch) -> Tensor:
        """Each row's logits from the models that never saw it, [R, B, C]; a row runs through one model of each."""
        assert self.folds is not None
        batch, answers = self.tokens(batch, 0), []
        with torch.no_grad():
            for judges, folds in zip(self.judges, self.folds, strict=True):
                answer = torch.zeros(len(batch.mask), self.classes, device=batch.mask.device)
                for fold, judge in enumerate(judges):
                    rows = (folds == fold).nonzero()[:, 0].to(batch.mask.device)
                    if len(rows):
                        judge.to(batch.mask.device)
                        answer[rows] = judge(part_of(batch, rows)).logits[-1]
                answers.append(answer)
        return torch.stack(answers)


def part_of(batch: Batch, rows: Tensor, length: int | None = None) -> Batch:
    """The first `length` tokens of `rows` (bool or index tensor); None keeps all."""
    ids, mask, segments = (
        tensor[:, :length][rows] for tensor in (batch.input_ids, batch.mask, batch.segments)
    )
    return Batch(ids, mask, segments, batch.padded, tuple(part_of(other, rows) for other in batch.others))


def as_one(batches: Sequence[Batch]) -> Batch:
    """The rows of several batches, in order, padded to the longest."""
    length = max(batch.mask.shape[1] for batch in batches)
    ids, mask, segments = (
        stretched([getattr(batch, name) for batch in batches], length)
        for name in ("input_ids", "mask", "segments")
    )
    padded = any(batch.padded or batch.mask.shape[1] < length for batch in batches)
    others = tuple(as_one(parts) for parts in zip(*(batch.others for batch in batches), strict=True))
    return Batch(ids, mask, segments, padded, others)


def difficult(unseen: Tensor, labels: Tensor) -> Tensor:
    """Which rows are hard, bool [B]: more than half of the models that never saw a row, [R, B, C], get it wrong."""
    right = (unseen.argmax(dim=-1) == labels).float().mean(dim=0)
    return right < 0.5


def ranking_loss(logits: Tensor, hard: Tensor, margin: float) -> Tensor:
    """Difficulty-aware regularisation: mean of max(0, margin - (conf(easy) - conf(hard))), conf = max softmax.

    Each easy row is compared with one hard row, drawn with replacement; 0 when either kind is missing. `logits`
    [B, C], `hard` bool [B].
    """
    confidence = torch.softmax(logits, dim=-1).amax(dim=-1)
    easy, count = (~hard).float(), hard.sum()
    # The hard rows first: a share of their number is the place of one of them, and nobody asks how many there are.
    first = hard.int().argsort(descending=True, stable=True)
    drawn = (torch.rand(len(hard), device="cpu").to(logits.device) * count).long().clamp_max(len(hard) - 1)
    gaps = F.relu(margin - (confidence - confidence[first[drawn]]))
    both = (count > 0).float()
    return both * (easy * gaps).sum() / easy.sum().clamp_min(1.0)


def fitted_temperature(logits: Tensor, labels: Tensor) -> float:
    """The T that minimises the cross-entropy of logits / T (Guo et al. 2017), to 1e-3, within fixed bounds.

    `logits` [N, C], `labels` int64 [N]. The loss is convex in 1 / T, so halving the interval on its slope finds it.
    """
    logits = logits.double()
    low, high = 1 / FLATTEST, 1 / SHARPEST
    # d/db CE(b z) = E[sum_c p_c z_c] - E[z_label], with b = 1 / T and p = softmax(b z).
    target = logits.gather(1, labels[:, None]).mean()
    for _ in range(40):
        middle = (low + high) / 2
        slope = (torch.softmax(middle * logits, dim=-1) * logits).sum(dim=-1).mean() - target
        low, high = (low, middle) if slope > 0 else (middle, high)
    return round(2 / (low + high), 3)
