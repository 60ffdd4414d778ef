"""Methods beside a control: what is left of a difference when both are trained from the same seeds."""

from __future__ import annotations

import math
from collections.abc import Iterator

from eebench.reference.keys import ABLATIONS, Key, keys_of
from eebench.report.figures import Caption, layers_svg
from eebench.report.markdown import MISSING, escape, percent, percent_with_spread, signed, table, times
from eebench.report.sections.ground import Block, Drawing, Ground, Spread
from eebench.report.sections.printed import Row, beside, column, in_their_metric, note
from eebench.sections import ComparisonSection

WHOLE = "repeated from"
"""How the item begins of the row of the whole method in a table of ablations."""

MEANING = (
    "Mean over exits: of each seed's own scores on dev, then over seeds. The difference is to the control's run with "
    "the same seed, with its standard deviation over the seeds that both have."
)


def comparison(section: ComparisonSection, ground: Ground) -> Iterator[Block]:
    """Per task a row per method, the control first, and their scores by exit."""
    shown = False
    found: list[Row | None] = []
    for task in ground.tasks(section):
        labels = [label for label in section.labels if len(ground.exit_rows(label, task))]
        if not labels:
            continue
        shown = True
        theirs = [_printed(section, ground, task, label) for label in labels]
        same, theirs, words = in_their_metric(ground, task, theirs)
        found += theirs
        point = _operating(section) + words.removeprefix(task)
        header, more = column(point, theirs)
        headers = [f"{escape(task)}: method", "mean over exits", "difference", "seeds", point,
                   "speed-up", "last exit", *header]  # fmt: skip
        body = [[*_row(section, (ground, same), task, label), *row]
                for label, row in zip(labels, more, strict=True)]  # fmt: skip
        yield table(headers, body)
        yield from _other_heads(section, ground, task, labels)
        names = ground.exits["base"].isin(labels) & (ground.exits["task"] == task)
        caption = Caption(f"{task}, {ground.backbone}", ground.metric(task))
        svg = layers_svg(ground.exits[names], ground.methods, caption)
        if svg:
            yield Drawing(task, f"Score by exit beside the control: {task}, {ground.backbone}", svg)
    if shown:
        yield MEANING
        yield from note(found)


def _other_heads(section: ComparisonSection, ground: Ground, task: str, labels: list[str]) -> Iterator[str]:
    """Which methods have exits of another form than the control, so that their difference is the head's too."""
    forms = {label: ground.head(label, task) for label in labels}
    own = forms.get(section.control)
    other = [
        f"{escape(ground.title(label))} ({escape(form)})" for label, form in forms.items() if form != own
    ]
    if own is not None and other:
        names = ", ".join(other)
        yield f"Exits of another form than the control's ({escape(own)}), which a difference shows too: {names}."


def _operating(section: ComparisonSection) -> str:
    """What the points shown have in common."""
    return "at twice the speed" if section.speedup is None else f"nearest to {section.speedup:g}x"


def _printed(section: ComparisonSection, ground: Ground, task: str, label: str) -> Row | None:
    """What a paper printed for the control, or for what alone sets a label apart from it."""
    changes = ground.changes(label, section.control, task)
    if label != section.control and len(changes) != 1:
        return None
    found = []
    for part in ABLATIONS:
        whole = dict.fromkeys(key.item for key in keys_of(part) if key.item.startswith(WHOLE))
        keys = (Key(part, section.control, ground.backbone, task, item) for item in changes or whole)
        found += [row for row in map(beside, keys) if row is not None]
    return found[0] if found else None


def _row(section: ComparisonSection, read: tuple[Ground, Ground], task: str, label: str) -> list[str]:
    """One method beside the control; of `read` the second is what the point is read from."""
    ground, same = read
    mean, point = ground.mean_over_exits(label, task), same.nearest(label, task, section.speedup)
    score, last = Spread.read(point), ground.last_exit(label, task)
    control = label == section.control
    paired = Spread() if control else difference(ground, task, label, section.control)
    return [
        escape(ground.title(label)),
        percent_with_spread(mean.mean, mean.std),
        "control" if control else _signed(paired),
        str(mean.seeds if control else paired.seeds),
        percent_with_spread(score.mean, score.std),
        MISSING if point is None else times(point["speedup_flops"]),
        percent_with_spread(last.mean, last.std),
    ]


def difference(ground: Ground, task: str, label: str, control: str) -> Spread:
    """The mean over exits of a label minus the control's, seed by seed, over the seeds that both have."""
    ours, theirs = ground.seed_means(label, task), ground.seed_means(control, task)
    return Spread.of(ours[seed] - theirs[seed] for seed in ours if seed in theirs)


def _signed(paired: Spread) -> str:
    """A difference with its deviation."""
    if not paired.seeds:
        return MISSING
    return signed(paired.mean) + ("" if math.isnan(paired.std) else f" ± {percent(paired.std)}")
