import json
from pathlib import Path


def rows(answer):
    assert answer.code == 0, answer.err
    return json.loads(answer.out)


def test_a_suite_before_during_and_after(eebench, write_suite, tmp_path):
    options = ("--runs", "there", "--data-dir", tmp_path, "--device", "cpu")
    write_suite(methods=["finetune", {"name": "joint", "options": {"lr": 1e30}}], tasks=["rte"])
    (lost, _) = rows(eebench("status", "--suite", "small.yaml", "--json", *options))
    assert (lost["status"], lost["run"]) == ("failed", "finetune on rte, toy, seed 1")
    assert lost["reason"].startswith("no files of rte in ")
    write_suite(methods=["finetune", {"name": "joint", "options": {"lr": 1e30}}])
    before = rows(eebench("status", "--suite", "small.yaml", "--json", *options))
    assert [(row["status"], row["reason"]) for row in before] == [("missing", ""), ("missing", "")]
    assert not Path("there").exists()
    assert eebench("sweep", "--suite", "small.yaml", *options).code == 1
    after = rows(eebench("status", "--suite", "small.yaml", "--json", *options))
    assert [row["status"] for row in after] == ["ok", "failed"]
    assert "the loss is not finite at step 2" in after[1]["reason"]
    text = eebench("status", "--suite", "small.yaml", *options).out.splitlines()
    assert text[0].split() == ["status", "run", "reason"]
    assert text[2].split() == ["ok", "finetune", "on", "moods,", "toy,", "seed", "1"]


def test_all_runs_on_disk(eebench, write_suite):
    assert rows(eebench("status", "--json")) == []
    write_suite(methods=["finetune", {"name": "joint", "options": {"lr": 1e30}}])
    eebench("sweep", "--suite", "small.yaml")
    Path("runs", "zzz-killed").mkdir()
    found = rows(eebench("status", "--json"))
    assert [(row["status"], row["run"].split("-")[0]) for row in found] == [
        ("ok", "finetune"), ("failed", "joint"), ("unfinished", "zzz"),
    ]  # fmt: skip
    assert "not finite" in found[1]["reason"] and "to continue" in found[2]["reason"]
    assert "zzz-killed" in eebench("status").out
    assert "zzz-killed" not in eebench("status", "--runs", "elsewhere").out


def test_an_unknown_suite(eebench):
    answer = eebench("status", "--suite", "quikstart")
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith("error: unknown suite 'quikstart'; did you mean 'quickstart'?")
