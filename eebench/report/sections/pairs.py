"""Two exits that learn together and from each other (layout of GAML-BERT, Table 1)."""

from __future__ import annotations

from collections.abc import Iterator

from eebench.reference.keys import GAML_PAIRS, Key, keys_of
from eebench.report.markdown import MISSING, escape, percent_with_spread, table
from eebench.report.sections.ground import Block, Ground
from eebench.report.sections.printed import Row, beside, column, in_their_metric, note
from eebench.sections import PairEntry, PairsSection, layers_of

SETTINGS = {
    "direct": "fine-tuned alone",
    "joint": "trained with exit {other}",
    "deep_to_shallow": "taught by exit {other}",
    "shallow_to_deep": "taught by exit {other}",
    "mutual": "mutual with exit {other}",
}
"""The settings in the words of the page."""


def pairs(section: PairsSection, ground: Ground) -> Iterator[Block]:
    """A row per pair, exit and setting; the paper's own pairs follow ours, since they are of another depth."""
    tasks = [task for task in ground.tasks(section) if _any(section, ground, task)]
    if not tasks:
        return
    items = [key.item for key in keys_of(GAML_PAIRS) if key.item.startswith("pair=")]
    published = [item.removeprefix("pair=").split(";")[0] for item in items]
    names = list(dict.fromkeys([*section.pairs, *published]))
    places = [(name, *place) for name in names for place in _places(name)]
    headers = ["pair", "exit", "setting"]
    body = [
        [escape(name), str(layer), SETTINGS[setting].format(other=other)]
        for name, layer, other, setting in places
    ]
    found: list[Row | None] = []
    for task in tasks:
        theirs = [_theirs(ground, task, (name, layer, setting)) for name, layer, _, setting in places]
        same, theirs, words = in_their_metric(ground, task, theirs)
        ours = [_ours(section, same, task, (name, layer, setting)) for name, layer, _, setting in places]
        found += theirs
        header, cells = column(words, theirs)
        headers += [f"{escape(words)}: ours", *header]
        body = [[*line, mine, *more] for line, mine, more in zip(body, ours, cells, strict=True)]
    # A pair of the paper on tasks that the paper does not have is a row of dashes.
    yield table(headers, [line for line in body if set(line[3:]) != {MISSING}], "lll")
    yield from note(found)


def _any(section: PairsSection, ground: Ground, task: str) -> bool:
    """Whether any run of the section has a result on the task."""
    return any(len(ground.exit_rows(label, task)) for label in section.labels)


def _places(pair: str) -> Iterator[tuple[int, int, str]]:
    """Exit, the other exit, and setting: the rows of a pair; who is taught is only shown where it learns."""
    layers = layers_of(pair)
    assert layers is not None  # the form of a pair is checked with the section
    low, high = layers
    for setting in ("direct", "joint", "deep_to_shallow", "mutual"):
        yield low, high, setting
    for setting in ("direct", "joint", "shallow_to_deep", "mutual"):
        yield high, low, setting


def _ours(section: PairsSection, ground: Ground, task: str, place: tuple[str, int, str]) -> str:
    """Our score of one row on one task."""
    pair, layer, setting = place
    entry = section.pairs.get(pair)
    if entry is None:
        return MISSING
    score = ground.exit_score(_label(entry, layers_of(pair), layer, setting), task, layer)
    return percent_with_spread(score.mean, score.std)


def _label(entry: PairEntry, layers: tuple[int, int] | None, layer: int, setting: str) -> str:
    """The label whose run a row shows."""
    if setting == "direct":
        return entry.direct[0 if layers is not None and layer == layers[0] else 1]
    return str(getattr(entry, setting))


def _theirs(ground: Ground, task: str, place: tuple[str, int, str]) -> Row | None:
    """The printed score of one row on one task."""
    pair, layer, setting = place
    method, item = f"pilot-{setting.replace('_', '-')}", f"pair={pair};exit={layer}"
    return beside(Key(GAML_PAIRS, method, ground.backbone, task, item))
