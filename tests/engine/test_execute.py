import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from eebench.artifacts import checksum
from eebench.conformance import QUICK, SMALL
from eebench.engine.execute import Executor, build, build_skeleton, read_trace, trace_paths, training_rows
from eebench.errors import UserError
from eebench.methods.catalogue import find_method, methods
from eebench.options import merge, resolve_options
from eebench.plan import Planner
from eebench.store import Store
from eebench.tasks.scale import LabelScale
from eebench.toy import toy_scores
from eebench.trace import trace_model
from eebench.trained import open_run
from eebench.training.evaluation import exit_scores
from eebench.training.learning import verdict


def test_a_run_is_trained_once_and_found_again(executor, toy_job):
    job = toy_job("pabee")
    steps = []
    first = executor.ensure_trained(job, lambda *step: steps.append(step))
    done = len(steps)
    executor.ensure_trained(job, lambda *step: steps.append(step))
    assert done == 12 and len(steps) == done
    assert first.record()["training_steps"] == 12 and first.record()["exit_layers"] == [1, 2]
    assert not list(first.directory.glob("checkpoint*"))


def test_the_same_job_gives_the_same_bytes(tmp_path, toy_job):
    prints = set()
    for name in ("one", "two"):
        executor = Executor(Store(tmp_path / name), torch.device("cpu"))
        torch.manual_seed(int(name == "one"))  # the caller's random state has no say
        executor.ensure_trace(toy_job("gaml"))
        run = executor.run(toy_job("gaml"))
        prints.add((checksum(run.model_path), checksum(run.directory / "trace-dev.safetensors")))
    assert len(prints) == 1


def test_training_leaves_the_callers_random_state(executor, toy_job):
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    executor.ensure_trained(toy_job("finetune"))
    assert torch.equal(torch.rand(1), expected)


TESTS = str(Path(__file__).parent.parent)
KILLED = """
import os, signal, sys, pathlib, torch
sys.path.insert(0, sys.argv[4])
from conftest import QUICK
from eebench.engine.execute import Executor
from eebench.methods.catalogue import find_method
from eebench.options import resolve_options
from eebench.plan import Planner
from eebench.store import Store
from eebench.toy import toy_data, toy_task
torch.set_num_threads(1)
planner = Planner(None, "fp32")
planner.remember(toy_data())
method = find_method(sys.argv[2])
options = resolve_options(method, {**QUICK, "epochs": 3, "select": "best"}, "test")
job = planner.job(method, options, "toy", toy_task(), 1)
def step(moment):
    if moment.done == int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)
Executor(Store(pathlib.Path(sys.argv[1])), torch.device("cpu")).ensure_trained(job, step)
"""


@pytest.mark.parametrize(("method", "step"), [("pabee", 8), ("deebert", 15)])
def test_a_killed_run_goes_on_from_its_last_epoch_to_the_same_bytes(tmp_path, toy_job, method, step):
    command = [sys.executable, "-c", KILLED, str(tmp_path / "killed"), method, str(step), TESTS]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    job = toy_job(method, epochs=3, select="best")
    resumed = Executor(Store(tmp_path / "killed"), torch.device("cpu"))
    assert resumed.run(job).directory.joinpath("checkpoint.json").exists()
    done = []
    resumed.ensure_trained(job, lambda moment: done.append(moment.done))
    assert done[0] in (7, 13)  # the epoch after the last whole one, not the first
    whole = Executor(Store(tmp_path / "whole"), torch.device("cpu"))
    whole.ensure_trained(job)
    assert checksum(resumed.run(job).model_path) == checksum(whole.run(job).model_path)
    assert resumed.run(job).record() == whole.run(job).record()


def test_two_processes_do_the_work_once(tmp_path, toy_job):
    command = [sys.executable, "-c", KILLED, str(tmp_path), "pabee", "-1", TESTS]
    processes = [subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"}) for _ in range(2)]
    assert [process.wait(timeout=120) for process in processes] == [0, 0]
    run = Executor(Store(tmp_path), torch.device("cpu")).run(toy_job("pabee", epochs=3, select="best"))
    written = run.model_path.stat().st_mtime_ns
    time.sleep(0.01)
    assert run.is_done() and run.model_path.stat().st_mtime_ns == written


def test_a_damaged_checkpoint_means_starting_again(tmp_path, toy_job):
    command = [sys.executable, "-c", KILLED, str(tmp_path), "pabee", "8", TESTS]
    subprocess.run(command, check=False)
    job = toy_job("pabee", epochs=3, select="best")
    executor = Executor(Store(tmp_path), torch.device("cpu"))
    (path,) = executor.run(job).directory.glob("checkpoint-*.safetensors")
    path.write_bytes(path.read_bytes()[:-9] + b"\x01" * 9)
    done = []
    executor.ensure_trained(job, lambda moment: done.append(moment.done))
    assert done[0] == 1 and executor.run(job).is_done()


def test_damaged_traces_and_weights_are_made_again(executor, toy_job):
    job = toy_job("pabee")
    trace = executor.ensure_trace(job)
    run = executor.run(job)
    path, _ = trace_paths(run.directory, "dev")
    path.write_bytes(b"damaged")
    assert read_trace(run.directory, "dev") is None
    assert torch.equal(executor.ensure_trace(job).logits, trace.logits)
    path.unlink()
    run.model_path.write_bytes(run.model_path.read_bytes()[:-1] + b"\x55")
    assert torch.equal(executor.ensure_trace(job).logits, trace.logits)
    assert run.weights()


def test_a_needed_run_that_is_damaged_is_made_again(executor, toy_job):
    job = toy_job("deebert")
    needed = executor.ensure_trained(job.needs["finetuned"])
    needed.model_path.write_bytes(b"damaged")
    assert executor.ensure_trained(job).is_done()
    assert needed.weights()


def test_a_held_out_slice_chooses_the_epoch_and_never_trains(executor, toy_job):
    setup = executor._setup(toy_job("pabee", select="best", holdout=0.25))
    assert len(setup.train.encoded) == 72 and len(setup.selection.encoded) == 24
    assert len(executor._setup(toy_job("pabee", train_rows=40)).train.encoded) == 40
    assert executor._setup(toy_job("pabee")).selection is None


def test_the_skeleton_counts_as_the_model(toy_job):
    for method in ("first-k", "deebert", "pabee"):
        job = toy_job(method, **({"k": 1} if method == "first-k" else {}))
        assert build_skeleton(job).parameter_count() == build(job).parameter_count()


def test_the_held_out_slice_is_never_trained_on_whether_it_selects_or_not(executor, toy_job):
    for select in ("last", "best"):
        job = toy_job("pabee", select=select, holdout=0.25)
        rest, held = training_rows(job)
        assert (len(rest), len(held)) == (72, 24) and not set(rest.ids) & set(held.ids)
        setup = executor._setup(job)
        assert len(setup.train.encoded) == 72 and (setup.selection is None) == (select == "last")
        assert executor.examples(job, "holdout").labels.tolist() == held.labels.tolist()
    few = toy_job("pabee", train_rows=40, holdout=0.25)
    assert len(executor.examples(few, "holdout").encoded) == 11
    assert len(executor._setup(few).train.encoded) == 29
    assert training_rows(toy_job("pabee"))[1] is None
    with pytest.raises(UserError, match=r"seed 1 holds out nothing of train; set `holdout: 0\.1`"):
        executor.examples(toy_job("pabee"), "holdout")


def test_both_splits_have_a_trace_of_their_own(executor, toy_job):
    job = toy_job("pabee", holdout=0.25)
    dev, held = executor.ensure_trace(job), executor.ensure_trace(job, "holdout")
    assert (dev.samples, held.samples) == (48, 24)
    assert held.labels.tolist() == training_rows(job)[1].labels.tolist()
    directory = executor.run(job).directory
    assert torch.equal(read_trace(directory, "holdout").logits, held.logits)
    trace_paths(directory, "holdout")[0].write_bytes(b"damaged")
    assert torch.equal(executor.ensure_trace(job, "holdout").logits, held.logits)


REGRESSIONS = sorted(name for name, method in methods().items() if method.regression)


@pytest.fixture
def score_job(toy_job):
    """`score_job("pabee")` is that method on toy sentences with scores of mean 2.3."""
    planner = Planner(None, "fp32")
    data = toy_scores()
    planner.remember(data)

    def make(name, **options):
        method = find_method(name)
        given = merge(QUICK, {"epochs": 12, "lr": 1e-2}, SMALL.get(name, {}), options)
        return planner.job(method, resolve_options(method, given, "test"), "toy", data.spec, 1)

    return make


def test_scores_are_trained_standardised_and_answered_in_units(executor, score_job):
    job = score_job("pabee")
    trace = executor.ensure_trace(job)
    record = executor.run(job).record()
    scores = job.data.splits["train"].labels
    assert record["label_scale"] == {
        "mean": pytest.approx(float(scores.mean())), "deviation": pytest.approx(float(scores.std()), rel=1e-5),
    }  # fmt: skip
    assert job.spec.identity()["labels"] == "standardised" and verdict(record) == "yes"
    last, labels = trace.answers()[-1], trace.labels
    assert abs(float(last.mean()) - float(labels.mean())) < 0.5  # raw outputs have mean 0
    assert float((last - labels).square().mean()) < 0.5 * float(labels.var())
    # The same from the stored run alone, as predict opens it.
    opened = open_run(executor.run(job).directory).model()
    seen = trace_model(opened, executor.examples(job, "dev").encoded, labels.numpy(), torch.device("cpu"))
    assert torch.equal(seen.logits, trace.logits)


def test_the_identity_of_classes_is_as_it_was(toy_job):
    assert "labels" not in toy_job("pabee").spec.identity()


@pytest.mark.parametrize("name", REGRESSIONS)
def test_every_method_that_takes_scores_learns_them(executor, score_job, name):
    job = score_job(name)
    trace = executor.ensure_trace(job)
    assert verdict(executor.run(job).record()).startswith("yes")
    assert exit_scores(trace, "pearson")[-1] > 0.5


def test_a_needed_run_answers_on_the_standardised_side(executor, score_job):
    job = score_job("finetune")
    executor.ensure_trained(job)
    scale = LabelScale.read(executor.run(job).record())
    needed, in_units = executor._needed(job, scale).model(), executor.model(job).eval()
    batch = executor.examples(job, "dev").encoded.batch(np.arange(4))
    with torch.no_grad():
        standardised, units = needed(batch).logits, in_units(batch).logits
    assert torch.allclose(standardised * scale.deviation + scale.mean, units, atol=1e-5)


def test_a_needed_run_of_other_rows_is_refused(executor, score_job):
    job = score_job("finetune", holdout=0.3)
    with pytest.raises(UserError, match="give both the same train_rows and holdout"):
        executor._needed(job, LabelScale(1.0, 4.0))
