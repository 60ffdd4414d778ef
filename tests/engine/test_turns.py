import threading
from dataclasses import replace

import pytest
import torch

from eebench.engine.execute import build
from eebench.engine.turns import PausedLoop, clock, device_name, processor, rotated, seconds, take_turns
from eebench.errors import DivergedError, RunError
from eebench.training.loop import Setup


@pytest.fixture
def make_loop(toy_job, executor):
    """`make_loop(lr=1e30)` is a paused loop of fine-tuning, 6 steps an epoch, and its model."""

    def make(steps=1, **options):
        job = toy_job("finetune", **options)
        model, cpu = build(job), torch.device("cpu")
        setup = Setup(executor.examples(job, "train"), None, "accuracy", job.options, 1, cpu)
        stages = [replace(stage, epochs=1) for stage in job.method.stages(job.options)]
        return PausedLoop(model, stages, setup, steps), model

    return make


def weights(model):
    return torch.cat([parameter.detach().flatten().clone() for parameter in model.parameters()])


def test_a_loop_moves_only_when_it_is_asked_to(make_loop):
    threads = threading.active_count()
    loop, model = make_loop()
    with loop:
        before = weights(model)
        assert loop.block() > 0
        once = weights(model)
        assert not torch.equal(before, once)
        assert torch.equal(once, weights(model))
        assert loop.block() > 0
        assert not torch.equal(once, weights(model))
    assert threading.active_count() == threads


def test_a_block_of_two_steps_is_two_blocks_of_one(make_loop):
    torch.manual_seed(0)
    (single, one), (double, two) = make_loop(head={"dropout": 0.0}), make_loop(2, head={"dropout": 0.0})
    two.load_state_dict(one.state_dict())
    one.eval(), two.eval()
    with single, double:
        torch.manual_seed(1)
        single.block()
        single.block()
        torch.manual_seed(1)
        double.block()
        assert torch.equal(weights(one), weights(two))


def test_a_loop_that_fails_is_heard_and_leaves_no_thread_waiting(make_loop):
    threads = threading.active_count()
    loop, _ = make_loop(steps=6, lr=1e30)
    with loop, pytest.raises(DivergedError, match="not finite"):
        loop.block()
    assert threading.active_count() == threads


def test_turns_are_taken_round_by_round(make_loop):
    rounds = []
    (first, _), (second, _) = make_loop(), make_loop()
    with first, second:
        taken = take_turns({"a": first, "b": second}, 3, lambda: rounds.append(threading.active_count()))
    assert [len(taken[name]) for name in ("a", "b")] == [3, 3]
    assert min(taken["a"] + taken["b"]) > 0 and len(rounds) == 3


def test_a_failure_names_its_loop(make_loop):
    loop, _ = make_loop(lr=1e30)
    with loop, pytest.raises(RunError, match="^gaml, stage mutual: the loss is not finite at step 2"):
        take_turns({"gaml, stage mutual": loop}, 2)


def test_another_one_begins_each_turn():
    assert [rotated("abc", turn) for turn in range(4)] == [list("abc"), list("bca"), list("cab"), list("abc")]


def test_a_clock_goes_forward():
    cpu = torch.device("cpu")
    start = clock(cpu)
    taken = seconds(lambda: sum(range(10_000)), cpu)
    assert 0 < taken <= clock(cpu) - start


def test_the_device_is_a_processor_not_a_host():
    import platform

    name = device_name(torch.device("cpu"))
    assert name == processor() and name and platform.node() not in name


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_graphics_card_has_its_own_name():
    assert device_name(torch.device("cuda")) == torch.cuda.get_device_name()
