"""Suites: a YAML file that names backbones, methods, tasks, seeds and rules, checked strictly.

Everything wrong in a file is reported at once: unknown keys, wrong types, unknown names, each with the place
and a suggestion.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from itertools import product
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

import eebench
from eebench.backbones.checkpoints import BUNDLED, HUB_EXAMPLES, backbone_depth
from eebench.choices import MethodChoice
from eebench.cost.conventions import CONVENTIONS, DEFAULT_CONVENTION
from eebench.errors import ConfigError, DataError, EebenchError, UnknownName, UserError, closest
from eebench.methods.base import Method
from eebench.methods.catalogue import find_method
from eebench.options import describe, merge, resolve_options
from eebench.overrides import UNCHANGED, Overrides, among
from eebench.rules.base import Geometry, Rule
from eebench.rules.catalogue import rule_family, rule_form
from eebench.sections import Known, Section, kind_of, no_kind, unknown
from eebench.tasks.files import FileTask, file_task
from eebench.tasks.metrics import find_metric
from eebench.tasks.specs import CATALOGUE, TaskSpec, task_spec
from eebench.tasks.splits import HELD_OUT
from eebench.training.options import TrainingOptions
from eebench.yaml_files import read_yaml

SUITE_FOLDER = Path("suites")
Entry = TypeVar("Entry", bound=BaseModel)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class MethodEntry(_Strict):
    """One method with its options; `each` lists values to expand into several entries.

    `task_options` are options for single tasks, `rule` the rule reports show the method under (None: its own),
    `tasks`, `backbones` and `seeds` the ones it is run on (None: those of the suite; only seeds may be others).
    """

    name: str
    label: str | None = None
    options: dict[str, Any] = Field(default_factory=dict)
    task_options: dict[str, dict[str, Any]] = Field(default_factory=dict)
    each: dict[str, list[Any]] = Field(default_factory=dict)
    rule: str | None = None
    tasks: list[str] | None = Field(default=None, min_length=1)
    backbones: list[str] | None = Field(default=None, min_length=1)
    seeds: list[int] | None = Field(default=None, min_length=1)


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

    convention: str = DEFAULT_CONVENTION
    length: int | Literal["real"] = 128

    @field_validator("length", mode="before")
    @classmethod
    def _countable(cls, length: Any) -> Any:
        if length != "real" and (not isinstance(length, int) or isinstance(length, bool) or length < 1):
            raise ValueError("write a number of tokens, 1 or more, or real")
        return length


class SuiteFile(_Strict):
    """The keys of a suite file. Tasks, methods and rules are read one by one, so that each mistake has its place.

    A task is a name or a `FileTaskEntry`, a method a name or a `MethodEntry`, a rule's value `default` or a list
    of thresholds, a section one of `eebench.sections`. Later ones win: defaults, task_defaults, a method's options,
    its task_options, `search`, `each`. `metrics` chooses the headline of single tasks among the metrics they have.
    """

    name: str | None = Field(default=None, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    description: str = ""
    backbones: list[str] = Field(min_length=1)
    tasks: list[Any] = Field(min_length=1)
    methods: list[Any] = Field(min_length=1)
    seeds: list[int] = Field(default=[42], min_length=1)
    rules: dict[str, Any] = {"budgeted": "default"}
    defaults: dict[str, Any] = Field(default_factory=dict)
    task_defaults: dict[str, dict[str, Any]] = Field(default_factory=dict)
    search: dict[str, list[Any]] = Field(default_factory=dict)
    protocol: Literal["paper", "blind"] = "paper"
    metrics: dict[str, str] = Field(default_factory=dict)
    cost: CostEntry = CostEntry()
    sections: list[Any] = Field(default_factory=list)


class Suite(BaseModel):
    """A checked suite, ready to plan. `rules` maps names to thresholds, None for the rule's default grid.

    `overrides` is what the command line changed of the file.
    """

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
    sections: list[Section] = Field(default_factory=list)
    overrides: dict[str, Any] = Field(default_factory=dict)

    @property
    def all_seeds(self) -> list[int]:
        """The suite's seeds, then those that only some methods have."""
        own = [seed for choice in self.choices for seed in choice.seeds or ()]
        return list(dict.fromkeys([*self.seeds, *own]))

    def seeds_of(self, choice: MethodChoice) -> Sequence[int]:
        """The seeds one method is run with."""
        return self.seeds if choice.seeds is None else choice.seeds

    @property
    def selection(self) -> str:
        """The split that chooses settings and hyper-parameters."""
        return HELD_OUT if self.protocol == "blind" else "dev"

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits to trace: the one that is reported, then the one that chooses if it is another."""
        return tuple(dict.fromkeys(("dev", self.selection)))


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


def load_suite(name: str, overrides: Overrides = UNCHANGED) -> Suite:
    """Reads and checks a suite with what the command line changes of it; ConfigError lists every mistake."""
    path = find_suite(name)
    raw = overrides.applied(read_yaml(path))
    problems: list[str] = []
    try:
        file = SuiteFile.model_validate(raw)
    except ValidationError as error:
        problems += describe(error, SuiteFile, str(path))
        file = _salvage(raw, error)
    suite = _Checker(path, file, problems, overrides).suite()
    if problems:
        raise ConfigError(problems)
    return suite


def _salvage(raw: Mapping[str, Any], error: ValidationError) -> SuiteFile:
    """The keys of a malformed suite that are sound, so that mistakes in their values are reported in the same go."""
    broken = {problem["loc"][0] for problem in error.errors() if problem["loc"]}
    sound = {key: value for key, value in raw.items() if key in SuiteFile.model_fields and key not in broken}
    lists = ("backbones", "tasks", "methods")
    file = SuiteFile.model_validate({**{key: ["?"] for key in lists}, **sound})
    return file.model_copy(update={key: [] for key in lists if key not in sound})


DEEPEST = 1000
"""Layers assumed of a backbone that is not on this machine, to check thresholds that depend on the depth."""


MISSPELT = 0.85
"""Likeness from which a name is a misspelt one of ours; hub names such as roberta-base stay below."""


class _Checker:
    """Resolves the names and options of a suite, collecting problems instead of stopping at the first."""

    def __init__(self, path: Path, file: SuiteFile, problems: list[str], overrides: Overrides) -> None:
        self.path, self.file, self.problems, self.overrides = path, file, problems, overrides

    def suite(self) -> Suite:
        file = self.file
        choices, tasks = self._chosen(list(self._choices(file.methods))), list(self._tasks())
        self._check_set(choices)
        for label in twice(choice.label for choice in choices):
            self.problems.append(
                f"{self.path}: methods: two entries are called '{label}'; give one a `label:`."
            )
        self._refuse_twice("tasks", [task.name for task in tasks])
        self._refuse_twice("backbones", file.backbones)
        self._refuse_twice("seeds", file.seeds)
        self._check_tasks(file.task_defaults, f"{self.path}: task_defaults")
        self._check_tasks(file.metrics, f"{self.path}: metrics", options=False)
        self._check_search(choices)
        if file.protocol == "blind":
            self._check_blind(choices, [task.name for task in tasks])
        depths = list(self._depths())
        rules = dict(self._rules(max(depths, default=DEEPEST)))
        return Suite(
            name=self._name(), overrides=self.overrides.changes(), description=file.description,
            backbones=file.backbones, tasks=tasks, choices=choices, seeds=file.seeds, rules=rules,
            protocol=file.protocol, cost=self._cost(),
            sections=list(self._sections(choices, [task.name for task in tasks], rules)),
        )  # fmt: skip

    def _refuse_twice(self, key: str, values: Iterable[object]) -> None:
        self.problems += [
            f"{self.path}: {key}: '{value}' is listed twice; remove one." for value in twice(values)
        ]

    def _note(self, error: EebenchError) -> None:
        self.problems += error.problems if isinstance(error, ConfigError) else [str(error)]

    def _entry(self, kind: type[Entry], value: Any, where: str) -> Entry | None:
        """A mapping read as `kind`; None, and the problems noted, when it is not one."""
        if not isinstance(value, dict):
            keys = ", ".join(kind.model_fields)
            self.problems.append(f"{where}: write a name, or a mapping with {keys} (got {value!r}).")
            return None
        try:
            return kind.model_validate(value)
        except ValidationError as error:
            self.problems += describe(error, kind, where)
            return None

    def _name(self) -> str:
        """What results are called."""
        try:
            return self.overrides.name_of(self.file.name or self.path.stem)
        except UserError as error:
            self._note(error)
            return self.path.stem

    def _chosen(self, choices: list[MethodChoice]) -> list[MethodChoice]:
        """The methods that `--method` asks for, by label or name, those that the suite does not have among them."""
        wanted = self.overrides.methods
        if not wanted:
            return choices
        known = {name for choice in choices for name in (choice.label, choice.method.name)}
        added = self._choices([name for name in wanted if name not in known])
        return [
            *(choice for choice in choices if {choice.label, choice.method.name} & set(wanted)), *added
        ]  # fmt: skip

    def _check_set(self, choices: Sequence[MethodChoice]) -> None:
        """Notes options of `--set` that no method of the suite has."""
        known = {key for choice in choices for key in choice.method.options_type.model_fields}
        for key in (key for key in self.overrides.options if choices and key not in known):
            near = closest(key, sorted(known))
            hint = f"did you mean '{near}'?  " if near else ""
            self.problems.append(f"unknown key '{key}' in --set; {hint}no method of the suite has it.")

    def _choices(self, items: Sequence[Any]) -> Iterator[MethodChoice]:
        for index, item in enumerate(items):
            where = f"{self.path}: methods[{index}]"
            entry = MethodEntry(name=item) if isinstance(item, str) else self._entry(MethodEntry, item, where)
            if entry is None:
                continue
            try:
                method = find_method(entry.name, where)
            except EebenchError as error:
                self._note(error)
                continue
            yield from self._expanded(entry, method, f"{where} ({entry.name})")

    def _expanded(self, entry: MethodEntry, method: Method, where: str) -> Iterator[MethodChoice]:
        """The entry once for every combination of `each`."""
        for key in (key for key, values in entry.each.items() if not values):
            self.problems.append(f"{where}: each: '{key}' lists no value; give one or more.")
        self._check_tasks(entry.task_options, f"{where}: task_options")
        self._check_tasks(entry.tasks or (), f"{where}: tasks", options=False)
        self.problems += unknown(
            "backbone", entry.backbones or (), self.file.backbones, f"{where}: backbones"
        )
        for seed in twice(entry.seeds or ()):
            self.problems.append(f"{where}: seeds: '{seed}' is listed twice; remove one.")
        try:
            rule = rule_form(entry.rule, f"{where}: rule") if entry.rule is not None else None
        except EebenchError as error:
            self._note(error)
            return
        special = dict.fromkeys([*self.file.task_defaults, *entry.task_options])
        for values in product(*entry.each.values()):
            each = dict(zip(entry.each, values, strict=True))
            options = self._options(method, where, self._layers(entry, method, where), each)
            by_task = {
                task: self._options(method, where, self._layers(entry, method, where, task), each)
                for task in special
            }
            sound = {task: found for task, found in by_task.items() if found is not None}
            if options is None or len(sound) < len(by_task):
                continue
            yield MethodChoice(
                label=entry.label or method.label(options), method=method, options=options, by_task=sound,
                searched=self._searched(method, entry), rule=rule,
                tasks=None if entry.tasks is None else frozenset(entry.tasks),
                backbones=None if entry.backbones is None else frozenset(entry.backbones),
                seeds=None if entry.seeds is None else tuple(entry.seeds),
            )  # fmt: skip

    def _layers(
        self, entry: MethodEntry, method: Method, where: str, task: str = ""
    ) -> dict[str, dict[str, Any]]:
        """The places options come from, the later ones winning, and what each of them says."""
        return {
            f"{self.path}: defaults": self.file.defaults,
            f"{self.path}: task_defaults.{task}": self.file.task_defaults.get(task, {}),
            where: entry.options,
            f"{where}: task_options.{task}": entry.task_options.get(task, {}),
            "--set": among(self.overrides.options, method.options_type.model_fields),
        }

    def _options(
        self, method: Method, where: str, layers: Mapping[str, dict[str, Any]], each: dict[str, Any]
    ) -> TrainingOptions | None:
        """The options of one entry; None, and the problems noted, when some are wrong."""
        try:
            return resolve_options(method, merge(*layers.values(), each), where)
        except ConfigError as error:
            self._note_options(error, method, where, layers)
        return None

    def _note_options(
        self, error: ConfigError, method: Method, where: str, layers: Mapping[str, dict[str, Any]]
    ) -> None:
        """Notes wrong options, each at the place it comes from; what methods share is said once."""
        origins: dict[str, str] = {}
        for place, given in layers.items():
            try:
                resolve_options(method, given, where)
            except ConfigError as alone:
                origins = {**dict.fromkeys(alone.problems, place), **origins}
        said = {without_keys(problem) for problem in self.problems}
        for problem in error.problems:
            text = problem.replace(where, origins.get(problem, where))
            if without_keys(text) not in said:
                self.problems.append(text)

    def _check_tasks(self, named: Collection[str], where: str, options: bool = True) -> None:
        """Notes the tasks that are not in the suite, and those that cannot have `options` of their own."""
        tasks = [item if isinstance(item, str) else item.get("name") for item in self.file.tasks
                 if isinstance(item, str | dict)]  # fmt: skip
        known = [str(task) for task in tasks]
        shown = {task.name: task.dev_of for task in CATALOGUE.values() if task.dev_of}
        self.problems += [
            f"{where}: {name} shows the runs of {shown[name]} on another dev set; give the options to {shown[name]}."
            for name in named if options and name in shown
        ]  # fmt: skip
        for name in (name for name in named if known and name not in known):
            near = closest(name, known)
            hint = f"did you mean '{near}'?  " if near else ""
            self.problems.append(f"unknown task '{name}' in {where}; {hint}the suite has {', '.join(known)}.")

    def _searched(self, method: Method, entry: MethodEntry) -> dict[str, list[Any]]:
        """What is searched for an entry: the keys it has, but for those that `each` already spreads."""
        known = method.options_type.model_fields
        return {
            key: values for key, values in self.file.search.items() if key in known and key not in entry.each
        }

    def _check_search(self, choices: Sequence[MethodChoice]) -> None:
        """Notes keys that no method has, values that do not fit one that has the key, and empty lists."""
        where, search = f"{self.path}: search", self.file.search
        known = list(
            dict.fromkeys(key for choice in choices for key in choice.method.options_type.model_fields)
        )
        problems = []
        for key, values in search.items():
            if choices and key not in known:
                near = closest(key, known)
                hint = f"did you mean '{near}'?  " if near else ""
                problems.append(f"unknown key '{key}' in {where}; {hint}no method of the suite has it.")
            if key == "holdout" and self.file.protocol == "blind":
                problems.append(
                    f"{where}: holdout: protocol blind compares on one held-out slice; remove it."
                )
            if not values:
                problems.append(f"{where}: '{key}' lists no value; give one or more.")
            problems += [
                f"{where}: {key}: {value} is listed twice; remove one." for value in twice(map(repr, values))
            ]
        for choice in choices:
            for key, value in ((key, value) for key, values in choice.searched.items() for value in values):
                try:
                    given = choice.options.model_dump(exclude_unset=True)
                    resolve_options(choice.method, merge(given, {key: value}), where)
                except ConfigError as error:
                    problems += error.problems
        self.problems += dict.fromkeys(problems)

    def _check_blind(self, choices: Sequence[MethodChoice], tasks: Sequence[str]) -> None:
        """Notes the methods that hold nothing out, so that nothing but dev could choose their settings."""
        for choice in choices:
            if any(choice.options_for(task, "").holdout == 0 for task in tasks):
                self.problems.append(
                    f"{self.path}: protocol: blind chooses settings on a slice held out of train, but "
                    f"'{choice.label}' holds nothing out; set `holdout: 0.1` in defaults or in its options."
                )

    def _tasks(self) -> Iterator[TaskSpec]:
        for index, item in enumerate(self.file.tasks):
            where = f"{self.path}: tasks[{index}]"
            try:
                if isinstance(item, str):
                    yield self._headlined(task_spec(item, where))
                elif (entry := self._entry(FileTaskEntry, item, where)) is not None:
                    yield self._headlined(self._file_task(entry, where))
            except UnknownName as error:
                self._note(error)
            except EebenchError as error:
                self.problems.append(f"{where}: {error}")

    def _headlined(self, task: TaskSpec) -> TaskSpec:
        """The task with the headline that the suite asks for."""
        asked = self.file.metrics.get(task.name)
        try:
            return task if asked is None else task.headlined(asked)
        except UserError as error:
            self.problems.append(f"{self.path}: metrics: {error}")
            return task

    def _file_task(self, entry: FileTaskEntry, where: str) -> TaskSpec:
        find_metric(entry.metric, where)
        base = self.path.parent
        task = FileTask(
            entry.name, base / entry.train, base / entry.dev, tuple(entry.text), entry.label,
            tuple(entry.labels), entry.metric,
        )  # fmt: skip
        try:
            return file_task(task)
        except DataError:
            if task.train.is_file():
                raise
            # Data that are not there fail their own cells, like those of a named task, and leave the others alone.
            return file_task(replace(task, labels=("?", "?")))

    def _depths(self) -> Iterator[int]:
        """Depth of each backbone; names on the hub are looked up when they are used, not here."""
        for index, name in enumerate(self.file.backbones):
            where = f"{self.path}: backbones[{index}]"
            try:
                yield backbone_depth(name) if is_local(name) else DEEPEST
            except EebenchError as error:
                if name in BUNDLED:  # not installed here: a suite can be read all the same
                    yield DEEPEST
                else:
                    self.problems.append(f"{where}: {error}")
            if not is_local(name) and get_close_matches(name, BUNDLED, cutoff=MISSPELT):
                self._note(UnknownName("backbone", name, [*BUNDLED, *HUB_EXAMPLES], where))

    def _rules(self, depth: int) -> Iterator[tuple[str, list[float] | None]]:
        seen: set[object] = set()
        for name, grid in self.file.rules.items():
            try:
                family = rule_family(name, f"{self.path}: rules")
                if grid != "default":
                    check_thresholds(family[0], grid, Geometry(tuple(range(1, depth + 1)), 2))
                forms = {(rule.name, *rule.knobs.items()) for rule in family}
                if seen & forms:
                    raise UserError(f"'{name}' is there twice, once inside another rule; remove one.")
                seen |= forms
                yield name, None if grid == "default" else grid
            except UnknownName as error:
                self._note(error)
            except EebenchError as error:
                self.problems.append(f"{self.path}: rules: {error}")

    def _sections(
        self, choices: Sequence[MethodChoice], tasks: Sequence[str], rules: Iterable[str]
    ) -> Iterator[Section]:
        # What a section names is only known once everything else is sound; its form is checked anyway.
        named = not self.problems
        known = Known(
            tasks=tasks, rules=[rule.name for name in rules for rule in rule_family(name)],
            options={choice.label: list(choice.method.options_type.model_fields) for choice in choices},
            backbones=self.file.backbones,
        )  # fmt: skip
        for index, item in enumerate(self.file.sections):
            where = f"{self.path}: sections[{index}]"
            kind = kind_of(item)
            if kind is None:
                self.problems.append(no_kind(item, where))
            elif (section := self._entry(kind, item, where)) is not None:
                problems = list(section.problems(known, where)) if named else []
                if problems and self.overrides.changes():
                    continue  # it is about what the command line leaves out
                self.problems += problems
                yield section

    def _cost(self) -> CostEntry:
        name = self.file.cost.convention
        if name not in CONVENTIONS:
            self._note(UnknownName("convention", name, CONVENTIONS, f"{self.path}: cost"))
        elif (unit := CONVENTIONS[name].unit) != "FLOP":
            self.problems.append(f"{self.path}: cost: {name} counts {unit}s, results are in FLOPs and layers; "
                                 f"choose {DEFAULT_CONVENTION}, linear_2mac or torch110_profiler.")  # fmt: skip
        return self.file.cost


def is_local(backbone: str) -> bool:
    """Whether a backbone is looked for on this machine alone."""
    return (
        backbone in ("toy", *BUNDLED)
        or backbone.startswith((".", "/", "~"))
        or Path(backbone).expanduser().is_dir()
    )


def without_keys(problem: str) -> str:
    """A problem without its list of known keys, which differs from method to method."""
    return problem.split(";", maxsplit=1)[0]


def twice(values: Iterable[object]) -> list[object]:
    """The values that come more than once, each once, in order of first appearance."""
    counts = Counter(values)
    return [value for value, count in counts.items() if count > 1]


def check_thresholds(rule: Rule, grid: object, geometry: Geometry) -> None:
    """UserError unless `grid` is a list of different numbers that `rule` can use somewhere in `geometry`."""
    numbers = isinstance(grid, list) and all(type(value) in (int, float) for value in grid)
    if not (isinstance(grid, list) and numbers and grid):
        raise UserError(
            f"{rule.name}: write default, or a list of numbers such as [0.1, 0.3] (got {grid!r})."
        )
    for threshold in grid:
        rule.check(threshold, geometry)
    for threshold in twice(grid):
        raise UserError(f"{rule.name}: {rule.knob}={threshold} is listed twice; remove one.")
