"""What sections are drawn from: the results of one backbone, asked for by the labels of the suite."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd

from eebench.report.selection import FULL_MODEL, Shown, mapping, of_rules, operating_point
from eebench.results import Results
from eebench.sections import Section
from eebench.stats import mean_and_std
from eebench.tasks.metrics import metric_title


@dataclass(frozen=True)
class Spread:
    """A mean over seeds with its standard deviation; NaN where there is none, as for the deviation of one seed."""

    mean: float = float("nan")
    std: float = float("nan")
    seeds: int = 0

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread:
        """Of one value per seed."""
        found = list(values)
        if not found:
            return cls()
        mean, std = mean_and_std(found)
        return cls(mean, float("nan") if std is None else std, len(found))

    @classmethod
    def read(cls, row: pd.Series[Any] | None) -> Spread:
        """Of a row of the results that is averaged already."""
        if row is None:
            return cls()
        return cls(float(row["score_mean"]), float(row["score_std"]), int(row["seeds"]))


@dataclass(frozen=True)
class Drawing:
    """A figure of a section: the task it is of, what it shows, its bytes."""

    task: str
    alt: str
    svg: bytes


Block = str | Drawing
"""A piece of Markdown, or a figure."""


@dataclass(frozen=True)
class Ground:
    """The results of one backbone on the split shown, under one convention.

    The rows are those of `distinguish`: their label is in the column ``base``. `held` are the points that choose
    settings, empty when those shown do; `histograms`, `checks`, `simple` and `layers` are the files of those names;
    `about` is what the provenance says of each label. Scores are of the headline metric of their task; `every` has
    points, exits and simple inputs of all metrics. Where several backbones stand together (`together`), `backbone` is
    the first, and `origins` has what the labels made for the others stand for.
    """

    backbone: str
    points: pd.DataFrame
    held: pd.DataFrame
    exits: pd.DataFrame
    runs: pd.DataFrame
    histograms: pd.DataFrame
    checks: pd.DataFrame
    simple: pd.DataFrame
    layers: pd.DataFrame
    methods: Mapping[str, Shown]
    about: Mapping[str, Any]
    every: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    origins: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    def origin(self, label: str) -> tuple[str, str]:
        """The label in the suite and the backbone of a label here."""
        return self.origins.get(label, (label, self.backbone))

    def title(self, label: str) -> str:
        """How the page calls a label."""
        return str(mapping(self.about.get(label)).get("title") or label)

    def method(self, label: str) -> str:
        """The name of the method behind a label."""
        return str(mapping(self.about.get(label)).get("method") or label)

    def heading(self, label: str) -> str:
        """How the page calls the method behind a label, whatever the label."""
        return self.title(label).removesuffix(f" ({label})")

    def option(self, label: str, task: str, key: str) -> Any:
        """What an option was on a task: its own there, as a search chose it, or the method's; None if unknown.

        Example: ``option("gaml", "cola", "head.pooling")``.
        """
        value: Any = self._options(label, task)
        for part in key.split("."):
            value = mapping(value).get(part)
        return value

    def _options(self, label: str, task: str) -> Mapping[str, Any]:
        about = mapping(self.about.get(label))
        chosen = mapping(mapping(mapping(about.get("chosen")).get(task)).get(self.backbone))
        own = mapping(mapping(about.get("task_options")).get(task))
        return {**mapping(about.get("options")), **own, **chosen}

    def changes(self, label: str, control: str, task: str) -> list[str]:
        """How the options of a label differ from another's on a task: ``["alpha=0"]``."""
        first, second = self._options(control, task), self._options(label, task)
        return [f"{key}={in_words(value)}" for key, value in second.items() if value != first.get(key)]

    def tasks(self, section: Section) -> list[str]:
        """The tasks a section is about: its own, else those that any of its labels was to be run on."""
        if section.tasks is not None:
            return section.tasks
        mine = self.runs[self.runs["base"].isin(section.labels)]
        return list(dict.fromkeys(map(str, mine["task"])))

    def metric_name(self, task: str) -> str:
        """The metric of a task; empty where there is no score."""
        rows = self.exits[self.exits["task"] == task]
        return str(rows["metric"].iloc[0]) if len(rows) else ""

    def in_metric(self, task: str, metric: str) -> Ground:
        """The same with a task's scores in another of its metrics; itself where the results do not have that one.

        Settings are chosen by their speed-up, so the same ones are.
        """
        if metric == self.metric_name(task):
            return self
        tables = {}
        for name, rows in self.every.items():
            ours = getattr(self, name)
            there = rows[(rows["task"] == task) & (rows["metric"] == metric)]
            if len(there) < (ours["task"] == task).sum():
                return self
            tables[name] = pd.concat([ours[ours["task"] != task], there])
        return replace(self, **tables) if tables else self

    def metric(self, task: str) -> str:
        """The metric of a task on the split shown, as figures name it."""
        rows = self.exits[self.exits["task"] == task]
        return f"{metric_title(rows['metric'].iloc[0])} on {rows['split'].iloc[0]}" if len(rows) else "score"

    def finished(self, label: str, task: str) -> pd.DataFrame:
        """The runs of a label on a task that have a result, one row per seed."""
        runs = of(self.runs, label, task)
        return runs[runs["status"] == "ok"]

    def exit_rows(self, label: str, task: str) -> pd.DataFrame:
        """The scores of a label's exits on a task, shallow first."""
        return of(self.exits, label, task).sort_values("exit")

    def head(self, label: str, task: str) -> str:
        """The form of a label's exits on a task; empty without a result."""
        rows = of(self.exits, label, task)
        return str(rows["head"].iloc[0]) if len(rows) else ""

    def exit_score(self, label: str, task: str, layer: int) -> Spread:
        """The score of the exit after `layer`."""
        rows = self.exit_rows(label, task)
        rows = rows[rows["exit"] == layer]
        return Spread.read(rows.iloc[0] if len(rows) else None)

    def last_exit(self, label: str, task: str) -> Spread:
        """The score of the deepest exit."""
        rows = self.exit_rows(label, task)
        return Spread.read(rows.iloc[-1] if len(rows) else None)

    def seed_means(self, label: str, task: str) -> dict[int, float]:
        """The mean over exits of each seed that has one; folders written before there were such have none."""
        runs = self.finished(label, task)
        runs = runs[runs["exit_mean"].notna()]
        return {int(seed): float(mean) for seed, mean in zip(runs["seed"], runs["exit_mean"], strict=True)}

    def mean_over_exits(self, label: str, task: str) -> Spread:
        """The mean over exits, with the spread over seeds where it is known."""
        means = self.seed_means(label, task)
        if means:
            return Spread.of(means.values())
        rows = self.exit_rows(label, task)
        return (
            Spread(float(rows["score_mean"].mean()), seeds=int(rows["seeds"].iloc[0]))
            if len(rows)
            else Spread()
        )

    def rules(self, label: str, task: str) -> list[str]:
        """The rules swept for a label on a task."""
        return list(dict.fromkeys(map(str, of(self.points, label, task)["rule"])))

    def operating(self, label: str, task: str, rule: str | None = None) -> pd.Series[Any] | None:
        """The operating point of a label on a task, under its default rule or another; None if it has none."""
        curve = self.curve(label, task, rule)
        chosen = operating_point(self._judges(label, task, rule))
        return None if chosen is None else _with_setting(curve, str(chosen["setting"]))

    def nearest(self, label: str, task: str, speedup: float | None) -> pd.Series[Any] | None:
        """The point whose FLOPs speed-up is nearest to one, of equals the first; without one the operating point."""
        if speedup is None:
            return self.operating(label, task)
        curve = self.curve(label, task)
        judges = self._judges(label, task)
        judges = judges[judges["speedup_flops"].notna()]
        if judges.empty:
            return None
        distances = (judges["speedup_flops"] - speedup).abs().to_numpy()
        return _with_setting(curve, str(judges["setting"].iloc[int(distances.argmin())]))

    def curve(self, label: str, task: str, rule: str | None = None) -> pd.DataFrame:
        """All points of a label on a task under its default rule or another, whose knobs may be named."""
        return self._under(of(self.points, label, task), rule)

    def _under(self, points: pd.DataFrame, rule: str | None) -> pd.DataFrame:
        """The points of one label that are of a rule."""
        if points.empty:
            return points
        form = rule or self.methods[str(points["method"].iloc[0])].rule
        return of_rules(points, [form] * len(points))

    def _judges(self, label: str, task: str, rule: str | None = None) -> pd.DataFrame:
        """The points that choose a setting of a curve: those held out for it, else its own."""
        curve = self.curve(label, task, rule)
        judges = curve if curve.empty else self._under(of(self.held, label, task), rule)
        return curve if judges.empty else judges

    def at(self, label: str, task: str, rule: str, threshold: float) -> pd.Series[Any] | None:
        """The point of a rule at one threshold, the first of equals; None if there is none.

        Example: ``at("pabee", "cola", "entropy", 0.3)`` has the setting ``S=0.3``.
        """
        curve = self.curve(label, task, rule)
        return next((row for _, row in curve.iterrows() if is_at(str(row["setting"]), threshold)), None)

    def static(self, label: str, task: str) -> bool:
        """Whether a label has one exit alone."""
        return len(self.exit_rows(label, task)) == 1

    def full(self, task: str) -> str | None:
        """The label of the full model on a task: the fine-tuned backbone with nothing added."""
        there = dict.fromkeys(map(str, self.exits[self.exits["task"] == task]["base"]))
        own = (label for label in there if self.origin(label)[1] == self.backbone)
        return next((label for label in own if self.method(label) == FULL_MODEL), None)

    def planned(self) -> set[str]:
        """The labels that were to be run."""
        return set(map(str, self.runs["base"]))

    def without_result(self, section: Section, elsewhere: Collection[str] = ()) -> Iterator[str]:
        """Every label and task of a section that was to be run and has no result.

        A label of no run at all is one too, unless it is among those of `elsewhere`, of other backbones.
        """
        for label in section.labels:
            planned = self.runs[self.runs["base"] == label]["task"].unique()
            if not len(planned) and label not in elsewhere:
                yield label
            for task in self.tasks(section):
                if task in planned and self.finished(label, task).empty:
                    yield f"{label} on {task}"


def _with_setting(curve: pd.DataFrame, setting: str) -> pd.Series[Any] | None:
    """The row of one setting."""
    shown = curve[curve["setting"] == setting]
    return shown.iloc[0] if len(shown) else None


def knobs_of(setting: str) -> dict[str, float]:
    """The numbers of a setting, in their order: "theta=0.06;R=2" -> {"theta": 0.06, "R": 2.0}; empty for odd texts."""
    try:
        return {name: float(value) for name, value in (part.split("=") for part in setting.split(";"))}
    except ValueError:
        return {}


def in_words(value: Any) -> str:
    """A value as the items of printed tables spell it: ``0.3``, ``false``, ``hard_labels``."""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def is_at(setting: str, threshold: float) -> bool:
    """Whether a setting has this threshold, which is its last number."""
    numbers = list(knobs_of(setting).values())
    return bool(numbers) and math.isclose(numbers[-1], threshold, abs_tol=1e-12)


def of(rows: pd.DataFrame, label: str, task: str) -> pd.DataFrame:
    """The rows of one label on one task."""
    return rows[(rows["base"] == label) & (rows["task"] == task)]


def grounds(
    results: Results, held: pd.DataFrame, methods: Mapping[str, Shown], every: Results | None = None
) -> Iterator[Ground]:
    """One ground per backbone, on its first split and convention; takes results of `distinguish`.

    `every` are the results under all metrics, `results` under one a task.
    """
    about = mapping(results.provenance.get("methods"))
    histograms, checks, layers = (
        table.assign(base=table["method"]) for table in (results.histograms, results.checks, results.layers)
    )
    for backbone in dict.fromkeys(map(str, results.runs["backbone"])):
        scores, every_score = (_scores(part, backbone) for part in (results, every or results))
        judges, runs, counted, checked, sizes = (
            table[table["backbone"] == backbone] for table in (held, results.runs, histograms, checks, layers)
        )
        points = scores["points"]
        if len(points):
            checked = checked[checked["split"] == points["split"].iloc[0]]
            judges = judges[judges["convention"] == points["convention"].iloc[0]]
        yield Ground(backbone, points, judges, scores["exits"], runs, counted, checked, scores["simple"], sizes,
                     methods, about, every_score)  # fmt: skip


def _scores(results: Results, backbone: str) -> dict[str, pd.DataFrame]:
    """Points, exits and simple inputs of a backbone, on the first split and convention of its points."""
    simple = results.simple.assign(base=results.simple["method"])
    points, exits, simple = (
        table[table["backbone"] == backbone] for table in (results.points, results.exits, simple)
    )
    points = first(points, "split", "convention")
    if len(points):
        split = points["split"].iloc[0]
        exits, simple = (table[table["split"] == split] for table in (exits, simple))
    return {"points": points, "exits": exits, "simple": simple}


def first(rows: pd.DataFrame, *columns: str) -> pd.DataFrame:
    """The rows whose `columns` are those of the first row."""
    for column in columns:
        rows = rows[rows[column] == rows[column].iloc[0]] if len(rows) else rows
    return rows
