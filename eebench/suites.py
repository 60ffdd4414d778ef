"""Suites: a YAML file that names backbones, methods, tasks, seeds and rules, checked strictly.

Everything wrong in a file is reported at once: unknown keys, wrong types, unknown names, each with the place
and a suggestion.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

import eebench
from eebench.cost.conventions import convention
from eebench.errors import ConfigError, EebenchError, UnknownName
from eebench.methods.base import Method
from eebench.methods.catalogue import find_method
from eebench.options import describe, merge, resolve_options
from eebench.rules.catalogue import find_rule
from eebench.tasks.files import FileTask, file_task
from eebench.tasks.specs import TaskSpec, task_spec
from eebench.training.options import TrainingOptions
from eebench.yaml_files import read_yaml

SUITE_FOLDER = Path("suites")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class MethodEntry(_Strict):
    """One method with its options; `each` lists values to expand into several entries."""

    name: str
    label: str | None = None
    options: dict[str, Any] = Field(default_factory=dict)
    each: dict[str, list[Any]] = Field(default_factory=dict)


class FileTaskEntry(_Strict):
    """A task of your own: files relative to the suite, and which columns to read."""

    name: str
    train: str
    dev: str
    text: list[str]
    label: str
    labels: list[str] = Field(default_factory=list)
    metric: str = "accuracy"


class CostEntry(_Strict):
    """How cost is counted: convention, and the sequence length charged (a number, or each sample's own)."""

    convention: str = "full_2mac"
    length: int | Literal["real"] = 128


class SuiteFile(_Strict):
    """The keys of a suite file."""

    name: str | None = None
    description: str = ""
    backbones: list[str] = Field(min_length=1)
    tasks: list[str | FileTaskEntry] = Field(min_length=1)
    methods: list[str | MethodEntry] = Field(min_length=1)
    seeds: list[int] = Field(default=[42], min_length=1)
    rules: dict[str, Literal["default"] | list[float]] = {"budgeted": "default"}
    defaults: dict[str, Any] = Field(default_factory=dict)
    protocol: Literal["paper"] = "paper"
    cost: CostEntry = CostEntry()


class MethodChoice(BaseModel):
    """One method with resolved options, under the label results use."""

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True)

    label: str
    method: Method
    options: TrainingOptions


class Suite(BaseModel):
    """A checked suite, ready to plan. `rules` maps names to thresholds, None for the rule's default grid."""

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True)

    name: str
    description: str
    backbones: list[str]
    tasks: list[TaskSpec]
    choices: list[MethodChoice]
    seeds: list[int]
    rules: dict[str, list[float] | None]
    protocol: str
    cost: CostEntry


def suite_names() -> list[str]:
    """Names of the suites at hand, sorted."""
    return sorted({path.stem for folder in _folders() for path in folder.glob("*.yaml")})


def _folders() -> list[Path]:
    beside_package = Path(eebench.__file__).parent.parent / SUITE_FOLDER
    return [folder for folder in dict.fromkeys((SUITE_FOLDER, beside_package)) if folder.is_dir()]


def find_suite(name: str) -> Path:
    """The file of a suite given by name or by path; raises UnknownName."""
    if name.endswith((".yaml", ".yml")):
        return Path(name)
    for folder in _folders():
        if (folder / f"{name}.yaml").is_file():
            return folder / f"{name}.yaml"
    raise UnknownName("suite", name, suite_names())


def load_suite(name: str) -> Suite:
    """Reads and checks a suite; ConfigError lists every mistake in it."""
    path = find_suite(name)
    raw = read_yaml(path)
    problems: list[str] = []
    try:
        file = SuiteFile.model_validate(raw)
    except ValidationError as error:
        problems += _structure_problems(error, path)
        file = _salvage(raw, error)
    checker = _Checker(path, file, problems)
    suite = checker.suite()
    if problems:
        raise ConfigError(problems)
    return suite


def _structure_problems(error: ValidationError, path: Path) -> list[str]:
    """Problems of form, without the noise of every failed branch of a union."""
    lines = []
    for line in describe(error, SuiteFile, str(path)):
        if ".str:" not in line and line not in lines:
            lines.append(line.replace(".MethodEntry", "").replace(".FileTaskEntry", ""))
    return lines


def _salvage(raw: dict[str, Any], error: ValidationError) -> SuiteFile:
    """The parts of a malformed suite that are sound, so that their mistakes are reported in the same go."""
    broken = {str(problem["loc"][0]) for problem in error.errors() if problem["loc"]}
    sound = {key: value for key, value in raw.items() if key in SuiteFile.model_fields and key not in broken}
    fallback = {"backbones": ["toy"], "tasks": ["rte"], "methods": ["finetune"]}
    return SuiteFile.model_validate({**fallback, **sound})


class _Checker:
    """Resolves the names and options of a suite, collecting problems instead of stopping at the first."""

    def __init__(self, path: Path, file: SuiteFile, problems: list[str]) -> None:
        self.path, self.file, self.problems = path, file, problems

    def suite(self) -> Suite:
        file = self.file
        choices = list(self._choices())
        labels = [choice.label for choice in choices]
        for label in sorted({label for label in labels if labels.count(label) > 1}):
            self.problems.append(
                f"{self.path}: methods: two entries are called '{label}'; give one a `label:`."
            )
        return Suite(
            name=file.name or self.path.stem, description=file.description, backbones=file.backbones,
            tasks=list(self._tasks()), choices=choices, seeds=file.seeds, rules=dict(self._rules()),
            protocol=file.protocol, cost=self._cost(),
        )  # fmt: skip

    def _note(self, error: EebenchError) -> None:
        self.problems += error.problems if isinstance(error, ConfigError) else [str(error)]

    def _choices(self) -> Iterator[MethodChoice]:
        for index, item in enumerate(self.file.methods):
            entry = MethodEntry(name=item) if isinstance(item, str) else item
            where = f"{self.path}: methods[{index}]"
            try:
                method = find_method(entry.name, where)
            except EebenchError as error:
                self._note(error)
                continue
            for values in product(*entry.each.values()):
                given = merge(self.file.defaults, entry.options, dict(zip(entry.each, values, strict=True)))
                try:
                    options = resolve_options(method, given, f"{where} ({entry.name})")
                except EebenchError as error:
                    self._note(error)
                    continue
                yield MethodChoice(label=entry.label or method.label(options), method=method, options=options)

    def _tasks(self) -> Iterator[TaskSpec]:
        for index, entry in enumerate(self.file.tasks):
            try:
                if isinstance(entry, str):
                    yield task_spec(entry, f"{self.path}: tasks[{index}]")
                else:
                    yield self._file_task(entry)
            except EebenchError as error:
                self._note(error)

    def _file_task(self, entry: FileTaskEntry) -> TaskSpec:
        base = self.path.parent
        task = FileTask(
            entry.name, base / entry.train, base / entry.dev, tuple(entry.text), entry.label,
            tuple(entry.labels), entry.metric,
        )  # fmt: skip
        return file_task(task)

    def _rules(self) -> Iterator[tuple[str, list[float] | None]]:
        for name, grid in self.file.rules.items():
            try:
                find_rule(name, f"{self.path}: rules")
            except EebenchError as error:
                self._note(error)
            yield name, None if grid == "default" else list(grid)

    def _cost(self) -> CostEntry:
        try:
            convention(self.file.cost.convention)
        except EebenchError as error:
            self._note(error)
        return self.file.cost
