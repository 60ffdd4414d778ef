"""From trained runs to measured rows: every method, setting, batch size and executor in one interleaved run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from statistics import median

import numpy as np
import torch
from numpy.typing import NDArray

from eebench.backbones.tokens import Encoded
from eebench.engine.execute import Executor
from eebench.engine.turns import device_name
from eebench.errors import UserError
from eebench.latency.choosing import TARGET, Chosen, at_setting, at_speedup
from eebench.latency.passes import Measurand, Timed, full_forward, in_turns, stock_forward
from eebench.latency.table import FULL, STOCK, WHOLE, LatencyRow, conditions
from eebench.model import MultiExitModel
from eebench.plan import Job
from eebench.replay import require
from eebench.rules.base import Rule
from eebench.rules.catalogue import find_rule
from eebench.runtime.execution import Execution
from eebench.runtime.executors import find_executor
from eebench.runtime.walking import Precision, Walk
from eebench.sweep import Accounting, Measured
from eebench.tasks.metrics import score
from eebench.trace import PER_SAMPLE, Trace

OnTurn = Callable[[int, int], None]
SPLIT = "dev"


@dataclass(frozen=True)
class Protocol:
    """How everything of a measurement is run. `samples` of dev, spread evenly; None takes all.

    `at` are settings that every method is measured at; without any, its own rules at about `target` times the speed.
    """

    batch_sizes: Sequence[int] = (1, 32)
    executors: Sequence[str] = ("sequential", "compact", "pooled")
    repeats: int = 5
    samples: int | None = None
    precision: Precision = "fp32"
    target: float = TARGET
    at: Sequence[tuple[Rule, float]] = ()

    def __post_init__(self) -> None:
        for name in self.executors:
            find_executor(name)
        for size in self.batch_sizes:
            Execution(batch_size=size)

    def runs(self) -> Iterator[tuple[int, str]]:
        """The pairs of batch size and executor: one at a time is sequential's, more than one the others'."""
        for size, name in product(self.batch_sizes, self.executors):
            if (size == 1) == (name == "sequential"):
                yield size, name


@dataclass(frozen=True)
class Candidate:
    """A method to measure: its run, and its rules with their grids (None: the rule's own)."""

    label: str
    job: Job
    rules: Mapping[str, Sequence[float] | None]


@dataclass(frozen=True)
class Subject:
    """A method under one setting; `chosen` tells the speed-up in FLOPs on the samples that are run."""

    label: str
    chosen: Chosen
    model: MultiExitModel

    def measurand(self, executor: str, size: int, precision: Precision) -> Measurand:
        """The subject run by one executor."""
        if executor == FULL:
            return Measurand(size, partial(full_forward, self.model, precision=precision))
        if executor == STOCK:
            stock = self.model.backbone.stock()
            assert stock is not None
            return Measurand(size, partial(stock_forward, self.model, stock, precision=precision))
        walk = Walk(self.model, self.chosen.rule, self.chosen.threshold, precision)
        order = find_executor(executor)
        return Measurand(size, lambda batches: order(walk, batches, size))


@dataclass(frozen=True)
class Bench:
    """What all subjects share: the store, the full model's run, the accounting, the protocol."""

    executor: Executor
    reference: Job
    accounting: Accounting
    protocol: Protocol

    @property
    def rows(self) -> NDArray[np.int64]:
        """The samples of dev that are run, int64 [N]."""
        total = len(self.reference.data.splits[SPLIT].texts)
        count = min(total, self.protocol.samples or total)
        return np.linspace(0, total - 1, count).round().astype(np.int64)

    @property
    def conditions(self) -> str:
        """Under what is measured, as rows have it."""
        return conditions(len(self.rows), torch.get_num_threads(), self.protocol.precision)

    def check_alike(self, known: Sequence[LatencyRow]) -> None:
        """UserError when rows that are measured here already, and will stay, were measured otherwise."""
        place = self.reference.task.name, self.reference.backbone, device_name(self.executor.device)
        other = next((row for row in known if row.place == place and row.conditions != self.conditions), None)
        if other is not None:
            raise UserError(
                f"latency.csv has {other.title} on {other.task} with {other.conditions}; this is {self.conditions}: "
                "times in one table are measured alike.  Use those, or measure all methods again without "
                "--only method=..."
            )

    def encoded(self) -> Encoded:
        """Those samples, tokenised."""
        return self.executor.examples(self.reference, SPLIT).encoded.take(self.rows)

    def labels(self) -> NDArray[np.generic]:
        """Their labels."""
        return np.asarray(self.executor.examples(self.reference, SPLIT).labels)[self.rows]

    def full(self) -> Subject:
        """The full model: a speed-up of one, by definition."""
        model = self.executor.model(self.reference).eval()
        chosen = Chosen(find_rule("budgeted"), float(model.depth), 1.0)
        return Subject(self.reference.method.label(self.reference.options), chosen, model)

    def subjects(self, candidate: Candidate) -> Iterator[Subject]:
        """The candidate under each of its settings, chosen on all of dev; UserError for a rule it cannot have."""
        model = self.executor.model(candidate.job).eval()
        trace = self.executor.ensure_trace(candidate.job, SPLIT)
        measured = Measured.of(candidate.job, trace, self.accounting)
        part = Measured.of(candidate.job, trace_rows(trace, self.rows), self.accounting)
        for rule, threshold in self._settings(candidate, measured):
            yield Subject(candidate.label, at_setting(part, rule, threshold), model)

    def _settings(self, candidate: Candidate, measured: Measured) -> Iterator[tuple[Rule, float]]:
        for rule, threshold in self.protocol.at:
            require(rule, measured.trace)
            yield rule, threshold
        for name in () if self.protocol.at else candidate.rules:
            rule = find_rule(name)
            require(rule, measured.trace)
            yield rule, at_speedup(measured, rule, self.protocol.target).threshold


def trace_rows(trace: Trace, rows: NDArray[np.int64]) -> Trace:
    """Some samples of a trace."""
    index = torch.from_numpy(rows)
    kept = {name: getattr(trace, name) for name in PER_SAMPLE}
    signals = {name: tensor[:, index] for name, tensor in kept.items() if tensor is not None}
    return replace(
        trace, labels=trace.labels[index], lengths=trace.lengths[index], ids=trace.ids[index], **signals
    )


def measure_latency(
    candidates: Sequence[Candidate], bench: Bench, on_turn: OnTurn = lambda done, total: None
) -> list[LatencyRow]:
    """The full model at each batch size, as eebench and as its library runs it, then each subject by each executor.

    All models are in memory at once: taking turns is what makes their times compare.
    """
    runs = list(bench.protocol.runs())
    if not runs:
        raise UserError(
            "sequential has batches of 1, compact and pooled larger ones; choose a batch size to match."
        )
    full = bench.full()
    whole = WHOLE if full.model.backbone.stock() is not None else (FULL,)
    works = [(full, name, size) for size, name in product(dict.fromkeys(size for size, _ in runs), whole)]
    subjects = [subject for candidate in candidates for subject in bench.subjects(candidate)]
    works += [(subject, name, size) for subject in subjects for size, name in runs]
    timed = in_turns(
        [subject.measurand(name, size, bench.protocol.precision) for subject, name, size in works],
        bench.encoded(), bench.protocol.repeats, bench.executor.device, on_turn,
    )  # fmt: skip
    bases = {size: found for (_, name, size), found in zip(works, timed, strict=True) if name == FULL}
    labels = bench.labels()
    return [
        _row(bench, subject, name, found, Beside(size, bases[size], labels))
        for (subject, name, size), found in zip(works, timed, strict=True)
    ]


@dataclass(frozen=True)
class Beside:
    """What a row's times and answers are set beside: the full model on batches of one size, and the labels."""

    size: int
    full: Timed
    labels: NDArray[np.generic]


def _row(bench: Bench, subject: Subject, executor: str, timed: Timed, beside: Beside) -> LatencyRow:
    job, chosen, protocol = bench.reference, subject.chosen, bench.protocol
    each = np.array(timed.seconds) / len(beside.labels)
    speedup = median(full / own for full, own in zip(beside.full.seconds, timed.seconds, strict=True))
    p50, p95, p99 = (1e3 * float(value) for value in np.percentile(timed.waits, (50, 95, 99)))
    typical = float(np.median(each))
    return LatencyRow(
        job.task.name, job.backbone, subject.label, chosen.rule.name, chosen.setting, executor, beside.size,
        score=score(job.task.metric, beside.labels, timed.first.answers),
        mean_exit=float(timed.first.layers.mean()), speedup_flops=chosen.speedup_flops,
        seconds_per_sample=typical, seconds_low=float(each.min()), seconds_high=float(each.max()),
        throughput=1.0 / typical, p50_ms=p50, p95_ms=p95, p99_ms=p99,
        speedup_time=speedup, efficiency=speedup / chosen.speedup_flops,
        repeats=protocol.repeats, samples=len(beside.labels), threads=torch.get_num_threads(),
        precision=protocol.precision, convention=bench.accounting.name, device=device_name(bench.executor.device),
    )  # fmt: skip
