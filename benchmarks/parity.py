"""That really leaving early decides as replay does: exit, answer and layers run, for every rule, sample by sample.

Usage:

    python benchmarks/parity.py --suite quickstart --only method=joint      every executor, five settings per rule
    python benchmarks/parity.py --suite glue-offline --data-dir path/to/glue --only method=smartbert,task=rte
    python benchmarks/parity.py --executor compact --settings 2 --samples 100 --toy

Exits with 1 when the two differ on a sample that is not near a threshold.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from measuring import Measure, Subject, Trained, machine, output_options, show, subject_options

from eebench.engine.execute import Executor
from eebench.errors import EebenchError
from eebench.plan import Job, Planner, parse_only
from eebench.replay import defined, exit_indices, near_threshold
from eebench.rules.base import Rule
from eebench.rules.catalogue import RULES
from eebench.runtime import Execution, execute
from eebench.runtime.execution import Left
from eebench.runtime.executors import EXECUTORS
from eebench.store import Store
from eebench.suites import load_suite
from eebench.trace import Trace
from eebench.training.precision import auto_precision


@dataclass(frozen=True)
class Agreement:
    """How the decisions of one rule compare: counts over settings x samples.

    A decision is an exit, an answer and how many layers ran. `near`: close enough to a threshold to tip by rounding;
    `differing`: not the same in both; `wrong`: differing and not near, which must not happen.
    """

    task: str
    method: str
    executor: str
    rule: str
    decisions: int
    near: int
    differing: int
    wrong: int


@dataclass(frozen=True)
class Way:
    """How samples are made to leave, and at how many settings of each rule."""

    how: Execution
    settings: int


def agreements(label: str, trained: Trained, way: Way) -> Iterator[Agreement]:
    """One row per rule that works on the trace of the model that is called `label`."""
    for rule in (kind() for kind in RULES.values()):
        if defined(rule, trained.trace):
            yield agreement(label, trained, rule, way)


def agreement(label: str, trained: Trained, rule: Rule, way: Way) -> Agreement:
    """Every dev sample at some settings of one rule, really left early and replayed."""
    trace = trained.trace
    thresholds = spread(rule.grid(trace.geometry), way.settings)
    replayed = exit_indices(rule, trace, thresholds)
    near_total = differing = wrong = 0
    for exits, threshold in zip(replayed, thresholds, strict=True):
        left = execute(trained.model, rule, threshold, trained.encoded, way.how)
        different = unlike(trace, exits.cpu(), left)
        near = near_threshold(rule, trace, threshold)
        near_total += int(near.sum())
        differing += int(different.sum())
        wrong += int((different & ~near).sum())
    named = (trained.job.task.name, label, way.how.executor, rule.name)
    return Agreement(*named, len(thresholds) * trace.samples, near_total, differing, wrong)


def unlike(trace: Trace, exits: torch.Tensor, left: Iterable[Left]) -> torch.Tensor:
    """Where exit, answer or the number of layers run is not the replayed one, bool [N]."""
    real = list(left)
    found = torch.tensor([one.exit_index for one in real])
    answers = torch.stack([one.logits for one in real])
    answered = answers.argmax(dim=1) if trace.geometry.classes > 1 else answers[:, 0]
    expected = trace.answers().gather(0, exits[None])[0]
    same = torch.isclose(answered.double(), expected.double(), rtol=1e-4, atol=1e-4)
    ran = torch.tensor([one.executed for one in real])
    return (found != exits) | ~same | (ran != layers_run(trace, exits))


def layers_run(trace: Trace, exits: torch.Tensor) -> torch.Tensor:
    """How many layers each sample runs until its exit, int64 [N]."""
    depths = torch.tensor(trace.exit_layers)
    if trace.executed is None:
        return depths[exits]
    return trace.executed.cumsum(dim=0).gather(0, depths[exits][None] - 1)[0]


def spread(grid: Sequence[float], count: int) -> list[float]:
    """`count` values of a grid at even distances, ends included (the middle if one); all of a smaller grid."""
    if len(grid) <= count:
        return list(grid)
    if count == 1:
        return [grid[len(grid) // 2]]
    return [grid[round(place * (len(grid) - 1) / (count - 1))] for place in range(count)]


def jobs(given: argparse.Namespace, subject: Subject) -> list[tuple[str, Job]]:
    """The runs to look at, each with its label."""
    if subject.toy:
        return [("joint", subject.jobs(["joint"])[0])]
    plan = Planner(given.data_dir, auto_precision(subject.device)).plan(
        load_suite(given.suite), parse_only(given.only)
    )
    return [(cell.label, cell.job) for cell in plan.cells if cell.job is not None]


def measures(rows: Sequence[Agreement]) -> list[Measure]:
    """All rules together."""
    return [
        Measure("decisions compared", sum(one.decisions for one in rows)),
        Measure("of them near a threshold", sum(one.near for one in rows)),
        Measure("differing", sum(one.differing for one in rows)),
        Measure("differing, not near a threshold", sum(one.wrong for one in rows), at_most=0),
    ]


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    subject_options(parser)
    output_options(parser)
    parser.add_argument("--only", default="", help="what to look at, e.g. method=joint,task=rte")
    parser.add_argument("--data-dir", type=Path, help="folder with tasks in the official GLUE tsv layout")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="where trained models are kept")
    parser.add_argument("--executor", action="append", choices=list(EXECUTORS), help="default: every one")
    parser.add_argument("--batch-size", type=int, default=32, help="of executors that take more than one row")
    parser.add_argument("--settings", type=int, default=5, help="of each rule, spread over its grid")
    parser.add_argument("--samples", type=int, help="dev samples used; default: all")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Compares and prints; 1 when a decision differs that is not near a threshold, 2 for a user's mistake."""
    given = parse(arguments)
    rows: list[Agreement] = []
    try:
        subject = Subject.of(given)
        executor = Executor(Store(given.runs), subject.device)
        for label, job in jobs(given, subject):
            trained = Trained.of(job, executor, given.samples)
            for name in given.executor or EXECUTORS:
                size = 1 if name == "sequential" else given.batch_size
                way = Way(Execution(name, size, subject.device), given.settings)
                rows += agreements(label, trained, way)
    except EebenchError as error:
        print(error, file=sys.stderr)
        return 2
    tables = {"agreement": [asdict(one) for one in rows]}
    show(measures(rows), machine(subject.device), given.json, tables)
    return 1 if any(one.wrong for one in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
