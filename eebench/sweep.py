"""From traces to rows: every rule at every declared setting, averaged over seeds, as the results tables."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import torch

from eebench.backbones.checkpoints import skeleton_backbone
from eebench.cost.breakdown import breakdown
from eebench.cost.components import model_cost
from eebench.cost.conventions import Convention, convention, flops
from eebench.cost.operations import ModelCost
from eebench.cost.paths import full_flops, path_flops, skipping_flops
from eebench.engine.execute import build_skeleton
from eebench.engine.local import Outcome
from eebench.heads import HeadConfig, exit_heads
from eebench.histograms import bins_of, counts, recorded
from eebench.layer_sizes import layer_rows
from eebench.model import MultiExitModel
from eebench.operating import curve_of, scores_of
from eebench.plan import Cell, Job
from eebench.replay import CostTable, Replayed, defined, replay
from eebench.rules.alignment import KernelAlignment, changes, checks
from eebench.rules.base import Rule, number
from eebench.rules.budgeted import Budgeted
from eebench.rules.catalogue import rule_family
from eebench.rules.forms import is_of
from eebench.stats import aggregate_seeds
from eebench.suites import CostEntry, Suite
from eebench.summary import summarise
from eebench.trace import Trace
from eebench.training.evaluation import exit_scores, mean_over_scored
from eebench.training.learning import verdict

TARGET = 2.0
"""The speed-up in FLOPs at which tables compare methods."""
REFERENCE_LENGTH = 128
"""Tokens at which components are counted when samples are charged their own length."""
LAYER_SECTIONS = ("shapes", "operations")
"""The kinds of sections that read `layers.csv`."""


@dataclass(frozen=True)
class Accounting:
    """How FLOPs are counted: convention, and the padded length charged (None: each sample's own)."""

    convention: Convention
    length: int | None

    @classmethod
    def of(cls, entry: CostEntry) -> Accounting:
        return cls(convention(entry.convention), None if entry.length == "real" else int(entry.length))

    @property
    def name(self) -> str:
        """`full_2mac@128` or `full_2mac@real`."""
        return f"{self.convention.name}@{'real' if self.length is None else self.length}"

    def columns(self, trace: Trace) -> tuple[np.ndarray, torch.Tensor]:
        """Distinct lengths charged, int64 [R, U] in each sequence that is read, and those of each sample, int64 [N]."""
        real = trace.sequences.numpy()
        lengths = real if self.length is None else np.full_like(real, self.length)
        distinct, column = np.unique(lengths, axis=1, return_inverse=True)
        return distinct.astype(np.int64), torch.from_numpy(column.reshape(-1))


@dataclass(frozen=True)
class Measured:
    """One seed's trace with its costs: `reference` is the full single-exit backbone, FLOPs summed over samples."""

    trace: Trace
    cost: ModelCost
    accounting: Accounting
    full_depth: int
    reference: int
    metrics: tuple[str, ...]

    @classmethod
    def of(cls, job: Job, trace: Trace, accounting: Accounting) -> Measured:
        """Measures the job's model on its skeleton; needs no weights."""
        skeleton = build_skeleton(job)
        cost = model_cost(skeleton)
        full_depth, reference_cost = full_backbone(job.backbone, job.task.classes)
        reference = reference_flops(reference_cost, trace, accounting)
        return cls(trace, cost, accounting, full_depth, reference, job.task.metrics)

    @property
    def headline(self) -> Measured:
        """The same under the task's headline metric alone."""
        return replace(self, metrics=self.metrics[:1])

    def cut(self, job: Job, rows: torch.Tensor) -> Measured:
        """The same of some samples alone, bool [N]; `job` names the backbone that they are compared with."""
        trace = self.trace.cut(rows)
        _, reference_cost = full_backbone(job.backbone, job.task.classes)
        return replace(self, trace=trace, reference=reference_flops(reference_cost, trace, self.accounting))

    def table(self, rule: Rule) -> CostTable:
        """Cost of leaving at each exit under `rule`."""
        trace, convention = self.trace, self.accounting.convention
        lengths, column = self.accounting.columns(trace)
        if trace.executed is not None:
            own = lengths[0, column.numpy()]
            costs = skipping_flops(self.cost, trace.executed.numpy(), own, convention, rule.evaluates)
            return CostTable(torch.from_numpy(costs), torch.arange(trace.samples))
        compared = "similarity" in rule.needs
        costs = path_flops(self.cost, trace.exit_layers, lengths, convention, rule.evaluates, compared)
        return CostTable(torch.from_numpy(costs), column)

    def mean_layers(self, rule: Rule, replayed: Replayed) -> np.ndarray:
        """Layers that ran per sample at each setting, fp64 [S]: the exit's own where no layer is ever skipped."""
        trace = self.trace
        if trace.executed is None:
            return replayed.mean_exit(trace.exit_layers).numpy()
        ran = CostTable(trace.executed.to(torch.int64).cumsum(dim=0), torch.arange(trace.samples))
        counted = replay(rule, trace, replayed.thresholds, ran).total_cost
        assert counted is not None
        return counted.numpy() / trace.samples


@cache
def full_backbone(name: str, classes: int) -> tuple[int, ModelCost]:
    """Depth and component cost of the whole backbone `name` with its ordinary single classifier."""
    backbone = skeleton_backbone(name)
    with torch.device("meta"):
        heads = exit_heads(backbone, classes, HeadConfig(pooler="own"), (backbone.depth,))
    return backbone.depth, model_cost(MultiExitModel(backbone, dict(heads)))


def reference_flops(cost: ModelCost, trace: Trace, accounting: Accounting) -> int:
    """FLOPs of the full single-exit backbone on the samples of a trace, summed over them."""
    lengths, column = accounting.columns(trace)
    return int(full_flops(cost, lengths[0], accounting.convention)[column.numpy()].sum())


def shorter_half(trace: Trace) -> torch.Tensor:
    """Samples with fewer real tokens than the median of the split, bool [N]: COST-EFF's simple inputs."""
    return torch.from_numpy(trace.lengths.numpy() < np.median(trace.lengths.numpy()))


def point_rows(measured: Measured, rule: Rule, grid: Sequence[float] | None) -> list[dict[str, Any]]:
    """One row per setting of `rule` and metric on one trace; settings outside the rule's bounds are refused."""
    geometry = measured.trace.geometry
    thresholds = list(grid) if grid is not None else rule.grid(geometry)
    for threshold in thresholds:
        rule.check(threshold, geometry)
    replayed = replay(rule, measured.trace, thresholds, measured.table(rule))
    assert replayed.total_cost is not None
    samples = measured.trace.samples
    mean_exit = replayed.mean_exit(measured.trace.exit_layers).numpy()
    layers = measured.mean_layers(rule, replayed)
    paid = replayed.total_cost.numpy() / samples
    scores = scores_of(replayed, measured.trace, measured.metrics)
    return [
        {
            "setting": rule.setting(threshold), "metric": metric, "score": float(values[index]),
            "mean_exit": float(mean_exit[index]), "layers": float(layers[index]), "flops": float(paid[index]),
            "full_depth": measured.full_depth, "full_flops": measured.reference / samples,
        }
        for index, threshold in enumerate(thresholds)
        for metric, values in scores.items()
    ]  # fmt: skip


def head_form(cell: Cell) -> dict[str, str]:
    """The exits' form, as results state it."""
    assert cell.job is not None
    head, form = cell.job.options.head, cell.method.exit_form(cell.job.options)
    if head.attention != "none":
        return {"head": form, "pooling": "all tokens"}
    return {"head": form, "pooling": str(head.pooling)}


class Collector:
    """Builds the results tables of a suite from the outcomes of its cells."""

    def __init__(self, suite: Suite, outcomes: Sequence[Outcome]) -> None:
        self.suite, self.outcomes = suite, outcomes
        self.accounting = Accounting.of(suite.cost)
        self._costs: dict[tuple[str, ...], Measured] = {}

    def tables(self, records: Mapping[str, Mapping[str, Any]]) -> dict[str, pd.DataFrame]:
        """Every table of the results folder that has rows; `records` by run key."""
        found = {
            **self._scores(),
            "runs": pd.DataFrame(self._runs(records)),
            "costs": pd.DataFrame(self._cost_rows()),
            "histograms": pd.DataFrame(self._histograms(records)),
            "checks": pd.DataFrame(self._checks()),
            "simple": self._simple(),
            "layers": pd.DataFrame(self._layer_rows()),
        }
        return {name: table for name, table in found.items() if not table.empty}

    def _scores(self) -> dict[str, pd.DataFrame]:
        """points, exits and summary; the first and the last are missing when no rule applies to any run."""
        exits = aggregate(pd.DataFrame(self._exits()), ["exit"], ["score", "unanswered"])
        rows = pd.DataFrame(self._points())
        if rows.empty:
            return {"exits": exits}
        values = ["score", "mean_exit", "layers", "flops", "full_depth", "full_flops"]
        points = with_speedups(aggregate(rows, ["rule", "setting"], values))
        return {
            "points": points.rename(columns={"flops": "flops_per_sample"}).assign(
                convention=self.accounting.name
            ),
            "exits": exits,
            "summary": summarise(points, exits, self.suite.selection),
        }

    def _done(self) -> Iterator[tuple[Outcome, Measured, dict[str, Any]]]:
        """Every trace with its outcome, costs and the keys of its rows."""
        for outcome, split in product(self.outcomes, self.suite.splits):
            cell, trace = outcome.cell, outcome.on(split)
            if trace is None or cell.job is None:
                continue
            keys = {
                "task": cell.task.name, "backbone": cell.backbone, "method": cell.label,
                "split": split, **head_form(cell),
            }  # fmt: skip
            yield outcome, self.measured(cell, trace, split), keys

    def measured(self, cell: Cell, trace: Trace, split: str) -> Measured:
        """A trace of the cell with costs; components are counted once per method, backbone, task and split."""
        assert cell.job is not None
        key = (cell.task.name, cell.label, cell.backbone, split)
        if key not in self._costs:
            self._costs[key] = Measured.of(cell.job, trace, self.accounting)
        return replace(self._costs[key], trace=trace, metrics=cell.task.metrics)

    def _points(self) -> Iterator[dict[str, Any]]:
        chosen = self._chosen()
        for outcome, measured, keys in self._done():
            for rule, thresholds in self._sweeps(measured.trace):
                more = chosen.get(
                    (keys["task"], keys["backbone"], keys["method"], rule.setting(0.0), rule.name), ()
                )
                for row in point_rows(measured, rule, list(dict.fromkeys([*thresholds, *more]))):
                    yield {**keys, "rule": rule.name, "seed": outcome.cell.seed, **row}

    def _chosen(self) -> dict[tuple[str, ...], list[float]]:
        """The thresholds of each curve that tables show, chosen among all there are on the split that selects."""
        seeds: dict[tuple[str, str, str], list[Measured]] = {}
        for _, measured, keys in self._done():
            if keys["split"] == self.suite.selection:
                seeds.setdefault((keys["task"], keys["backbone"], keys["method"]), []).append(measured)
        asked = [getattr(section, "speedup", None) for section in self.suite.sections]
        targets = list(dict.fromkeys([TARGET, *(speedup for speedup in asked if speedup is not None)]))
        found: dict[tuple[str, ...], list[float]] = {}
        for place, same in seeds.items():
            full = float(np.mean([exit_scores(one.trace, one.metrics[0])[-1] for one in same]))
            for rule, grid in self._sweeps(same[0].trace):
                curve = curve_of(rule, same)
                settings = [curve.threshold(setting, grid) for setting in curve.chosen(full, targets)]
                found[*place, rule.setting(0.0), rule.name] = settings
        return found

    def _exits(self) -> Iterator[dict[str, Any]]:
        for outcome, measured, keys in self._done():
            answered = measured.trace.answered.sum(dim=1)
            for metric in measured.metrics:
                scores = exit_scores(measured.trace, metric)
                for layer, value, there in zip(measured.trace.exit_layers, scores, answered, strict=True):
                    yield {**keys, "metric": metric, "exit": layer, "seed": outcome.cell.seed,
                           "score": math.nan if value is None else value,
                           "unanswered": measured.trace.samples - int(there)}  # fmt: skip

    def _runs(self, records: Mapping[str, Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
        tried = {choice.label: len(choice.configurations) for choice in self.suite.choices}
        for outcome in self.outcomes:
            cell = outcome.cell
            record = records.get(cell.job.spec.key, {}) if cell.job is not None else {}
            form = head_form(cell) if cell.job is not None else {"head": "", "pooling": ""}
            yield {
                "task": cell.task.name, "backbone": cell.backbone, "method": cell.label, "seed": cell.seed,
                "status": outcome.status, "reason": outcome.reason, "parameters": record.get("parameters"),
                "training_steps": record.get("training_steps"), **form, "configurations": tried[cell.label],
                "exit_mean": exit_mean(outcome), "model_bytes": record.get("model_bytes"),
                "precision": "" if cell.job is None else cell.job.options.precision, "learned": verdict(record),
            }  # fmt: skip

    def _histograms(self, records: Mapping[str, Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
        """What runs recorded at every step and traces at every check, counted in bins and summed over seeds."""
        found: dict[tuple[str, str, str, str], np.ndarray] = {}
        for outcome in self.outcomes:
            cell = outcome.cell
            if cell.job is None or outcome.status != "ok":
                continue
            for quantity, seen in recorded(records.get(cell.job.spec.key, {})):
                key = (cell.task.name, cell.backbone, cell.label, quantity)
                found[key] = found.get(key, 0) + seen
        for cell, split, found_changes in self._changes():
            if split == "dev":
                key = (cell.task.name, cell.backbone, cell.label, "delta")
                found[key] = found.get(key, 0) + counts("delta", found_changes.flatten().tolist())
        for key, total in found.items():
            names = dict(zip(("task", "backbone", "method", "quantity"), key, strict=True))
            for low, high, steps in bins_of(key[-1], total):
                yield {**names, "low": low, "high": high, "count": steps}

    def _alignment_rules(self) -> list[KernelAlignment]:
        """The alignment rules that the suite sweeps, each with its theta."""
        swept = (rule for name in self.suite.rules for rule in rule_family(name))
        return [rule for rule in swept if isinstance(rule, KernelAlignment)]

    def _changes(self) -> Iterator[tuple[Cell, str, torch.Tensor]]:
        """Cell, split and changes of similarity of the traces that have them, if an alignment rule is swept."""
        swept = bool(self._alignment_rules())
        for outcome, split in product(self.outcomes, self.suite.splits if swept else ()):
            trace = outcome.on(split)
            if trace is not None and trace.similarities is not None:
                yield outcome.cell, split, changes(trace.similarities, trace.executed)

    def _checks(self) -> Iterator[dict[str, Any]]:
        """How often each alignment rule compared and fired, summed over seeds."""
        totals: dict[tuple[str, ...], tuple[int, int]] = {}
        for cell, split, found in self._changes():
            for rule in self._alignment_rules():
                key = (
                    cell.task.name,
                    cell.backbone,
                    cell.label,
                    split,
                    rule.name,
                    number(rule.knobs["theta"]),
                )
                (made, fired), (before, fired_before) = checks(rule, found), totals.get(key, (0, 0))
                totals[key] = (before + made, fired_before + fired)
        for cell_key, (made, fired) in totals.items():
            names = zip(("task", "backbone", "method", "split", "rule", "theta"), cell_key, strict=True)
            yield {**dict(names), "checks": made, "fired": fired}

    def _simple(self) -> pd.DataFrame:
        """The points of each method's shown rule on the shorter half of dev; empty unless a section asks for them."""
        if not any(section.kind == "simple" for section in self.suite.sections):
            return pd.DataFrame()
        rows = aggregate(
            pd.DataFrame(self._simple_points()),
            ["rule", "setting"],
            ["score", "mean_exit", "layers", "flops", "full_depth", "full_flops"],
        )
        return rows if rows.empty else with_speedups(rows).rename(columns={"flops": "flops_per_sample"})

    def _simple_points(self) -> Iterator[dict[str, Any]]:
        defaults = {choice.label: choice.default_rule for choice in self.suite.choices}
        for outcome, measured, keys in self._done():
            rows = shorter_half(measured.trace)
            if keys["split"] != "dev" or not rows.any():
                continue
            assert outcome.cell.job is not None
            simple = measured.cut(outcome.cell.job, rows)
            for rule, thresholds in self._shown_rules(measured.trace, defaults[outcome.cell.label]):
                for row in point_rows(simple, rule, thresholds):
                    yield {**keys, "rule": rule.name, "seed": outcome.cell.seed, **row}

    def _shown_rules(self, trace: Trace, default: str) -> list[tuple[Rule, list[float]]]:
        """The forms of the rule that reports show a method under: its own if it is swept, else the first that is."""
        swept = list(self._sweeps(trace))
        forms = [default, default.partition(";")[0], *(rule.name for rule, _ in swept)]
        found = (
            [pair for pair in swept if is_of(form, pair[0].name, pair[0].setting(0.0))] for form in forms
        )
        return next((pairs for pairs in found if pairs), [])

    def _sweeps(self, trace: Trace) -> Iterator[tuple[Rule, list[float]]]:
        """Every rule of the suite that applies to a trace, with the settings that fit it."""
        for name, grid in self.suite.rules.items():
            for rule in rule_family(name):
                thresholds = fitting(rule, grid, trace) if applies(rule, trace) else []
                if thresholds:
                    yield rule, thresholds

    def _cost_rows(self) -> Iterator[dict[str, Any]]:
        length = self.accounting.length or REFERENCE_LENGTH
        seen: set[str] = set()
        for outcome in self.outcomes:
            cell = outcome.cell
            if cell.job is None or outcome.trace is None or cell.backbone in seen:
                continue
            seen.add(cell.backbone)
            config = skeleton_backbone(cell.backbone).config
            for part in breakdown(config, cell.task.classes, "own"):
                yield {
                    "backbone": cell.backbone, "component": part.name, "parameters": part.parameters,
                    "flops": flops(part.operations, length, self.accounting.convention),
                    "convention": f"{self.accounting.convention.name}@{length}",
                }  # fmt: skip

    def _layer_rows(self) -> Iterator[dict[str, Any]]:
        """The layers of the methods that a section about layers names, each as it is on its first task."""
        asked = {label for section in self.suite.sections if section.kind in LAYER_SECTIONS
                 for label in section.labels}  # fmt: skip
        length = self.accounting.length or REFERENCE_LENGTH
        seen: set[tuple[str, str]] = set()
        for outcome in self.outcomes:
            cell = outcome.cell
            place = (cell.backbone, cell.label)
            if cell.job is None or outcome.trace is None or cell.label not in asked or place in seen:
                continue
            seen.add(place)
            names = {"backbone": cell.backbone, "method": cell.label,
                     "convention": f"{self.accounting.convention.name}@{length}"}  # fmt: skip
            for row in layer_rows(build_skeleton(cell.job), length, self.accounting.convention):
                yield {**names, **row}


def exit_mean(outcome: Outcome) -> float | None:
    """The mean over its exits of a run's score on dev; None for a run without a result."""
    if outcome.trace is None:
        return None
    return mean_over_scored(exit_scores(outcome.trace, outcome.cell.task.metric))


def with_speedups(points: pd.DataFrame) -> pd.DataFrame:
    """Speed-ups as ratios of means, the full backbone over the mean of the setting (all reference codes do so)."""
    return points.assign(
        speedup_layers=points["full_depth"] / points["layers"],
        speedup_flops=points["full_flops"] / points["flops"],
    )


def applies(rule: Rule, trace: Trace) -> bool:
    """Whether a rule is worth sweeping: defined on the trace, and a model with one exit has only that point."""
    return defined(rule, trace) and (len(trace.exit_layers) > 1 or rule.evaluates == "last")


def fitting(rule: Rule, grid: Sequence[float] | None, trace: Trace) -> list[float]:
    """The declared thresholds that this model can use, in their order; None asks for the rule's own.

    One grid serves backbones of different depth; a fixed exit must be one that the model has. A
    model with a single exit always shows its only point.
    """
    if grid is None:
        return rule.grid(trace.geometry)
    if isinstance(rule, Budgeted):
        static = len(trace.exit_layers) == 1
        return [float(layer) for layer in trace.exit_layers if static or layer in grid]
    low, high = rule.bounds(trace.geometry)
    return [threshold for threshold in grid if low <= threshold <= high]


def aggregate(rows: pd.DataFrame, keys: list[str], values: list[str]) -> pd.DataFrame:
    """Seeds averaged: one row per cell and key, score with its standard deviation; empty without rows."""
    if rows.empty:
        return rows
    identity = ["task", "backbone", "method", "split", "metric", "head", "pooling", *keys]
    averaged = aggregate_seeds(rows, identity, values)
    plain = {f"{value}_mean": value for value in values if value != "score"}
    return averaged.rename(columns=plain)
