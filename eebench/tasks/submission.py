"""Answers to GLUE's test sets, whose labels only its leaderboard has, in the form that it takes.

One file a test set, `index` and `prediction` separated by a tab, in the order of the official test.tsv.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from eebench.errors import DataError, UserError
from eebench.tasks.folder import find_folder
from eebench.tasks.rows import find_column, tab_separated
from eebench.tasks.specs import CATALOGUE, TaskSpec

WORDS = ("rte", "qnli", "mnli")
"""Tasks whose answers are written as words; the others' as the number of the class."""
INDEX = ("index", "id")


@dataclass(frozen=True)
class TestSet:
    """One unlabelled test set: the official `source` file, the `file` of answers, how many `rows` both have."""

    __test__ = False  # not a test of pytest's

    source: str
    file: str
    rows: int


TEST_SETS: dict[str, tuple[TestSet, ...]] = {
    "cola": (TestSet("test.tsv", "CoLA.tsv", 1_063),),
    "sst2": (TestSet("test.tsv", "SST-2.tsv", 1_821),),
    "mrpc": (TestSet("test.tsv", "MRPC.tsv", 1_725),),
    "qqp": (TestSet("test.tsv", "QQP.tsv", 390_965),),
    "stsb": (TestSet("test.tsv", "STS-B.tsv", 1_379),),
    "mnli": (
        TestSet("test_matched.tsv", "MNLI-m.tsv", 9_796),
        TestSet("test_mismatched.tsv", "MNLI-mm.tsv", 9_847),
    ),
    "qnli": (TestSet("test.tsv", "QNLI.tsv", 5_463),),
    "rte": (TestSet("test.tsv", "RTE.tsv", 3_000),),
    "wnli": (TestSet("test.tsv", "WNLI.tsv", 146),),
}


@dataclass(frozen=True)
class Unlabelled:
    """The rows of a test set: their official indices and texts."""

    indices: list[str]
    texts: list[tuple[str, ...]]


def unlabelled_sets(task: str) -> tuple[TestSet, ...]:
    """The test sets of a task; UserError when GLUE's leaderboard has none for it."""
    if task not in TEST_SETS:
        raise UserError(
            f"--glue-submission: '{task}' is no task of GLUE's leaderboard; those are {', '.join(TEST_SETS)}."
        )
    return TEST_SETS[task]


def read_test_set(task: str, which: TestSet, data_dir: Path | None) -> Unlabelled:
    """The rows of a test set in the official layout; DataError when the file is missing, cut or not the test set."""
    spec = CATALOGUE[task]
    assert spec.folder is not None
    if data_dir is None:
        raise DataError(
            f"--glue-submission needs {spec.folder.name}/{which.source} of the official GLUE files: "
            "--data-dir DIRECTORY, or set EEBENCH_DATA."
        )
    path = find_folder(spec, spec.folder, data_dir) / which.source
    lines = tab_separated(path)
    header = lines.pop(0)[1] if lines else []
    index, *texts = (find_column(header, names, f"{path}:1") for names in (INDEX, *text_names(spec)))
    found = Unlabelled([], [])
    for line, fields in lines:
        if len(fields) <= max(index, *texts):
            raise DataError(
                f"{path}:{line}: {len(fields)} tab-separated fields, the line is cut; download the file again."
            )
        found.indices.append(fields[index])
        found.texts.append(tuple(fields[place].strip() for place in texts))
    if len(found.indices) != which.rows:
        raise DataError(
            f"{path}: {len(found.indices):,} rows, GLUE's test set has {which.rows:,}; download the file again."
        )
    return found


def text_names(spec: TaskSpec) -> list[tuple[str, ...]]:
    """Header names of each text column; a file that is read by place elsewhere has a header here."""
    assert spec.folder is not None
    columns = zip(spec.folder.text_columns, spec.text_columns, strict=True)
    return [(name,) if isinstance(column, int) else column for column, name in columns]


def written(task: str, label: str) -> str:
    """An answer as the leaderboard takes it.

    Example: ``written("mrpc", "equivalent")`` is ``"1"``, ``written("stsb", "5.3")`` is ``"5.000"``.
    """
    spec = CATALOGUE[task]
    if spec.is_regression:
        low, high = spec.label_range or (float("-inf"), float("inf"))
        return f"{min(max(float(label), low), high):.3f}"
    return label if task in WORDS else str(spec.labels.index(label))


def submission_text(task: str, indices: Sequence[str], labels: Sequence[str]) -> str:
    """The file of answers."""
    rows = (f"{index}\t{written(task, label)}" for index, label in zip(indices, labels, strict=True))
    return "\n".join(["index\tprediction", *rows]) + "\n"
