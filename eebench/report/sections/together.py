"""Several backbones as one ground: their rows in one table or figure, under labels that say whose they are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import pandas as pd

from eebench.report.markdown import escape
from eebench.report.sections.ground import Ground
from eebench.report.selection import Shown, mapping
from eebench.sections import LayersSection, MethodsSection, ReductionSection

Kind = TypeVar("Kind", bound=MethodsSection)
TABLES = ("points", "held", "exits", "runs", "layers")
"""The tables that kinds with several backbones in one read; they have no use for the others."""


def together(section: Kind, found: Sequence[Ground]) -> tuple[Kind, Ground]:
    """One ground of several, the first of which keeps its labels, and the section in the labels of that ground.

    Speed-ups in FLOPs are against the full model of the first; NaN on a task that the first has no point of.
    """
    first, *others = found
    renamed = [first, *(_renamed(ground, section.labels, _full_flops(first)) for ground in others)]
    tables: dict[str, Any] = {name: _joined(getattr(ground, name) for ground in renamed) for name in TABLES}
    every = {
        name: _joined(ground.every[name] for ground in renamed) for name in first.every if name in TABLES
    }
    joined = replace(
        first, **tables, every=every,
        methods={name: shown for ground in renamed for name, shown in ground.methods.items()},
        about={label: about for ground in renamed for label, about in ground.about.items()},
        origins={label: origin for ground in renamed for label, origin in ground.origins.items()},
    )  # fmt: skip
    return _in_labels_of(section, joined), joined


def whose(ground: Ground) -> str:
    """Which rows of a ground of several are whose."""
    return (
        f"Rows and curves that name no backbone are of {escape(ground.backbone)}, against whose full model all "
        "speed-ups and reductions are."
    )


def _in_labels_of(section: Kind, joined: Ground) -> Kind:
    """The section with each label once for every backbone that it was to be run on, the first where there is none."""
    planned, names = joined.planned(), {label: [label] for label in section.labels}
    for label, (asked, _) in joined.origins.items():
        names[asked].append(label)
    here = {
        asked: [label for label in labels if label in planned] or [asked] for asked, labels in names.items()
    }
    changed: dict[str, Any] = {"methods": [label for asked in section.methods for label in here[asked]]}
    if isinstance(section, ReductionSection):
        changed["speedups"] = {
            label: speedup for asked, speedup in section.speedups.items() for label in here[asked]
        }
    if isinstance(section, LayersSection) and section.level is not None:
        changed["level"] = here[section.level][0]
    return section.model_copy(update=changed)


def _renamed(ground: Ground, labels: Iterable[str], full: Mapping[str, float]) -> Ground:
    """The rows of the labels that a section names, each under a name with its backbone."""
    there = [label for label in labels if label in ground.planned()]
    short = ground.backbone.rpartition("/")[2] or ground.backbone

    def named(table: pd.DataFrame) -> pd.DataFrame:
        rows = table[table["base"].isin(there)]
        new = {column: rows[column] + f"@{ground.backbone}" for column in ("base", "method")}
        rows = rows.assign(**new)
        if "speedup_flops" not in rows:
            return rows
        costs = rows["flops_per_sample"].astype("float64")
        return rows.assign(speedup_flops=rows["task"].map(full).astype("float64") / costs)

    tables: dict[str, Any] = {name: named(getattr(ground, name)) for name in TABLES}
    methods = {
        f"{name}@{ground.backbone}": _titled(ground.methods[name], f"{name}@{ground.backbone}", short)
        for name in dict.fromkeys(ground.points[ground.points["base"].isin(there)]["method"])
    }
    about = {
        f"{label}@{ground.backbone}": {
            **mapping(ground.about.get(label)), "method": ground.method(label),
            "title": f"{ground.title(label)}, {short}",
        }
        for label in there
    }  # fmt: skip
    return replace(
        ground, **tables, methods=methods, about=about,
        every={name: named(table) for name, table in ground.every.items() if name in TABLES},
        origins={f"{label}@{ground.backbone}": (label, ground.backbone) for label in there},
    )  # fmt: skip


def _titled(shown: Shown, name: str, backbone: str) -> Shown:
    return replace(shown, name=name, title=f"{shown.title}, {backbone}")


def _full_flops(ground: Ground) -> dict[str, float]:
    """FLOPs per sample of the full model by task, from the point whose speed-up is nearest to 1: its own, if there."""
    known = ground.points[ground.points["speedup_flops"].notna() & ground.points["flops_per_sample"].notna()]
    nearest = (known["speedup_flops"] - 1).abs().groupby(known["task"], sort=False).idxmin()
    rows = known.loc[nearest]
    products = rows["speedup_flops"].astype("float64") * rows["flops_per_sample"].astype("float64")
    return {str(task): float(full) for task, full in zip(rows["task"], products, strict=True)}


def _joined(tables: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """The rows of all tables; those without rows are left out, whose columns have no types."""
    every = list(tables)
    return pd.concat([table for table in every if len(table)] or every[:1])
