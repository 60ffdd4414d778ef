"""From a section of a suite to its part of the page; every kind is drawn by the file of its name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
from pydantic import ValidationError

from eebench.errors import DataError
from eebench.report.files import FigureFile, free_path
from eebench.report.markdown import escape
from eebench.report.sections.alignment import alignment
from eebench.report.sections.average import average
from eebench.report.sections.comparison import comparison
from eebench.report.sections.compression import compression
from eebench.report.sections.elue import elue
from eebench.report.sections.front import front
from eebench.report.sections.ground import Block, Drawing, Ground, grounds
from eebench.report.sections.histogram import histogram
from eebench.report.sections.layers import layers
from eebench.report.sections.operations import operations
from eebench.report.sections.overthinking import overthinking
from eebench.report.sections.pairs import pairs
from eebench.report.sections.sensitivity import sensitivity
from eebench.report.sections.shapes import shapes
from eebench.report.sections.simple import simple
from eebench.report.sections.skipping import skipping
from eebench.report.sections.strategies import strategies
from eebench.report.sections.thresholds import thresholds
from eebench.report.sections.together import together, whose
from eebench.report.sections.training_steps import training_steps
from eebench.report.selection import Shown
from eebench.results import Results
from eebench.sections import MethodsSection, Section, read_sections

# Each renderer takes its own kind of section.
RENDERERS: Mapping[str, Callable[[Any, Ground], Iterator[Block]]] = {
    "pairs": pairs,
    "histogram": histogram,
    "sensitivity": sensitivity,
    "training-steps": training_steps,
    "strategies": strategies,
    "overthinking": overthinking,
    "comparison": comparison,
    "alignment": alignment,
    "thresholds": thresholds,
    "skipping": skipping,
    "front": front,
    "layers": layers,
    "simple": simple,
    "compression": compression,
    "elue": elue,
    "average": average,
    "shapes": shapes,
    "operations": operations,
}


@dataclass(frozen=True)
class Rendered:
    """A section of the page: its title, its blocks of Markdown, and the figures they show."""

    title: str
    blocks: list[str]
    figures: list[FigureFile]


def render_sections(
    results: Results, held: pd.DataFrame, methods: Mapping[str, Shown], every: Results | None = None
) -> list[Rendered]:
    """The sections that the provenance asks for, in its order; takes results without the rows of `held`.

    `results` are under one metric a task, `every` under all of them.

    Raises DataError when the provenance holds something that is no section.
    """
    asked = results.provenance.get("sections") or []
    try:
        sections = read_sections(asked)
    except (ValidationError, ValueError, TypeError) as error:
        reason = " ".join(str(error).split())
        way_out = f"`eebench sweep --suite {results.folder.name}` writes it"
        raise DataError(f"{results.folder / 'provenance.json'}: sections: {reason}; {way_out}") from error
    found = list(grounds(results, held, methods, every))
    return [_render(number, section, found) for number, section in enumerate(sections, start=1)]


def _render(number: int, asked: Section, found: list[Ground]) -> Rendered:
    """One section, backbone after backbone."""
    blocks: list[str] = []
    figures: list[FigureFile] = []
    parts = list(_parts(asked, found))
    everywhere = {label for _, ground in parts for label in ground.planned()}
    for section, ground in parts:
        if len(parts) > 1:
            blocks.append(f"### {escape(ground.backbone)}")
        drawn = list(RENDERERS[section.kind](section, ground))
        for block in drawn:
            if isinstance(block, Drawing):
                names = (f"section-{number}-{section.kind}", block.task, ground.backbone)
                path = free_path(names, (figure.path for figure in figures))
                figures.append(FigureFile(path, block.alt, block.svg))
            blocks.append(figures[-1].image if isinstance(block, Drawing) else block)
        if not drawn:
            blocks.append("Nothing to show: the results have no number that this section is about.")
        if drawn and ground.origins:
            blocks.append(whose(ground))
        missing = list(ground.without_result(section, everywhere))
        if missing:
            blocks.append(f"Without a result: {', '.join(map(escape, missing))}.")
    blocks += [f"Not here: {escape(name)}, {escape(why)}." for name, why in (asked.missing or {}).items()]
    return Rendered(asked.shown_title, blocks, figures)


def _parts(section: Section, found: list[Ground]) -> Iterator[tuple[Section, Ground]]:
    """The grounds that a section is drawn from, those that none of its methods was to be run on left out.

    Where several stand together they are one, and the section is in its labels.
    """
    here = [ground for ground in found if section.backbones is None or ground.backbone in section.backbones]
    planned = [ground for ground in here if ground.planned() & set(section.labels)] or here[:1] or found[:1]
    if isinstance(section, MethodsSection) and section.together and section.backbones and len(planned) > 1:
        planned.sort(key=lambda ground: (section.backbones or []).index(ground.backbone))
        yield together(section, planned)
    else:
        yield from ((section, ground) for ground in planned)
