import numpy as np
import pytest
import torch

from eebench.backbones.checkpoints import load_backbone
from eebench.cascades import CascadeModel, CascadeOutputs, Member
from eebench.engine.execute import Executor, build
from eebench.errors import ConfigError, UserError
from eebench.heads import exit_heads
from eebench.methods.cascade import (
    CascadeOptions,
    FoldOptions,
    calibrate,
    calibration_rows,
    cascade_loss,
    fold_loss,
    fold_of,
    is_kept_back,
)
from eebench.methods.catalogue import find_method
from eebench.model import Outputs
from eebench.options import resolve_options
from eebench.rules.confidence import MaxProbability
from eebench.runtime import sequential
from eebench.store import Store
from eebench.training.stages import Step

SMALL = {"members": [1, "full"], "folds": 2, "epochs": 1}


@pytest.mark.parametrize("members", [[2], ["full"], ["full", 2], [6, 2], [2, 2], [0, 2]])
def test_members_must_ascend(members):
    with pytest.raises(ConfigError, match="members"):
        resolve_options(find_method("cascade"), {"members": members}, "here")


@pytest.mark.parametrize("members", [[1, 3], [2, "full"]])
def test_members_larger_than_the_backbone(toy_job, members):
    with pytest.raises(UserError, match=r"of a backbone with 2 layers; .* example members=\[1,full\]"):
        toy_job("cascade", members=members)


def test_more_repeats_than_folds(toy_job):
    with pytest.raises(UserError, match="repeats=3 is more than folds=2"):
        toy_job("cascade", **{**SMALL, "repeats": 3})


def test_exits_of_members_of_two_and_six_layers():
    method, options = find_method("cascade"), CascadeOptions(members=(2, 6))
    assert method.exit_layers(options, 6) == (2, 8) and method.depth(options, 12) == 6
    assert method.label(options) == "cascade-2-6"


def test_members_and_folds_are_runs_of_their_own():
    needs = find_method("cascade").needs(CascadeOptions(lr=1e-4, members=(1, 2, "full"), folds=2, repeats=2))
    methods = {role: need.method for role, need in needs.items()}
    folds = {f"fold-{repeat}-{fold}": "first-k-fold" for repeat in (0, 1) for fold in (0, 1)}
    assert methods == {"member-1": "first-k", "member-2": "finetune", **folds}
    assert needs["fold-1-0"].options["repeat"] == 1 and needs["member-2"].options["lr"] == 1e-4
    assert "fold-0-0" not in find_method("cascade").needs(CascadeOptions(dar_weight=0.0))


def test_folds_divide_the_rows_evenly_and_every_repeat_differently():
    rows = np.arange(10)
    assert fold_of(rows, 5, 0).tolist() == [0, 1, 2, 3, 4, 0, 1, 2, 3, 4]
    assert fold_of(rows, 5, 1).tolist() == [0, 1, 2, 3, 4, 1, 2, 3, 4, 0]


def test_rows_kept_back():
    assert np.flatnonzero(is_kept_back(np.arange(25), 0.1)).tolist() == [0, 10, 20]
    assert not is_kept_back(np.arange(25), 0.0).any()
    assert np.flatnonzero(is_kept_back(np.arange(13), 0.3)).tolist() == [0, 3, 6, 10]
    # Every tenth row, far into the largest tasks too; 0.4 and 0.15 are no whole 1 / n.
    assert np.array_equal(np.flatnonzero(is_kept_back(np.arange(400_000), 0.1)), np.arange(0, 400_000, 10))
    assert is_kept_back(np.arange(100_000), 0.4).sum() == 40_000
    assert is_kept_back(np.arange(100_000), 0.15).sum() == 15_000


def test_rows_for_temperatures_are_spread_over_all_that_are_kept_back():
    assert calibration_rows(25, 0.1).tolist() == [0, 10, 20]
    many = calibration_rows(81_920, 0.1)  # four times as many are kept back as are needed
    assert len(many) == 2048 and many[:3].tolist() == [0, 40, 80] and many[-1] == 81_880


def test_middle_members_keep_their_temperature(executor, toy_job):
    job = toy_job("cascade", **SMALL)
    torch.manual_seed(0)
    members = [Member(backbone, exit_heads(backbone, 2, job.options.head, (backbone.depth,))[backbone.depth])
               for backbone in (load_backbone("toy", 1), load_backbone("toy", 1), load_backbone("toy"))]  # fmt: skip
    model = CascadeModel(members)
    calibrate(model, executor.examples(job, "train"), 0.5)
    first, middle, last = model.temperatures.tolist()
    assert middle == 1.0 and first != 1.0 and last != 1.0


def test_a_fold_run_does_not_learn_from_its_fold():
    logits = torch.tensor([[[0.0, 0.0], [5.0, 0.0], [0.0, 0.0]]], requires_grad=True)
    labels, step = torch.tensor([0, 1, 0]), Step(0, np.array([0, 1, 2]))
    loss = fold_loss(Outputs(logits), labels, step, FoldOptions(folds=2, fold=1))["loss"]
    assert float(loss.detach()) == pytest.approx(0.693147, abs=1e-5)
    loss.backward()
    assert logits.grad[0, 1].abs().max() == 0 < logits.grad[0, 0].abs().max()
    nothing = fold_loss(Outputs(logits), labels, Step(0, np.array([1, 3, 5])), FoldOptions(folds=2, fold=1))
    assert float(nothing["loss"].detach()) == 0


def test_the_loss_by_hand():
    # Confidences 0.9 (easy), 0.8 (hard); CE = mean(-ln 0.9, -ln 0.2); DAR = 0.5 - 0.1. Row 0 is kept back.
    logits = torch.tensor([[[0.5, 0.5], [0.9, 0.1], [0.2, 0.8]]]).log()
    unseen = torch.tensor([[[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]])
    outputs = CascadeOutputs(logits, unseen=unseen)
    labels, step = torch.zeros(3, dtype=torch.int64), Step(0, np.array([0, 1, 2]))
    terms = cascade_loss(outputs, labels, step, CascadeOptions())
    assert float(terms["ce"]) == pytest.approx((0.105361 + 1.609438) / 2, abs=1e-5)
    assert float(terms["dar"]) == pytest.approx(0.4) and float(terms["hard"]) == 0.5
    assert float(terms["loss"]) == pytest.approx(float(terms["ce"]) + 0.5 * 0.4)
    none = cascade_loss(outputs, labels, Step(0, np.array([0, 10, 20])), CascadeOptions())
    assert float(none["loss"]) == 0


def test_the_members_heads_have_the_ordinary_size():
    from transformers import BertConfig, BertModel

    from eebench.backbones.bert import BertBackbone

    with torch.device("meta"):
        backbone = BertBackbone(BertModel(BertConfig()))
        model = find_method("cascade").build(backbone, 2, CascadeOptions(members=(6, "full")))
    # Two complete models with their classifiers, and a temperature each.
    assert model.parameter_count() == 109_482_240 + 66_955_008 + 2 * 1538 + 2


def test_some_rows_of_a_split(executor, toy_job):
    encoded = executor.examples(toy_job("finetune"), "train").encoded
    some = encoded.take(np.array([4, 1]))
    assert torch.equal(some.batch(np.array([1])).input_ids, encoded.batch(np.array([1])).input_ids)
    assert torch.equal(some.batch(np.array([0])).input_ids, encoded.batch(np.array([4])).input_ids)


def test_the_large_member_is_the_finetuned_run_and_only_the_small_one_trains(executor, toy_job):
    job = toy_job("cascade", **SMALL)
    trace = executor.ensure_trace(job)
    cascade, tuned = executor.model(job), executor.ensure_trace(job.needs["member-1"])
    assert isinstance(cascade, CascadeModel) and trace.exit_layers == (1, 3)
    assert job.needs["member-1"].spec.key == toy_job("finetune", epochs=1).spec.key
    assert torch.allclose(trace.logits[1] * cascade.temperatures[1].cpu(), tuned.logits[0], atol=1e-5)
    fresh, weights = dict(build(job).named_parameters()), executor.run(job).weights()
    assert not torch.equal(
        fresh["smaller.0.layers.0.output.dense.weight"], weights["smaller.0.layers.0.output.dense.weight"]
    )
    assert not torch.equal(weights["temperatures"], torch.ones(2))


def test_really_leaving_agrees_with_the_trace(executor, toy_job):
    job = toy_job("cascade", **SMALL)
    trace, rule = executor.ensure_trace(job), MaxProbability()
    sure = torch.softmax(trace.logits[0], dim=-1).amax(dim=-1)
    threshold = float(sure.median()) + 1e-6
    left = list(
        sequential(
            executor.model(job), rule, threshold, executor.examples(job, "dev").encoded, executor.device
        )
    )
    clear = [index for index in range(trace.samples) if abs(float(sure[index]) - threshold) > 1e-4]
    assert [left[i].exit_index for i in clear] == [int(sure[i] < threshold) for i in clear]
    assert {left[i].layer for i in clear} == {1, 3}


def test_a_run_that_was_killed_ends_with_the_same_weights(executor, toy_job, tmp_path):
    class Killed(Exception):
        pass

    def kill(moment):
        if moment.total == 12 and moment.done == 8:
            raise Killed

    job, other = (
        toy_job("cascade", **{**SMALL, "epochs": 2}),
        Executor(Store(tmp_path / "other"), executor.device),
    )
    for need in job.needs.values():
        executor.ensure_trained(need)
    with pytest.raises(Killed):
        executor.ensure_trained(job, kill)
    executor.ensure_trained(job)
    other.ensure_trained(job)
    weights, whole = executor.run(job).weights(), other.run(job).weights()
    assert all(torch.equal(weights[name], whole[name]) for name in whole)


def test_fold_runs_say_which_fold_they_miss(toy_job):
    method, options = find_method("first-k-fold"), FoldOptions(k=1, fold=1, folds=2, repeat=1)
    assert method.label(options) == "first-1-fold-1-of-2-1"
    assert method.heading(options) == "First layer without fold 1 of 2"
    with pytest.raises(UserError, match="both count from 0 and end at 1"):
        toy_job("first-k-fold", k=1, folds=2, fold=2)
