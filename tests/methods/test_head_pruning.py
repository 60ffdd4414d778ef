import numpy as np
import pytest
import torch

from eebench.cost.components import model_cost
from eebench.engine.execute import Executor, build_skeleton
from eebench.errors import UserError
from eebench.head_importance import head_counts
from eebench.methods.head_pruning import HeadPruningOptions, heads_removed, spread
from eebench.store import Store


def test_how_many_heads_go():
    assert heads_removed(HeadPruningOptions(pruned=0.4), [12] * 12) == 58  # 0.4 * 144 = 57.6
    assert heads_removed(HeadPruningOptions(pruned=0.0), [12] * 12) == 0
    with pytest.raises(UserError, match=r"removes 137 of 144 heads.*choose at most 0\.917\."):
        heads_removed(HeadPruningOptions(pruned=0.95), [12] * 12)


def test_a_share_that_leaves_a_layer_without_heads(toy_job):
    with pytest.raises(UserError, match=r"pruned=0\.9 removes 4 of 4 heads"):
        toy_job("head-pruning", pruned=0.9)


def test_rows_are_spread_over_the_split():
    assert spread(10, 4).tolist() == [0, 2, 5, 7] and spread(3, 4).tolist() == [0, 1, 2]
    assert spread(10, 4).dtype == np.int64


def test_nothing_but_attention_shrinks_and_nothing_is_trained(executor, toy_job):
    job = toy_job("head-pruning", pruned=0.25)
    trace = executor.ensure_trace(job)
    tuned, pruned = executor.run(job.needs["finetuned"]).weights(), executor.run(job).weights()
    smaller = {name for name in tuned if tuned[name].shape != pruned[name].shape}
    assert len(smaller) == 7 and all(
        ".attention." in name for name in smaller
    )  # Q, K, V with biases, O without
    assert all(torch.equal(tuned[name], pruned[name]) for name in tuned.keys() - smaller)
    assert sum(head_counts(executor.model(job).backbone)) == 3 and trace.exit_layers == (2,)


def test_cost_counts_the_heads_that_are_left_whichever_they_are(executor, toy_job):
    job = toy_job("head-pruning", pruned=0.25)
    executor.ensure_trained(job)
    planned, real = model_cost(build_skeleton(job)), model_cost(executor.model(job))
    whole = model_cost(build_skeleton(toy_job("finetune")))
    linear = [sum(layer.linear(10) for layer in cost.layers) for cost in (planned, real, whole)]
    matmul = [sum(layer.matmul(10) for layer in cost.layers) for cost in (planned, real, whole)]
    # One head of 16: Q, K, V and O rows or columns of 32 x 16 at 10 tokens; scores and contexts 2 * 16 * 10 * 10.
    assert linear[0] == linear[1] == linear[2] - 4 * 32 * 16 * 10
    assert matmul[0] == matmul[1] == matmul[2] - 2 * 16 * 10 * 10


def test_a_run_that_was_killed_while_it_retrained_ends_with_the_same_weights(executor, toy_job, tmp_path):
    class Killed(Exception):
        pass

    def kill(moment):
        if moment.total == 12 and moment.done == 8:
            raise Killed

    job = toy_job("head-pruning", pruned=0.25, retrain_epochs=2)
    other = Executor(Store(tmp_path / "other"), executor.device)
    with pytest.raises(Killed):
        executor.ensure_trained(job, kill)
    executor.ensure_trained(job)
    other.ensure_trained(job)
    weights, whole = executor.run(job).weights(), other.run(job).weights()
    assert all(torch.equal(weights[name], whole[name]) for name in whole)
