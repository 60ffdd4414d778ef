"""Sections of a suite: the analyses its page shows besides the tables that every page has.

A suite lists them under `sections:`, each with the kind of analysis and what it is about. They travel with the
results, in `provenance.json`, so that a page can be drawn from the results folder alone. Nothing here is heavy.
"""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from eebench.errors import closest


@dataclass(frozen=True)
class Known:
    """What a suite has for its sections to name: tasks, rules, the options of each label, and backbones."""

    tasks: Collection[str]
    rules: Collection[str]
    options: Mapping[str, Collection[str]]
    backbones: Collection[str] = ()


class Section(BaseModel):
    """What every section has: its kind, a title of its own, and the tasks and backbones it is about (None: all).

    Several backbones are shown one after the other; in a kind that is `together` those it lists stand in one table
    or figure, and what is compared with the full model is with that of the first. `missing` says what the paper's
    table or figure has and the section does not, and why. Kinds name their methods by the labels of the suite.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
    heading: ClassVar[str]
    together: ClassVar[bool] = False

    kind: str
    title: str | None = Field(default=None, min_length=1)
    tasks: list[str] | None = Field(default=None, min_length=1)
    backbones: list[str] | None = Field(default=None, min_length=1)
    missing: dict[str, str] | None = Field(default=None, min_length=1)

    @property
    @abstractmethod
    def labels(self) -> list[str]:
        """Every label the section names, each once."""

    @property
    def shown_title(self) -> str:
        """The heading on the page."""
        return self.title or self.heading.format(**dict(self))

    def problems(self, known: Known, where: str) -> Iterator[str]:
        """One line for everything the section names that the suite does not have."""
        yield from unknown("method", self.labels, known.options, where)
        yield from unknown("task", self.tasks or (), known.tasks, where)
        yield from unknown("backbone", self.backbones or (), known.backbones, where)

    @field_validator("backbones")
    @classmethod
    def _each_backbone_once(cls, backbones: list[str] | None) -> list[str] | None:
        return None if backbones is None else each_once(backbones)


class MethodsSection(Section):
    """A section about a list of methods."""

    methods: list[str] = Field(min_length=1)

    @property
    def labels(self) -> list[str]:
        return list(dict.fromkeys(self.methods))

    @field_validator("methods")
    @classmethod
    def _each_method_once(cls, methods: list[str]) -> list[str]:
        return each_once(methods)


class PairEntry(BaseModel):
    """The runs of one pair of exits: two single-exit models, then two-exit models by who teaches whom."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    direct: list[str] = Field(min_length=2, max_length=2)
    joint: str
    deep_to_shallow: str
    shallow_to_deep: str
    mutual: str


class PairsSection(Section):
    """Two exits that learn from each other (GAML-BERT, Table 1); pairs are named by their layers, `1&12`."""

    heading: ClassVar[str] = "Pairs of exits"

    kind: Literal["pairs"]
    pairs: dict[str, PairEntry] = Field(min_length=1)

    @property
    def labels(self) -> list[str]:
        return list(dict.fromkeys(
            label for entry in self.pairs.values()
            for label in (*entry.direct, entry.joint, entry.deep_to_shallow, entry.shallow_to_deep, entry.mutual)
        ))  # fmt: skip

    @field_validator("pairs", mode="before")
    @classmethod
    def _named_by_layers(cls, pairs: Any) -> Any:
        """Refuses what the model itself would report less clearly: names of pairs, and keys inside them."""
        for name, entry in pairs.items() if isinstance(pairs, dict) else ():
            layers = layers_of(str(name))
            if not layers or layers[0] < 1 or layers[0] >= layers[1]:
                raise ValueError(f"'{name}' names no pair; write two layers, the lower first, such as '1&12'")
            for key in entry if isinstance(entry, dict) else ():
                if key not in PairEntry.model_fields:
                    raise ValueError(f"unknown key '{key}' in {name}; {_hint(key, PairEntry.model_fields)}")
        return pairs


class HistogramSection(MethodsSection):
    """How a quantity of every training step is distributed (GAML-BERT, Fig. 3)."""

    heading: ClassVar[str] = "Distribution of {quantity} over training steps"

    kind: Literal["histogram"]
    quantity: Literal["angle", "c", "delta"]

    @property
    def shown_title(self) -> str:
        if self.title is None and self.quantity == "delta":
            return "Distribution of delta over layers and samples"
        return super().shown_title


class SensitivitySection(MethodsSection):
    """Score by the value of one option, in which the labels differ (GAML-BERT, Table 3); `head.pooling` is one too."""

    heading: ClassVar[str] = "Sensitivity to {option}"

    kind: Literal["sensitivity"]
    option: str

    def problems(self, known: Known, where: str) -> Iterator[str]:
        yield from super().problems(known, where)
        first = self.option.split(".", maxsplit=1)[0]
        for label in self.labels:
            keys = known.options.get(label, (first,))
            if first not in keys:
                yield f"unknown option '{self.option}' in {where}; {_hint(first, keys, f'{label} has')}."
                return


class TrainingStepsSection(MethodsSection):
    """Optimiser steps until early stopping (GAML-BERT, Table 4)."""

    heading: ClassVar[str] = "Training steps until early stopping"

    kind: Literal["training-steps"]


class StrategiesSection(MethodsSection):
    """The operating point of every method under every exit rule (GAML-BERT, Table 5); `rules`: None for all swept."""

    heading: ClassVar[str] = "Exit rules compared"

    kind: Literal["strategies"]
    rules: list[str] | None = Field(default=None, min_length=1)

    def problems(self, known: Known, where: str) -> Iterator[str]:
        yield from super().problems(known, where)
        yield from unknown("rule", self.rules or (), known.rules, where)


class OverthinkingSection(MethodsSection):
    """Score of single-exit models by their depth (GAML-BERT, Fig. 5)."""

    heading: ClassVar[str] = "Over-thinking"

    kind: Literal["overthinking"]


class ComparisonSection(MethodsSection):
    """Methods beside a control, paired by seed; points are those nearest to `speedup`, else at twice the speed."""

    heading: ClassVar[str] = "Compared with {control}"

    kind: Literal["comparison"]
    control: str
    speedup: float | None = Field(default=None, gt=0, allow_inf_nan=False)

    @property
    def labels(self) -> list[str]:
        return list(dict.fromkeys([self.control, *self.methods]))


class AlignmentSection(MethodsSection):
    """The alignment rule beside a fixed exit, and how often its comparison fires (CsdBERT, Fig. 3b)."""

    heading: ClassVar[str] = "The rule {rule} examined"

    kind: Literal["alignment"]
    theta: float = 0.06
    rule: str = "cka"

    def problems(self, known: Known, where: str) -> Iterator[str]:
        yield from super().problems(known, where)
        yield from unknown("rule", [self.rule], known.rules, where)


class ThresholdsSection(MethodsSection):
    """Score and cost of every method at the same few settings of one rule (SmartBERT, Table 1)."""

    heading: ClassVar[str] = "Settings of {rule} compared"

    kind: Literal["thresholds"]
    rule: str = "entropy"
    settings: list[float] = Field(default=[0.1, 0.3, 0.5], min_length=1)

    def problems(self, known: Known, where: str) -> Iterator[str]:
        yield from super().problems(known, where)
        yield from unknown("rule", [self.rule], known.rules, where)


class SkippingSection(MethodsSection):
    """Gated methods that skip layers and never exit, beside the full model (SmartBERT, Table 3)."""

    heading: ClassVar[str] = "Skipping layers, exiting switched off"

    kind: Literal["skipping"]


class FrontSection(MethodsSection):
    """Score against cost of chosen methods (COST-EFF, Figs. 3, 4 and 7); guides are shares of the full model's."""

    heading: ClassVar[str] = "Fronts"
    together: ClassVar[bool] = True

    kind: Literal["front"]
    score_share: float | None = Field(default=None, gt=0, le=1)
    cost_share: float | None = Field(default=None, gt=0, le=1)


class LayersSection(MethodsSection):
    """Score by exit of chosen methods, with one and shares of its score as levels (COST-EFF, Figs. 5, 6 and 8)."""

    heading: ClassVar[str] = "Score by layer"
    together: ClassVar[bool] = True

    kind: Literal["layers"]
    level: str | None = None
    level_shares: list[float] | None = Field(default=None, min_length=1)

    @property
    def labels(self) -> list[str]:
        return list(dict.fromkeys([*self.methods, *([self.level] if self.level is not None else [])]))

    @field_validator("level_shares")
    @classmethod
    def _below_the_level(cls, shares: list[float] | None) -> list[float] | None:
        for share in shares or ():
            if not 0 < share < 1:
                raise ValueError(
                    f"{share} is no share of the level; write numbers between 0 and 1, such as 0.95"
                )
        return shares


class ReductionSection(MethodsSection):
    """A section about one point per method.

    It is the operating point, but for methods with a speed-up in `speedups`: theirs is the setting nearest to it.
    """

    speedups: dict[str, float] = Field(default_factory=dict)

    @field_validator("speedups")
    @classmethod
    def _positive(cls, speedups: dict[str, float]) -> dict[str, float]:
        for label, speedup in speedups.items():
            if not 0 < speedup < float("inf"):
                raise ValueError(
                    f"the speed-up of '{label}' is {speedup}; write a number above 0, such as 19"
                )
        return speedups

    def problems(self, known: Known, where: str) -> Iterator[str]:
        yield from super().problems(known, where)
        yield from unknown("method", self.speedups, self.methods, where, "the section has")


class SimpleSection(ReductionSection):
    """Score on the shorter half of dev (COST-EFF, last block of Table 3)."""

    heading: ClassVar[str] = "Simple inputs"

    kind: Literal["simple"]


class CompressionSection(ReductionSection):
    """How many times fewer parameters and FLOPs, and the scores left (COST-EFF, Tables 3 and 5)."""

    heading: ClassVar[str] = "Parameters and FLOPs reduced"
    together: ClassVar[bool] = True

    kind: Literal["compression"]


class ShapesSection(MethodsSection):
    """How large the models are: layers, width, attention heads, feed-forward size, exits (COST-EFF, Table 2)."""

    heading: ClassVar[str] = "Shapes of the models"
    together: ClassVar[bool] = True

    kind: Literal["shapes"]


class OperationsSection(MethodsSection):
    """FLOPs of one layer, exit and gate of each method (SmartBERT, Table 2)."""

    heading: ClassVar[str] = "FLOPs of each operation"

    kind: Literal["operations"]


class AverageSection(MethodsSection):
    """Score at the operating point on each task, and the plain mean over tasks (CsdBERT, Tables 3 and 4)."""

    heading: ClassVar[str] = "Average over tasks"

    kind: Literal["average"]


class ElueSection(MethodsSection):
    """How far a curve lies above the reference's own at the same FLOPs: the ELUE score."""

    heading: ClassVar[str] = "ELUE score, above {reference}"

    kind: Literal["elue"]
    reference: str

    @property
    def labels(self) -> list[str]:
        return list(dict.fromkeys([self.reference, *self.methods]))


KINDS: Mapping[str, type[Section]] = {
    "pairs": PairsSection,
    "histogram": HistogramSection,
    "sensitivity": SensitivitySection,
    "training-steps": TrainingStepsSection,
    "strategies": StrategiesSection,
    "overthinking": OverthinkingSection,
    "comparison": ComparisonSection,
    "alignment": AlignmentSection,
    "thresholds": ThresholdsSection,
    "skipping": SkippingSection,
    "front": FrontSection,
    "layers": LayersSection,
    "simple": SimpleSection,
    "compression": CompressionSection,
    "elue": ElueSection,
    "average": AverageSection,
    "shapes": ShapesSection,
    "operations": OperationsSection,
}


def kind_of(item: object) -> type[Section] | None:
    """The class of a section as it stands in a file, None when there is no such kind."""
    kind = item.get("kind") if isinstance(item, dict) else None
    return KINDS.get(kind) if isinstance(kind, str) else None


def no_kind(item: object, where: str) -> str:
    """What to say about a section without a known kind."""
    if not isinstance(item, dict) or "kind" not in item:
        return f"{where}: write a mapping with a kind, one of {', '.join(KINDS)} (got {item!r})."
    return f"unknown kind '{item['kind']}' in {where}; {_hint(item['kind'], KINDS)}."


def read_sections(items: Sequence[object]) -> list[Section]:
    """Sections as `dump_sections` wrote them; ValueError when one is none."""
    sections = []
    for index, item in enumerate(items):
        found = kind_of(item)
        if found is None:
            raise ValueError(no_kind(item, f"sections[{index}]"))
        sections.append(found.model_validate(item))
    return sections


def dump_sections(sections: Iterable[Section]) -> list[dict[str, Any]]:
    """Sections as `provenance.json` holds them."""
    return [section.model_dump(mode="json", exclude_none=True) for section in sections]


def layers_of(pair: str) -> tuple[int, int] | None:
    """The two layers of a pair, None when the text names none: "1&12" -> (1, 12)."""
    parts = pair.split("&")
    if len(parts) != 2 or not all(part.isascii() and part.isdigit() for part in parts):
        return None
    return int(parts[0]), int(parts[1])


def each_once(names: list[str]) -> list[str]:
    """The names themselves; ValueError when one is listed twice."""
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise ValueError(f"'{twice[0]}' is listed twice; remove one")
    return names


def unknown(
    kind: str, names: Iterable[str], known: Collection[str], where: str, there: str = "the suite has"
) -> Iterator[str]:
    """One line for every name that is not among the known ones."""
    for name in names:
        if name not in known:
            yield f"unknown {kind} '{name}' in {where}; {_hint(name, known, there)}."


def _hint(name: object, known: Collection[str], there: str = "known:") -> str:
    """A suggestion and all there is."""
    near = closest(str(name), known)
    return (f"did you mean '{near}'?  " if near else "") + f"{there} {', '.join(known)}"
