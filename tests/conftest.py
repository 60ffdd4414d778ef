"""Fixtures that all tests share: the toy task as files and as a job, and an environment without surprises."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from eebench.engine.execute import Executor
from eebench.methods.catalogue import find_method
from eebench.options import merge, resolve_options
from eebench.plan import Job, Planner
from eebench.store import Store
from eebench.tasks.splits import Split
from eebench.toy import toy_data, toy_task

QUICK: Mapping[str, Any] = {
    "epochs": 2, "lr": 5e-3, "batch_size": 16, "warmup_epochs": None, "select": "last", "holdout": 0.0,
    "patience": None,
}  # fmt: skip


@pytest.fixture(autouse=True)
def _quiet_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(1)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.delenv("EEBENCH_DATA", raising=False)


@pytest.fixture
def executor(tmp_path: Path) -> Executor:
    """An executor with a store of its own, on the CPU."""
    return Executor(Store(tmp_path / "runs"), torch.device("cpu"))


@pytest.fixture
def toy_job() -> Callable[..., Job]:
    """`toy_job("pabee", epochs=1)` is that method on the toy task and backbone."""

    def make(method: str, seed: int = 1, **options: Any) -> Job:
        planner = Planner(None, "fp32")
        planner.remember(toy_data())
        found = find_method(method)
        given = merge(QUICK, options)
        return planner.job(found, resolve_options(found, given, "test"), "toy", toy_task(), seed)

    return make


def write_csv(path: Path, split: Split) -> None:
    """A split as a csv with columns sentence and label."""
    names = toy_task().labels
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["sentence", "label"])
        for (text,), label in zip(split.texts, split.labels, strict=True):
            rows.writerow([text, names[int(label)]])


SUITE = """
description: two methods on the toy task
backbones: [toy]
tasks:
  - {name: moods, train: train.csv, dev: dev.csv, text: [sentence], label: label}
seeds: [1, 2]
defaults: {epochs: 2, lr: 5e-3, batch_size: 16}
methods:
  - finetune
  - name: first-k
    each: {k: [1]}
  - pabee
  - shallow-deep
  - deebert
rules:
  budgeted: default
  entropy: [0.0, 0.3, 0.6]
  patience: default
"""


@pytest.fixture
def toy_suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A suite file with its data, in the working directory; five methods, two seeds, a few seconds."""
    data = toy_data()
    write_csv(tmp_path / "train.csv", data.splits["train"])
    write_csv(tmp_path / "dev.csv", data.splits["dev"])
    path = tmp_path / "moods.yaml"
    path.write_text(SUITE, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return path
