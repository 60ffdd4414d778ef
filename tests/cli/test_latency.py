import csv
from pathlib import Path

import pytest

ONCE = ("--suite", "small.yaml", "--device", "cpu", "--repeats", 1, "--batch-size", 1, "--batch-size", 8)


@pytest.fixture
def rows():
    def read():
        with Path("results", "small", "latency.csv").open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))

    return read


@pytest.fixture
def swept(eebench, write_suite):
    write_suite(methods=["finetune", "joint", "pabee"])
    assert eebench("sweep", "--suite", "small.yaml", "--device", "cpu").code == 0


def test_runs_that_are_missing_are_one_message(eebench, write_suite):
    write_suite()
    answer = eebench("latency", *ONCE)
    assert answer.code == 2 and answer.out == ""
    assert answer.err == (
        "error: not trained yet: finetune on moods, toy, seed 1; joint on moods, toy, seed 1.  `eebench sweep --suite "
        "small --only method=finetune,method=joint,task=moods,backbone=toy` trains what is missing.\n"
    )
    assert not Path("results").exists()


def test_a_suite_is_measured_at_default_settings(eebench, swept, rows):
    answer = eebench("latency", *ONCE, "--speedup", "1.5x")
    assert answer.code == 0 and answer.err == ""
    found = rows()
    assert [(row["method"], row["rule"], row["executor"], row["batch_size"]) for row in found] == [
        *(("finetune", "budgeted", executor, size) for size in "18" for executor in ("full", "stock")),
        *((name, rule, executor, size) for name, rule in (("joint", "entropy"), ("pabee", "patience"))
          for executor, size in (("sequential", "1"), ("compact", "8"), ("pooled", "8"))),
    ]  # fmt: skip
    assert {row["convention"] for row in found} == {"full_2mac@real"}
    assert {(row["repeats"], row["samples"], row["threads"]) for row in found} == {("1", "48", "1")}
    assert answer.out.splitlines()[0].split()[:5] == ["method", "rule", "setting", "executor", "batch"]
    slower = [
        row for row in found if row["executor"] not in ("full", "stock") and float(row["speedup_time"]) < 1
    ]
    assert answer.out.count("Slower than the full model:") == len(slower)
    assert "wrote results/small/latency.csv" in answer.out


def test_one_setting_of_one_method_leaves_the_other_rows(eebench, swept, rows):
    assert eebench("latency", *ONCE, "--samples", 9).code == 0
    before = rows()
    options = (
        "--only",
        "method=pabee",
        "--at",
        "entropy:S=0.5",
        "--executor",
        "compact",
    )
    assert eebench("latency", *ONCE, "--samples", 9, *options).code == 0
    after = rows()
    assert [row for row in after if row["method"] == "joint"] == [
        row for row in before if row["method"] == "joint"
    ]
    row, single = sorted(
        (row for row in after if row["method"] == "pabee"), key=lambda row: row["batch_size"], reverse=True
    )
    assert single in before
    assert (row["setting"], row["executor"], row["batch_size"], row["samples"]) == (
        "S=0.5",
        "compact",
        "8",
        "9",
    )
    assert len([row for row in after if row["method"] == "finetune"]) == 4
    other = eebench("latency", *ONCE, "--only", "method=pabee", "--samples", 10, "--precision", "bf16")
    assert other.code == 2 and other.out == "" and rows() == after
    assert (
        "on moods with samples 9, threads 1, precision fp32; this is samples 10, threads 1, precision bf16: times"
        in other.err
    )
    again = ("--samples", 9, "--only", "method=pabee", "--rule", "max-prob")
    assert eebench("latency", *ONCE, *again).code == 0
    assert {row["rule"] for row in rows() if row["method"] == "pabee"} == {"max-prob"}
    assert eebench("latency", *ONCE, "--samples", 10, "--precision", "bf16").code == 0
    assert {(row["samples"], row["precision"]) for row in rows()} == {("10", "bf16")}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--executor", "compat"), "unknown executor 'compat'; did you mean 'compact'?"),
        (("--speedup", "fast"), "--speedup fast: write how many times as fast"),
        (("--at", "entropy"), "--at entropy: write rule and setting"),
        (("--precision", "fp8"), "unknown precision 'fp8'"),
        (("--batch-size", "0"), "choose a batch size of 1 or more"),
        (("--only", "method=jiont"), "did you mean 'joint'?"),
    ],
)
def test_mistakes_are_messages(eebench, write_suite, options, message):
    write_suite()
    answer = eebench("latency", "--suite", "small.yaml", *options)
    assert answer.code == 2 and message in answer.err and answer.out == ""
