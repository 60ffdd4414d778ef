"""One printed number by its address: paper, table, row and column, so that no page shows a neighbour's by chance."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from eebench.reference.tables import SCORES, reference_names, reference_table

if TYPE_CHECKING:
    import pandas as pd

BASE: Final = "bert-base-uncased"
SCORE: Final = "score"
"""The quantity of a key to a score, whatever metric it is of; other quantities are values of `metric`."""


@dataclass(frozen=True)
class Table:
    """A table of a paper, or the part of it that is of one split; "" where the paper names none."""

    paper: str
    number: int
    split: str = "dev"

    @property
    def name(self) -> str:
        """Its file: "gaml-table2"."""
        return f"{self.paper.replace('-BERT', '').replace('-', '').lower()}-table{self.number}"


GAML_PAIRS, GAML_ALPHA, GAML_RULES = Table("GAML-BERT", 1), Table("GAML-BERT", 3), Table("GAML-BERT", 5)
GAML_STEPS = Table("GAML-BERT", 4, "")
CSDBERT_ABLATION, COSTEFF_ABLATION = Table("CsdBERT", 5, ""), Table("COST-EFF", 4)
COSTEFF_MAIN, SMARTBERT_MAIN, SMARTBERT_SKIPPING = (
    Table("COST-EFF", 3),
    Table("SmartBERT", 1),
    Table("SmartBERT", 3),
)
COSTEFF_SHAPES, COSTEFF_BACKBONES = Table("COST-EFF", 2, ""), Table("COST-EFF", 5)
SMARTBERT_OPERATIONS = Table("SmartBERT", 2, "")
CSDBERT_GLUE, CSDBERT_ELUE = Table("CsdBERT", 3, ""), Table("CsdBERT", 4, "")

AVERAGES: Final = (CSDBERT_GLUE, CSDBERT_ELUE)
"""Tables with a column of averages, whose task is "average" and whose quantity is "mean"."""

MAIN: Final = (Table("GAML-BERT", 2), COSTEFF_MAIN, SMARTBERT_MAIN, CSDBERT_GLUE, CSDBERT_ELUE)
"""Where the main results on texts are, papers oldest first."""

ABLATIONS: Final = (GAML_ALPHA, CSDBERT_ABLATION, COSTEFF_ABLATION)
"""Where one option of a method changes."""


@dataclass(frozen=True)
class Key:
    """A row of a table, and the column of a task and quantity; each is as `reference_table` spells it."""

    table: Table
    method: str
    backbone: str
    task: str
    item: str = ""
    setting: str = ""
    quantity: str = SCORE


@dataclass(frozen=True)
class Twin:
    """Method and checkpoint of the printed row that is like a label of ours under another name, and why."""

    method: str
    backbone: str
    why: str


_WITHOUT_GD = Twin(
    "tinybert6-without-gd", "google/bert_uncased_L-6_H-768_A-12", "ours has no general distillation either"
)
_JOINT_DEEBERT = Twin(
    "deebert", BASE,
    "its 109M parameters leave no room for a pooler at each exit, and all exits are said to be trained together "
    "(GAML-BERT, Eq. 1), so the entropy rule alone is DeeBERT's; deebert itself, in two stages, has no printed row",
)  # fmt: skip

TWINS: Final = {
    ("GAML-BERT", "deebert-joint"): _JOINT_DEEBERT,
    ("COST-EFF", "tinybert6"): _WITHOUT_GD,
    ("COST-EFF", "elasticbert-6"): Twin("elasticbert", "ElasticBERT_6L", "both have the first six layers"),
    ("COST-EFF", "distilbert6"): Twin(
        "distilbert",
        "DistilBERT6",
        "both are the released checkpoint; the printed scores are those of its own paper",
    ),
    ("CsdBERT", "deebert-joint"): _JOINT_DEEBERT,  # its row is GAML-BERT's digit for digit
}
"""By paper and our label. A row that has a twin stands beside nothing else."""


def printed_row(key: Key) -> pd.Series[Any] | None:
    """The row of a key, None if the paper does not have it; raises LookupError if a key names several."""
    rows = _rows().get(key, [])
    if len(rows) > 1:
        raise LookupError(f"{len(rows)} rows of {key.table.name} have the key {key}")
    return rows[0] if rows else None


def keys_of(table: Table) -> list[Key]:
    """The keys of a table in the order in which it is printed."""
    return [key for key in _rows() if key.table == table]


def keys_beside(key: Key, own_only: bool = False) -> Iterator[Key]:
    """The keys of the rows that may stand beside a run of ours, best first; `key` has our label and backbone.

    The row of our own checkpoint; else that of BERT-base, unless `own_only`, or its twin. A row of any other checkpoint
    is never beside ours: one that was distilled on a corpus or has six layers is another model. Checkpoints are the
    same by what follows their last slash, so `fnlp/elasticbert-base` is `elasticbert-base`.
    """
    own = key.backbone.rpartition("/")[2]
    for there in _backbones():
        if there.rpartition("/")[2] == own and there != BASE:
            yield replace(key, backbone=there)
    twin = TWINS.get((key.table.paper, key.method))
    taken = {
        (other.method, other.backbone) for (paper, _), other in TWINS.items() if paper == key.table.paper
    }
    if twin is not None:
        yield replace(key, method=twin.method, backbone=twin.backbone)
    elif (key.method, BASE) not in taken and (not own_only or own == BASE):
        yield replace(key, backbone=BASE)


@cache
def _rows() -> dict[Key, list[pd.Series[Any]]]:
    """All rows of all tables by their keys."""
    found: dict[Key, list[pd.Series[Any]]] = {}
    for name in reference_names():
        for _, row in reference_table(name).iterrows():
            table = Table(str(row["paper"]), int(row["table"]), str(row["split"]))
            quantity = SCORE if row["metric"] in SCORES else str(row["metric"])
            key = Key(
                table, row["method"], row["backbone"], row["task"], row["item"], row["setting"], quantity
            )
            found.setdefault(key, []).append(row)
    return found


@cache
def _backbones() -> tuple[str, ...]:
    """The checkpoints of all tables."""
    return tuple(dict.fromkeys(key.backbone for key in _rows()))
