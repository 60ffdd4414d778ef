"""Score by exit of chosen methods (layout of COST-EFF, Figs. 5, 6 and 8, and GAML-BERT, Fig. 4)."""

from __future__ import annotations

from collections.abc import Iterator

from eebench.report.figures import Caption, layers_svg
from eebench.report.markdown import escape, percent, table
from eebench.report.sections.ground import Block, Drawing, Ground
from eebench.sections import LayersSection


def layers(section: LayersSection, ground: Ground) -> Iterator[Block]:
    """A figure per task, and where each curve passes the level."""
    for task in ground.tasks(section):
        rows = ground.exits[ground.exits["base"].isin(section.labels) & (ground.exits["task"] == task)]
        level = ground.exit_rows(section.level, task) if section.level is not None else rows.iloc[:0]
        name = str(level["method"].iloc[0]) if len(level) else ""
        caption = Caption(f"{task}, {ground.backbone}", ground.metric(task))
        svg = layers_svg(rows, ground.methods, caption, name, section.level_shares or ())
        if not svg:
            continue
        yield Drawing(task, f"Score by layer: {task}, {ground.backbone}", svg)
        if section.level is not None and name:
            yield _passed(section, ground, task, section.level)


def _passed(section: LayersSection, ground: Ground, task: str, level: str) -> str:
    """The shallowest exit at which each method scores at least as much as the level, and as each share of it."""
    height, title = ground.last_exit(level, task).mean, escape(ground.title(level))
    heights = {title: height, **{f"{100 * share:g}% of {title}": share * height
                                 for share in section.level_shares or ()}}  # fmt: skip
    body = []
    for label in section.methods:
        rows = ground.exit_rows(label, task)
        if label != level and len(rows):
            reached = [rows[rows["score_mean"] >= asked] for asked in heights.values()]
            where = [f"{int(above['exit'].iloc[0])}" if len(above) else "none" for above in reached]
            body.append([escape(ground.title(label)), *where, percent(rows["score_mean"].max())])
    words = [f"first exit with at least {percent(asked)} ({name})" for name, asked in heights.items()]
    return table([f"{escape(task)}: method", *words, "best exit's score"], body)
