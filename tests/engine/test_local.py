from dataclasses import replace

import pytest

from eebench.engine.local import run_plan
from eebench.plan import Cell, Plan, in_order


class Recorder:
    """A reporter that remembers."""

    def __init__(self):
        self.begun, self.failures, self.ended = [], [], []

    def started(self, job, number, total):
        self.begun.append((job.method.name, number, total))

    def step(self, moment):
        pass

    def finished(self, job, trace):
        self.ended.append((job.method.name, trace is not None))

    def failed(self, job, reason):
        self.failures.append((job.method.name, reason))


def cell(job, label):
    return Cell(label, job.method, job.task, job.backbone, job.seed, job)


@pytest.fixture
def plan(toy_job):
    cells = tuple(cell(toy_job(name), name) for name in ("deebert", "pabee", "shallow-deep"))
    return Plan(cells, in_order(c.job for c in cells))


def test_needs_come_first_and_shared_runs_once(plan, executor):
    recorder = Recorder()
    outcomes = run_plan(plan, executor, recorder)
    assert [name for name, *_ in recorder.begun] == ["finetune", "deebert", "pabee"]
    assert [outcome.status for outcome in outcomes] == ["ok", "ok", "ok"]
    assert outcomes[1].trace is outcomes[2].trace
    assert recorder.ended == [("finetune", False), ("deebert", True), ("pabee", True)]


def test_a_failure_is_an_outcome_and_those_who_need_it_are_skipped(toy_job, executor):
    deebert = toy_job("deebert", lr=1e30)
    cells = (
        cell(deebert.needs["finetuned"], "finetune"),
        cell(deebert, "deebert"),
        cell(toy_job("pabee"), "pabee"),
    )
    recorder = Recorder()
    outcomes = run_plan(Plan(cells, in_order(c.job for c in cells)), executor, recorder)
    assert [outcome.status for outcome in outcomes] == ["failed", "skipped", "ok"]
    assert "the loss is not finite at step" in outcomes[0].reason
    assert outcomes[1].reason.startswith("it needs finetune on toy")
    assert [name for name, _ in recorder.failures] == ["finetune"]
    run = executor.run(deebert.needs["finetuned"])
    assert not run.is_done() and run.failure() == outcomes[0].reason


def test_an_unexpected_error_is_recorded_with_its_kind(toy_job, executor, monkeypatch):
    job = toy_job("pabee")
    broken = replace(job, task=replace(job.task, metrics=("nonsense",)))
    broken = replace(broken, options=job.options.model_copy(update={"select": "best"}))
    (outcome,) = run_plan(Plan((cell(broken, "pabee"),), (broken,)), executor, Recorder())
    assert outcome.status == "failed" and "unknown metric 'nonsense'" in outcome.reason


def test_a_cell_that_could_not_be_planned_is_a_failed_outcome(toy_job, executor):
    job = toy_job("pabee")
    hopeless = replace(cell(job, "pabee"), job=None, problem="no data")
    (outcome,) = run_plan(Plan((hopeless,), ()), executor, Recorder())
    assert (outcome.status, outcome.reason) == ("failed", "no data")


def test_outcomes_carry_the_splits_that_were_asked_for(toy_job, executor):
    job = toy_job("pabee", holdout=0.25)
    plan = Plan((cell(job, "pabee"),), (job,))
    (only_held,) = run_plan(plan, executor, Recorder(), ("holdout",))
    assert only_held.trace is None and only_held.holdout.samples == 24
    (both,) = run_plan(plan, executor, Recorder(), ("dev", "holdout"))
    assert (both.trace.samples, both.holdout.samples) == (48, 24)
    assert both.on("dev") is both.trace and both.on("holdout") is both.holdout
    (dev,) = run_plan(plan, executor, Recorder())
    assert dev.trace.samples == 48 and dev.holdout is None


def test_a_method_that_holds_nothing_out_fails_where_the_slice_is_asked_for(toy_job, executor):
    job = toy_job("pabee")
    (outcome,) = run_plan(Plan((cell(job, "pabee"),), (job,)), executor, Recorder(), ("holdout",))
    assert outcome.status == "failed" and "holds out nothing of train" in outcome.reason
