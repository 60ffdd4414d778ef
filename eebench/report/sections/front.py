"""Score against cost of chosen methods, with guide lines (layout of COST-EFF, Figs. 3 and 4)."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from eebench.report.figures import Caption, Guides, front_svg
from eebench.report.markdown import escape
from eebench.report.sections.ground import Block, Drawing, Ground
from eebench.sections import FrontSection


def front(section: FrontSection, ground: Ground) -> Iterator[Block]:
    """A figure per task: curves of dynamic methods, points of static ones, and the front of them all."""
    for task in ground.tasks(section):
        curves = [curve for label in section.methods if len(curve := ground.curve(label, task))]
        points = pd.concat(curves) if curves else pd.DataFrame()
        if points.empty or not (points["flops_per_sample"].notna() & points["score_mean"].notna()).any():
            continue
        guides = _guides(section, ground, task)
        words = Caption(f"{task}, {ground.backbone}", ground.metric(task), str(points["convention"].iloc[0]))
        alt = f"Score against cost of chosen methods: {task}, {ground.backbone}"
        yield Drawing(task, alt, front_svg(points, ground.methods, words, guides))
        if guides is None and (section.score_share is not None or section.cost_share is not None):
            yield f"No guide lines on {escape(task)}: the results have no full model there."


def _guides(section: FrontSection, ground: Ground, task: str) -> Guides | None:
    """Shares of the score and the FLOPs of the full model; None without one."""
    full = ground.full(task)
    point = None if full is None else ground.operating(full, task)
    if full is None or point is None:
        return None
    score, cost, title = section.score_share, section.cost_share, ground.title(full)
    return Guides(
        None if score is None else score * float(point["score_mean"]),
        "" if score is None else f"{100 * score:g}% of the score: {title}",
        None if cost is None else cost * float(point["flops_per_sample"]),
        "" if cost is None else f"{100 * cost:g}% of the FLOPs: {title}",
    )
