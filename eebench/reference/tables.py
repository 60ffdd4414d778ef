"""The published results tables of four early-exit papers, one CSV per table, one number per row.

Scores and costs may be set beside a run of ours, never beside another paper's: the papers disagree by several
points on plain BERT-base itself (QNLI 86.8, 88.1 and 91.7), so a gain is only worth quoting against the BERT
row of the same paper. Baselines printed by one paper may also be copied from another: ten baseline rows of
CsdBERT Table 3 repeat the scores of GAML-BERT Table 2 digit for digit.

Columns, all text unless said otherwise; an empty cell was not printed:

    paper, table    a key of PAPERS; the number of the table (integer)
    page            empty throughout: the texts the tables were read from have no page breaks
    split           dev or test; SmartBERT's is known from its released code; empty where nothing says
    method          the name eebench uses, where it has the method, else one in the same style
    printed         the name in the paper, without "(ours)"
    backbone        the checkpoint the model is trained from; bert-base-uncased for every plain "BERT-base"
    setting         the exit rule's setting, as in `points.csv`: S=0.1
    item            what sets the row apart from its method's main result: an ablation, a pilot, a subset, a
                    repetition; empty for main results
    task, metric    a task of eebench, "average", or an image data set; the metric, "unspecified" if the paper
                    names none, or the quantity of a table that holds no scores (training_steps, layers, ...)
    score           percent, or the quantity that `metric` names (number)
    speedup         a factor, averaged over the table's tasks; of FLOPs in COST-EFF, not defined by CsdBERT and
                    GAML-BERT (number)
    params          as printed: 109M parameters, or the factor 7.6x by which they are fewer
    flops           millions per sample, two per multiply-accumulate (number)
    cost_percent    FLOPs in percent of BERT-base (number)
    doubtful        empty, or which cell may not be what it claims to be and why: unreadable, lost, at odds
                    with another printed number, or apparently of another split or data set
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Final

from eebench.errors import UnknownName

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

    import pandas as pd

NUMBERS: Final = ("score", "speedup", "flops", "cost_percent")
SCORES: Final = ("accuracy", "f1", "matthews", "acc_f1", "unspecified")
"""The values of `metric` under which `score` is the score of a model on a task."""

SUFFIX: Final = ".csv"


@dataclass(frozen=True)
class Paper:
    """Where tables come from: title and venue of one paper."""

    title: str
    venue: str


PAPERS: Mapping[str, Paper] = {
    "GAML-BERT": Paper(
        "GAML-BERT: Improving BERT Early Exiting by Gradient Aligned Mutual Learning", "EMNLP 2021"
    ),
    "COST-EFF": Paper(
        "COST-EFF: Collaborative Optimization of Spatial and Temporal Efficiency with Slenderized Multi-exit "
        "Language Models",
        "EMNLP 2022",
    ),
    "SmartBERT": Paper(
        "SmartBERT: A Promotion of Dynamic Early Exiting Mechanism for Accelerating BERT Inference",
        "IJCAI 2023",
    ),
    "CsdBERT": Paper(
        "A Contrastive Self-Distillation BERT with Kernel Alignment-Based Inference", "ICCS 2023"
    ),
}
"""The papers by the name of their method, oldest first."""


def reference_names() -> list[str]:
    """Names of all tables, sorted: "costeff-table2", ..., "smartbert-table3"."""
    return sorted(
        entry.name.removesuffix(SUFFIX) for entry in _folder().iterdir() if entry.name.endswith(SUFFIX)
    )


def reference_table(name: str) -> pd.DataFrame:
    """One table in the order in which it is printed; raises UnknownName.

    Example: ``reference_table("gaml-table2")`` has one row per split, method and task.
    """
    if name not in reference_names():
        raise UnknownName("reference", name, reference_names())
    return _read(name).copy()


def _folder() -> Traversable:
    return files("eebench.reference")


@cache
def _read(name: str) -> pd.DataFrame:
    """A table with numbers parsed (nan where empty) and all other cells as text ("" where empty)."""
    import pandas as pd

    with _folder().joinpath(name + SUFFIX).open(encoding="utf-8") as file:
        rows = pd.read_csv(file, dtype=str, keep_default_na=False)
    for column in NUMBERS:
        rows[column] = pd.to_numeric(rows[column].replace("", None)).astype(float)
    rows["table"] = rows["table"].astype(int)
    return rows
