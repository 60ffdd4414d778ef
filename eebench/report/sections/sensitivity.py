"""Score by the value of one option (layout of GAML-BERT, Table 3)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from eebench.reference.keys import ABLATIONS, Key
from eebench.report.figures import Caption
from eebench.report.markdown import MISSING, escape, percent_with_spread, table, times
from eebench.report.sections.drawing import curves_svg
from eebench.report.sections.ground import Block, Drawing, Ground, Spread, in_words
from eebench.report.sections.printed import Row, beside, column, in_their_metric, note
from eebench.sections import SensitivitySection

Places = Mapping[tuple[Any, str], str]
"""The label behind each value of the option and name of a method."""


def sensitivity(section: SensitivitySection, ground: Ground) -> Iterator[Block]:
    """Per task a row per value, with columns per method; and, for numbers, the same as a figure."""
    found: list[Row | None] = []
    for task in ground.tasks(section):
        labels = [label for label in section.methods if len(ground.exit_rows(label, task))]
        places, twice = _places(section, ground, task, labels)
        if not places:
            continue
        values = sorted({value for value, _ in places}, key=_order)
        names = list(dict.fromkeys(name for _, name in places))
        yield _figure(section, ground, task, places)
        text, rows = _table(section, ground, task, (values, names, places))
        found += rows
        yield text
        if twice:
            yield f"Left out, for there is another run of that value: {', '.join(map(escape, twice))}."
    yield from note(found)


def _places(
    section: SensitivitySection, ground: Ground, task: str, labels: list[str]
) -> tuple[dict[tuple[Any, str], str], list[str]]:
    """Where each label belongs, and those whose place is taken."""
    places: dict[tuple[Any, str], str] = {}
    twice = []
    for label in labels:
        value = ground.option(label, task, section.option)
        key = (_key(value), ground.heading(label))
        if key in places:
            twice.append(label)
        places.setdefault(key, label)
    return places, twice


def _key(value: Any) -> str | int | float:
    """A value as a key: what the method decides for itself has a word, a list its text."""
    if value is None:
        return "default"
    return value if isinstance(value, str | int | float) else json.dumps(value)


def _order(value: Any) -> tuple[bool, float, str]:
    """Numbers by size, then words."""
    is_number = isinstance(value, int | float)
    return not is_number, float(value) if is_number else 0.0, str(value)


def _table(
    section: SensitivitySection, ground: Ground, task: str, grid: tuple[list[Any], list[str], Places]
) -> tuple[str, list[Row | None]]:
    """The table of one task, and the printed rows in it."""
    values, names, places = grid
    headers = [f"{escape(task)}: {escape(section.option)}"]
    body = [[escape(in_words(value))] for value in values]
    found: list[Row | None] = []
    for name in names:
        labels = [places.get((value, name)) for value in values]
        method = next(ground.method(label) for label in labels if label is not None)
        same, rows, words = _printed(section, ground, task, (method, values))
        header, cells = column(name, rows)
        found += rows
        headers += [escape(name + words.removeprefix(task)), "speed-up", "mean over exits", *header]
        body = [
            [*line, *(_cells((ground, same), task, label) if label is not None else [MISSING] * 3), *more]
            for line, label, more in zip(body, labels, cells, strict=True)
        ]
    return table(headers, body, "l"), found


def _printed(
    section: SensitivitySection, ground: Ground, task: str, column: tuple[str, list[Any]]
) -> tuple[Ground, list[Row | None], str]:
    """The printed rows of a method by value, and the results in their metric."""
    method, values = column
    rows = []
    for value in values:
        item = f"{section.option}={in_words(value)}"
        keys = (Key(table, method, ground.backbone, task, item) for table in ABLATIONS)
        rows.append(next((row for row in map(beside, keys) if row is not None), None))
    return in_their_metric(ground, task, rows)


def _cells(read: tuple[Ground, Ground], task: str, label: str) -> list[str]:
    """Score and speed-up at the operating point, which the second is for, and the mean over exits."""
    ground, same = read
    point = same.operating(label, task)
    score, mean = Spread.read(point), ground.mean_over_exits(label, task)
    speedup = MISSING if point is None else times(point["speedup_flops"])
    return [
        percent_with_spread(score.mean, score.std),
        speedup,
        percent_with_spread(mean.mean, mean.std),
    ]


def _figure(section: SensitivitySection, ground: Ground, task: str, places: Places) -> Block:
    """Score at the operating point and mean over exits against the option; nothing when its values are words."""
    curves: dict[str, dict[float, Spread]] = {}
    for (value, name), label in places.items():
        if not isinstance(value, int | float) or isinstance(value, bool):
            return ""
        curves.setdefault(name, {})[float(value)] = Spread.read(ground.operating(label, task))
        curves.setdefault(f"{name}, mean over exits", {})[float(value)] = ground.mean_over_exits(label, task)
    caption = Caption(f"{task}, {ground.backbone}", ground.metric(task))
    alt = f"Score by {section.option}: {task}, {ground.backbone}"
    return Drawing(task, alt, curves_svg(curves, section.option, caption))
