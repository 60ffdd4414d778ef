"""Score of single-exit models by their depth (layout of GAML-BERT, Fig. 5): is the full depth the best one?"""

from __future__ import annotations

from collections.abc import Iterator

from eebench.report.figures import Caption
from eebench.report.markdown import escape, percent, percent_with_spread, signed, table
from eebench.report.sections.drawing import curves_svg
from eebench.report.sections.ground import Block, Drawing, Ground, Spread
from eebench.sections import OverthinkingSection


def overthinking(section: OverthinkingSection, ground: Ground) -> Iterator[Block]:
    """The figure and table of every task, and which depth is best."""
    for task in ground.tasks(section):
        scores, labels, several = _depths(section, ground, task)
        if several:
            yield f"Left out, for it has several exits: {', '.join(map(escape, several))}."
        if not scores:
            continue
        caption = Caption(f"{task}, {ground.backbone}", ground.metric(task))
        alt = f"Score by depth: {task}, {ground.backbone}"
        curve = {"fine-tuned to this depth": scores}
        yield Drawing(task, alt, curves_svg(curve, "layers kept", caption, whole=True))
        rows = [
            [str(depth), escape(ground.title(labels[depth])), percent_with_spread(score.mean, score.std)]
            for depth, score in scores.items()
        ]
        yield table([f"{escape(task)}: layers", "method", "score"], rows, "rl")
        yield _statement(task, scores)


def _depths(
    section: OverthinkingSection, ground: Ground, task: str
) -> tuple[dict[float, Spread], dict[float, str], list[str]]:
    """Score and label by depth, shallow first; and labels with more than one exit."""
    scores: dict[float, Spread] = {}
    labels: dict[float, str] = {}
    several = []
    for label in section.methods:
        rows = ground.exit_rows(label, task)
        if len(rows) > 1:
            several.append(label)
        elif len(rows) == 1:
            depth = int(rows["exit"].iloc[0])
            scores[depth], labels[depth] = Spread.read(rows.iloc[0]), label
    known = {depth: scores[depth] for depth in sorted(scores) if scores[depth].mean == scores[depth].mean}
    return known, labels, several


def _statement(task: str, scores: dict[float, Spread]) -> str:
    """The best depth against the deepest; of equals the shallower."""
    best, deepest = max(scores, key=lambda depth: scores[depth].mean), max(scores)
    top, full = scores[best].mean, scores[deepest].mean
    name = escape(task)
    if best == deepest:
        return f"**{name}**: the deepest model is the best one: {percent(full)} with {deepest} layers."
    return (
        f"**{name}**: {best} of {deepest} layers are best: {percent(top)} against {percent(full)} at the full depth "
        f"({signed(top - full)} points)."
    )
