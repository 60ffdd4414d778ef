"""Answers of a trained run to new texts, leaving early at one setting of a rule.

predictor = load_run("runs/joint-rotten_tomatoes-s42-1ab9eae504da5a8d")
predictor.predict(["a warm and funny film"], rule="entropy", setting="S=0.1")
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch

from eebench.backbones.tokens import Encoded, Texts, load_tokenizer
from eebench.cost.components import model_cost
from eebench.cost.conventions import DEFAULT_CONVENTION, convention, flops
from eebench.cost.operations import Lengths
from eebench.cost.paths import path_flops
from eebench.engine.execute import build_skeleton
from eebench.errors import UserError
from eebench.model import MultiExitModel
from eebench.operating import curve_of
from eebench.replay import require
from eebench.rules.base import Rule, parse_setting
from eebench.rules.budgeted import Budgeted
from eebench.rules.catalogue import find_rule
from eebench.runtime import Execution, Left, execute
from eebench.sweep import Accounting, Measured, point_rows
from eebench.tasks.rows import HTML_BREAKS
from eebench.text_rows import TextRow, rows_of
from eebench.trace import Trace, trace_model
from eebench.trained import TrainedRun, find_run, open_run
from eebench.training.evaluation import exit_scores

ROWS_PER_PIECE = 256
"""Rows that are tokenised together."""
LONGEST_STRETCH = 4096
"""Rows without a text that may wait behind one with a text: what keeps memory bounded."""
PROBE = "one text shows which signals the model has"


@dataclass(frozen=True)
class Prediction:
    """The answer to one text.

    `label` is the class's name (its number where names are not known), or the score of a regression as text;
    `confidence` the probability of the class, None for scores. `exit_layer` is where the text left, `executed_layers`
    how many layers ran for it, `mflops` what that cost at its own length, heads included (`full_2mac`).
    A text that could not be answered has an empty label and an `error`.
    """

    row: int
    label: str = ""
    confidence: float | None = None
    exit_layer: int | None = None
    executed_layers: int | None = None
    mflops: float | None = None
    truncated: bool = False
    replaced: bool = False
    error: str = ""


JUMP = 1.05
"""A chosen setting that is faster than asked for by more than this factor is told with the next slower one."""


@dataclass(frozen=True)
class Choice:
    """One setting of a rule; its speed-up in FLOPs and score on dev where the run has a trace of dev.

    `full_score` is that of all layers. `slower` is the next slower setting, where a wish falls into a jump of the
    curve and this one is much faster than asked for.
    """

    rule: Rule
    threshold: float
    speedup_flops: float | None = None
    score: float | None = None
    full_score: float | None = None
    slower: Choice | None = None

    @property
    def setting_text(self) -> str:
        """`S=0.1`."""
        return self.rule.setting(self.threshold)

    @property
    def text(self) -> str:
        """`entropy S=0.1`."""
        return f"{self.rule.name} {self.setting_text}"


@dataclass(frozen=True)
class Asked:
    """What the user says about when to leave: a rule, one setting of it, or the speed-up wished for."""

    rule: str | None = None
    setting: str | None = None
    speedup: float | None = None

    def __post_init__(self) -> None:
        if self.setting is not None and self.speedup is not None:
            raise UserError("--setting and --speedup say the same thing twice; give one of them.")


def load_run(
    run: str | Path,
    runs: str | Path = "runs",
    backbone: str | None = None,
    device: str | torch.device = "cpu",
    options: Mapping[str, Any] | None = None,
) -> Predictor:
    """A trained run, ready to answer: `run` is its directory, or the beginning or end of its name in `runs`.

    `options` changes what only inference reads (``{"gate_threshold": 0.7}``). Raises UserError when there is no such
    run, or it is not finished.
    """
    directory = find_run(str(run), Path(runs))
    return Predictor(open_run(directory, backbone, options), torch.device(device))


class Predictor:
    """A trained run that answers texts."""

    def __init__(self, trained: TrainedRun, device: torch.device) -> None:
        self.trained, self.job, self.device = trained, trained.job, device
        self.model: MultiExitModel = trained.model().to(device)
        self.max_length = self.job.options.max_length or self.job.task.max_length
        self._tokenizer = load_tokenizer(self.job.backbone, self.job.others)

    def predict(
        self,
        texts: Iterable[str | Sequence[str]],
        rule: str | None = None,
        setting: str | None = None,
        speedup: float | None = None,
        how: Execution | None = None,
    ) -> list[Prediction]:
        """The answers to texts (or pairs of texts), in order. Without a setting every text takes all layers.

        Example: ``predictor.predict(["a text"], rule="entropy", setting="S=0.1")[0].label``.
        """
        if isinstance(texts, str):
            raise UserError("predict takes a list of texts, not a text; write predict([text]).")
        choice = self.choose(Asked(rule, setting, speedup))
        return list(self.stream(self._checked(rows_of(texts)), choice, how or Execution(device=self.device)))

    def stream(self, rows: Iterable[TextRow], choice: Choice, how: Execution) -> Iterator[Prediction]:
        """Answers in the order of `rows`, as they are found; memory is bounded whatever the length of the stream."""
        answering = Answering(self, choice, how)
        yield from answering.answers(iter(rows))

    def choose(self, asked: Asked) -> Choice:
        """The setting asked for; UserError when the rule or the model has none such."""
        if asked.rule is None and asked.setting is None and asked.speedup is None:
            return Choice(Budgeted(), float(self.model.depth))
        name = asked.rule or self.job.method.default_rule
        if asked.setting is not None:
            rule, threshold = named_setting(name, asked.setting)
            require(rule, self.probe)
            rule.check(threshold, self.probe.geometry)
            return self._on_dev(rule, threshold)
        if asked.speedup is None:
            rule = find_rule(name, "--rule")
            raise UserError(
                f"--rule {name} needs a setting: --setting {rule.knob}=..., or --speedup 2x to choose one."
            )
        require(find_rule(name, "--rule"), self.probe)
        return self._at_speedup(find_rule(name), asked.speedup)

    def _on_dev(self, rule: Rule, threshold: float) -> Choice:
        measured = self._measured
        if measured is None:
            return Choice(rule, threshold)
        (row,) = point_rows(measured.headline, rule, [threshold])
        full = exit_scores(measured.trace, measured.metrics[0])[-1]
        return Choice(rule, threshold, row["full_flops"] / row["flops"], row["score"], full)

    def _at_speedup(self, rule: Rule, wish: float) -> Choice:
        """The slowest of all settings that are `wish` times as fast on dev or more."""
        if self._measured is None:
            variant = f" for {self.job.variant}" if self.job.variant else ""
            raise UserError(
                f"run {self.trained.name} has no trace of dev{variant} to choose a setting from; name one with "
                "--setting, or train the run again with the same options, which finds it done and traces dev."
            )
        curve = curve_of(rule, [self._measured])
        place = curve.slowest_at(wish)
        if place is None:
            top = int(curve.speedups.argmax())
            raise UserError(
                f"no setting of {rule.name} is {wish:g}x on dev; the fastest is {rule.setting(curve.threshold(top))} "
                f"at {curve.speedups[top]:.2f}x.  Ask for less, or for another rule."
            )
        choice, before = self._on_dev(rule, curve.threshold(place)), curve.below(place)
        if before is None or curve.speedups[place] <= wish * JUMP:
            return choice
        return replace(choice, slower=self._on_dev(rule, curve.threshold(before)))

    @cached_property
    def probe(self) -> Trace:
        """What the model shows a rule, from one text."""
        return trace_model(self.model, self.encode([(PROBE,)]), np.zeros(1, dtype=np.int64), self.device)

    @cached_property
    def _measured(self) -> Measured | None:
        trace = self.trained.dev_trace()
        if trace is None:
            return None
        return Measured.of(self.job, trace, Accounting(convention(DEFAULT_CONVENTION), None))

    def encode(self, texts: Texts, max_length: int | None = None) -> Encoded:
        """Texts as the run was trained on them, cut to `max_length` tokens or as many as the model reads."""
        if self.job.task.html_breaks:
            texts = [tuple(HTML_BREAKS.sub(" ", text).strip() for text in row) for row in texts]
        return self._tokenizer.encode(texts, max_length or self.max_length)

    def cut_short(self, texts: Texts, lengths: np.ndarray) -> np.ndarray:
        """Which texts have more tokens than the model reads, bool [N]; `lengths` are their tokens as read."""
        cut = np.zeros(len(texts), dtype=bool)
        full = np.flatnonzero(lengths >= self.max_length)
        if len(full):
            more = self.encode([texts[row] for row in full.tolist()], self.max_length + 1)
            cut[full] = more.lengths > self.max_length
        return cut

    def check_texts(self, per_row: int) -> None:
        """UserError when rows of one text are given to a task of pairs, or the other way round."""
        columns = self.job.task.text_columns
        if not columns or len(columns) == per_row:
            return
        names = " and ".join(columns)
        raise UserError(
            f"task {self.job.task.name} has {names}, the input {per_row} text a row; "
            f"name {len(columns)} column{'s' if len(columns) > 1 else ''} of a csv or tsv with --text."
        )

    def _checked(self, rows: Iterable[TextRow]) -> Iterator[TextRow]:
        """The rows; UserError at one that has not as many texts as the task."""
        columns = self.job.task.text_columns
        for row in rows:
            if columns and len(row.texts) != len(columns):
                raise UserError(
                    f"text {row.number} has {len(row.texts)} parts, task {self.job.task.name} has "
                    f"{' and '.join(columns)}; write {'a pair (first, second)' if columns[1:] else 'a string'}."
                )
            yield row

    def label(self, logits: torch.Tensor) -> tuple[str, float | None]:
        """The answer of one text from its logits [C], and the probability of its class."""
        if len(logits) == 1:
            return f"{float(logits[0]):.6g}", None
        place = int(logits.argmax())
        return self.job.task.labels[place], float(torch.softmax(logits, dim=-1)[place])

    def prices(self, rule: Rule) -> Prices:
        """What leaving under `rule` costs."""
        return Prices(self, rule)


class Prices:
    """MFLOPs of one text from its length, its exit and the layers that ran for it (`full_2mac`)."""

    def __init__(self, predictor: Predictor, rule: Rule) -> None:
        skeleton = build_skeleton(predictor.job)
        self.rule, self.cost, self.exit_layers = rule, model_cost(skeleton), skeleton.exit_layers
        self.convention = convention(DEFAULT_CONVENTION)
        self.lengths = np.arange(1, predictor.max_length + 1, dtype=np.int64)
        self.gated = skeleton.gate_threshold is not None
        self._paths = self._gates() if self.gated else self._leaving()
        # Gates sit in front of layers that are all alike, and so are their heads.
        self._layer, self._head = (
            flops(part, self.lengths, self.convention)
            for part in (self.cost.layers[0], self.cost.exits[self.exit_layers[0]])
        )

    def _leaving(self) -> Lengths:
        """Everything that leaving at each exit costs, int64 [E, lengths]."""
        if self.cost.reads:
            return np.empty((0, 0), dtype=np.int64)  # several lengths a text: each has its own price
        compared = "similarity" in self.rule.needs
        return path_flops(
            self.cost, self.exit_layers, self.lengths, self.convention, self.rule.evaluates, compared
        )

    def _gates(self) -> Lengths:
        """What leaving at each exit costs besides layers and heads: embedding and gates, int64 [E, lengths]."""
        parts = [self.cost.embedding]
        for layer in range(1, self.exit_layers[-1] + 1):
            parts.append(parts[-1] + self.cost.before(layer))
        return np.stack([flops(parts[layer], self.lengths, self.convention) for layer in self.exit_layers])

    def _several(self, tokens: tuple[int, ...]) -> Lengths:
        """What leaving at each exit costs one text that is tokenised in several ways, int64 [E]."""
        lengths = np.array(tokens, dtype=np.int64)[:, None]
        return path_flops(self.cost, self.exit_layers, lengths, self.convention, self.rule.evaluates)[:, 0]

    def mflops(self, left: Left, tokens: tuple[int, ...]) -> float:
        """The price of one text of so many tokens, in each sequence that the model reads."""
        if self.cost.reads:
            return int(self._several(tokens)[left.exit_index]) / 1e6
        place = tokens[0] - 1
        paid = int(self._paths[left.exit_index, place])
        if self.gated:
            # A layer that was skipped asks no head, but for the last one, which has to answer.
            heads = 1 if self.rule.evaluates == "last" else left.executed + (not left.ran)
            paid += left.executed * int(self._layer[place]) + heads * int(self._head[place])
        return paid / 1e6


@dataclass(frozen=True)
class Waiting:
    """A row on its way: its tokens in each sequence, None when it has no text to answer, and whether it was cut."""

    row: TextRow
    tokens: tuple[int, ...] | None = None
    truncated: bool = False


class Answering:
    """One stream of rows through a model; rows without a text are answered in their place."""

    def __init__(self, predictor: Predictor, choice: Choice, how: Execution) -> None:
        self.predictor, self.choice, self.how = predictor, choice, how
        self.prices = predictor.prices(choice.rule)
        self.waiting: deque[Waiting] = deque()

    def answers(self, rows: Iterator[TextRow]) -> Iterator[Prediction]:
        """The answers in order."""
        more = True
        while more:
            more = False
            for left in execute(
                self.predictor.model, self.choice.rule, self.choice.threshold, self._pieces(rows), self.how
            ):
                more = True
                yield from self._unanswerable()
                yield self._answered(self.waiting.popleft(), left)
            more = more or bool(self.waiting)
            yield from self._unanswerable()

    def _pieces(self, rows: Iterator[TextRow]) -> Iterator[Encoded]:
        """The texts of the rows, tokenised; ends early after a long stretch without any."""
        one_by_one, stretch = self.how.batch_size == 1, 0
        while piece := list(islice(rows, 1 if one_by_one else ROWS_PER_PIECE)):
            texts = [row.texts for row in piece if not row.error]
            stretch = 0 if texts else stretch + len(piece)
            if not texts:
                self.waiting.extend(Waiting(row) for row in piece)
                if one_by_one or stretch >= LONGEST_STRETCH:
                    return
                continue
            encoded = self.predictor.encode(texts)
            measured = iter(
                zip(encoded.counts.tolist(), self.predictor.cut_short(texts, encoded.lengths), strict=True)
            )
            for row in piece:
                tokens, cut = (None, False) if row.error else next(measured)
                self.waiting.append(Waiting(row, tokens if tokens is None else tuple(tokens), bool(cut)))
            yield encoded

    def _unanswerable(self) -> Iterator[Prediction]:
        """The rows without a text that are next."""
        while self.waiting and self.waiting[0].tokens is None:
            row = self.waiting.popleft().row
            yield Prediction(row.number, replaced=row.replaced, error=row.error)

    def _answered(self, waiting: Waiting, left: Left) -> Prediction:
        assert waiting.tokens is not None
        label, confidence = self.predictor.label(left.logits)
        return Prediction(
            waiting.row.number, label, confidence, left.layer, left.executed,
            self.prices.mflops(left, waiting.tokens), waiting.truncated, waiting.row.replaced,
        )  # fmt: skip


def named_setting(name: str, text: str) -> tuple[Rule, float]:
    """A rule and its threshold from `"S=0.1"`, or `"t=2;tau=0.3"` where the rule has more knobs."""
    values = dict(parse_setting(text))
    plain = find_rule(name, "--rule")
    if plain.knob not in values:
        raise UserError(
            f"--setting {text}: rule '{plain.name}' needs its {plain.knob}: --setting {plain.knob}=..."
        )
    threshold = values.pop(plain.knob)
    return type(plain)(**{**plain.knobs, **values}), threshold
