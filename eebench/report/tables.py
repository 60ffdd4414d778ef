"""The tables of a page: speed-up, operating points, exits, curves, costs, failures.

Every function returns Markdown, empty when it has nothing to show. Names are escaped here; how a number
is written is up to `eebench.report.markdown`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from typing import Any

import pandas as pd

from eebench.report.learning import NOTE, UNLEARNED, marked
from eebench.report.markdown import (
    MISSING,
    count,
    decimal,
    escape,
    integer,
    mega,
    percent,
    percent_with_spread,
    table,
    times,
)
from eebench.report.selection import Shown, default_points, is_off_target, operating_point
from eebench.results import Results
from eebench.tasks.metrics import metric_title

Methods = Mapping[str, Shown]
Point = tuple[Shown, "pd.Series[Any]"]

Floors = Mapping[tuple[str, str], float]

OFF_TARGET = "†"
NO_FLOORS: Floors = {}


def methods_table(methods: Methods) -> str:
    """Which methods the page compares, under which name the commands know them, and where they come from."""
    rows = [
        [
            escape(method.title),
            escape(method.name),
            "static" if method.static else escape(method.rule),
            escape(method.paper) or MISSING,
        ]
        for method in methods.values()
    ]
    return table(["method", "name", "default rule", "source"], rows, sides="llll")


def heads_note(points: pd.DataFrame, methods: Methods) -> str:
    """Which methods have exits of which form, where there are several forms; static methods have a classifier alone."""
    dynamic = points[[not methods[str(name)].static for name in points["method"]]]
    forms: dict[str, dict[str, None]] = {}
    for name, head in dict.fromkeys(zip(dynamic["method"], dynamic["head"], strict=True)):
        forms.setdefault(str(head), {})[methods[str(name)].title] = None
    if len(forms) < 2:
        return ""
    told = "; ".join(f"{escape(head)}: {', '.join(map(escape, titles))}" for head, titles in forms.items())
    return f"Exits differ in form, so a difference between methods of two forms is one of their heads too ({told})."


def operating_points(points: pd.DataFrame, methods: Methods, held: pd.DataFrame | None = None) -> list[Point]:
    """The operating point of every method on every task and metric, in the order of the suite.

    `points` holds one backbone, split and convention; `held` the same of the slice that chooses the settings, if
    the split shown is not to choose them itself. A setting that is chosen there is shown with its row in `points`.
    """
    judges = {} if held is None else dict(list(_curves(held, methods)))
    chosen = []
    for key, curve in _curves(points, methods):
        point = operating_point(judges.get(key, curve))
        if point is not None:
            chosen += [
                (methods[str(key[0])], row)
                for _, row in curve[curve["setting"] == point["setting"]].iterrows()
            ]
    return chosen


def _curves(points: pd.DataFrame, methods: Methods) -> Iterator[tuple[tuple[Any, ...], pd.DataFrame]]:
    """Each method's points on one task and metric, under its default rule."""
    for key, curve in default_points(points, methods).groupby(["method", "task", "metric"], sort=False):
        yield tuple(key), curve


def speedup_table(
    points: pd.DataFrame,
    runs: pd.DataFrame,
    methods: Methods,
    held: pd.DataFrame | None = None,
    floors: Floors = NO_FLOORS,
) -> str:
    """One row per method at its operating point, one column per task (layout of GAML-BERT, Table 2).

    `floors` is what one answer for every sample scores, by task and metric.
    """
    chosen = operating_points(points, methods, held)
    columns = list(dict.fromkeys(zip(points["task"], points["metric"], strict=True)))
    rows = []
    for name in dict.fromkeys(method.name for method, _ in chosen):
        method, cells = methods[name], [point for other, point in chosen if other.name == name]
        scores = {(cell["task"], cell["metric"]): cell for cell in cells}
        rows.append(
            [
                escape(method.title),
                parameters_of(runs[runs["method"] == name]),
                "static" if method.static else escape(method.rule),
                _common_setting(cells),
                _mean_speedup(method, cells),
                *(_score(scores.get(column), floors) for column in columns),
            ]
        )
    if not rows:
        return ""
    titles = [f"{escape(task)} ({escape(metric_title(metric))})" for task, metric in columns]
    text = table(["method", "params", "rule", "setting", "speed-up", *titles], rows, "lrll")
    return _noted(text + _off_target_note(chosen, held is not None))


def _noted(text: str) -> str:
    """A table with what the mark of unlearned scores means, if it occurs."""
    return f"{text}\n\n{NOTE}" if UNLEARNED in text else text


def operating_points_table(
    points: pd.DataFrame, methods: Methods, held: pd.DataFrame | None = None, floors: Floors = NO_FLOORS
) -> str:
    """Setting, cost and score behind every cell of the speed-up table, task by task."""
    tasks = list(dict.fromkeys(points["task"]))
    chosen = sorted(operating_points(points, methods, held), key=lambda pair: tasks.index(pair[1]["task"]))
    rows = [
        [
            escape(point["task"]),
            escape(method.title),
            escape(point["setting"]),
            _speedup(method, point),
            times(point["speedup_layers"]),
            decimal(point["mean_exit"], 2),
            mega(point["flops_per_sample"]),
            _score(point, floors),
            integer(point["seeds"]),
        ]
        for method, point in chosen
    ]
    headers = [
        "task",
        "method",
        "setting",
        "speed-up",
        "layers speed-up",
        "mean exit",
        "MFLOPs",
        "score",
        "seeds",
    ]
    return _noted(table(headers, rows, sides="lll")) if rows else ""


def metrics_table(
    points: pd.DataFrame, every: Results, methods: Methods, held: pd.DataFrame | None = None
) -> str:
    """Every metric of the operating points, and of the last exit; of the tasks that have more than one.

    `points` holds one backbone, split and convention under the headline metrics, `every` all metrics of everything.
    """
    rows = []
    for method, point in operating_points(points, methods, held):
        same = ["task", "backbone", "method", "split"]
        own = every.points[
            (every.points[[*same, "rule", "setting"]] == point[[*same, "rule", "setting"]]).all(axis=1)
        ]
        if len(own) < 2:
            continue
        exits = every.exits[(every.exits[same] == point[same]).all(axis=1)]
        last = exits[exits["exit"] == exits["exit"].max()].set_index("metric")["score_mean"]
        rows += [
            [
                escape(point["task"]),
                escape(method.title),
                escape(metric_title(row["metric"])),
                _score(row),
                percent(last[row["metric"]]),
            ]
            for _, row in own.iterrows()
        ]
    headers = ["task", "method", "metric", "score", "last exit"]
    return table(headers, rows, sides="lll") if rows else ""


def exits_table(exits: pd.DataFrame, methods: Methods, floors: Floors = NO_FLOORS) -> str:
    """Score of every exit (rows) of every method (columns); one task, backbone, split, metric."""
    measured = set(exits["method"])
    names = [name for name in methods if name in measured]
    # Without the spread, which would make the table too wide to read; it is in exits.csv and in the figure.
    cells = {
        (row["method"], row["exit"]): percent(row["score_mean"]) + marked(row, floors)
        for _, row in exits.iterrows()
    }
    rows = [
        [str(number), *(cells.get((name, number), MISSING) for name in names)]
        for number in sorted(set(exits["exit"]))
    ]
    headers = ["exit", *(escape(methods[name].title) for name in names)]
    return _noted(table(headers, rows, "r")) if names else ""


def unanswered_note(exits: pd.DataFrame, methods: Methods) -> str:
    """Which exits of `exits_table` have no answer for some samples, and for how many; empty when all have one."""
    lacking = exits[exits["unanswered"] > 0].sort_values("exit")
    told = []
    for name, rows in lacking.groupby("method", sort=False):
        counts = (
            f"{count:g} at exit {layer}"
            for count, layer in zip(rows["unanswered"], rows["exit"], strict=True)
        )
        told.append(f"{escape(methods[str(name)].title)} {', '.join(counts)}")
    if not told:
        return ""
    return (
        "Scores are of the samples that have an answer. Without one, since they skipped every layer until there (the "
        f"mean over seeds): {'; '.join(told)}."
    )


def summary_table(summary: pd.DataFrame, titles: Mapping[str, str]) -> str:
    """One row per curve: what a speed-up costs, in three numbers; `summary` holds one backbone."""
    rows = [
        [
            escape(row["task"]),
            escape(titles.get(row["method"], row["method"])),
            escape(row["rule"]),
            escape(metric_title(row["metric"])),
            percent(row["full_score"]),
            times(row["speedup_at_1pt"]),
            percent(row["score_at_2x"]),
            decimal(row["auc"], 4),
            integer(row["seeds"]),
        ]
        for _, row in summary.iterrows()
    ]
    headers = [
        "task",
        "method",
        "rule",
        "metric",
        "full",
        "speed-up at -1 pt",
        "score at 2x",
        "area",
        "seeds",
    ]
    return table(headers, rows, sides="llll") if rows else ""


def cost_table(costs: pd.DataFrame) -> str:
    """Parameters and FLOPs of every component (layout of SmartBERT, Table 2); `costs` holds one backbone.

    Neighbours that differ in their number alone ("layer 1", "layer 2", ...) share a row.
    """
    rows = []
    for (stem, parameters, flops, convention), run in groupby(_components(costs), key=lambda item: item[:4]):
        numbers = [item[4] for item in run]
        name = stem + numbers[0] + (f"-{numbers[-1]}" if len(numbers) > 1 else "")
        rows.append([escape(name), integer(parameters), mega(flops, 3), escape(convention)])
    return table(["operation", "parameters", "MFLOPs", "convention"], rows, "lrrl") if rows else ""


def failures_table(runs: pd.DataFrame) -> str:
    """Every cell of the suite that has no result, and why."""
    rows = [
        [escape(row[name]) for name in ("task", "backbone", "method", "seed", "status", "reason")]
        for _, row in runs[runs["status"] != "ok"].iterrows()
    ]
    return table(["task", "backbone", "method", "seed", "status", "reason"], rows, "lllrll") if rows else ""


def parameters_of(runs: pd.DataFrame) -> str:
    """The size of a method's models; a range if its tasks differ in more than the printed digits."""
    sizes = sorted({int(size) for size in runs["parameters"].dropna()})
    texts = list(dict.fromkeys(count(size) for size in sizes))
    return "-".join([texts[0], texts[-1]][: len(texts)]) if texts else MISSING


def size_of(runs: pd.DataFrame) -> str:
    """The size of a method's weights on disk in 10^6 bytes; a range if its tasks differ in the printed digit."""
    sizes = sorted(set(runs["model_bytes"].dropna()))
    texts = list(dict.fromkeys(decimal(size / 1e6, 1) for size in sizes))
    return "-".join([texts[0], texts[-1]][: len(texts)]) if texts else MISSING


def _components(costs: pd.DataFrame) -> Iterable[tuple[str, Any, Any, str, str]]:
    """Name without its last number, parameters, FLOPs, convention, the number (empty if there is none)."""
    for _, row in costs.iterrows():
        parts = re.fullmatch(r"(.*?)(\d*)", row["component"])
        stem, number = parts.groups() if parts else (row["component"], "")
        # Two components without a number are two things even when they cost the same.
        yield stem, _known(row["parameters"]), _known(row["flops"]), row["convention"], number


def _known(value: Any) -> int | None:
    """An integer, or None for a missing one, which (unlike pandas' own) equals itself."""
    return None if pd.isna(value) else int(value)


def _score(point: pd.Series[Any] | None, floors: Floors = NO_FLOORS) -> str:
    """A score in percent with its spread over seeds, marked where it is at the floor."""
    if point is None:
        return MISSING
    return percent_with_spread(point["score_mean"], point["score_std"]) + marked(point, floors)


def _common_setting(points: list[pd.Series[Any]]) -> str:
    """The setting if all tasks share it."""
    settings = {str(point["setting"]) for point in points}
    return escape(settings.pop()) if len(settings) == 1 else "per task"


def _speedup(method: Shown, point: pd.Series[Any]) -> str:
    """A speed-up, marked when it is outside the window."""
    return times(point["speedup_flops"]) + (OFF_TARGET if is_off_target(point, method) else "")


def _mean_speedup(method: Shown, points: list[pd.Series[Any]]) -> str:
    """The mean over tasks, as in GAML-BERT, marked when any of them is outside the window."""
    mean = sum(float(point["speedup_flops"]) for point in points) / len(points)
    return times(mean) + (OFF_TARGET if any(is_off_target(point, method) for point in points) else "")


def _off_target_note(chosen: list[Point], blind: bool) -> str:
    """What the mark means, if it occurs."""
    if not any(is_off_target(point, method) for method, point in chosen):
        return ""
    if blind:
        return (
            f"\n\n{OFF_TARGET} on some task the setting chosen on the held-out slice has a speed-up outside 1.80x "
            "to 2.10x on the split shown, or no setting was inside there either."
        )
    return (
        f"\n\n{OFF_TARGET} on some task no setting has a speed-up between 1.80x and 2.10x; "
        "the one nearest to 2.00x is shown."
    )
