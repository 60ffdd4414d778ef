import json
from pathlib import Path

NAMES = [
    "threshold extremes",
    "cost falls with the threshold",
    "independent of the batch",
    "replay = execution (sequential)",
    "replay = execution (compact)",
    "replay = execution (pooled)",
    "cost is the sum of parts",
    "resume after a kill",
]


def test_a_method_passes(eebench, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    answer = eebench("check", "joint", "--set", "epochs=2", "--json")
    found = json.loads(answer.out)
    assert answer.code == 0 and [one["check"] for one in found] == NAMES
    assert {one["status"] for one in found} == {"passed"} and {one["reason"] for one in found} == {""}
    assert list(Path.cwd().iterdir()) == []  # what it trains is thrown away


def test_a_run_is_checked_as_it_is(eebench, write_suite):
    write_suite(methods=["pabee"])
    assert eebench("sweep", "--suite", "small.yaml").code == 0
    answer = eebench("check", "pabee-moods")
    assert answer.code == 0
    assert answer.out.splitlines()[0].split() == ["check", "result", "reason"]
    assert answer.out.count("passed") == 7
    assert "skipped   needs a method to train: `eebench check METHOD`" in answer.out


def test_a_damaged_run_is_code_1(eebench, write_suite):
    write_suite(methods=["pabee"])
    assert eebench("sweep", "--suite", "small.yaml").code == 0
    (run,) = Path("runs").iterdir()
    (run / "model.safetensors").write_bytes(b"damaged")
    answer = eebench("check", run.name)
    assert answer.code == 1 and "model.safetensors is damaged; `eebench train" in answer.err


def test_mistakes(eebench, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    answer = eebench("check", "jont")
    assert (answer.code, answer.out) == (
        2,
        "",
    ) and "unknown method 'jont'; did you mean 'joint'?" in answer.err
    Path("runs").mkdir()
    assert "no run 'jont': there is no run in runs" in eebench("check", "jont").err
    assert (
        "unknown key 'epocs' in --set; did you mean 'epochs'?"
        in eebench("check", "joint", "--set", "epocs=1").err
    )


def test_learning_on_real_text_is_checked_beside_fine_tuning(eebench):
    """A random backbone learns nothing in one epoch, which is said with both scores."""
    answer = eebench("check", "joint", "--learns", "--backbone", "toy", "--set", "train_rows=64", "--json")
    found = {row["check"]: row for row in json.loads(answer.out)}
    assert set(found) == {"learns more than one answer", "last exit within 3 points of finetune"}
    assert "finetune " in found["last exit within 3 points of finetune"]["reason"]
    assert answer.code == int(any(row["status"] == "failed" for row in found.values()))
    assert len(list(Path("runs").iterdir())) == 2  # kept, so that a second call finds them


def test_a_task_that_learning_cannot_be_checked_on(eebench):
    answer = eebench("check", "joint", "--learns", "--task", "stsb", "--data-dir", ".", "--backbone", "toy")
    assert answer.code == 2 and "no files of stsb in ." in answer.err
    answer = eebench("check", "joint", "--learns", "--task", "sttsb", "--backbone", "toy")
    assert answer.code == 2 and "did you mean 'stsb'" in answer.err
