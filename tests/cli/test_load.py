import json
from pathlib import Path

import pytest


@pytest.fixture
def train(eebench, toy_suite):
    """`train("joint", "moods")` trains on the toy task's files in the working directory: the run's name."""

    def trained(method, task):
        answer = eebench("train", method, "--task", task, "--train-file", "train.csv", "--dev-file", "dev.csv",
                         "--text", "sentence", "--backbone", "toy", "--set", "epochs=1", "--set", "lr=5e-3",
                         "--set", "batch_size=16")  # fmt: skip
        assert answer.code == 0
        return Path(answer.out.splitlines()[0].removeprefix("run: ")).name

    return trained


@pytest.fixture
def run(train):
    return train("joint", "moods")


SMALL = ("--input", "dev.csv", "--text", "sentence", "--requests", 30, "--rule", "budgeted")


def test_both_models_are_shown_with_the_machine(eebench, run):
    answer = eebench("load", run, "--rate", 300, *SMALL, "--setting", "exit=1", "--device", "cpu")
    assert answer.code == 0
    first, _, header, _, full, early = answer.out.splitlines()[:6]
    assert first.startswith(
        "30 requests at 300/s, batches of up to 32, waiting at most 20 ms for company, at each exit as well; "
    )
    assert first.endswith("1 threads")
    assert header.split() == ["model", "throughput", "p50", "ms", "p95", "ms", "p99", "ms", "layers"]
    assert full.startswith("full model (budgeted exit=2)") and full.endswith("2.0")
    assert early.startswith("leaving early (budgeted exit=1)") and early.endswith("1.0")


def test_the_full_model_may_be_another_run(eebench, run, train):
    train("finetune", "moods")
    train("finetune", "tones")
    answer = eebench(
        "load", run, "--rate", 300, *SMALL, "--setting", "exit=1", "--full", "finetune-moods", "--json"
    )
    assert answer.code == 0
    names = [one["model"] for one in json.loads(answer.out)["models"]]
    assert names == ["full model (finetune-moods)", "leaving early (budgeted exit=1)"]
    answer = eebench("load", run, "--rate", 300, *SMALL, "--full", "finetune-tones")
    assert answer.code == 2 and answer.out == ""
    assert "--full finetune-tones answers tones, the run moods; name a run of that task." in answer.err


def test_json_and_saturation(eebench, run):
    answer = eebench("load", run, "--rate", 1e6, *SMALL, "--setting", "exit=1", "--batch-size", 2, "--json")
    content = json.loads(answer.out)
    assert content["requests"] == 30 and content["device"] and content["threads"] == 1
    full, early = content["models"]
    assert full["saturated"] and full["p50_ms"] <= full["p95_ms"] <= full["p99_ms"]
    assert (full["mean_layers"], early["mean_layers"]) == (2.0, 1.0)
    told = eebench("load", run, "--rate", 1e6, *SMALL, "--setting", "exit=1", "--batch-size", 2)
    assert (
        "saturated: full model (budgeted exit=2): requests arrive at 1e+06/s and are answered at" in told.out
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--rate", "0"], "--rate 0: write how many requests arrive in a second"),
        (["--rate", "9"], "'moods' is a task of your own; give the texts of the requests with --input."),
        (["--rate", "9", "--input", "empty.txt"], "empty.txt has no texts; write one per line."),
        (["--rate", "9", "--input", "dev.csv", "--text", "sentence", "--speedup", "99x"], "no setting of "),
    ],
)
def test_mistakes(eebench, run, arguments, message):
    Path("empty.txt").write_text("\n\n", encoding="utf-8")
    answer = eebench("load", run, *arguments)
    assert answer.code == 2 and answer.out == "" and message in answer.err
