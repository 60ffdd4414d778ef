"""The command line in-process, and small suites of the toy task to run it on."""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from eebench.cli import main


@dataclass(frozen=True)
class Answer:
    """What a command gave back."""

    code: int | str | None
    out: str
    err: str


@pytest.fixture
def eebench(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Answer]:
    """`eebench("list", "rules")` is that command as typed; an error that is not a message fails the test."""
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)  # typer puts its own there

    def run(*arguments: object) -> Answer:
        monkeypatch.setattr(sys, "argv", ["eebench", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            main()
        output = capsys.readouterr()
        return Answer(stop.value.code, output.out, output.err)

    return run


MOODS = {"name": "moods", "train": "train.csv", "dev": "dev.csv", "text": ["sentence"], "label": "label"}


@pytest.fixture
def write_suite(toy_suite: Path) -> Callable[..., Path]:
    """`write_suite(methods=["pabee"])` is the file of a one-seed, one-epoch suite with that key changed."""

    def write(**changes: Any) -> Path:
        content = {
            "backbones": ["toy"], "tasks": [MOODS], "methods": ["finetune", "joint"], "seeds": [1],
            "defaults": {"epochs": 1, "lr": 5e-3, "batch_size": 16},
            "rules": {"budgeted": "default", "entropy": [0.0, 0.6, 0.7]}, **changes,
        }  # fmt: skip
        path = toy_suite.parent / "small.yaml"
        path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
        return path

    return write


@pytest.fixture
def rows_of() -> Callable[[str], list[dict[str, str]]]:
    """`rows_of("runs")` reads that table of the suite small's results."""

    def read(table: str) -> list[dict[str, str]]:
        with Path("results", "small", f"{table}.csv").open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))

    return read


@pytest.fixture
def result_bytes() -> Callable[[], dict[str, bytes]]:
    """All files below results/ and their bytes."""
    return lambda: {
        str(path): path.read_bytes() for path in sorted(Path("results").rglob("*")) if path.is_file()
    }
