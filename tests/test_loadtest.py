"""The load generator: arrivals, batches, and what the numbers say."""

import time

import numpy as np
import pytest
import torch

from eebench.errors import UserError
from eebench.loadtest import Desk, Load, Served, serve_load
from eebench.predict import Asked, load_run
from eebench.runtime.executors import Pool
from eebench.toy import toy_data

TEXTS = toy_data().splits["dev"].texts


@pytest.fixture
def predictor(executor, toy_job):
    job = toy_job("joint")
    executor.ensure_trace(job)
    return load_run(executor.run(job).directory)


def test_arrivals_are_a_poisson_process_and_the_same_again():
    load = Load(rate=50.0, requests=20_000, seed=3)
    arrivals = load.arrivals()
    gaps = np.diff(arrivals)
    assert (gaps > 0).all() and np.array_equal(arrivals, load.arrivals())
    # exponential gaps: mean and standard deviation are both 1 / rate
    assert gaps.mean() == pytest.approx(0.02, rel=0.03) and gaps.std() == pytest.approx(0.02, rel=0.03)
    assert not np.array_equal(arrivals, Load(50.0, 20_000, seed=4).arrivals())
    assert set(Load(50.0, 100).choice(3).tolist()) == {0, 1, 2}


def test_what_the_numbers_say():
    arrived = np.arange(1, 101) / 10.0  # ten a second, from 0.1 s to 10 s
    kept_up = Served(arrived, arrived + 0.05, np.full(100, 2), 4)
    assert kept_up.throughput == pytest.approx(100 / 9.95)
    assert kept_up.percentile_ms(50) == pytest.approx(50.0) and kept_up.percentile_ms(99) == pytest.approx(
        50.0
    )
    assert kept_up.backlog == 1 and not kept_up.saturated
    behind = Served(arrived, 2.0 * arrived, np.full(100, 2), 4)  # five a second are answered
    assert behind.backlog == 50 and behind.saturated
    assert behind.throughput == pytest.approx(100 / 19.9)
    assert not Served(arrived, 2.0 * arrived, np.full(100, 2), 32).saturated  # two batches are no backlog


def test_a_batch_goes_when_it_is_full_or_has_waited_long_enough():
    load = Load(rate=1.0, requests=5, batch_size=3, longest_wait_seconds=0.2)
    desk = Desk(load, np.array([0.0, 0.0, 0.0, 0.0, 0.1]))
    with desk.open():
        assert desk.wait()
        time.sleep(0.05)
        assert desk.batch() == [0, 1, 2]
        assert desk.batch() == []  # request 3 may still wait for company
        assert desk.wait()  # request 4 arrives
        start = time.perf_counter()
        assert desk.batch() == [] and desk.wait()
        assert desk.batch() == [3, 4] and time.perf_counter() - start > 0.01
        assert not desk.wait()


@pytest.mark.parametrize("pooled", [True, False])
def test_every_request_is_answered_by_its_own_exit(predictor, pooled):
    trace = predictor.trained.dev_trace()
    entropies = torch.distributions.Categorical(logits=trace.logits[0]).entropy()
    middle = float(entropies.sort().values[23:25].mean())
    choice = predictor.choose(Asked("entropy", f"S={middle}"))
    load = Load(rate=2000.0, requests=60, batch_size=4, longest_wait_seconds=0.001)
    served = serve_load(predictor, TEXTS, load, choice, pooled)
    expected = np.where((entropies < middle).numpy(), 1, 2)[load.choice(len(TEXTS))]
    assert np.array_equal(served.layers, expected)
    assert (served.waits_ms > 0).all() and np.array_equal(served.arrived, load.arrivals())


def test_more_than_the_machine_can_do_is_saturation(predictor):
    full = predictor.choose(Asked())
    slow = serve_load(predictor, TEXTS, Load(1e6, 300, 4, 0.0), full, pooled=False)
    assert slow.saturated and slow.throughput < 1e5
    easy = serve_load(predictor, TEXTS, Load(40.0, 12, 4, 0.001), full, pooled=False)
    assert not easy.saturated


@pytest.mark.parametrize("wrong", [{"rate": 0.0}, {"rate": -1.0}, {"rate": float("nan")}])
def test_a_rate_is_more_than_zero(wrong):
    with pytest.raises(UserError, match="write how many requests arrive in a second"):
        Load(**wrong)
    with pytest.raises(UserError, match="a load needs at least one request"):
        Load(1.0, requests=0)


def test_what_waits_in_the_pool_is_dated_by_the_clock_when_it_begins_to_wait(predictor, monkeypatch):
    ages, put = [], Pool.put

    def noted(pool, group):
        ages.append(time.perf_counter() - group.since)
        put(pool, group)

    monkeypatch.setattr(Pool, "put", noted)
    full = predictor.choose(Asked("entropy", "S=0"))
    served = serve_load(predictor, TEXTS, Load(2000.0, 40, 4, 0.001), full, pooled=True)
    assert served.layers.tolist() == [2] * 40
    assert len(ages) >= 10 and all(0 <= age < 1 for age in ages)
