import csv
import io
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from eebench.tasks.specs import CATALOGUE

TEXTS = ["good film", "a bad dull day", "", "the film was fine " * 9]


@pytest.fixture
def run(eebench, toy_suite):
    """The name of a run on the toy task's files, in the working directory; its texts are in texts.txt."""
    answer = eebench("train", "joint", "--task", "moods", "--train-file", "train.csv", "--dev-file", "dev.csv",
                     "--text", "sentence", "--backbone", "toy", "--set", "epochs=1", "--set", "lr=5e-3",
                     "--set", "batch_size=16", "--set", "max_length=16")  # fmt: skip
    assert answer.code == 0
    Path("texts.txt").write_text("\n".join(TEXTS), encoding="utf-8")
    return Path(answer.out.splitlines()[0].removeprefix("run: ")).name


def rows(text):
    return list(csv.DictReader(io.StringIO(text)))


def test_labels_exits_and_cost_in_input_order(eebench, run):
    answer = eebench("predict", run, "--input", "texts.txt", "--rule", "entropy", "--setting", "S=9")
    assert answer.code == 0
    found = rows(answer.out)
    assert [row["row"] for row in found] == ["1", "2", "3", "4"]
    assert {row["label"] for row in found} <= {"positive", "negative", ""}
    assert [row["exit_layer"] for row in found] == ["1", "1", "", "1"]
    assert [row["error"] for row in found] == ["", "", "the text is empty", ""]
    assert [row["truncated"] for row in found] == ["false", "false", "false", "true"]
    setting, cost, cut, empty = answer.err.splitlines()
    assert setting.startswith("setting: entropy S=9 (") and setting.endswith(" to all layers)")
    assert cost.startswith("3 texts answered, 1.00 layers and ")
    assert (cut, empty) == ("rows cut to the length the model reads: 1", "rows without an answer: 1")


def test_one_at_a_time_is_the_same(eebench, run):
    arguments = (
        "predict",
        run,
        "--input",
        "dev.csv",
        "--text",
        "sentence",
        "--rule",
        "entropy",
        "--setting",
        "S=0.6",
    )
    together = eebench(*arguments, "--executor", "pooled", "--batch-size", 8)
    alone = eebench(*arguments, "--executor", "sequential", "--batch-size", 1)
    assert together.code == alone.code == 0 and len(rows(together.out)) == 48
    for one, other in zip(rows(together.out), rows(alone.out), strict=True):
        assert float(one.pop("confidence")) == pytest.approx(float(other.pop("confidence")), abs=2e-6)
        assert one == other


def test_jsonl_to_a_file_that_is_written_anew(eebench, run):
    Path("out.jsonl").write_text("old\n" * 99, encoding="utf-8")
    answer = eebench(
        "predict", run[-8:], "--input", "texts.txt", "--format", "jsonl", "--output", "out.jsonl"
    )
    assert answer.code == 0 and answer.out == "" and "setting: budgeted exit=2" in answer.err
    found = [json.loads(line) for line in Path("out.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(found) == 4 and found[2]["label"] == "" and found[0]["executed_layers"] == 2


def test_a_speedup_is_taken_from_dev(eebench, run):
    answer = eebench("predict", run, "--input", "texts.txt", "--rule", "budgeted", "--speedup", "1.5x")
    assert answer.code == 0
    assert answer.err.startswith("setting: budgeted exit=1 (1.") and "x in FLOPs, accuracy " in answer.err
    # Fixed exits jump from 1x to that: the slower one is told with what it loses.
    warning = next(line for line in answer.err.splitlines() if line.startswith("warning: "))
    assert "no setting between that and the slower exit=2 (1.00x in FLOPs" in warning
    assert warning.endswith("take it with --rule budgeted --setting 'exit=2'.")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["gone", "--input", "texts.txt"], "no run 'gone' in runs; `eebench status --runs runs` shows all 1."),
        (["joint", "--input", "gone.txt"], "cannot read gone.txt: No such file or directory; check the path."),
        (["joint", "--input", "dev.csv"], "dev.csv is a table; say which column has the texts, for example --text"),
        (["joint", "--input", "dev.csv", "--text", "txt"], "dev.csv:1: no column 'txt'; the header has sentence, la"),
        (["joint", "--input", "dev.csv", "--text", "label", "--text", "sentence"], "task moods has sentence, the inp"),
        (["joint", "--input", "texts.txt", "--output", "texts.txt"], "--output texts.txt is the input too"),
        (["joint", "--input", "texts.txt", "--output", "gone/a"], "cannot write gone/a: No such file"),
        (["joint", "--input", "texts.txt", "--format", "xml"], "--format xml: choose csv or jsonl."),
        (["joint", "--input", "texts.txt", "--rule", "learned", "--setting", "certainty=1"], "rules that work here: b"),
        (["joint", "--input", "texts.txt", "--rule", "entropy"], "--rule entropy needs a setting: --setting S=..."),
        (["joint", "--input", "texts.txt", "--speedup", "fast"], "--speedup fast: write how many times as fast"),
        (["joint", "--input", "texts.txt", "--speedup", "2x", "--setting", "S=1"], "say the same thing twice"),
        (["joint", "--input", "texts.txt", "--set", "lr=1"], "--set lr: a trained run keeps its options"),
        (["joint", "--input", "texts.txt", "--executor", "pool"], "unknown executor 'pool'; did you mean 'pooled'?"),
        (["joint", "--input", "texts.txt", "--backbone", "./gone"], "no directory ./gone"),
    ],
)  # fmt: skip
def test_mistakes(eebench, run, arguments, message):
    answer = eebench("predict", *arguments)
    assert answer.code == 2 and answer.out == "" and message in answer.err and "Traceback" not in answer.err


def test_a_run_that_is_not_finished(eebench, run):
    Path("runs", run, "done.json").unlink()
    answer = eebench("predict", run, "--input", "texts.txt")
    assert answer.code == 2 and answer.err.startswith(
        f"error: run {run} is not finished; `eebench train joint"
    )


PREDICT = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from eebench.cli import main
main()
"""


@pytest.fixture
def start(run):
    """`start("--output", "a.csv")` is the command in a process of its own, fed through a pipe."""
    processes = []

    def make(*arguments):
        command = [sys.executable, "-c", PREDICT, "predict", run, "--input", "-", *arguments]
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env={**os.environ, "OMP_NUM_THREADS": "1"}, start_new_session=True,
        )  # fmt: skip
        processes.append(process)
        return process

    yield make
    for process in processes:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)])
def test_what_is_finished_is_written_when_it_is_stopped(start, sent, code):
    process = start("--batch-size", "1")
    process.stdin.write(b"good film\nbad film\n\n")
    process.stdin.flush()
    lines = [process.stdout.readline() for _ in range(4)]
    assert [line.split(b",")[0] for line in lines] == [b"row", b"1", b"2", b"3"]
    process.send_signal(sent)
    assert process.wait(timeout=60) == code


def test_a_reader_that_leaves_ends_it_quietly(start):
    process = start("--batch-size", "1")
    process.stdin.write(b"good film\n")
    process.stdin.flush()
    assert process.stdout.readline().startswith(b"row,") and process.stdout.readline().startswith(b"1,")
    process.stdout.close()
    process.stdin.write(b"bad film\n" * 3)
    process.stdin.close()
    error = process.stderr.read()
    assert process.wait(timeout=60) == 1 and b"Traceback" not in error
    process.stdin, process.stdout = None, None


def test_a_glue_submission_answers_the_official_test_set(eebench, toy_suite, monkeypatch):
    from eebench.tasks import submission

    sentences = ["a warm day", "a poor film", "we saw the bright day"]
    data = Path("glue", "SST-2")
    data.mkdir(parents=True)
    rows = [f"{text}\t{row % 2}" for row, text in enumerate(sentences * 8)]
    for split in ("train", "dev"):
        (data / f"{split}.tsv").write_text("\n".join(["sentence\tlabel", *rows]) + "\n", encoding="utf-8")
    lines = [f"{index}\t{text}" for index, text in enumerate(sentences)]
    (data / "test.tsv").write_text("\n".join(["index\tsentence", *lines]) + "\n", encoding="utf-8")
    small = replace(CATALOGUE["sst2"], sizes={}, max_length=16)
    monkeypatch.setitem(CATALOGUE, "sst2", small)
    monkeypatch.setitem(submission.TEST_SETS, "sst2", (submission.TestSet("test.tsv", "SST-2.tsv", 3),))
    trained = eebench(
        "train", "joint", "--task", "sst2", "--data-dir", "glue", "--backbone", "toy", "--set", "epochs=1"
    )
    assert trained.code == 0, trained.err
    answer = eebench("predict", "joint-sst2", "--glue-submission", "upload", "--data-dir", "glue", "--rule", "budgeted",
                     "--setting", "exit=1")  # fmt: skip
    assert answer.code == 0 and "wrote upload/SST-2.tsv: 3 answers." in answer.out
    header, *found = Path("upload", "SST-2.tsv").read_text(encoding="utf-8").splitlines()
    assert header == "index\tprediction" and [line.split("\t")[0] for line in found] == ["0", "1", "2"]
    assert {line.split("\t")[1] for line in found} <= {"0", "1"}


def test_texts_come_from_one_place(eebench, run):
    for arguments in ((), ("--input", "texts.txt", "--glue-submission", "upload")):
        answer = eebench("predict", run, *arguments)
        assert (
            answer.code == 2
            and "predict needs texts: --input FILE, or --glue-submission FOLDER" in answer.err
        )
    answer = eebench("predict", run, "--glue-submission", "upload")
    assert answer.code == 2 and "'moods' is no task of GLUE's leaderboard" in answer.err
