"""Sizes, schedule and losses against the paper, and runs that change shape while they train."""

import csv
import io
import math
from itertools import combinations
from typing import Any

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertModel, MPNetConfig, MPNetModel

from eebench.artifacts import checksum
from eebench.backbones.base import Backbone
from eebench.backbones.bert import BertBackbone
from eebench.backbones.mpnet import MPNetBackbone
from eebench.backbones.toy import toy_backbone
from eebench.distillation import Asked, Lesson, TaughtOutputs
from eebench.engine.execute import Executor, build_skeleton
from eebench.errors import ConfigError, UserError
from eebench.importance import (
    contributions,
    head_scores,
    neuron_scores,
    scored_weights,
    strongest,
    without_dropout,
)
from eebench.methods.catalogue import find_method
from eebench.methods.cost_eff import (
    CosteffOptions,
    SlenderModel,
    importance,
    importance_loss,
    interval_loss,
    interval_rates,
    recovery_loss,
    size_after,
    target_size,
    whole_size,
)
from eebench.model import copy_weights, weights_of
from eebench.options import resolve_options
from eebench.slender import Size, layer_parts, size_of
from eebench.store import Store
from eebench.training.loop import Moment
from eebench.training.stages import Stage, Step

BERT_BASE = Size(12, 3072, 768)
SMALL = {
    "heads": 1, "feed_forward": 20, "rank": 8, "prunes": 2, "prune_every": 1.0, "recovery_feature_epochs": 1,
    "recovery_epochs": 1, "feature_epochs": 1, "epochs": 1,
}  # fmt: skip

# what the released code prunes to, for both sizes
SCHEDULE = """variant,k,heads,FFN,rank
8x,1,11,2790,704
8x,2,10,2508,640
8x,3,9,2227,576
8x,4,8,1945,512
8x,5,7,1664,448
8x,6,6,1382,384
8x,7,5,1100,320
8x,8,4,819,256
8x,9,3,537,192
8x,10,2,256,128
2x,1,11,2816,704
2x,2,10,2560,640
2x,3,9,2304,576
2x,4,8,2048,512
2x,5,7,1792,448
2x,6,6,1536,384
"""


@pytest.mark.parametrize(
    "row", [*csv.DictReader(io.StringIO(SCHEDULE))], ids=lambda row: f"{row['variant']}-{row['k']}"
)
def test_the_pruning_schedule_is_the_released_one(row: dict[str, str]) -> None:
    options = CosteffOptions(size=row["variant"])  # type: ignore[arg-type]
    target = target_size(BERT_BASE, options)
    expected = Size(int(row["heads"]), int(row["FFN"]), int(row["rank"]))
    assert size_after(BERT_BASE, target, int(row["k"]), options.count) == expected


def bert(**sizes: int) -> Backbone:
    with torch.device("meta"):
        return BertBackbone(BertModel(BertConfig(**sizes)))


@pytest.mark.parametrize(("size", "parameters"), [("8x", 13_920_024), ("2x", 54_984_984)])
def test_slender_bert_base_has_the_papers_parameters(size: str, parameters: int) -> None:
    method, backbone = find_method("cost-eff"), bert()
    options = method.options_type(size=size)
    with torch.device("meta"):
        model = method.finished(backbone, 2, options)
    assert model.parameter_count() == parameters
    assert size_of(backbone) == target_size(BERT_BASE, options)  # type: ignore[arg-type]
    assert method.build(bert(), 2, options).parameter_count() == 108_910_104


def test_sizes_are_in_proportion_on_other_backbones() -> None:
    mini = whole_size(
        bert(hidden_size=384, num_attention_heads=12, intermediate_size=1536, num_hidden_layers=1)
    )
    assert target_size(mini, CosteffOptions()) == Size(2, 128, 64)
    assert target_size(mini, CosteffOptions(size="2x")) == Size(6, 768, 192)
    assert target_size(mini, CosteffOptions(heads=5, rank=384)) == Size(5, 128, 384)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"heads": 3}, "heads=3 is more than the backbone's 2 \\(attention heads in a layer\\); choose 1..2"),
        ({"heads": 1, "feed_forward": 65}, "feed_forward=65 is more than the backbone's 64"),
        ({"heads": 1, "rank": 33}, "rank=33 is more than the backbone's 32 .*choose 1..32"),
        ({}, "size=8x keeps one attention head in 6, and 2 heads are not divisible by 6; choose heads=1..2"),
    ],
)
def test_a_size_that_does_not_fit_is_refused_before_anything_trains(toy_job, given, message) -> None:
    with pytest.raises(UserError, match=message):
        toy_job("cost-eff", **given)


def test_a_rank_above_the_vocabulary_is_refused_before_anything_trains() -> None:
    method = find_method("cost-eff")
    with pytest.raises(UserError, match="rank=21 is more than the backbone's 20 .*choose 1..20"):
        method.check(method.options_type(rank=21), lambda: bert(vocab_size=20, num_hidden_layers=1))


def test_a_backbone_that_cannot_be_sliced_is_refused() -> None:
    def skeleton() -> Backbone:
        return MPNetBackbone(
            MPNetModel(MPNetConfig(hidden_size=24, num_attention_heads=4, num_hidden_layers=1))
        )

    method = find_method("cost-eff")
    with pytest.raises(UserError, match="MPNetLayer cannot be slenderised.*use a backbone of type BERT"):
        method.check(method.options_type(), skeleton)


def test_pruning_that_ends_too_early_is_refused() -> None:
    with pytest.raises(
        ConfigError, match="prune_epochs: pruning would end before its last prune.*at least 3,"
    ):
        resolve_options(
            find_method("cost-eff"), {"prune_epochs": 2.0, "prune_every": 0.5, "size": "2x"}, "--set"
        )


def stages(**given: Any) -> list[Stage]:
    return find_method("cost-eff").stages(CosteffOptions(**given))


def test_the_stages_of_the_published_models() -> None:
    found = stages()
    assert [stage.name for stage in found] == [
        *(f"prune-{number}" for number in range(10)), "recovery-features", "recovery"
    ]  # fmt: skip
    assert sum(stage.epochs for stage in found[:10]) == 20  # E_P of MRPC
    assert [(stage.epochs, pytest.approx(stage.lr)) for stage in found[10:]] == [(20, 3e-5), (10, 2e-5)]
    assert [stage.select for stage in found] == [*["last"] * 11, None]
    half = stages(size="2x", prune_every=0.33, prune_epochs=2.0)
    assert len(half) == 6 + 1 + 2 and sum(stage.epochs for stage in half[:7]) == pytest.approx(2.0)
    assert [stage.epochs for stage in half[7:]] == [12, 5]


def test_each_prune_begins_one_stage_and_the_last_begins_recovery() -> None:
    pruning = [stage.first for stage in stages()]
    numbers = [getattr(first, "keywords", {}).get("number", 0) for first in pruning]
    assert numbers == [*range(11), 0]
    assert [getattr(stage.first, "keywords", {}).get("number", 0) for stage in stages(recovery_feature_epochs=0)] == [
        *range(11)
    ]  # fmt: skip


def test_the_learning_rate_between_prunes() -> None:
    """100 steps an epoch, so 200 between prunes: 20 of warm-up; the first interval decays over all 2,000."""
    options = CosteffOptions()
    first, later = (interval_rates(100, options, number, 2.0) for number in (0, 10))
    assert (first.peak, first.warmup, first.total) == (1e-5, 20, 2000)
    assert (later.warmup, later.total) == (20, 200)
    assert later.peak == pytest.approx(1e-5 * 1.12**10) == pytest.approx(3.1e-5, rel=2e-3)
    assert interval_rates(10, options, 1, 2.0).warmup == 10  # ten steps at least
    large = CosteffOptions(lr=3e-5, prune_lr=1e-5, prune_growth=0.15)  # a batch of 64: 1e-5 * 1.15^9
    assert interval_rates(100, large, 9, 2.0).peak == pytest.approx(3.518e-5, rel=1e-3)


def test_what_is_left_after_the_last_prune_begins_a_whole_interval() -> None:
    """MNLI's 2x: 0.02 epochs are left of 0.33. Of 1,000 steps an epoch 33 warm up, 330 decay; features all along."""
    options = CosteffOptions(size="2x", prune_every=0.33, prune_epochs=2.0, representation_share=0.7)
    left = next(stage for stage in find_method("cost-eff").stages(options) if stage.name == "prune-6")
    rates = left.rates(options, 1000)
    assert (left.steps(1000), rates.warmup, rates.total) == (20, 33, 330)
    assert rates.at(19) == pytest.approx(1e-5 * 1.12**6 * 20 / 33)
    losses = [
        float(left.objective(shown(), LABEL, Step(done, np.arange(1), done=done, total=20))["loss"])
        for done in (0, 19)
    ]
    assert losses == [pytest.approx(FEATURES)] * 2
    more = CosteffOptions(
        size="2x", prune_every=0.5, prune_epochs=3.25
    )  # half an interval: 50 % of it on features
    last = next(stage for stage in find_method("cost-eff").stages(more) if stage.name == "prune-6")
    for done in (0, 9):
        step = Step(done, np.arange(1), done=done, total=10)
        assert float(last.objective(shown(), LABEL, step)["loss"]) == pytest.approx(FEATURES)


P, Q, T = [0.8, 0.2], [0.5, 0.5], [0.9, 0.1]


def shown() -> TaughtOutputs:
    """Two exits answer P and Q, their teachers T and P; features are 3 apart at the one real token of two."""
    logits, lesson = torch.tensor([P, Q]).log()[:, None, :], torch.tensor([T, P]).log()[:, None, :]
    own = torch.tensor([[[[3.0, 3.0], [7.0, 7.0]]]])
    return TaughtOutputs(
        logits, mask=torch.tensor([[True, False]]), teacher=Lesson(lesson, hidden=torch.zeros_like(own)), hidden=own
    )  # fmt: skip


def cross(teacher: list[float], student: list[float]) -> float:
    return -sum(t * math.log(s) for t, s in zip(teacher, student, strict=True))


SOFT, HARD, FEATURES = cross(T, P) + cross(P, Q), -math.log(0.8) - math.log(0.5), 9.0
LABEL = torch.tensor([0])


def test_the_first_half_of_an_interval_learns_features_only() -> None:
    options = CosteffOptions()
    for done, expected in ((0, FEATURES), (4, FEATURES), (5, SOFT + FEATURES), (9, SOFT + FEATURES)):
        step = Step(done, np.arange(1), done=done, total=10)
        loss = interval_loss(shown(), LABEL, step, options, slice(None))["loss"]
        assert float(loss) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, SOFT + FEATURES),
        ({"feat_distill": False}, SOFT),
        ({"pred_distill": "hard_labels"}, HARD + FEATURES),
        (
            {"feature_loss": "plain"},
            SOFT + FEATURES,
        ),  # one sample, so one mean over its tokens and the batch's
        ({"ta_exit_loss": False}, cross(P, P) + cross(P, Q) + FEATURES),
    ],
)
def test_recovery_and_its_ablations(given: dict[str, Any], expected: float) -> None:
    options = CosteffOptions(**given)
    terms = recovery_loss(shown(), LABEL, Step(0, np.arange(1)), options, slice(None), features_only=False)
    assert float(terms["loss"]) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, 0.9 * SOFT + 0.1 * HARD + FEATURES),
        ({"taylor_loss": "exits"}, SOFT),
        ({"taylor_exit_loss": False}, 0.9 * cross(P, Q) - 0.1 * math.log(0.5) + FEATURES),
        ({"feat_distill": False}, 0.9 * SOFT + 0.1 * HARD),
        ({"pred_distill": "hard_labels"}, HARD + FEATURES),
        ({"pred_distill": "hard_labels", "taylor_loss": "exits"}, HARD),
        ({"feat_distill": False, "pred_distill": "hard_labels"}, HARD),
        ({"training": "two_stage"}, 0.9 * cross(P, Q) - 0.1 * math.log(0.5) + FEATURES),
    ],
)
def test_the_loss_that_importance_is_read_from(given: dict[str, Any], expected: float) -> None:
    assert float(importance_loss(shown(), LABEL, CosteffOptions(**given))) == pytest.approx(
        expected, rel=1e-6
    )


def test_two_stage_training_freezes_the_backbone_for_the_exits(toy_job) -> None:
    job = toy_job("cost-eff", **SMALL, training="two_stage")
    found = job.method.stages(job.options)
    assert [stage.name for stage in found][-2:] == ["recovery", "recovery-exits"]
    model = build_skeleton(job)
    trained = [name for name, _ in model.named_parameters() if found[-1].trains(name, model)]
    assert trained == ["heads.1.classifier.weight", "heads.1.classifier.bias"]
    assert not any(stage.trains(trained[0], model) for stage in found[:-1])


def test_sizes_share_one_assistant(toy_job) -> None:
    one, two = toy_job("cost-eff", **SMALL), toy_job("cost-eff", **{**SMALL, "heads": 2, "prunes": 1})
    assert one.spec.key != two.spec.key
    assert one.needs["assistant"].spec.key == two.needs["assistant"].spec.key
    assert (
        one.needs["assistant"].spec.key == toy_job("cost-eff-assistant", epochs=1, feature_epochs=1).spec.key
    )


def test_labels_name_the_size() -> None:
    method = find_method("cost-eff")
    assert method.label(CosteffOptions()) == "cost-eff-8x"
    assert method.heading(CosteffOptions(size="2x")) == "COST-EFF 2x"
    assert method.label(CosteffOptions(heads=3)) == "cost-eff"


def test_importance_leaves_the_model_as_it_was_and_follows_the_seed(executor, toy_job) -> None:
    job = toy_job("cost-eff", **SMALL)
    executor.ensure_trained(job.needs["assistant"])
    found = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        backbone = toy_backbone()
        model = job.method.build(backbone, 2, job.options)
        assert isinstance(model, SlenderModel)
        model.teach(executor.model(job.needs["assistant"]))
        model.eval()
        found.append(importance(model, executor.examples(job, "train"), job.options))
        assert model.balanced and not model.training and backbone.embeddings.dropout.p > 0
        assert all(parameter.grad is None for parameter in model.parameters())
    first, again, other = (terms["0.output"] for terms in found)
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert first.min() >= 0 and first.shape == layer_parts(toy_backbone().layers[0]).output.weight.shape


def apart(model: SlenderModel) -> SlenderModel:
    """The model a little away from its teacher, as training and pruning would move it."""
    torch.manual_seed(1)
    copy_weights(model, weights_of(model.teacher))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.01)
    return model


def test_the_ablations_reach_the_loss_that_prunes(executor, toy_job) -> None:
    """The same student and teacher, scored by what each variant trains on, keep other neurons."""
    job = toy_job("cost-eff", **SMALL)
    executor.ensure_trained(job.needs["assistant"])
    masks = []
    for given in ({}, {"feat_distill": False}, {"pred_distill": "hard_labels"}):
        options = toy_job("cost-eff", **SMALL, **given).options
        model = job.method.build(toy_backbone(), 2, options)
        assert isinstance(model, SlenderModel)
        model.teach(executor.model(job.needs["assistant"]))
        torch.manual_seed(2)
        terms = importance(apart(model), executor.examples(job, "train"), options)
        masks.append([strongest(neuron_scores(terms, layer), 20) for layer in (0, 1)])
    assert all(one != other for one, other in combinations(masks, 2))


@pytest.mark.parametrize("given", [{}, {"feature_loss": "plain"}, {"taylor_loss": "exits"}])
def test_importance_does_not_depend_on_how_far_a_batch_is_padded(executor, toy_job, given) -> None:
    job = toy_job("cost-eff", **SMALL, **given)
    executor.ensure_trained(job.needs["assistant"])
    train, rows, scores = executor.examples(job, "train"), np.arange(8), []
    assert len(set(train.encoded.lengths[rows].tolist())) > 1
    model = job.method.build(toy_backbone(), 2, job.options)
    assert isinstance(model, SlenderModel)
    model.teach(executor.model(job.needs["assistant"]))
    apart(model).asked = Asked(hidden=True)
    weights = scored_weights(layer_parts(layer) for layer in model.backbone.layers)
    for length in (None, 20, 60):
        with without_dropout(model):
            outputs = model(train.encoded.batch(rows, length))
            loss = importance_loss(outputs, torch.from_numpy(train.labels[rows]), job.options)
            terms = dict(
                zip(weights, contributions(list(weights.values()), [loss], "abs_elementwise"), strict=True)
            )
        scores.append(torch.cat([neuron_scores(terms, 0), head_scores(terms, 1, 16)]))
    assert torch.allclose(scores[0], scores[1], rtol=1e-4) and torch.allclose(scores[0], scores[2], rtol=1e-4)


def test_a_run_ends_small_and_answers_as_its_trace_says(executor, toy_job) -> None:
    job = toy_job("cost-eff", **SMALL)
    trace = executor.ensure_trace(job)
    model, record = executor.model(job), executor.run(job).record()
    assert size_of(model.backbone) == Size(1, 20, 8)
    assert record["parameters"] == model.parameter_count() == build_skeleton(job).parameter_count()
    assert [entry["stage"] for entry in record["history"]] == [
        "prune-0",
        "prune-1",
        "recovery-features",
        "recovery",
    ]
    assert record["training_steps"] == 4 * 6
    with torch.no_grad():
        logits = model.eval()(executor.examples(job, "dev").encoded.batch(np.arange(4))).logits
    assert torch.allclose(logits, trace.logits[:, :4], atol=1e-5)


class Killed(Exception):
    pass


def kill_at(executor: Executor, job, step: int) -> None:
    def on_step(moment: Moment) -> None:
        if moment.done == step:
            raise Killed

    with pytest.raises(Killed):
        executor.ensure_trained(job, on_step)


@pytest.mark.parametrize("every", [1.0, 0.5])
def test_a_run_killed_anywhere_goes_on_to_the_same_bytes(tmp_path, toy_job, every) -> None:
    """Before a prune, at the first step after it (before its first checkpoint), and later, again and again."""
    job = toy_job("cost-eff", **{**SMALL, "prune_every": every, "select": "best"})
    whole = Executor(Store(tmp_path / "whole"), torch.device("cpu"))
    steps: list[int] = []
    expected = whole.ensure_trained(job, lambda moment: steps.append(moment.done))
    broken = Executor(Store(tmp_path / "broken"), torch.device("cpu"))
    broken.ensure_trained(job.needs["assistant"])
    interval = round(6 * every)
    total = 2 * interval + 12
    for step in (2, interval, interval + 1, 2 * interval + 1, total - 2, total):
        kill_at(broken, job, step)
    again = broken.ensure_trained(job, lambda moment: None)
    assert steps[-1] == total
    assert checksum(again.model_path) == checksum(expected.model_path) and again.record() == expected.record()
