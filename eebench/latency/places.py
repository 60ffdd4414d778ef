"""Which trained runs a measurement takes: for each task and backbone the full model, and the methods beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from eebench.engine.execute import Executor
from eebench.errors import DataError, UserError
from eebench.latency.measure import Candidate
from eebench.plan import Cell, Job, Planner, check_only
from eebench.search import known_plan
from eebench.suites import Suite

REFERENCE = "finetune"
"""The method whose runs are the full model."""


@dataclass(frozen=True)
class Place:
    """One task and backbone: the full model's run and what is measured beside it."""

    reference: Job
    candidates: Sequence[Candidate]


@dataclass(frozen=True)
class Wanted:
    """What to measure of a suite: values of `--only` by key, and rules in place of the methods' own."""

    suite: Suite
    only: Mapping[str, set[str]]
    rules: Sequence[str] = ()

    @property
    def cells(self) -> dict[str, set[str]]:
        """The cells looked at: one task, backbone and seed unless more are asked for, and all methods."""
        first = {"task": self.suite.tasks[0].name, "backbone": self.suite.backbones[0]}
        asked = {key: values for key, values in self.only.items() if key != "method"}
        return {**{key: {name} for key, name in first.items()}, "seed": {str(self.suite.seeds[0])}, **asked}

    def measures(self, cell: Cell) -> bool:
        """Whether the cell's method is asked for; the full model is measured in any case."""
        methods = self.only.get("method")
        return cell.method.name != REFERENCE and (
            methods is None or bool(methods & {cell.label, cell.method.name})
        )

    def candidate(self, cell: Cell, job: Job) -> Candidate:
        """A method with the rules it is measured under."""
        default = next(choice.default_rule for choice in self.suite.choices if choice.label == cell.label)
        rules = self.suite.rules
        grids = {
            # A rule with knobs is swept with the thresholds of the whole rule, where the suite does not name it so.
            name: rules.get(name, rules.get(name.partition(";")[0]))
            for name in (self.rules or (default,))
        }
        return Candidate(cell.label, job, grids)


def trained_places(wanted: Wanted, planner: Planner, executor: Executor) -> list[Place]:
    """The places of a suite whose runs are all trained; UserError with the command that trains what is missing."""
    suite = wanted.suite
    check_only(wanted.only, suite)
    plan, waiting = known_plan(planner, suite, executor.store, wanted.cells)
    if waiting:
        raise UserError(
            f"suite '{suite.name}' searches for options and has not found them yet; "
            f"`eebench sweep --suite {suite.name}` does."
        )
    grouped: dict[tuple[str, str], list[Cell]] = {}
    for cell in plan.cells:
        if cell.task.dev_of:
            continue  # the same runs on sentences of the same kind
        if cell.method.name == REFERENCE or wanted.measures(cell):
            grouped.setdefault((cell.task.name, cell.backbone), []).append(cell)
    cells = [cell for group in grouped.values() for cell in group]
    check_trained(wanted, cells, executor)
    return [place(wanted, group) for group in grouped.values()]


def check_trained(wanted: Wanted, cells: Sequence[Cell], executor: Executor) -> None:
    """Raises DataError for a cell that cannot be, UserError for runs that are not trained."""
    missing = []
    for cell in cells:
        if cell.job is None:
            raise DataError(cell.problem)
        if not executor.run(cell.job).is_done():
            missing.append(cell)
    if not missing:
        return
    parts = [f"method={label}" for label in dict.fromkeys(cell.label for cell in missing)]
    parts += [f"task={name}" for name in dict.fromkeys(cell.task.name for cell in missing)]
    parts += [f"backbone={name}" for name in dict.fromkeys(cell.backbone for cell in missing)]
    raise UserError(
        f"not trained yet: {'; '.join(cell.title for cell in missing)}.  "
        f"`eebench sweep --suite {wanted.suite.name} --only {','.join(parts)}` trains what is missing."
    )


def place(wanted: Wanted, cells: Sequence[Cell]) -> Place:
    """The full model among the cells, and the candidates; UserError when the suite has no full model."""
    jobs = [(cell, cell.job) for cell in cells if cell.job is not None]
    reference = next((job for cell, job in jobs if cell.method.name == REFERENCE), None)
    if reference is None:
        raise UserError(
            f"suite '{wanted.suite.name}' has no {REFERENCE}, the full model that times are set beside; "
            f"add `- {REFERENCE}` to its methods."
        )
    return Place(
        reference, [wanted.candidate(cell, job) for cell, job in jobs if cell.method.name != REFERENCE]
    )
