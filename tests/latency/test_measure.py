import numpy as np
import pytest
import torch

from eebench.backbones.base import Backbone
from eebench.backbones.bert import BertBackbone
from eebench.cost.conventions import convention
from eebench.errors import UserError
from eebench.latency.measure import Bench, Candidate, Protocol, measure_latency, trace_rows
from eebench.rules.catalogue import find_rule
from eebench.sweep import Accounting, Measured, point_rows

REAL = Accounting(convention("full_2mac"), None)


@pytest.fixture
def jobs(executor, toy_job):
    made = {name: toy_job(name) for name in ("finetune", "pabee")}
    for job in made.values():
        executor.ensure_trained(job)
    return made


@pytest.fixture
def bench(executor, jobs):
    def make(**changes):
        protocol = Protocol(**{"batch_sizes": (1, 8), "repeats": 2, **changes})
        return Bench(executor, jobs["finetune"], REAL, protocol)

    return make


def test_sizes_and_executors_that_go_together():
    assert list(Protocol().runs()) == [(1, "sequential"), (32, "compact"), (32, "pooled")]
    assert list(Protocol((4, 8), ("pooled",)).runs()) == [(4, "pooled"), (8, "pooled")]
    assert list(Protocol((4,), ("sequential",)).runs()) == []
    with pytest.raises(UserError, match="unknown executor 'poled'; did you mean 'pooled'"):
        Protocol((1,), ("poled",))
    with pytest.raises(UserError, match="batch size of 1 or more"):
        Protocol((0,))


def test_one_interleaved_run_becomes_rows(bench, jobs, executor):
    place = bench(at=[(find_rule("entropy"), 0.6)])
    heard = []
    rows = measure_latency([Candidate("mine", jobs["pabee"], {})], place, lambda *done: heard.append(done))
    assert [(row.method, row.executor, row.batch_size) for row in rows] == [
        ("finetune", "full", 1), ("finetune", "stock", 1), ("finetune", "full", 8), ("finetune", "stock", 8),
        ("mine", "sequential", 1), ("mine", "compact", 8), ("mine", "pooled", 8),
    ]  # fmt: skip
    assert heard == [(1, 3), (2, 3), (3, 3)]
    for row in rows[:4]:
        assert row.speedup_flops == 1.0 and row.speedup_time == row.efficiency > 0
        assert (row.speedup_time == 1.0) is (row.executor == "full") and row.score == rows[0].score
        assert (row.setting, row.mean_exit) == ("exit=2", 2.0)
    trace = executor.ensure_trace(jobs["pabee"])
    (point,) = point_rows(Measured.of(jobs["pabee"], trace, REAL), find_rule("entropy"), [0.6])
    for row in rows[4:]:
        assert row.score == pytest.approx(point["score"]) and row.mean_exit == pytest.approx(
            point["mean_exit"]
        )
        assert row.speedup_flops == pytest.approx(point["full_flops"] / point["flops"])
        assert row.efficiency == pytest.approx(row.speedup_time / row.speedup_flops)
        assert 0 < row.seconds_low <= row.seconds_per_sample <= row.seconds_high
        assert row.throughput == pytest.approx(1 / row.seconds_per_sample)
        assert 0 < row.p50_ms <= row.p95_ms <= row.p99_ms
        assert (row.repeats, row.samples, row.threads, row.convention) == (2, 48, 1, "full_2mac@real")


def test_without_a_stock_forward_pass_there_is_no_row_for_it(bench, jobs, monkeypatch):
    monkeypatch.setattr(BertBackbone, "stock", Backbone.stock)
    rows = measure_latency([Candidate("mine", jobs["pabee"], {"patience": [1.0]})], bench(batch_sizes=(1,)))
    assert [row.executor for row in rows] == ["full", "sequential"]


def test_default_rules_are_measured_at_the_speedup_asked_for(bench, jobs):
    place = bench(batch_sizes=(8,), executors=("compact",), target=1.9)
    _, _, row = measure_latency([Candidate("pabee", jobs["pabee"], {"budgeted": None})], place)
    assert (row.rule, row.setting) == ("budgeted", "exit=1") and row.mean_exit == 1.0


def test_some_samples_spread_over_dev(bench, jobs, executor):
    place = bench(samples=5)
    assert place.rows.tolist() == [0, 12, 24, 35, 47]  # 47 x 0, 1/4, 1/2 (23.5, to even), 3/4, 1
    assert len(place.encoded()) == len(place.labels()) == 5
    trace = executor.ensure_trace(jobs["pabee"])
    part = trace_rows(trace, place.rows)
    assert (
        torch.equal(part.logits, trace.logits[:, place.rows])
        and part.lengths.tolist() == place.encoded().lengths.tolist()
    )
    assert bench(samples=500).rows.tolist() == list(range(48))


def test_rows_of_a_split_keep_their_tokens(bench):
    whole = bench().encoded()
    part = whole.take(np.array([3, 1]))
    assert part.lengths.tolist() == whole.lengths[[3, 1]].tolist()
    assert torch.equal(part.batch(np.array([0])).input_ids, whole.batch(np.array([3])).input_ids)


def test_a_rule_that_a_model_cannot_have_is_refused(bench, jobs):
    place = bench(at=[(find_rule("learned"), 0.5)])
    with pytest.raises(UserError, match="rule 'learned' needs the signal 'score'"):
        measure_latency([Candidate("pabee", jobs["pabee"], {})], place)


def test_nothing_to_run_is_a_message(bench, jobs):
    with pytest.raises(UserError, match="sequential has batches of 1"):
        measure_latency([], bench(batch_sizes=(4,), executors=("sequential",)))
