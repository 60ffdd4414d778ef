import csv
from pathlib import Path

import pytest
import torch

from eebench.training.precision import auto_precision

MOODS = {"name": "moods", "train": "train.csv", "dev": "dev.csv", "text": ["sentence"], "label": "label"}


@pytest.fixture
def rows():
    def read():
        with Path("results", "small", "steptime.csv").open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))

    return read


def keys(rows):
    return [(row["task"], row["backbone"], row["method"], row["stage"]) for row in rows]


def test_a_suite_is_timed_and_nothing_is_trained(eebench, write_suite, rows):
    write_suite(methods=["finetune", "pabee", "shallow-deep", "deebert"], seeds=[3, 4])
    answer = eebench("steptime", "--suite", "small.yaml", "--steps", 2, "--device", "cpu")
    assert answer.code == 0 and answer.err == ""
    found = rows()
    assert keys(found) == [
        ("moods", "toy", "finetune", "finetune"),
        ("moods", "toy", "pabee", "joint"),
        ("moods", "toy", "shallow-deep", "joint"),
        ("moods", "toy", "deebert", "finetuned: finetune"),
        ("moods", "toy", "deebert", "off-ramps"),
    ]
    assert found[0]["ratio"] == "1.000" and found[1]["ratio"] == found[2]["ratio"]
    assert all(float(row["step_ms"]) > 0 and row["steps"] == "2" for row in found)
    assert {(row["batch_size"], row["threads"], row["precision"]) for row in found} == {
        ("16", "1", auto_precision(torch.device("cpu")))
    }
    text = answer.out.splitlines()
    assert text[0].split() == ["task", "backbone", "method", "stage", "ms", "/", "step", "ratio"]
    assert len(text) == 9 and text[-1] == "wrote results/small/steptime.csv"
    assert not Path("runs").exists() and [path.name for path in Path("results/small").iterdir()] == [
        "steptime.csv"
    ]


def test_fine_tuning_is_added_and_a_part_leaves_the_other_rows(eebench, write_suite, rows):
    write_suite(methods=["joint", "pabee"])
    options = ("--suite", "small.yaml", "--steps", 1, "--device", "cpu")
    assert eebench("steptime", *options).code == 0
    first = rows()
    assert [row["method"] for row in first] == ["finetune", "joint", "pabee"]
    answer = eebench("steptime", *options, "--steps", 2, "--only", "method=pabee")
    assert [line.split()[2] for line in answer.out.splitlines()[2:4]] == ["finetune", "pabee"]
    assert [(row["method"], row["steps"]) for row in rows()] == [
        ("joint", "1"), ("finetune", "2"), ("pabee", "2"),
    ]  # fmt: skip
    assert rows()[0] == first[1]


def test_each_task_asked_for_is_a_place_of_its_own(eebench, write_suite, rows):
    write_suite(methods=["finetune"], tasks=[MOODS, {**MOODS, "name": "tempers"}])
    options = ("--suite", "small.yaml", "--steps", 1, "--device", "cpu")
    assert eebench("steptime", *options).code == 0
    assert [row["task"] for row in rows()] == ["moods"]
    assert eebench("steptime", *options, "--task", "tempers").code == 0
    assert [row["task"] for row in rows()] == ["moods", "tempers"]
    assert eebench("steptime", *options, "--only", "task=moods,task=tempers").code == 0
    assert [row["task"] for row in rows()] == ["moods", "tempers"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--task", "mood"), "not in suite 'small'; did you mean 'moods'?"),
        (("--only", "method=pabbe"), "--only method=pabbe: not in suite 'small'; did you mean 'pabee'?"),
        (("--device", "gpu"), "unknown device 'gpu'"),
        (("--steps", "0"), "Invalid value for '--steps'"),
    ],
)
def test_a_mistake_is_code_2(eebench, write_suite, arguments, message):
    write_suite(methods=["finetune", "pabee"])
    answer = eebench("steptime", "--suite", "small.yaml", *arguments)
    assert answer.code == 2 and message in answer.err and not Path("results").exists()


def test_data_that_are_not_there_are_said(eebench, write_suite, tmp_path):
    write_suite(tasks=["rte"])
    answer = eebench("steptime", "--suite", "small.yaml", "--data-dir", tmp_path)
    assert answer.code == 2 and answer.err.startswith("error: no files of rte in ")


def test_a_damaged_file_is_noticed_before_anything_is_timed(eebench, write_suite):
    write_suite()
    Path("results/small").mkdir(parents=True)
    Path("results/small/steptime.csv").write_text("task\n")
    answer = eebench("steptime", "--suite", "small.yaml", "--steps", 100_000)
    assert answer.code == 2 and "has not the columns" in answer.err


def test_a_method_that_fails_is_code_1_and_named(eebench, write_suite):
    write_suite(methods=["finetune", {"name": "joint", "options": {"lr": 1e30}}])
    answer = eebench("steptime", "--suite", "small.yaml", "--steps", 2)
    assert answer.code == 1 and answer.err.startswith("error: joint, stage joint: the loss is not finite")
