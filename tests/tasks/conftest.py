"""Small files in every official GLUE layout, made fresh for each test."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from eebench.tasks.specs import TaskSpec, task_spec

# Header of the labelled files (None: the file has none), and two rows with labels of different classes.
OFFICIAL: dict[str, tuple[str | None, list[str]]] = {
    "cola": (None, ["gj04\t1\t\tShe ran.", "gj04\t0\t*\tRan she"]),
    "sst2": ("sentence\tlabel", ["a gem \t1", "so dull \t0"]),
    "mrpc": ("\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String", ["1\t7\t8\tA b\tB a", "0\t9\t10\tC\tD"]),
    "qqp": (
        "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate",
        ["0\t1\t2\tA?\tB?\t1", "1\t3\t4\tC?\tD?\t0"],
    ),
    "stsb": (
        "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2\tscore",
        ["0\tg\tf\ty\t1\tn\tn\tA b\tB a\t5.000", "1\tg\tf\ty\t2\tn\tn\tC\tD\t0.250"],
    ),
    "mnli": (
        "index\tpromptID\tpairID\tgenre\tsentence1_binary_parse\tsentence2_binary_parse\tsentence1_parse\t"
        "sentence2_parse\tsentence1\tsentence2\tlabel1\tgold_label",
        ["0\t1\t1n\tg\t(\t(\t(\t(\tA\tB\tneutral\tneutral", "1\t2\t2e\tg\t(\t(\t(\t(\tC\tD\te\tentailment"],
    ),
    "qnli": (
        "index\tquestion\tsentence\tlabel",
        ["0\tWho?\tHe.\tentailment", "1\tWhy?\tNo.\tnot_entailment"],
    ),
    "rte": ("index\tsentence1\tsentence2\tlabel", ["0\tA b\tB\tentailment", "1\tC\tD\tnot_entailment"]),
    "wnli": ("index\tsentence1\tsentence2\tlabel", ["0\tA b\tB\t1", "1\tC\tD\t0"]),
}

OFFICIAL["mnli_mm"] = OFFICIAL["mnli"]

WriteLayout = Callable[..., TaskSpec]


@pytest.fixture(autouse=True)
def no_data_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests find the data they name and no other."""
    monkeypatch.delenv("EEBENCH_DATA", raising=False)


@pytest.fixture
def write_layout(tmp_path: Path) -> WriteLayout:
    """Writes the official files of a task under `tmp_path`; returns its spec, which expects those sizes."""

    def write(name: str, rows: list[str] | None = None, sizes: Mapping[str, int] | None = None) -> TaskSpec:
        spec = task_spec(name)
        header, official = OFFICIAL[name]
        chosen = official if rows is None else rows
        assert spec.folder is not None
        for file in spec.folder.files.values():
            path = tmp_path / spec.folder.name / file
            path.parent.mkdir(exist_ok=True)
            lines = chosen if header is None else [header, *chosen]
            path.write_bytes(("\n".join(lines) + "\n").encode())
        return replace(spec, sizes=dict.fromkeys(spec.sizes, len(chosen)) if sizes is None else sizes)

    return write
