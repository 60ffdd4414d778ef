"""From a suite to the runs it needs, each once, in an order in which needs come first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path

import torch

from eebench.backbones.checkpoints import (
    backbone_depth,
    backbone_fingerprint,
    backbone_pooling,
    backbone_positions,
    check_depth,
    check_vocabulary,
    skeleton_backbone,
)
from eebench.choices import MethodChoice, Tuned
from eebench.errors import ConfigError, DataError, UserError, closest
from eebench.methods.base import Method
from eebench.methods.catalogue import find_method
from eebench.options import resolve_options
from eebench.store import RunSpec
from eebench.suites import Suite
from eebench.tasks.sources import load_task
from eebench.tasks.specs import CATALOGUE, TaskSpec, task_spec
from eebench.tasks.splits import Split, TaskData
from eebench.training.options import TrainingOptions
from eebench.training.stages import everything, refuse_shared


@dataclass(frozen=True)
class Job:
    """One run to make: what it is (`spec`) and how to make it."""

    spec: RunSpec
    method: Method
    options: TrainingOptions
    backbone: str
    task: TaskSpec
    data: TaskData
    seed: int
    needs: Mapping[str, Job]

    @property
    def variant(self) -> str:
        """The options that only inference reads, as text; empty for most methods. Each has a trace of its own."""
        return ";".join(f"{name}={getattr(self.options, name)}" for name in sorted(self.method.inference))

    @property
    def key(self) -> str:
        """The run and what is done with it: jobs of one key have the same traces."""
        return f"{self.spec.key};{self.variant}"

    @property
    def title(self) -> str:
        """What progress bars and messages call it."""
        return f"{self.method.label(self.options)} on {self.task.name}, {self.backbone}, seed {self.seed}"

    @property
    def others(self) -> tuple[str, ...]:
        """The backbones that its model consists of besides `backbone`."""
        return self.method.others(self.options)


@dataclass(frozen=True)
class Cell:
    """One cell of a suite's table: the label it is reported under and the job whose run it shows.

    `job` is None when the cell cannot even be planned, for example without its data; `problem` says why.
    """

    label: str
    method: Method
    task: TaskSpec
    backbone: str
    seed: int
    job: Job | None
    problem: str = ""

    @property
    def title(self) -> str:
        """What messages call it."""
        return f"{self.label} on {self.task.name}, {self.backbone}, seed {self.seed}"


@dataclass(frozen=True)
class Plan:
    """All cells of a suite, and the distinct jobs behind them, needs before those who need them."""

    cells: tuple[Cell, ...]
    jobs: tuple[Job, ...]


class Planner:
    """Turns choices into jobs; loads each data set once."""

    def __init__(self, data_dir: Path | None, precision: str) -> None:
        self.data_dir, self.precision = data_dir, precision
        self._data: dict[str, TaskData | DataError] = {}
        self._depths: dict[str, int | UserError] = {}
        self._sound: set[tuple[str, str, str]] = set()

    def plan(self, suite: Suite, only: Mapping[str, set[str]] | None = None) -> Plan:
        """The plan of `suite`, cut to the cells that `only` allows (keys method, task, backbone, seed)."""
        check_only(only or {}, suite)
        cells, problems = [], []
        for task, backbone, choice in product(suite.tasks, suite.backbones, suite.choices):
            for seed in suite.seeds_of(choice):
                if not allowed(only or {}, choice, backbone, task, seed):
                    continue
                try:
                    cells.append(self.cell(choice, backbone, task, seed))
                except UserError as error:
                    problems.append(str(error))
        if problems:
            raise ConfigError(list(dict.fromkeys(problems)))
        if not cells:
            raise UserError(
                f"--only leaves nothing to run; `eebench status --suite {suite.name}` shows all cells."
            )
        return Plan(tuple(cells), in_order(cell.job for cell in cells if cell.job is not None))

    def cell(self, choice: MethodChoice, backbone: str, task: TaskSpec, seed: int) -> Cell:
        """One cell with its job; data that cannot be had, or a search in vain, leave a cell with the reason."""
        tuned = choice.tuned.get((task.trained_as, backbone), Tuned())
        if tuned.problem:
            return Cell(choice.label, choice.method, task, backbone, seed, None, tuned.problem)
        try:
            job = self.job(choice.method, choice.options_for(task.trained_as, backbone), backbone, task, seed)
        except DataError as error:
            return Cell(choice.label, choice.method, task, backbone, seed, None, str(error))
        return Cell(choice.label, choice.method, task, backbone, seed, job)

    def job(self, method: Method, options: TrainingOptions, backbone: str, task: TaskSpec, seed: int) -> Job:
        """The job of one run; raises UserError when the method cannot do this task or backbone."""
        if task.dev_of:
            job = self.job(method, options, backbone, self.trained_task(task), seed)
            job.data.splits.setdefault(task.dev_split, self.second_dev(task))
            return job
        if task.is_regression and not method.regression:
            raise UserError(f"method '{method.name}' is not defined for regression ({task.name}); use joint.")
        options = method.settled(options, backbone)
        depth = self.depth(backbone)
        check_depth(method.depth(options, depth), depth, backbone)
        for name in (backbone, *method.others(options)):
            check_vocabulary(name)
        method.check(options, partial(skeleton_backbone, backbone))
        self._check_frozen(method, options, backbone)
        resolved = options.model_copy(
            update={
                "precision": self.precision if options.precision == "auto" else options.precision,
                "max_length": min(
                    tokens_kept(options.max_length, task, name)
                    for name in (backbone, *method.others(options))
                ),
                # Part of what a run is: the same weights read otherwise are another model.
                "head": options.head.model_copy(
                    update={"pooling": options.head.pooling or backbone_pooling(backbone)}
                ),
            }
        )
        needs = {
            role: self.job(
                find_method(need.method),
                resolve_options(find_method(need.method), {**need.options, "precision": resolved.precision,
                                                           "max_length": resolved.max_length}, role),
                need.backbone or backbone, task, seed,
            )
            for role, need in method.needs(resolved).items()
        }  # fmt: skip
        data = self.data(task)
        spec = RunSpec(
            recipe=method.recipe, recipe_version=method.version,
            options=resolved.model_dump(mode="json", exclude=set(method.inference)),
            backbone=backbone_fingerprint(backbone), task=task.name, data=data.fingerprint, seed=seed,
            needs={role: job.spec.key for role, job in needs.items()},
            labels="standardised" if task.is_regression else "",
            metric=task.metric if method.chooses(resolved) and task.metric != usual_metric(task) else "",
            others={other: backbone_fingerprint(other) for other in method.others(resolved)},
        )  # fmt: skip
        return Job(spec, method, resolved, backbone, task, data, seed, needs)

    def _check_frozen(self, method: Method, options: TrainingOptions, backbone: str) -> None:
        """UserError where a stage would move what it holds frozen; looked at once for all tasks and seeds."""
        recipe = (method.name, options.model_dump_json(), backbone)
        stages = [stage for stage in method.stages(options) if stage.trains is not everything]
        if not stages or recipe in self._sound:
            return
        skeleton = skeleton_backbone(backbone, method.depth(options, self.depth(backbone)))
        with torch.device("meta"):
            model = method.build(skeleton, 2, options)
        for stage in stages:
            try:
                refuse_shared(stage, model)
            except UserError as error:
                raise UserError(f"{method.name}: {error}") from None
        self._sound.add(recipe)

    def depth(self, backbone: str) -> int:
        """The backbone's number of layers; one that cannot be had is asked for once, not for every cell."""
        if backbone not in self._depths:
            try:
                self._depths[backbone] = backbone_depth(backbone)
            except UserError as error:
                self._depths[backbone] = error
        found = self._depths[backbone]
        if isinstance(found, UserError):
            raise found
        return found

    def remember(self, data: TaskData) -> None:
        """Uses `data` for its task instead of loading it: data that exist only in memory."""
        self._data[data.spec.name] = data

    def trained_task(self, task: TaskSpec) -> TaskSpec:
        """The task whose runs a second dev set is shown for, with the same headline."""
        return task_spec(task.dev_of).headlined(task.metric)

    def second_dev(self, task: TaskSpec) -> Split:
        """The rows of a second dev set."""
        return self._loaded(task, ("dev",)).splits["dev"]

    def data(self, task: TaskSpec) -> TaskData:
        """The task's data, loaded once."""
        return self._loaded(task, ("train", "dev"))

    def _loaded(self, task: TaskSpec, splits: Sequence[str]) -> TaskData:
        """A task's splits; data that cannot be had are asked for once, not for every cell."""
        if task.name not in self._data:
            try:
                self._data[task.name] = load_task(task, self.data_dir, splits)
            except DataError as error:
                self._data[task.name] = error
        found = self._data[task.name]
        if isinstance(found, DataError):
            raise found
        return found


ONLY_KEYS = ("method", "task", "backbone", "seed")


def parse_only(text: str) -> dict[str, set[str]]:
    """`"method=gaml,task=rte,task=mrpc"` -> {"method": {"gaml"}, "task": {"rte", "mrpc"}}."""
    wanted: dict[str, set[str]] = {}
    for part in filter(None, text.split(",")):
        key, separator, value = part.partition("=")
        if not separator or key not in ONLY_KEYS:
            raise UserError(f"--only {part}: write it as key=value with key one of {', '.join(ONLY_KEYS)}.")
        wanted.setdefault(key, set()).add(value)
    if text and not wanted:
        raise UserError(f"--only {text}: write it as key=value, for example --only method=gaml,task=rte.")
    return wanted


def check_only(only: Mapping[str, set[str]], suite: Suite) -> None:
    """UserError naming every value of `--only` that the suite does not have."""
    known = {
        "method": [name for choice in suite.choices for name in (choice.label, choice.method.name)],
        "task": [task.name for task in suite.tasks], "backbone": suite.backbones,
        "seed": [str(seed) for seed in suite.all_seeds],
    }  # fmt: skip
    problems = []
    for key, values in only.items():
        for value in sorted(values - set(known[key])):
            near = closest(value, known[key])
            hint = f"did you mean '{near}'?  " if near else ""
            there = ", ".join(dict.fromkeys(known[key]))
            problems.append(f"--only {key}={value}: not in suite '{suite.name}'; {hint}it has {there}.")
    if problems:
        raise ConfigError(problems)


def allowed(
    only: Mapping[str, set[str]], choice: MethodChoice, backbone: str, task: TaskSpec, seed: int
) -> bool:
    """Whether the choice is run there and `--only` keeps the cell; a method is named by its label or its name."""
    if choice.tasks is not None and task.name not in choice.tasks:
        return False
    if choice.backbones is not None and backbone not in choice.backbones:
        return False
    names = {
        "method": {choice.label, choice.method.name}, "task": {task.name},
        "backbone": {backbone}, "seed": {str(seed)},
    }  # fmt: skip
    return all(names[key] & values for key, values in only.items())


def usual_metric(task: TaskSpec) -> str:
    """The headline of a task where nobody asks for another."""
    if task.name in CATALOGUE:
        return CATALOGUE[task.name].metric
    return "pearson" if task.is_regression else "accuracy"


def tokens_kept(asked: int | None, task: TaskSpec, backbone: str) -> int:
    """The length that texts are cut to: what is asked for, else the task's as far as the backbone reads.

    Raises UserError when more is asked than the backbone has positions for.
    """
    positions = backbone_positions(backbone)
    if asked is not None and asked > positions:
        raise UserError(f"max_length={asked} is more than '{backbone}' can read; choose 3..{positions}.")
    return min(task.max_length, positions) if asked is None else asked


def in_order(jobs: Iterable[Job]) -> tuple[Job, ...]:
    """Each distinct job once, what it needs first."""
    ordered: dict[str, Job] = {}

    def visit(job: Job) -> None:
        for needed in job.needs.values():
            visit(needed)
        ordered.setdefault(job.key, job)

    for job in jobs:
        visit(job)
    return tuple(ordered.values())
