"""Results folder -> page: ``README.md`` with tables, and ``figures/*.svg``. Reads that folder alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from eebench.errors import StorageError
from eebench.report import tables
from eebench.report.definitions import BLIND, DEFINITIONS, PROTOCOLS
from eebench.report.figures import Caption, front_svg, layers_svg
from eebench.report.files import FigureFile, free_path
from eebench.report.latency import latency_figures, latency_section
from eebench.report.layouts import layout_sections
from eebench.report.learning import floors, judged, unlearned_table
from eebench.report.markdown import escape, percent, plain, table
from eebench.report.published import WHY, published_tables
from eebench.report.sections import Rendered, render_sections
from eebench.report.selection import (
    Shown,
    apart,
    default_points,
    distinguish,
    headlined,
    mapping,
    shown_methods,
    without_variants,
)
from eebench.report.training_cost import steptime_section
from eebench.results import Results, read_results, write_if_changed
from eebench.tasks.metrics import metric_title

FIGURE_NAMES = ("front-*.svg", "layers-*.svg", "section-*.svg", "latency-*.svg")


@dataclass(frozen=True)
class FileChange:
    """What rendering did to a file."""

    path: Path
    change: Literal["written", "unchanged", "removed"]


@dataclass(frozen=True)
class Page:
    """What every section is made from; `held` are the points that choose settings and are not shown.

    `extra` are the sections that the suite itself asked for. `results` has one metric a task, `every` all of them.
    """

    results: Results
    held: pd.DataFrame
    methods: dict[str, Shown]
    fronts: list[FigureFile]
    layers: list[FigureFile]
    extra: list[Rendered]
    every: Results


def render_report(folder: Path, layout: str | None = None) -> list[Path]:
    """Write the page of a results folder; the paths of all its files, changed or not.

    Rendering twice gives the same bytes. Raises DataError when the folder is not a complete results folder.
    """
    return [file.path for file in update_report(folder, layout) if file.change != "removed"]


def update_report(folder: Path, layout: str | None = None) -> list[FileChange]:
    """Write the page of a results folder, and say what became of each file.

    `layout` names a paper whose sections stand in place of the suite's own. A figure of a task or backbone that the
    results no longer have is removed.
    """
    contents = page_files(read_results(folder), layout)
    changes = [
        FileChange(folder / path, "written" if write_if_changed(folder / path, content) else "unchanged")
        for path, content in contents.items()
    ]
    return [*changes, *_remove_stale(folder, set(contents))]


def page_files(results: Results, layout: str | None = None) -> dict[str, bytes]:
    """The files of the page by their path below the folder; the page itself comes first."""
    if layout is not None:
        asked = {"sections": layout_sections(layout, results), "layout": layout}
        results = replace(results, provenance={**results.provenance, **asked})
    every, _ = apart(distinguish(results))
    split, held = apart(judged(distinguish(headlined(results))))
    methods = shown_methods(split)
    fronts, layers = _front_figures(split, methods), _layer_figures(split, methods)
    extra = render_sections(split, held, methods, every)
    page = Page(split, held, methods, fronts, layers, extra, every)
    files = {"README.md": "\n".join(_page_lines(page)).encode()}
    figures = [*fronts, *layers, *(figure for section in extra for figure in section.figures)]
    figures += latency_figures(results.folder)
    return files | {figure.path: figure.svg for figure in figures}


def _front_figures(results: Results, methods: dict[str, Shown]) -> list[FigureFile]:
    """Score against cost for each task and backbone, on its first split, metric and convention."""
    points = default_points(results.points, methods)
    files: list[FigureFile] = []
    for task, backbone, part in _cells(points):
        first = without_variants(_first(part, "split", "metric", "convention"), results)
        caption = Caption(*_words(task, backbone, first), str(first["convention"].iloc[0]))
        if not (first["flops_per_sample"].notna() & first["score_mean"].notna()).any():
            continue
        path = free_path(("front", task, backbone), (file.path for file in files))
        alt = f"Score against cost: {task}, {backbone}"
        files.append(FigureFile(path, alt, front_svg(first, methods, caption)))
    return files


def _layer_figures(results: Results, methods: dict[str, Shown]) -> list[FigureFile]:
    """Score by exit for each task and backbone, on its first split and metric."""
    exits = results.exits[results.exits["method"].isin(list(methods))]
    files: list[FigureFile] = []
    for task, backbone, part in _cells(exits):
        first = without_variants(_first(part, "split", "metric"), results)
        svg = layers_svg(first, methods, Caption(*_words(task, backbone, first)))
        if svg:
            path = free_path(("layers", task, backbone), (file.path for file in files))
            files.append(FigureFile(path, f"Score by exit: {task}, {backbone}", svg))
    return files


def _cells(rows: pd.DataFrame) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """Task, backbone and their rows."""
    for (task, backbone), part in rows.groupby(["task", "backbone"], sort=False):
        yield str(task), str(backbone), part


def _first(rows: pd.DataFrame, *columns: str) -> pd.DataFrame:
    """The rows whose `columns` are those of the first row."""
    for column in columns:
        rows = rows[rows[column] == rows[column].iloc[0]]
    return rows


def _words(task: str, backbone: str, rows: pd.DataFrame) -> tuple[str, str]:
    """Title and metric of a figure."""
    return f"{task}, {backbone}", f"{metric_title(rows['metric'].iloc[0])} on {rows['split'].iloc[0]}"


def _remove_stale(folder: Path, current: set[str]) -> list[FileChange]:
    """Remove the figures of an earlier rendering; files of any other name are not ours."""
    found = sorted(path for pattern in FIGURE_NAMES for path in (folder / "figures").glob(pattern))
    stale = [path for path in found if f"figures/{path.name}" not in current]
    try:
        for path in stale:
            path.unlink()
    except OSError as error:
        raise StorageError(f"cannot remove the outdated {error.filename}: {error.strerror}") from error
    return [FileChange(path, "removed") for path in stale]


def _page_lines(page: Page) -> Iterator[str]:
    """The page, line by line."""
    suite = mapping(page.results.provenance.get("suite"))
    name = plain(suite.get("name") or page.results.folder.name)
    yield f"# Results: {escape(name)}"
    if suite.get("description"):
        yield from ("", escape(suite["description"]))
    layout = page.results.provenance.get("layout")
    command = f"eebench report --suite {_code(name)}" + (f" --layout {_code(layout)}" if layout else "")
    yield from ("", f"Written by `{command}` from the text files in this folder.")
    if not page.results.runs["precision"].astype(bool).any():
        yield from ("", _earlier(name))
    sections: list[tuple[str, Iterable[str]]] = [
        ("How it was run", [_protocol_table(page)]),
        ("Methods", [tables.methods_table(page.methods)] if page.methods else []),
        ("What did not learn", _unlearned_section(page)),
        ("Score at twice the speed", _speedup_section(page)),
        ("Published numbers beside ours", _published_section(page)),
        *((escape(section.title), section.blocks) for section in page.extra),
        ("Score against cost", (figure.image for figure in page.fronts)),
        ("Summary of the curves", _summary_section(page)),
        ("Score by exit", _exits_section(page)),
        ("Cost of the components", _cost_section(page)),
        ("Training cost", steptime_section(page.results.folder)),
        ("Measured time", latency_section(page.results.folder)),
        ("Runs without a result", [_failures(page)]),
        ("What the numbers mean", ["\n".join(f"- {line}" for line in _definitions(page))]),
    ]
    for title, blocks in sections:
        filled = [block for block in blocks if block]
        if filled:
            yield from ("", f"## {title}")
        for block in filled:
            yield from ("", block)
    yield ""


def _earlier(suite: str) -> str:
    """What a page says of results that do not say their precision yet."""
    return (
        "**Made by an earlier version**, before runs said in which precision they were trained and whether they "
        "learned, before operating points were chosen among all settings instead of a grid, and before the recipes of "
        "some methods were corrected (see CHANGELOG.md: COST-EFF, TinyBERT, SmartBERT, CsdBERT, ElasticBERT, "
        f"LayerDrop, Theseus, CascadeBERT). `eebench sweep --suite {_code(suite)}` makes them anew."
    )


def _definitions(page: Page) -> tuple[str, ...]:
    """What the numbers of this page mean."""
    return DEFINITIONS if page.held.empty else (*DEFINITIONS, BLIND)


def _judges(page: Page, backbone: str, convention: str) -> pd.DataFrame | None:
    """The points that choose the settings of a table, None when it chooses them itself."""
    held = page.held
    found = held[(held["backbone"] == backbone) & (held["convention"] == convention)]
    return None if found.empty else found


def _code(text: str) -> str:
    """Text inside a code span, where only the backtick has a meaning."""
    return text.replace("`", "'")


def _protocol_table(page: Page) -> str:
    """How the suite was run, from its provenance and, where that is silent, from the rows."""
    points, runs = page.results.points, page.results.runs
    protocol = _declared(page, "protocol", [])
    rows = [
        ["protocol", protocol + PROTOCOLS.get(protocol, "")],
        [
            "tasks",
            _joined(f"{task} ({metric_title(metric)})" for task, metric in _pairs(points, "task", "metric")),
        ],
        ["splits", _joined(points["split"].unique())],
        ["backbones", _joined(points["backbone"].unique())],
        ["seeds", _declared(page, "seeds", sorted(runs["seed"].dropna().unique()))],
        ["exit heads", _joined(f"{head}, {pooling}" for head, pooling in _pairs(points, "head", "pooling"))],
        ["precision of training", _joined(_precisions(page))],
        ["cost convention", _declared(page, "convention", points["convention"].unique())],
        ["runs", f"{int((runs['status'] == 'ok').sum())} of {len(runs)} have a result"],
    ]
    return table(["", ""], [[name, escape(value)] for name, value in rows if value], sides="ll")


def _precisions(page: Page) -> Iterable[str]:
    """Each precision that runs were trained in; what results from before runs said so declare of their methods."""
    found = [text for text in page.results.runs["precision"].unique() if text]
    methods = mapping(page.results.provenance.get("methods")).values()
    return found or [str(mapping(mapping(about).get("options")).get("precision") or "") for about in methods]


def _declared(page: Page, key: str, fallback: Iterable[Any]) -> str:
    """A fact that the provenance states for the suite or as a whole, else what the rows show."""
    provenance = page.results.provenance
    value = mapping(provenance.get("suite")).get(key, provenance.get(key))
    if value is None:
        value = list(fallback)
    if isinstance(value, dict):
        value = [f"{name}={part}" for name, part in value.items()]
    return _joined(value) if isinstance(value, list) else plain(value)


def _joined(values: Iterable[Any]) -> str:
    """Values with commas between them; of equals the first, none that is empty."""
    texts = list(dict.fromkeys(text for text in map(plain, values) if text.strip(", ")))
    return ("; " if any("," in text for text in texts) else ", ").join(texts)


def _pairs(rows: pd.DataFrame, first: str, second: str) -> list[tuple[str, str]]:
    """The combinations of two columns, in order of first appearance."""
    return list(dict.fromkeys(zip(rows[first], rows[second], strict=True)))


def _unlearned_section(page: Page) -> Iterator[str]:
    """The runs that are worth no more than one answer for every sample."""
    found = unlearned_table(page.results, {name: method.title for name, method in page.methods.items()})
    if found:
        yield "These rows stand in the tables, but nothing can be concluded from them."
        yield found


def _speedup_section(page: Page) -> Iterator[str]:
    """Per backbone, split and convention: the speed-up table, and the operating points behind it."""
    points, runs = page.results.points, page.results.runs
    for key, part in points.groupby(["backbone", "split", "convention"], sort=False):
        backbone, split, convention = (escape(name) for name in key)
        own = runs[runs["backbone"] == key[0]]
        yield f"### {backbone}, {split} ({convention})"
        held = _judges(page, str(key[0]), str(key[2]))
        known = floors(page.results) if set(part["split"]) == {"dev"} else {}
        yield tables.speedup_table(part, own, page.methods, held, known)
        yield from _one_class(page, part)
        yield tables.heads_note(part, page.methods)
        yield "The points behind that table:"
        yield tables.operating_points_table(part, page.methods, held, known)
        yield from _metrics(page, part, held)


def _metrics(page: Page, points: pd.DataFrame, held: pd.DataFrame | None) -> Iterator[str]:
    """The other metrics of those points, for tasks that have several."""
    found = tables.metrics_table(points, page.every, page.methods, held)
    if found:
        yield "The same points by every metric of their task; the settings are those that the first one chose:"
        yield found


def _one_class(page: Page, points: pd.DataFrame) -> Iterator[str]:
    """What no model at all would score on dev, as far as the provenance says it."""
    known = mapping(page.results.provenance.get("tasks"))
    scores = {task: mapping(known.get(task)).get("one_class") for task in dict.fromkeys(points["task"])}
    texts = [f"{escape(task)} {percent(one)}" for task, one in scores.items() if isinstance(one, float)]
    if texts and set(points["split"]) == {"dev"}:
        yield f"Answering every sample with the most frequent class of train scores: {', '.join(texts)}."


def _published_section(page: Page) -> Iterator[str]:
    """Per backbone, split and convention: what papers printed for the same methods and tasks."""
    for key, part in page.results.points.groupby(["backbone", "split", "convention"], sort=False):
        judges = _judges(page, str(key[0]), str(key[2]))
        blocks = list(published_tables(part, page.methods, judges, page.every.points))
        if blocks:
            yield f"### Ours with {', '.join(escape(name) for name in key)}"
            yield from blocks
            yield WHY


def _summary_section(page: Page) -> Iterator[str]:
    """One table per backbone."""
    titles = {name: method.title for name, method in page.methods.items()}
    for backbone, part in page.results.summary.groupby("backbone", sort=False):
        yield f"### {escape(backbone)}"
        yield tables.summary_table(part, titles)


def _exits_section(page: Page) -> Iterator[str]:
    """The figures, then one table per task, backbone, split and metric."""
    yield from (figure.image for figure in page.layers)
    groups = page.results.exits.groupby(["task", "backbone", "split", "metric"], sort=False)
    for (task, backbone, split, metric), part in groups:
        yield f"### {escape(task)}, {escape(backbone)}, {escape(split)} ({escape(metric_title(str(metric)))})"
        yield tables.exits_table(part, page.methods, floors(page.results) if split == "dev" else {})
        yield tables.unanswered_note(part, page.methods)


def _cost_section(page: Page) -> Iterator[str]:
    """One table per backbone."""
    for backbone, part in page.results.costs.groupby("backbone", sort=False):
        yield f"### {escape(backbone)}"
        yield tables.cost_table(part)


def _failures(page: Page) -> str:
    """The cells without a result, or the statement that there are none."""
    return tables.failures_table(page.results.runs) or f"None: all {len(page.results.runs)} runs have one."
