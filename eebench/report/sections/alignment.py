"""The alignment rule examined (layout of CsdBERT, Fig. 3b): how often it fires, and the fixed exit beside it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pandas as pd

from eebench.report.markdown import (
    MISSING,
    decimal,
    escape,
    integer,
    percent,
    percent_with_spread,
    table,
    times,
)
from eebench.report.sections.drawing import Panel, panels_svg
from eebench.report.sections.ground import Block, Drawing, Ground, Spread, knobs_of, of
from eebench.report.sections.histogram import distribution
from eebench.report.selection import STATIC_RULE
from eebench.sections import AlignmentSection

BEFORE_FIRST = 2
"""The first change is known after layer 3, so the R-th one that fires is after layer R + 2 at the earliest."""

MEANING = (
    "A check compares the change of similarity from one layer to the next with theta; it fires when the change is "
    "smaller. All layers where a change is defined are counted, those after the exit too, for all samples and seeds. "
    "Ceiling: the layers speed-up if every check fired, L / (R + 2). Static exit: the same runs, every sample leaving "
    "after layer R + 2."
)
NEARLY_ALL, HARDLY_ANY = 0.9, 0.1


@dataclass(frozen=True)
class Count:
    """One setting of theta beside the rule's point: the exit it may not leave before, and the static point there."""

    count: int
    point: pd.Series[Any]
    static: pd.Series[Any] | None
    exit_score: Spread
    ceiling: float


def alignment(section: AlignmentSection, ground: Ground) -> Iterator[Block]:
    """Per task how often the rule fires, per method its points beside the static exits, and the changes it sees."""
    shown = False
    for task in ground.tasks(section):
        sparse = [label for label in section.methods if _is_sparse(ground, task, label)]
        if sparse:
            titles = ", ".join(escape(ground.title(label)) for label in sparse)
            yield f"Not shown on {escape(task)}: {titles}, without an exit after every layer: R + 2 may have none."
        methods = [label for label in section.methods if label not in sparse]
        counted = [line for label in methods for line in _checks(section, ground, task, label)]
        points = {label: _counts(section, ground, task, label) for label in methods}
        shown = shown or bool(counted) or any(points.values())
        if counted:
            yield table([f"{escape(task)}: method", "theta", "checks", "fired", "share (%)"], counted)
        for label, found in points.items():
            yield from _statement(section, ground, task, label)
            if found:
                alt = f"Speed-up and score by R: {task}, {label}, {ground.backbone}"
                yield Drawing(task, alt, _figure(ground, task, label, found))
        rows = [_row(ground, label, found) for label, counts in points.items() for found in counts]
        if rows:
            headers = ["R", "mean exit", "layers speed-up", "ceiling", "FLOPs speed-up", "score", "static exit",
                       "its score", "its FLOPs speed-up"]  # fmt: skip
            yield table([f"{escape(task)}: method", *headers], rows)
        yield from distribution(ground, task, methods, "delta")
    if shown:
        yield MEANING


def _is_sparse(ground: Ground, task: str, label: str) -> bool:
    """Whether a label has exits, but not one after every layer."""
    layers = [int(layer) for layer in ground.exit_rows(label, task)["exit"]]
    return layers != list(range(1, len(layers) + 1))


def _checks(section: AlignmentSection, ground: Ground, task: str, label: str) -> Iterator[list[str]]:
    """One row per theta."""
    for _, row in _counted(section, ground, task, label).iterrows():
        share = percent(int(row["fired"]) / int(row["checks"])) if row["checks"] else MISSING
        yield [escape(ground.title(label)), escape(row["theta"]), integer(row["checks"]),
               integer(row["fired"]), share]  # fmt: skip


def _counted(section: AlignmentSection, ground: Ground, task: str, label: str) -> pd.DataFrame:
    """The checks of the rule, one row per theta."""
    rows = of(ground.checks, label, task)
    return rows[rows["rule"] == section.rule]


def _statement(section: AlignmentSection, ground: Ground, task: str, label: str) -> Iterator[str]:
    """What share fired at the section's theta, and what that makes of the rule."""
    rows = _counted(section, ground, task, label)
    rows = rows[[math.isclose(float(theta), section.theta, abs_tol=1e-12) for theta in rows["theta"]]]
    if rows.empty or not rows["checks"].iloc[0]:
        return
    made, fired = int(rows["checks"].iloc[0]), int(rows["fired"].iloc[0])
    share = fired / made
    if fired == made:
        meaning = "every check fires, so the rule is a static exit at layer R + 2."
    elif share >= NEARLY_ALL:
        meaning = "nearly every check fires, so the rule is nearly a static exit at layer R + 2."
    elif share <= HARDLY_ANY:
        meaning = "hardly any check fires, so the rule nearly always runs to the last exit."
    else:
        meaning = "the rule tells samples apart: the same R lets some leave at layer R + 2 and others later."
    yield (
        f"**{escape(task)}**, {escape(ground.title(label))}: {percent(share)}% of {integer(made)} checks fire at "
        f"theta {section.theta:g}: {meaning}"
    )


def _counts(section: AlignmentSection, ground: Ground, task: str, label: str) -> list[Count]:
    """The points of the rule at the section's theta, from the smallest R on."""
    curve = ground.curve(label, task, section.rule)
    settings = [knobs_of(str(setting)) for setting in curve["setting"]]
    found: dict[int, pd.Series[Any]] = {}
    for place, knobs in enumerate(settings):
        if "R" in knobs and math.isclose(knobs.get("theta", math.nan), section.theta, abs_tol=1e-12):
            found[int(knobs["R"])] = curve.iloc[place]
    return [_beside(ground, task, label, (count, found[count])) for count in sorted(found)]


def _beside(ground: Ground, task: str, label: str, place: tuple[int, pd.Series[Any]]) -> Count:
    """A point with the static exit of its R."""
    count, point = place
    layer = count + BEFORE_FIRST
    # The depth of the backbone is in no file, but the layers speed-up is the depth over the mean exit.
    depth = round(float(point["speedup_layers"]) * float(point["mean_exit"]))
    static = ground.at(label, task, STATIC_RULE, layer)
    return Count(count, point, static, ground.exit_score(label, task, layer), depth / layer)


def _row(ground: Ground, label: str, found: Count) -> list[str]:
    """One row of the table of points."""
    point, score = found.point, Spread.read(found.point)
    return [
        escape(ground.title(label)),
        str(found.count),
        decimal(point["mean_exit"], 2),
        times(point["speedup_layers"]),
        times(found.ceiling),
        times(point["speedup_flops"]),
        percent_with_spread(score.mean, score.std),
        str(found.count + BEFORE_FIRST),
        percent_with_spread(found.exit_score.mean, found.exit_score.std),
        MISSING if found.static is None else times(found.static["speedup_flops"]),
    ]


def _figure(ground: Ground, task: str, label: str, counts: list[Count]) -> bytes:
    """Speed-up above, score below, both by R."""
    speedups: dict[str, dict[float, float]] = {
        "layers speed-up": {found.count: float(found.point["speedup_layers"]) for found in counts},
        "FLOPs speed-up": {found.count: float(found.point["speedup_flops"]) for found in counts},
        "ceiling L / (R + 2)": {found.count: found.ceiling for found in counts},
    }
    static: dict[float, float] = {
        found.count: 100 * found.exit_score.mean for found in counts if found.exit_score.seeds
    }
    ours: dict[float, float] = {found.count: 100 * float(found.point["score_mean"]) for found in counts}
    score = Panel({"score": ours, "static exit at R + 2": static}, f"{ground.metric(task)} (%)")
    return panels_svg(
        [Panel(speedups, "speed-up"), score], "R", f"{task}, {ground.title(label)}, {ground.backbone}"
    )
