"""What the benchmarks share: the run they look at, the clock, and how measures are shown."""

from __future__ import annotations

import argparse
import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from tabulate import tabulate

import eebench
from eebench.backbones.tokens import Encoded
from eebench.cli.settings import find_device
from eebench.engine.execute import Executor
from eebench.engine.turns import device_name
from eebench.errors import UnknownName
from eebench.methods.catalogue import find_method
from eebench.model import MultiExitModel
from eebench.options import resolve_options
from eebench.plan import Job, Planner
from eebench.suites import load_suite
from eebench.tasks.specs import task_spec
from eebench.toy import toy_data, toy_task
from eebench.trace import Trace, trace_model
from eebench.training.precision import auto_precision

TOY_OPTIONS: Mapping[str, Any] = {
    "epochs": 1, "lr": 5e-3, "batch_size": 16, "head": {"pooler": "none"},
    "select": "last", "holdout": 0.0, "patience": None,
}  # fmt: skip

TOY_ROWS = 480
"""Enough for three blocks of ten steps."""


@dataclass(frozen=True)
class Measure:
    """One measured number, with the bound it has to keep where there is one."""

    name: str
    value: float
    unit: str = ""
    at_least: float | None = None
    at_most: float | None = None

    @property
    def met(self) -> bool:
        """Whether the bounds are kept; True without bounds."""
        low = self.at_least is None or self.value >= self.at_least
        return low and (self.at_most is None or self.value <= self.at_most)

    @property
    def bound(self) -> str:
        """The bound as text, empty without one."""
        if self.at_least is not None:
            return f">= {self.at_least:,g}"
        return "" if self.at_most is None else f"<= {self.at_most:,g}"


@dataclass(frozen=True)
class Subject:
    """What is measured: a suite's method options on one backbone and task, or the toy ones."""

    suite: str
    backbone: str | None
    task: str | None
    seed: int
    toy: bool
    device: torch.device

    @classmethod
    def of(cls, given: argparse.Namespace) -> Subject:
        """From the options that `subject_options` adds."""
        place = find_device(given.device)
        return cls(given.suite, given.backbone, given.task, given.seed, given.toy, place)

    def jobs(self, labels: Sequence[str]) -> list[Job]:
        """The run of each method, by label or else by name; one planner, so that the data are loaded once."""
        planner = Planner(None, auto_precision(self.device))
        return [self._toy(planner, label) if self.toy else self._job(planner, label) for label in labels]

    def _job(self, planner: Planner, label: str) -> Job:
        suite = load_suite(self.suite)
        # A suite may have a method under a label of its own alone; the first of that name is meant.
        choices = {choice.method.name: choice for choice in reversed(suite.choices)}
        choices |= {choice.label: choice for choice in suite.choices}
        if label not in choices:
            raise UnknownName("method", label, choices, f"suite {self.suite}")
        method, options = choices[label].method, choices[label].options
        task = suite.tasks[0] if self.task is None else task_spec(self.task)
        return planner.job(method, options, self.backbone or suite.backbones[0], task, self.seed)

    def _toy(self, planner: Planner, label: str) -> Job:
        planner.remember(toy_data(train=TOY_ROWS))
        method = find_method(label)
        options = resolve_options(method, TOY_OPTIONS, "the toy task")
        return planner.job(method, options, "toy", toy_task(), self.seed)


@dataclass(frozen=True)
class Trained:
    """A trained model with its dev split, tokenised, and the trace of that split."""

    job: Job
    model: MultiExitModel
    encoded: Encoded
    trace: Trace
    device: torch.device

    @classmethod
    def of(cls, job: Job, executor: Executor, samples: int | None) -> Trained:
        """The run of `job` (trained now if it is not there), cut to its first `samples` dev rows."""
        executor.ensure_trained(job)
        examples = executor.examples(job, "dev")
        count = min(samples or len(examples.encoded), len(examples.encoded))
        encoded, model = first_rows(examples.encoded, count), executor.model(job)
        trace = trace_model(model, encoded, examples.labels[:count], executor.device)
        return cls(job, model, encoded, trace, executor.device)


def first_rows(encoded: Encoded, count: int) -> Encoded:
    """The first `count` rows of a tokenised split."""
    end = int(encoded.offsets[count])
    return replace(
        encoded, ids=encoded.ids[:end], segments=encoded.segments[:end], offsets=encoded.offsets[: count + 1]
    )


def output_options(parser: argparse.ArgumentParser) -> None:
    """Adds `--json`."""
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def subject_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options that say what is measured."""
    parser.add_argument("--suite", default="quickstart", help="whose method options are used")
    parser.add_argument("--backbone", help="default: the suite's first")
    parser.add_argument("--task", help="default: the suite's first")
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument(
        "--toy", action="store_true", help="toy backbone and task: proves it runs, no numbers"
    )


def machine(device: torch.device) -> dict[str, Any]:
    """What the numbers depend on besides the code."""
    return {
        "device": device_name(device), "cores": os.cpu_count(), "threads": torch.get_num_threads(),
        "python": platform.python_version(), "torch": torch.__version__, "eebench": eebench.__version__,
    }  # fmt: skip


def show(
    measures: Sequence[Measure],
    conditions: Mapping[str, Any],
    as_json: bool,
    tables: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
) -> None:
    """Prints the conditions, every measure with its bound, and further tables by title; or all as JSON."""
    tables = tables or {}
    if as_json:
        rows = [{**asdict(one), "bound": one.bound, "met": one.met} for one in measures]
        print(json.dumps({"conditions": dict(conditions), "measures": rows, **tables}, indent=2))
        return
    print("\n".join(f"{name}: {value}" for name, value in conditions.items()))
    if measures:
        lines = [(one.name, number(one.value), one.unit, one.bound, verdict(one)) for one in measures]
        print_table(lines, ("measure", "value", "unit", "bound", "met"))
    for title, table in tables.items():
        print(f"\n{title}")
        print_table([tuple(row.values()) for row in table], tuple(table[0]))


def print_table(lines: Sequence[Sequence[Any]], headers: Sequence[str]) -> None:
    """Prints one aligned table."""
    print("", tabulate(lines, headers, disable_numparse=True), sep="\n")


def number(value: float) -> str:
    """Four digits, and all of them of large numbers."""
    return f"{value:,.0f}" if abs(value) >= 1e4 else f"{value:.4g}"


def verdict(measure: Measure) -> str:
    """yes, NO, or nothing to say."""
    if not measure.bound:
        return ""
    return "yes" if measure.met else "NO"
