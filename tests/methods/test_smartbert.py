import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import nn
from transformers import BertConfig, BertModel

from eebench.backbones.bert import BertBackbone
from eebench.backbones.tokens import load_tokenizer
from eebench.backbones.toy import toy_config
from eebench.crosslayer import Contrast, crosslayer_losses
from eebench.gates import HARD_THRESHOLD
from eebench.losses import exit_losses
from eebench.methods.catalogue import find_method
from eebench.methods.smartbert import (
    CrossOutputs,
    SmartbertModel,
    SmartbertOptions,
    exits_loss,
    gates_loss,
    last_exit,
    trains_exits,
    trains_gates,
)
from eebench.training.loop import freeze_others, set_modes
from eebench.training.stages import Step

STEP = Step(0, np.arange(2))
DEPTH = 4


def make(**options):
    """A four-layer SmartBERT on random weights, with what its options say."""
    torch.manual_seed(0)
    backbone = BertBackbone(BertModel(toy_config(DEPTH)))
    return find_method("smartbert").build(backbone, 2, SmartbertOptions(**options))


def stage(model, number):
    """The model as the loop sets it up for the last epoch of a stage; dropout is off to compare numbers."""
    method, options = find_method("smartbert"), model.options
    wanted = method.stages(options)[number - 1]
    freeze_others(model, wanted)
    set_modes(model)
    wanted.before(model, replace(STEP, epoch=wanted.epochs - 1))
    return wanted


@pytest.fixture
def batch():
    return load_tokenizer("toy").encode([("a good warm day",), ("grim",)], 16).batch(np.arange(2))


# The table of the model's parts at BERT-base width: gates 1,777,164; classifiers 1,976,856 (two classes), 1,978,404
# (three); projections 1,382,400 and 399,360.
@pytest.mark.parametrize(("classes", "needed"), [(2, 3_754_020), (3, 3_754_020 + 12 * 129)])
def test_the_published_number_of_parameters(classes, needed):
    method = find_method("smartbert")
    with torch.device("meta"):
        backbone = BertBackbone(BertModel(BertConfig()))
        model = method.build(backbone, classes, method.options_type())

    def count(part):
        return sum(parameter.numel() for parameter in part.parameters())

    bare = count(backbone)
    assert bare == 108_891_648 and model.parameter_count() - bare == needed
    assert count(model.gates) == 1_777_164
    assert count(model.heads) == {2: 1_976_856, 3: 1_978_404}[classes]
    assert (count(model.layer_projections), count(model.exit_projections)) == (1_382_400, 399_360)
    assert count(model) - bare == needed + 1_781_760


def outputs(logits, gates, projected=None):
    mask = torch.ones(len(logits[0]), 2, dtype=torch.bool)
    return CrossOutputs(
        logits=torch.tensor(logits), gates=torch.tensor(gates), mask=mask, projected=projected
    )


# ln(1 + e^-2) at the right class, and one skip in all: gates 0.25 + 0.35 and 0.75 + 0.65 over two rows.
LOGITS, GATES = [[[0.0, 2.0], [2.0, 0.0]]], [[0.25, 0.35], [0.75, 0.65]]
CE, SKIPS = math.log(1 + math.exp(-2)), 1.0
LABELS = torch.tensor([1, 0])


def test_stage_one_by_hand():
    terms = gates_loss(outputs(LOGITS, GATES), LABELS, STEP, SmartbertOptions(gate_weight=0.3))
    assert float(terms["loss"]) == pytest.approx(CE + 0.3 / SKIPS, abs=1e-6)
    assert (float(terms["skips"]), float(terms["closed"])) == (pytest.approx(SKIPS), 1.0)


@pytest.mark.parametrize("mix", ["code", "paper"])
@pytest.mark.parametrize(("average", "divisor"), [("sum", 1), ("mean", 2)])
def test_stage_one_mixes_its_contrast_in(mix, average, divisor):
    projected = torch.randn(3, 2, 2, 4)
    options = SmartbertOptions(gate_weight=0.3, ccl1_weight=0.2, loss_mix=mix, ccl1_average=average)
    loss = float(gates_loss(outputs(LOGITS, GATES, projected), LABELS, STEP, options)["loss"])
    mask = torch.ones(2, 2, dtype=torch.bool)
    ccl = float(crosslayer_losses(projected, mask, Contrast(0.5)).sum()) / divisor
    share = 0.8 if mix == "code" else 1.0
    assert loss == pytest.approx(share * (CE + 0.3 / SKIPS) + 0.2 * ccl, abs=1e-5)


@pytest.mark.parametrize("mix", ["code", "paper"])
@pytest.mark.parametrize("denominator", ["with_positive", "without_positive"])
def test_stage_two_by_hand(mix, denominator):
    projected = torch.randn(3, 2, 2, 4)
    options = SmartbertOptions(ccl2_weight=0.2, loss_mix=mix, ccl2_denominator=denominator)
    logits = LOGITS * 3
    loss = float(exits_loss(outputs(logits, GATES, projected), LABELS, STEP, options)["loss"])
    form = Contrast(0.55, with_positive=denominator == "with_positive")
    ccl = float(crosslayer_losses(projected, torch.ones(2, 2, dtype=torch.bool), form).mean())
    assert loss == pytest.approx((0.8 if mix == "code" else 1.0) * 3 * CE + 0.2 * ccl, abs=1e-5)
    plain = exits_loss(outputs(logits, GATES), LABELS, STEP, options)
    assert float(plain["loss"]) == pytest.approx(3 * CE, abs=1e-6)


def test_twelve_layers_divide_the_contrast_of_stage_two_by_ten():
    projected = torch.randn(11, 1, 3, 4)
    many = CrossOutputs(
        logits=torch.zeros(11, 1, 2), mask=torch.ones(1, 3, dtype=torch.bool), projected=projected
    )
    terms = exits_loss(many, torch.tensor([0]), STEP, SmartbertOptions())
    pairs = crosslayer_losses(projected, many.mask, Contrast(0.55))
    assert float(terms["ccl"]) == pytest.approx(float(pairs.sum()) / 10, abs=1e-6)


def test_skipping_more_is_rewarded():
    gates = torch.tensor(GATES, requires_grad=True)
    shown = CrossOutputs(
        logits=torch.tensor(LOGITS), gates=gates, mask=torch.ones(2, 2, dtype=torch.bool), projected=None
    )
    gates_loss(shown, LABELS, STEP, SmartbertOptions(gate_weight=0.3))["loss"].backward()
    # d(lambda / S) / dg = -lambda / S^2 / B
    assert gates.grad.flatten().tolist() == pytest.approx([-0.3 / SKIPS**2 / 2] * 4)


def test_regression_has_a_squared_error():
    shown = outputs([[[1.0], [3.0]]], GATES)
    terms = gates_loss(shown, torch.tensor([0.0, 1.0]), STEP, SmartbertOptions())
    assert float(terms["ce"]) == pytest.approx((1 + 4) / 2)


CALM = {"head": {"attention": "smartbert", "dropout": 0.0}}


def without_dropout(model):
    """A model made with `CALM`, in training mode but for the parts that have dropout of their own."""
    model.backbone.eval()
    model.gates.eval()
    return model


@pytest.mark.parametrize("states", ["inputs", "outputs"])
def test_stage_one_contrasts_the_inputs_or_the_outputs_of_the_layers(batch, states):
    model = make(ccl1_states=states, **CALM)
    stage(model, 1)
    seen = without_dropout(model)(batch)
    state, shown = model.embed(batch), []
    for layer in range(1, DEPTH + 1):
        before, state = state, model.blend(layer, state).onward
        shown.append((before if states == "inputs" else state).hidden)
    projected = [model.layer_projections[str(i)](hidden) for i, hidden in enumerate(shown, start=1)]
    assert torch.allclose(seen.projected, torch.stack(projected), atol=1e-5)
    assert seen.logits.shape == (1, 2, 2) and seen.gates.shape == (DEPTH, 2)
    assert torch.allclose(seen.logits[0], model.heads[str(DEPTH)](state), atol=1e-5)


@pytest.mark.parametrize("place", ["raw", "gated"])
@pytest.mark.parametrize("where", ["before", "after"])
def test_stage_two_reads_the_raw_or_the_gated_states(batch, place, where):
    model = make(exit_input=place, ccl2_state=where, **CALM)
    nn.init.constant_(model.gates["2"].decide.bias, 9.0)  # everyone skips layer 2
    stage(model, 2)
    seen = model(batch)
    state = model.embed(batch)
    for layer in range(1, DEPTH):
        blend = model.blend(layer, state)
        state, head = blend.onward, model.heads[str(layer)]
        shown = blend.ran if place == "raw" else blend.onward
        tokens = head.narrowed(shown)
        states = tokens if where == "before" else head.contextual(tokens, batch.mask)
        assert torch.allclose(seen.logits[layer - 1], head(shown), atol=1e-5)
        assert torch.allclose(
            seen.projected[layer - 1], model.exit_projections[str(layer)](states), atol=1e-5
        )
        if layer == 2:
            assert not torch.allclose(blend.ran.hidden, blend.onward.hidden)


def test_without_contrast_nothing_is_projected(batch):
    model = make(ccl_stage1=False, ccl_stage2=False)
    stage(model, 1)
    assert model(batch).projected is None
    stage(model, 2)
    assert model(batch).projected is None


def test_the_attention_of_an_exit_that_trains_has_dropout_and_that_of_a_frozen_one_has_none(batch):
    model = make()
    stage(model, 2)
    first, second = model(batch), model(batch)
    assert not torch.equal(first.logits, second.logits) and torch.equal(first.gates, second.gates)


def gradients(model, batch, number):
    """Names of the parameters that one step of a stage moves."""
    wanted = stage(model, number)
    wanted.objective(model(batch), torch.tensor([1, 0]), STEP)["loss"].backward()
    return {name for name, parameter in model.named_parameters() if parameter.grad is not None}


def test_each_stage_moves_what_it_trains_and_nothing_else(batch):
    model = make()
    names = {name for name, _ in model.named_parameters()}
    one = {name for name in names if trains_gates(name, model)}
    last = f"heads.{DEPTH}."
    assert one == {n for n in names if n.startswith(("backbone.", "gates.", "layer_proj", last))}
    # The key's bias adds the same to all scores of a query: it gets a gradient, of zero.
    assert gradients(model, batch, 1) == one
    two = {name for name in names if trains_exits(name, make())}
    assert two == {
        n
        for n in names
        if n.startswith(("heads.", "exit_proj")) and f".{DEPTH}." not in n[: n.index(".") + 3]
    }
    assert gradients(make(), batch, 2) == two


def test_a_frozen_model_runs_in_evaluation_mode(batch):
    model = make()
    stage(model, 1)
    assert model.gates["1"].training and model.backbone.training
    stage(model, 2)
    assert not model.gates.training and not model.gates["1"].training and not model.backbone.training
    assert not model.heads[str(DEPTH)].training and model.heads["1"].training and model.hard


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("soft", [False] * 5),
        ("hard", [True] * 5),
        ("soft_then_hard", [False, False, False, True, True]),
    ],
)
def test_gates_are_soft_and_then_hard(mode, expected):
    model = make(gate_mode=mode)
    one, two = find_method("smartbert").stages(model.options)
    found = []
    for epoch in range(one.epochs):
        one.before(model, replace(STEP, epoch=epoch))
        found.append(model.hard)
    assert found == expected
    two.before(model, STEP)
    assert model.hard and model.stage == 2


def test_the_stages_are_the_papers():
    one, two = find_method("smartbert").stages(SmartbertOptions())
    assert (one.name, one.epochs, one.lr, one.select, one.ties) == ("gates", 5, 2e-5, None, "later")
    assert (two.name, two.epochs, two.lr, two.select) == ("exits", 4, 2e-5, "last")
    assert SmartbertOptions().select == "best" and one.judge([0.9, 0.1, 0.4]) == last_exit([0.4]) == 0.4
    assert find_method("smartbert").stages(SmartbertOptions(exit_lr=1e-3))[1].lr == 1e-3


def test_padding_does_not_change_what_is_learned():
    texts = [("a good warm day",), ("grim cold",)]
    found = []
    for others in ([], [("we saw the film and a good day the film was fine and warm",)]):
        encoded = load_tokenizer("toy").encode(texts + others, 16)
        batch = encoded.batch(np.arange(len(texts) + len(others)))
        for number, objective in ((1, gates_loss), (2, exits_loss)):
            model = make(**CALM)
            stage(model, number)
            seen = without_dropout(model)(batch)
            cut = CrossOutputs(
                logits=seen.logits[:, :2], gates=seen.gates[:, :2], mask=seen.mask[:2],
                projected=seen.projected[:, :2],
            )  # fmt: skip
            found.append(objective(cut, LABELS, STEP, model.options)["loss"].item())
    assert found[:2] == pytest.approx(found[2:], abs=1e-5)


def test_a_batch_of_one_sentence_of_one_word():
    batch = load_tokenizer("toy").encode([("grim",)], 16).batch(np.arange(1))
    for number, objective in ((1, gates_loss), (2, exits_loss)):
        for denominator in ("with_positive", "without_positive"):
            model = make(ccl2_denominator=denominator)
            stage(model, number)
            loss = objective(model(batch), torch.tensor([1]), STEP, model.options)["loss"]
            loss.backward()
            assert math.isfinite(loss.item())


def test_the_threshold_of_inference_is_no_part_of_training():
    method, model = find_method("smartbert"), make(gate_threshold=0.9)
    assert isinstance(model, SmartbertModel) and model.gate_threshold == 0.9
    stage(model, 1)
    assert model.gate_threshold == HARD_THRESHOLD  # epochs are compared as they are trained
    assert method.inference == {"gate_threshold"}


def test_labels_name_another_threshold():
    method = find_method("smartbert")
    names = [method.label(SmartbertOptions(gate_threshold=threshold)) for threshold in (0.5, 0.7, 1.0)]
    assert names == ["smartbert", "smartbert-gate-0.7", "smartbert-gate-1"]
    assert method.heading(SmartbertOptions(gate_threshold=0.7)) == "SmartBERT, gate 0.7"
    assert method.heading(SmartbertOptions()) == "SmartBERT"


@pytest.mark.parametrize(
    "wrong", [{"gate_threshold": 1.1}, {"gate_threshold": -0.1}, {"head": {"attention": "none"}}]
)
def test_what_cannot_be(wrong):
    with pytest.raises(ValidationError):
        SmartbertOptions(**wrong)


QUICK = {"epochs": 3, "soft_epochs": 2, "exit_epochs": 2, "lr": 5e-3}


def test_it_learns_and_stage_two_leaves_stage_one_alone(executor, toy_job):
    job = toy_job("smartbert", **QUICK)
    trace = executor.ensure_trace(job)
    record = executor.run(job).record()
    assert [entry["stage"] for entry in record["history"]] == ["gates"] * 3 + ["exits"] * 2
    assert record["history"][0]["loss"] > record["history"][2]["loss"]
    assert float((trace.answers()[-1] == trace.labels).float().mean()) > 0.8
    assert record["history"][-1]["ce"] < record["history"][-2]["ce"]
    assert trace.gates.shape == trace.executed.shape == (2, 48)
    other = toy_job("smartbert", **{**QUICK, "exit_epochs": 1})
    executor.ensure_trained(other)
    one, two = executor.run(job).weights(), executor.run(other).weights()
    moved = {name.split(".")[0] for name in one if not torch.equal(one[name], two[name])}
    assert moved == {"heads", "exit_projections"}


def test_all_thresholds_share_one_run_with_traces_of_their_own(executor, toy_job):
    half, never = toy_job("smartbert", **QUICK), toy_job("smartbert", gate_threshold=1.0, **QUICK)
    assert half.spec.key == never.spec.key and half.key != never.key
    kept, skipped = executor.ensure_trace(never), executor.ensure_trace(half)
    assert kept.executed.all() and kept.gate_threshold == 1.0 and skipped.gate_threshold == 0.5
    assert torch.equal(skipped.executed, skipped.gates < 0.5)


def test_whichever_threshold_asks_first_the_weights_are_the_same(tmp_path, toy_job):
    from eebench.engine.execute import Executor
    from eebench.store import Store

    found = []
    for threshold in (0.5, 1.0):
        fresh = Executor(Store(tmp_path / str(threshold)), torch.device("cpu"))
        job = toy_job("smartbert", gate_threshold=threshold, select="best", holdout=0.25, **QUICK)
        fresh.ensure_trained(job)
        found.append(fresh.run(job).weights())
    assert all(torch.equal(weight, found[1][name]) for name, weight in found[0].items())


@pytest.mark.parametrize("stop", [7, 13, 21, 27])
def test_it_resumes_in_any_epoch_of_any_stage(tmp_path, toy_job, stop):
    from eebench.engine.execute import Executor
    from eebench.store import Store

    class Killed(Exception):
        pass

    def kill(moment):
        if moment.done == stop:
            raise Killed

    job = toy_job("smartbert", **QUICK)  # six steps an epoch
    whole, broken = (Executor(Store(tmp_path / name), torch.device("cpu")) for name in ("whole", "broken"))
    whole.ensure_trained(job)
    with pytest.raises(Killed):
        broken.ensure_trained(job, kill)
    broken.ensure_trained(job)
    one, two = whole.run(job).weights(), broken.run(job).weights()
    assert all(torch.equal(weight, two[name]) for name, weight in one.items())


def test_the_exits_losses_are_summed():
    logits = torch.randn(3, 2, 2)
    shown = CrossOutputs(logits=logits, mask=torch.ones(2, 2, dtype=torch.bool), projected=None)
    assert float(exits_loss(shown, LABELS, STEP, SmartbertOptions())["loss"]) == pytest.approx(
        float(exit_losses(logits, LABELS).sum()), abs=1e-6
    )


def test_each_stage_warms_up_for_ten_steps_as_the_script_does():
    method = find_method("smartbert")
    gates, exits = method.stages(SmartbertOptions())
    for stage, epochs in ((gates, 5), (exits, 4)):
        rates = stage.rates(SmartbertOptions(), 78)  # RTE in batches of 32
        assert (rates.peak, rates.warmup, rates.total, rates.decay) == (2e-5, 10, epochs * 78, True)
    options = SmartbertOptions(warmup_share=0.1, exit_lr=1e-4)
    gates, exits = method.stages(options)
    assert (gates.rates(options, 78).warmup, exits.rates(options, 78).warmup) == (39, 31)
    assert gates.rates(options, 2).warmup == 10 and exits.rates(options, 78).peak == 1e-4
    assert gates.rates(options, 1).warmup == 5  # all steps there are
    without = SmartbertOptions(warmup_steps=0)
    assert method.stages(without)[0].rates(without, 78).warmup == 0


def test_stage_two_keeps_its_last_epoch_unless_it_is_told_to_keep_the_best():
    stages = find_method("smartbert").stages
    assert [stages(SmartbertOptions(exit_select=kept))[1].select for kept in ("last", "best")] == [
        "last",
        "best",
    ]
    assert stages(SmartbertOptions())[1].select == "last"
