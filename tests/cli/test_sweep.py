import json
import re
from pathlib import Path

import pytest

SWEEP = ("sweep", "--suite", "small.yaml")


def folder_of(name):
    """The only run directory whose name starts so."""
    (found,) = Path("runs").glob(f"{name}-*")
    return found


def test_a_sweep_writes_results_that_stay_the_same(eebench, write_suite, rows_of, result_bytes):
    write_suite(methods=["pabee", "shallow-deep"])
    first = eebench(*SWEEP)
    assert first.code == 0 and first.out == "wrote results/small; `eebench report --suite small` draws it.\n"
    begun, ended = first.err.splitlines()[1:]
    assert begun == "[1/1] pabee on moods, toy, seed 1"
    assert re.fullmatch(r"\[1/1\] done in 0:\d\d, accuracy \d+\.\d on dev", ended)
    assert {path.name for path in Path("results/small").iterdir()} == {
        "points.csv", "exits.csv", "summary.csv", "runs.csv", "costs.csv", "provenance.json",
    }  # fmt: skip
    assert [row["status"] for row in rows_of("runs")] == ["ok"] * 2
    settings = [(row["rule"], row["setting"]) for row in rows_of("points") if row["method"] == "pabee"]
    assert settings == [
        ("budgeted", "exit=1"), ("budgeted", "exit=2"), ("entropy", "S=0"), ("entropy", "S=0.6"),
        ("entropy", "S=0.7"),
    ]  # fmt: skip
    before = result_bytes()
    assert eebench(*SWEEP).code == 0 and result_bytes() == before
    assert eebench("report", "--suite", "small").code == 0
    drawn = result_bytes()
    assert len(drawn) == 9 and "PABEE" in drawn["results/small/README.md"].decode()
    again = eebench("report", "--suite", "small")
    assert {line.split()[0] for line in again.out.splitlines()} == {"unchanged"} and result_bytes() == drawn


def test_two_stores_give_the_same_results(eebench, write_suite, result_bytes):
    write_suite(methods=["joint"])
    eebench(*SWEEP, "--runs", "one", "--results", "results")
    first = result_bytes()
    eebench(*SWEEP, "--runs", "two", "--results", "results/again")
    assert {path.replace("again/", ""): content for path, content in result_bytes().items()} == first
    assert len(result_bytes()) == 2 * len(first)


def test_a_dry_run_says_what_would_run_and_trains_nothing(eebench, write_suite, tmp_path):
    write_suite(methods=["finetune", "deebert", "pabee", "shallow-deep"], tasks=["rte"])
    answer = eebench(*SWEEP, "--dry-run", "--data-dir", tmp_path)
    assert answer.code == 0 and answer.out.count("cannot run") == 4
    assert answer.out.endswith("0 runs for 0 cells: 0 cached, 0 not.\n")
    write_suite(methods=["finetune", "deebert", "pabee", "shallow-deep"])
    answer = eebench(*SWEEP, "--dry-run")
    assert not Path("runs").exists() and not Path("results").exists()
    lines = [line.split(maxsplit=2) for line in answer.out.splitlines()[2:6]]
    assert [line[:2] for line in lines] == [["to", "train"]] * 4
    assert "needed by deebert" in answer.out and "pabee, shallow-deep" in answer.out
    assert answer.out.endswith("4 runs for 4 cells: 0 cached, 4 not.\n")
    cut = eebench(*SWEEP, "--only", "method=shallow-deep")
    assert cut.code == 0 and not Path("results").exists()
    assert cut.out == "made 1 cells; without --only, `eebench sweep --suite small.yaml` writes results.\n"
    answer = eebench(*SWEEP, "--dry-run")
    assert answer.out.endswith("4 runs for 4 cells: 1 cached, 3 not.\n")
    (line,) = [line for line in answer.out.splitlines() if line.startswith("cached")]
    assert line.split()[-1] == folder_of("pabee").name
    Path("runs", folder_of("pabee").name, "done.json").rename("done.json")
    Path("runs", folder_of("pabee").name, "failure.json").write_text('{"reason": "why"}', encoding="utf-8")
    assert "failed before" in eebench(*SWEEP, "--dry-run").out


@pytest.mark.parametrize(
    ("only", "message"),
    [
        ("finetune", "--only finetune: write it as key=value with key one of method, task, backbone, seed."),
        (",", "--only ,: write it as key=value"),
        (
            "method=joynt",
            "--only method=joynt: not in suite 'small'; did you mean 'joint'?  it has finetune, joint.",
        ),
        (
            "seed=7,task=rte",
            "--only seed=7: not in suite 'small'; it has 1.\nerror: --only task=rte: not in suite",
        ),
    ],
)
def test_only_that_is_malformed_or_matches_nothing(eebench, write_suite, only, message):
    write_suite()
    answer = eebench(*SWEEP, "--only", only)
    assert (answer.code, answer.out) == (2, "") and answer.err.startswith(f"error: {message}")
    assert not Path("runs").exists()


MISTAKES = [
    ({"methods": ["pabbe"]}, "unknown method 'pabbe' in small.yaml: methods[0]; did you mean 'pabee'?"),
    ({"tasks": ["rtee"]}, "unknown task 'rtee' in small.yaml: tasks[0]; did you mean 'rte'?"),
    ({"backbones": ["minilm-l7"]}, "unknown backbone 'minilm-l7' in small.yaml: backbones[0]; did you mean"),
    ({"backbones": ["no/such"]}, "cannot get backbone 'no/such' from the hub"),
    (
        {"rules": {"entropi": "default"}},
        "unknown rule 'entropi' in small.yaml: rules; did you mean 'entropy'?",
    ),
    ({"rules": {"entropy": [-1]}}, "small.yaml: rules: entropy: S=-1 is outside 0..inf; choose a value"),
    ({"rules": {"max-prob": ["high"]}}, "small.yaml: rules: max-prob: write default, or a list of numbers"),
    ({"cost": {"convention": "full"}}, "unknown convention 'full' in small.yaml: cost;"),
    ({"sed": [1]}, "unknown key 'sed' in small.yaml; did you mean 'seeds'?"),
    ({"seeds": ["one"]}, "small.yaml: seeds[0]: Input should be a valid integer (got 'one')."),
    ({"methods": [{"name": "first-k", "options": {"k": 3}}]}, "k=3 layers asked of 'toy', which has 2;"),
    (
        {"methods": ["joint", "joint"]},
        "small.yaml: methods: two entries are called 'joint'; give one a `label:`.",
    ),
]


@pytest.mark.parametrize(("change", "message"), MISTAKES)
def test_mistakes_in_a_suite_stop_it_before_training(eebench, write_suite, change, message):
    write_suite(**change)
    answer = eebench(*SWEEP)
    assert (answer.code, answer.out) == (2, "")
    assert f"error: {message}" in answer.err and "Traceback" not in answer.err
    assert not Path("runs").exists() and not Path("results").exists()


def test_all_mistakes_of_a_suite_come_at_once(eebench, write_suite):
    write_suite(methods=["pabbe", {"nme": "x"}], rules={"entropi": "default"}, sed=[1], seeds="one")
    answer = eebench(*SWEEP)
    assert answer.code == 2 and len(answer.err.splitlines()) == 6
    for word in ("'pabbe'", "'nme'", "missing key 'name'", "'entropi'", "'sed'", "seeds: Input should be"):
        assert word in answer.err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seeds: [1\nmethods: x\n", "error: bad.yaml line 2 is not YAML: expected ',' or ']'"),
        ("", "error: bad.yaml holds no keys; a suite starts with `backbones:`"),
    ],
)
def test_a_file_that_is_no_suite(eebench, toy_suite, text, message):
    Path("bad.yaml").write_text(text, encoding="utf-8")
    answer = eebench("sweep", "--suite", "bad.yaml")
    assert answer.code == 2 and answer.err.startswith(message) and answer.err.count("\n") == 1


def test_suites_that_are_not_there(eebench, toy_suite):
    assert (
        "unknown suite 'quikstart'; did you mean 'quickstart'?"
        in eebench("sweep", "--suite", "quikstart").err
    )
    answer = eebench("sweep", "--suite", "gone.yaml")
    assert (answer.code, answer.err) == (2, "error: cannot read gone.yaml: No such file or directory.\n")


def lost_task(labels=()):
    return {
        "name": "lost",
        "train": "gone.csv",
        "dev": "gone.csv",
        "text": ["t"],
        "label": "l",
        "labels": list(labels),
    }


@pytest.mark.parametrize("lost", ["rte", lost_task(), lost_task(["a", "b"])])
def test_missing_data_fail_their_own_cells(eebench, write_suite, rows_of, result_bytes, tmp_path, lost):
    moods = {"name": "moods", "train": "train.csv", "dev": "dev.csv", "text": ["sentence"], "label": "label"}
    write_suite(tasks=[lost, moods], methods=["joint"])
    (tmp_path / "glue").mkdir()
    answer = eebench(*SWEEP, "--data-dir", "glue", "--device", "cpu")
    assert answer.code == 1 and "1 of 2 cells did not finish." in answer.err
    name, reason = (
        ("rte", "no files of rte in glue;") if lost == "rte" else ("lost", "cannot read gone.csv: No such")
    )
    assert f"failed: joint on {name}, toy, seed 1: {reason}" in answer.err
    missing, found = rows_of("runs")
    assert (missing["task"], missing["status"], missing["parameters"]) == (name, "failed", "")
    assert missing["reason"].startswith(reason)
    assert (found["task"], found["status"], found["training_steps"]) == ("moods", "ok", "6")
    assert {row["task"] for row in rows_of("points")} == {"moods"}
    if lost != "rte":
        return
    before = result_bytes()
    assert eebench(*SWEEP, "--data-dir", "glue").code == 1 and result_bytes() == before
    assert eebench("report", "--suite", "small").code == 0
    assert reason.split(";")[0] in Path("results/small/README.md").read_text(encoding="utf-8").replace(
        "\\", ""
    )


def test_a_diverged_run_skips_who_needs_it_and_nobody_else(eebench, write_suite, rows_of, result_bytes):
    wild = {"lr": 1e30, "batch_size": 16}
    recipe = {"warmup_share": 0.0, "weight_decay": 0.0, "head": {"pooler": "own"}}
    write_suite(
        methods=[
            {"name": "finetune", "options": {**wild, **recipe}},
            {"name": "deebert", "options": wild},
            "joint",
        ]
    )
    answer = eebench(*SWEEP)
    assert answer.code == 1 and "2 of 3 cells did not finish." in answer.err and "Traceback" not in answer.err
    finetune, deebert, joint = rows_of("runs")
    assert finetune["status"] == "failed" and finetune["reason"].startswith(
        "the loss is not finite at step 2;"
    )
    assert (deebert["status"], joint["status"]) == ("skipped", "ok")
    assert deebert["reason"] == "it needs finetune on moods, toy, seed 1, which failed"
    assert {row["method"] for row in rows_of("points")} == {"joint"}
    assert not (folder_of("finetune") / "done.json").exists()
    assert (
        json.loads((folder_of("finetune") / "failure.json").read_text(encoding="utf-8"))["reason"]
        == finetune["reason"]
    )
    before = result_bytes()
    assert eebench(*SWEEP).code == 1 and result_bytes() == before
    assert eebench("report", "--suite", "small").code == 0


@pytest.mark.parametrize(
    ("rate", "reason"),
    [
        (1e300, "the weights are not finite after step 1;"),
        (1e30, "the trained model's answers are not finite;"),
    ],
)
def test_a_run_that_diverges_in_its_last_step_is_no_success(eebench, write_suite, rows_of, rate, reason):
    write_suite(methods=[{"name": "joint", "options": {"lr": rate, "train_rows": 16}}, "finetune"])
    assert eebench(*SWEEP).code == 1
    joint, finetune = rows_of("runs")
    assert (joint["status"], finetune["status"]) == ("failed", "ok") and joint["reason"].startswith(reason)
    assert not (folder_of("joint") / "done.json").exists()


def test_when_everything_fails_the_runs_are_still_written(eebench, write_suite, rows_of, result_bytes):
    write_suite(defaults={"epochs": 1, "lr": 1e30, "batch_size": 16})
    answer = eebench(*SWEEP)
    assert answer.code == 1 and "2 of 2 cells did not finish." in answer.err and "Traceback" not in answer.err
    assert [row["status"] for row in rows_of("runs")] == ["failed", "failed"]
    for table in ("points", "exits", "summary", "costs"):
        assert Path(f"results/small/{table}.csv").read_text(encoding="utf-8").count("\n") == 1
    assert eebench("report", "--suite", "small").code == 0
    before = result_bytes()
    assert eebench(*SWEEP).code == 1 and result_bytes() == before


def test_damaged_files_are_noticed_and_made_again(eebench, write_suite, result_bytes):
    write_suite(methods=["pabee"])
    assert eebench(*SWEEP).code == 0
    before = result_bytes()
    run = folder_of("pabee")
    names = ("model.safetensors", "trace-dev.safetensors", "done.json")
    whole = {name: (run / name).read_bytes() for name in names}
    for damaged in (names[1:2], names[:2], names[2:]):
        for name in damaged:
            (run / name).write_bytes(whole[name][:-8] + b"\x7f" * 8)
        assert eebench(*SWEEP).code == 0 and result_bytes() == before
        assert {name: (run / name).read_bytes() for name in names} == whole


def numbers(path, rows):
    """A csv whose label is the number of good words less the number of bad ones."""
    lines = ["sentence,label"]
    for row in range(rows):
        words = " ".join(["good"] * (row % 4) + ["bad"] * (row % 3))
        lines.append(f"the film was {words},{row % 4 - row % 3}")
    path.write_text("\n".join(lines), encoding="utf-8")


def test_regression_from_suite_to_report(eebench, write_suite, rows_of):
    numbers(Path("marks.csv"), 48)
    numbers(Path("marks-dev.csv"), 24)
    marks = {"name": "marks", "train": "marks.csv", "dev": "marks-dev.csv", "text": ["sentence"], "label": "label",
             "metric": "pearson"}  # fmt: skip
    write_suite(tasks=[marks])
    answer = eebench(*SWEEP)
    assert answer.code == 0, answer.err
    points = [(row["method"], row["rule"], row["setting"]) for row in rows_of("points")]
    assert points == [
        ("finetune", "budgeted", "exit=2"), ("joint", "budgeted", "exit=1"), ("joint", "budgeted", "exit=2"),
    ]  # fmt: skip
    exits = {(row["method"], row["exit"]): row["score_mean"] for row in rows_of("exits")}
    assert (
        rows_of("points")[1]["score_mean"] == exits["joint", "1"]
        and rows_of("points")[1]["metric"] == "pearson"
    )
    assert eebench("report").code == 0
    write_suite(tasks=[marks], methods=["joint", "gaml"])
    refused = eebench(*SWEEP)
    assert (refused.code, refused.err) == (
        2, "error: method 'gaml' is not defined for regression (marks); use joint.\n",
    )  # fmt: skip


def test_one_grid_serves_models_of_different_depth(eebench, write_suite, rows_of):
    write_suite(
        methods=[{"name": "first-k", "each": {"k": [1, 2]}}, "joint"],
        rules={"budgeted": [2], "patience": [1, 2]},
    )
    assert eebench(*SWEEP).code == 0
    # Of joint's fixed exits the grid lists the second, and the tables' point at twice the speed is the first.
    assert [(row["method"], row["setting"]) for row in rows_of("points")] == [
        ("first-1", "exit=1"), ("first-2", "exit=2"), ("joint", "exit=1"), ("joint", "exit=2"),
        ("joint", "patience=1"), ("joint", "patience=2"),
    ]  # fmt: skip


def test_costs_at_real_length_under_another_convention(eebench, write_suite, rows_of):
    write_suite(methods=["joint"], cost={"convention": "linear_2mac", "length": "real"})
    assert eebench(*SWEEP).code == 0
    assert {row["convention"] for row in rows_of("points")} == {"linear_2mac@real"}
    assert {row["convention"] for row in rows_of("costs")} == {"linear_2mac@128"}
