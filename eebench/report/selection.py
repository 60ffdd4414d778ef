"""What the report shows of the results: which rule of a method, and which of its many points.

Nothing here looks at a score: an operating point is chosen by its speed-up alone, so it cannot flatter. Results of
a blind protocol have rows of the held-out slice too, which choose and are never shown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from eebench.report.markdown import plain
from eebench.results import Results
from eebench.rules.forms import is_of
from eebench.tasks.splits import HELD_OUT

FULL_MODEL = "finetune"
"""The method whose last exit is the reference line: the backbone fine-tuned with nothing added."""

STATIC_RULE = "budgeted"
"""The rule that sends every sample to the same exit."""

MOST_METHODS = 16
"""Of more methods a figure shows each once, without its variants."""

WINDOW = (1.8, 2.1)
TARGET = 2.0
"""GAML-BERT tunes each dynamic method into this window of speed-ups before comparing (Table 2); one that has no
setting there is marked."""


@dataclass(frozen=True)
class Shown:
    """A method as the report shows it.

    `name` is its name in the tables (the method; with head and pooling where the suite has several of
    them), `title` is unique in the report, `rule` is its default
    rule, perhaps with knobs (`cka;theta=0.06`); `static` has nothing to tune.
    """

    name: str
    title: str
    paper: str
    rule: str
    static: bool


def distinguish(results: Results) -> Results:
    """The results with a method of several heads or poolings split into one method for each of them.

    The column ``base`` keeps the name of the method.
    """
    variants = results.points[["method", "head", "pooling"]].drop_duplicates()
    several = set(variants["method"][variants["method"].duplicated()])

    def split(table: pd.DataFrame) -> pd.DataFrame:
        parts = zip(table["method"], table["head"], table["pooling"], strict=True)
        names = [f"{name} ({head}, {pooling})" if name in several else name for name, head, pooling in parts]
        return table.assign(base=table["method"], method=pd.Series(names, index=table.index, dtype=str))

    return replace(
        results, points=split(results.points), exits=split(results.exits), runs=split(results.runs)
    )


def headlines(results: Results) -> dict[str, str]:
    """The metric that each task is shown by: the one its provenance names, else the first of its rows."""
    pairs = zip(map(str, results.exits["task"]), map(str, results.exits["metric"]), strict=True)
    there = list(dict.fromkeys(pairs))
    tasks = mapping(results.provenance.get("tasks"))
    named = [(task, str(mapping(about).get("metric"))) for task, about in tasks.items()]
    # The later ones win: a task's first metric over its others, then the one that is named.
    return {**dict(reversed(there)), **dict(pair for pair in named if pair in there)}


def headlined(results: Results) -> Results:
    """The results with the headline metric of each task alone."""
    shown = headlines(results)

    def kept(table: pd.DataFrame) -> pd.DataFrame:
        fits = [
            shown.get(task, metric) == metric
            for task, metric in zip(table["task"], table["metric"], strict=True)
        ]
        return table[pd.Series(fits, index=table.index, dtype=bool)]

    return replace(
        results, points=kept(results.points), exits=kept(results.exits), summary=kept(results.summary),
        simple=kept(results.simple),
    )  # fmt: skip


def apart(results: Results) -> tuple[Results, pd.DataFrame]:
    """The results to show, without rows of the held-out slice of train; and those points, which only choose."""
    points, exits = results.points, results.exits
    held = points["split"] == HELD_OUT
    return replace(results, points=points[~held], exits=exits[exits["split"] != HELD_OUT]), points[held]


def shown_methods(results: Results) -> dict[str, Shown]:
    """The methods that have points, by name, in the order of the suite; takes the result of `distinguish`."""
    declared = mapping(results.provenance.get("methods"))
    methods: dict[str, Shown] = {}
    for name, points in results.points.groupby("method", sort=False):
        base = str(points["base"].iloc[0])
        about = mapping(declared.get(base))
        title = str(name).replace(base, plain(about.get("title") or base), 1)
        if title in {method.title for method in methods.values()}:
            title = f"{title} ({name})"
        methods[str(name)] = Shown(
            name=str(name),
            title=title,
            paper=plain(about.get("paper") or ""),
            rule=_default_rule(points, about),
            static=is_static(points),
        )
    return methods


def without_variants(rows: pd.DataFrame, results: Results) -> pd.DataFrame:
    """The rows of a figure; where they are of too many methods, without those that only vary one that is shown.

    A variant is a label of its own (``gaml-per-layer``) beside the plain name of its method (``gaml``).
    """
    if rows["method"].nunique() <= MOST_METHODS:
        return rows
    declared = mapping(results.provenance.get("methods"))
    behind = {base: str(mapping(declared.get(base)).get("method") or base) for base in rows["base"].unique()}
    plain_names = {base for base, method in behind.items() if base == method}
    shown = [base for base, method in behind.items() if base == method or method not in plain_names]
    return rows[rows["base"].isin(shown)]


def is_static(points: pd.DataFrame) -> bool:
    """Whether the points of one method are one exit for all samples: one setting of the budgeted rule."""
    cells = points.groupby(["task", "backbone"], sort=False)["setting"].nunique()
    return bool((points["rule"] == STATIC_RULE).all() and (cells == 1).all())


def default_points(points: pd.DataFrame, methods: Mapping[str, Shown]) -> pd.DataFrame:
    """The points that each method has under its default rule."""
    return of_rules(points, [methods[name].rule for name in points["method"]])


def of_rules(points: pd.DataFrame, rules: Sequence[str]) -> pd.DataFrame:
    """The points that are of a rule, one for each row; a rule with knobs has the settings that begin with them."""
    rows = zip(rules, points["rule"], points["setting"], strict=True)
    fits = [is_of(form, str(rule), str(setting)) for form, rule, setting in rows]
    return points[pd.Series(fits, index=points.index, dtype=bool)]


def operating_point(points: pd.DataFrame) -> pd.Series[Any] | None:
    """The point of one curve that the speed-up table shows; None if no point has a speed-up.

    The one whose FLOPs speed-up is nearest to 2.0, of equals the first. A static method has one point, which is the
    answer whatever its speed-up.
    """
    known = points[points["speedup_flops"].notna()]
    return (
        None if known.empty else known.iloc[int((known["speedup_flops"] - TARGET).abs().to_numpy().argmin())]
    )


def is_off_target(point: pd.Series[Any], method: Shown) -> bool:
    """Whether a dynamic method had no setting in the window, so that rows of a table do not compare."""
    return not method.static and not WINDOW[0] <= float(point["speedup_flops"]) <= WINDOW[1]


def mapping(value: object) -> dict[str, Any]:
    """A JSON value as a dictionary; anything else counts as an empty one."""
    return value if isinstance(value, dict) else {}


def _default_rule(points: pd.DataFrame, about: Mapping[str, Any]) -> str:
    """The declared rule if it was swept, else with all its knobs, else the first rule that was."""
    declared = str(about.get("default_rule"))
    plain_name = declared.partition(";")[0]
    forms = (form for form in (declared, plain_name) if len(of_rules(points, [form] * len(points))))
    return next(forms, str(points["rule"].iloc[0]))
