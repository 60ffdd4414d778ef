import json
from pathlib import Path

import pytest

FILES = ("--train-file", "train.csv", "--dev-file", "dev.csv", "--text", "sentence", "--backbone", "toy")
QUICK = ("--set", "epochs=1", "--set", "lr=5e-3", "--set", "batch_size=16")


@pytest.fixture
def train(eebench, toy_suite):
    """`train("joint", ...)` trains on the toy task's files."""
    return lambda method, *more: eebench("train", method, "--task", "moods", *FILES, *QUICK, *more)


def test_exits_and_the_rule_are_shown(train):
    answer = train("pabee", "--seed", "3")
    said, started, ended, learned = answer.err.splitlines()
    assert (
        answer.code == 0 and said.startswith("precision ") and started == "[1/1] pabee on moods, toy, seed 3"
    )
    assert ended.endswith(", accuracy 50.0 on dev")
    assert train("pabee", "--seed", "3", "--quiet").err.splitlines() == [learned]
    # Six steps teach the toy backbone nothing, and that is noticed.
    assert learned == "This model did not learn: exits 1, 2 give one answer to every row."
    lines = answer.out.splitlines()
    run = Path(lines[0].removeprefix("run: "))
    assert run.parent == Path("runs") and run.name.startswith("pabee-moods-s3-")
    assert lines[1].split() == ["exit", "accuracy", "on", "dev", "(%)"]
    assert [line.split()[0] for line in lines[3:5]] == ["1", "2"]
    assert lines[6].startswith("patience (agreeing exits)") and lines[6].endswith(
        "speed-up (FLOPs, 128 tokens)"
    )
    setting, score, mean_exit, speed = lines[8].split()
    # one exit after the first cannot yet have agreed with anything: all samples reach the last
    assert (setting, mean_exit) == ("patience=1", "2.00") and score == lines[4].split()[1]
    assert speed == "1.00x" and len(lines) == 9


def test_a_stage_that_would_move_what_it_holds_frozen_is_a_mistake_of_the_user(train):
    answer = train("fastbert", "--set", "head.attention=none", "--set", "head.pooler=shared")
    assert answer.code == 2 and answer.err.startswith(
        "error: fastbert: stage 'students' trains heads.1.pooler.dense.weight, "
        "which is also heads.2.pooler.dense.weight"
    )
    assert answer.err.endswith("set head.pooler to own, tanh or none).\n") and not Path("runs").exists()
    assert (
        train("fastbert", "--set", "head.pooling=cls").code == 0
    )  # all else about the head stays FastBERT's


def test_a_run_is_found_again(train):
    first = train("joint", "--runs", "mine", "--device", "cpu")
    record = json.loads(next(Path("mine").glob("*/done.json")).read_text(encoding="utf-8"))
    assert (record["training_steps"], len(list(Path("mine").iterdir()))) == (6, 1)
    before = {path: path.stat().st_mtime_ns for path in Path("mine").rglob("*.safetensors")}
    assert train("joint", "--runs", "mine").out == first.out
    assert before == {path: path.stat().st_mtime_ns for path in Path("mine").rglob("*.safetensors")}


def test_a_rule_that_does_not_apply_is_left_out(train):
    lines = train("finetune").out.splitlines()
    assert lines[1].split()[0] == "exit" and [line.split()[0] for line in lines[3:]] == ["2"]


def test_other_columns_metric_and_format(eebench, toy_suite):
    for split in ("train", "dev"):
        rows = Path(f"{split}.csv").read_text(encoding="utf-8").splitlines()[1:]
        pairs = [row.rsplit(",", 1) for row in rows]
        lines = [json.dumps({"a": text, "b": "film", "mood": mood}) for text, mood in pairs]
        Path(f"{split}.jsonl").write_text("\n".join(lines), encoding="utf-8")
    answer = eebench("train", "finetune", "--task", "pairs", "--train-file", "train.jsonl", "--dev-file", "dev.jsonl",
                     "--text", "a", "--text", "b", "--label", "mood", "--metric", "matthews", "--backbone", "toy",
                     *QUICK)  # fmt: skip
    assert answer.code == 0 and "MCC on dev (%)" in answer.out


def test_official_files_in_a_folder(eebench, toy_suite):
    Path("glue").mkdir()
    answer = eebench("train", "joint", "--task", "rte", "--data-dir", "glue", "--backbone", "toy")
    assert answer.code == 2
    assert answer.err.startswith("error: no files of rte in glue; expected RTE/{train.tsv,dev.tsv} there;")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["joint", "--task", "rtee"], "unknown task 'rtee'; did you mean 'rte'?"),
        (["joint", "--task", "rte", *FILES], "task name 'rte' is taken by a built-in task"),
        (["joint", "--task", "x", "--train-file", "train.csv"], "needs both --train-file and --dev-file"),
        (["joint", "--task", "x", "--dev-file", "dev.csv"], "needs both --train-file and --dev-file"),
        (["joint", "--task", "x", *FILES[:4], "--text", "gone"], "train.csv:1: no column 'gone'; the header has"),
        (["joint", "--task", "x", *FILES, "--label", "lable"], "train.csv:1: no column 'lable'"),
        (["joint", "--task", "x", *FILES, "--metric", "acuracy"], "unknown metric 'acuracy'; did you mean 'accuracy'?"),
        (["joint", "--task", "x", "--train-file", "no.csv", "--dev-file", "dev.csv"], "cannot read no.csv: No such"),
        (["joint", "--task", "x", *FILES, "--backbone", "./gone"], "no directory ./gone"),
        (["joint", "--task", "x", *FILES, "--set", "lr"], "--set lr: write it as key=value"),
        (["joint", "--task", "x", *FILES, "--set", "lr=[1"], "cannot read the value '[1'; quote it."),
        (["joint", "--task", "x", *FILES, "--set", "lr=2020-13-45"], "cannot read the value"),
        (["joint", "--task", "x", *FILES, "--set", "head=3", "--set", "head.poler=none"], "unknown key 'head.poler'"),
        (["first-k", "--task", "x", *FILES, "--set", "k=3"], "k=3 layers asked of 'toy', which has 2; choose 1..2."),
        (["joint", "--task", "x", *FILES, "--device", "gpu"], "unknown device 'gpu'; choose auto, cpu or cuda."),
    ],
)  # fmt: skip
def test_mistakes_are_told_before_anything_is_trained(eebench, toy_suite, arguments, message):
    answer = eebench("train", *arguments)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith("error: ") and message in answer.err and "Traceback" not in answer.err
    assert not Path("runs").exists()


def numbers(path, rows):
    """A csv whose label is the number of good words less the number of bad ones."""
    lines = ["sentence,label"]
    for row in range(rows):
        lines.append(
            f"the film was {' '.join(['good'] * (row % 4))} {' '.join(['bad'] * (row % 3))},{row % 4 - row % 3}"
        )
    path.write_text("\n".join(lines), encoding="utf-8")


def test_regression_shows_exits_and_no_rule(eebench, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    numbers(Path("train.csv"), 48)
    numbers(Path("dev.csv"), 24)
    answer = eebench("train", "joint", "--task", "moods", *FILES, *QUICK, "--metric", "pearson")
    assert answer.code == 0 and "Pearson on dev (%)" in answer.out and "entropy" not in answer.out
    refused = eebench("train", "gaml", "--task", "moods", *FILES, *QUICK, "--metric", "pearson")
    assert (refused.code, refused.err) == (
        2, "error: method 'gaml' is not defined for regression (moods); use joint.\n",
    )  # fmt: skip
