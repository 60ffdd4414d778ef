import math
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertModel

from eebench.artifacts import checksum
from eebench.backbones.base import Batch, State
from eebench.backbones.bert import BertBackbone
from eebench.backbones.checkpoints import load_backbone
from eebench.backbones.elasticbert import ElasticBertBackbone
from eebench.contrastive import Split
from eebench.engine.execute import Executor, build_skeleton
from eebench.errors import ConfigError, UserError
from eebench.methods.catalogue import find_method
from eebench.methods.csdbert import (
    Csdbert,
    CsdbertModel,
    CsdbertOptions,
    CsdbertOutputs,
    contrastive_loss,
    csdbert_head,
    csdbert_loss,
    difficulty,
    expert_distillation,
    expert_teacher,
    ranked_losses,
    teacher_count,
)
from eebench.model import Outputs
from eebench.options import resolve_options
from eebench.store import Store
from eebench.training.stages import Step

STEP = Step(0, np.arange(2))


def bert(layers, kind=BertBackbone, device="cpu"):
    with torch.device(device):
        if device == "meta":
            return kind(BertModel(BertConfig(num_hidden_layers=layers)))
        torch.manual_seed(0)
        return kind(BertModel(BertConfig(
            vocab_size=50, hidden_size=24, num_hidden_layers=layers, num_attention_heads=2, intermediate_size=32,
            max_position_embeddings=16, attn_implementation="sdpa",
        )))  # fmt: skip


def built(options=None, layers=2):
    return find_method("csdbert").build(bert(layers), 2, options or CsdbertOptions())


def batch(rows=3):
    mask = torch.ones(rows, 6, dtype=torch.bool)
    mask[0, 4:] = False
    ids = torch.arange(rows * 6).view(rows, 6) % 50
    return Batch(ids, mask, torch.zeros_like(ids))


# ---- heads (Eqs. 2, 3)


@pytest.mark.parametrize(("classes", "parameters"), [(2, 18_456), (3, 27_684)])
def test_twelve_default_heads_have_the_papers_size(classes, parameters):
    backbone = bert(12, device="meta")
    with torch.device("meta"):
        model = find_method("csdbert").build(backbone, classes, CsdbertOptions())
    assert model.parameter_count() - sum(p.numel() for p in backbone.parameters()) == parameters
    assert model.classes == classes and model.exit_layers == tuple(range(1, 13))


def test_a_pooler_of_its_own_adds_seven_million():
    backbone, options = bert(12, device="meta"), CsdbertOptions(head_form="pooler_linear")
    with torch.device("meta"):
        model = find_method("csdbert").build(backbone, 2, options)
    added = model.parameter_count() - sum(p.numel() for p in backbone.parameters())
    assert added == 12 * (768 * 768 + 768) + 18_456


def test_the_default_head_is_tanh_of_a_linear_map_of_the_pooled_state():
    torch.manual_seed(0)
    backbone = bert(1)
    hidden, mask = torch.randn(2, 4, 24), torch.tensor([[True] * 4, [True, True, False, False]])
    state = State(hidden, mask, mask[:, None, None, :])
    first = hidden[:, 0]
    mean = torch.stack([hidden[0].mean(dim=0), hidden[1, :2].mean(dim=0)])
    for pooling, expected in (("cls", first), ("mean", mean), (None, first)):
        head = csdbert_head(backbone, 2, CsdbertOptions(head={"pooling": pooling}), 1)
        assert torch.allclose(head.pooled(state), expected, atol=1e-6)
        linear = expected @ head.classifier.weight.T + head.classifier.bias
        assert torch.allclose(head(state), torch.tanh(linear), atol=1e-6)
    plain = csdbert_head(backbone, 2, CsdbertOptions(head_form="linear", head={"pooling": "cls"}), 1)
    assert torch.allclose(plain(state), first @ plain.classifier.weight.T + plain.classifier.bias, atol=1e-6)
    assert plain.classifier.bias.abs().max() == 0
    assert 0.01 < float(plain.classifier.weight.detach().std()) < 0.03


def test_a_pooler_starts_pretrained_and_is_followed_by_the_linear_map():
    torch.manual_seed(0)
    backbone, state = bert(2), State(torch.randn(2, 4, 24), torch.ones(2, 4, dtype=torch.bool), None)
    weight, bias = backbone.pooler_weights()
    head = csdbert_head(backbone, 2, CsdbertOptions(head_form="pooler_linear"), 1)
    pooled = torch.tanh(state.hidden[:, 0] @ weight.T + bias)
    assert torch.allclose(head(state), pooled @ head.classifier.weight.T + head.classifier.bias, atol=1e-6)
    assert torch.equal(head.pooled(state), state.hidden[:, 0])  # what is contrasted is raw all the same


def test_elasticbert_brings_a_pooler_for_every_layer_whatever_the_form():
    backbone = bert(3, ElasticBertBackbone)
    backbone._poolers = tuple((layer * torch.eye(24), torch.zeros(24)) for layer in (1.0, 2.0, 3.0))
    state = State(torch.randn(2, 4, 24), torch.ones(2, 4, dtype=torch.bool), None)
    for form in ("linear_tanh", "linear", "pooler_linear"):
        for layer in (1, 2, 3):
            head = csdbert_head(backbone, 2, CsdbertOptions(head_form=form), layer)
            logits = torch.tanh(layer * state.hidden[:, 0]) @ head.classifier.weight.T
            expected = torch.tanh(logits) if form == "linear_tanh" else logits
            assert torch.allclose(head(state), expected, atol=1e-6)


def test_probabilities_are_bounded_by_the_tangent():
    head = csdbert_head(bert(1), 2, CsdbertOptions(), 1)
    with torch.no_grad():
        head.classifier.weight.copy_(torch.tensor([[100.0], [-100.0]]).expand(2, 24))
        logits = head.read(torch.ones(1, 24))
        assert logits.tolist() == [[1.0, -1.0]]
    assert float(logits.softmax(-1)[0, 0]) == pytest.approx(0.8808, abs=1e-4)


def test_half_precision_does_not_swallow_the_gradient_of_a_sure_exit():
    head = csdbert_head(bert(1), 2, CsdbertOptions(), 1)
    with torch.no_grad():
        head.classifier.weight.zero_()
        head.classifier.bias.copy_(torch.tensor([4.0, -4.0]))  # tanh(4) is 1 in bf16
    with torch.autocast("cpu", torch.bfloat16):
        logits = head.read(torch.ones(1, 24))
    logits.sum().backward()
    assert logits.dtype == torch.float32
    assert float(head.classifier.bias.grad[0]) == pytest.approx(1 - math.tanh(4) ** 2, rel=0.01)


def test_options_of_other_heads_are_refused_and_the_rest_stays_its_own():
    method = find_method("csdbert")
    with pytest.raises(
        ConfigError, match=r"here: head: csdbert has heads of its own; write head: \{pooler: none"
    ):
        resolve_options(method, {"head": {"pooler": "own"}}, "here")
    with pytest.raises(ConfigError, match="csdbert has heads of its own"):
        resolve_options(method, {"head": {"attention": "fastbert"}}, "here")
    head = resolve_options(method, {"head": {"pooling": "mean"}}, "here").head
    assert (head.pooler, head.dropout, head.pooling) == ("none", 0.0, "mean")
    assert resolve_options(method, {"head": {"dropout": 0.1}}, "here").head.dropout == 0.1
    assert CsdbertOptions().head == CsdbertOptions(head={}).head


# ---- who teaches


def test_half_of_the_exits_teach_unless_told():
    assert [teacher_count(CsdbertOptions(), exits) for exits in (2, 3, 6, 12)] == [1, 1, 3, 6]
    assert [teacher_count(CsdbertOptions(n_teachers=n), 12) for n in (1, 3, 11)] == [1, 3, 11]


def test_too_many_teachers_are_refused_before_anything_is_trained(toy_job):
    message = (
        "csdbert: n_teachers=2 is outside 1..1 for a backbone of 2 layers, each with an exit that teaches or "
        "learns; set n_teachers=1, or leave it out for half of them."
    )
    with pytest.raises(UserError) as caught:
        built(CsdbertOptions(n_teachers=2))
    assert str(caught.value) == message
    with pytest.raises(UserError, match=r"outside 1\.\.1"):
        toy_job("csdbert", n_teachers=2)
    with pytest.raises(UserError, match="csdbert needs 2 layers or more, .*; this backbone has 1"):
        built(layers=1)


def test_ranks_follow_the_batch_or_a_running_average():
    now = torch.tensor([0.2, 0.8])
    outputs = CsdbertOutputs(logits=torch.zeros(2, 1, 2), features=torch.zeros(2, 1, 4))
    assert torch.equal(ranked_losses(outputs, now, 0.0), now)
    average = torch.tensor([1.0, 0.4])
    remembering = CsdbertOutputs(logits=outputs.logits, features=outputs.features, average=average)
    ranked = ranked_losses(remembering, now, 0.75)
    assert ranked.tolist() == pytest.approx([0.8, 0.5]) and average.tolist() == pytest.approx([0.8, 0.5])


# ---- distillation (Eqs. 9, 10 and L_KD)


def test_difficulty_is_the_normalised_entropy():
    logits = torch.tensor([[[0.0, 0.0], [math.log(3), 0.0]]])
    quarter = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25)) / math.log(2)
    assert difficulty(logits).tolist() == [pytest.approx([1.0, quarter], abs=1e-6)]
    assert difficulty(torch.tensor([[[200.0, 0.0, 0.0]]])).tolist() == [[0.0]]


# Six teachers alike with pre-activations +-z: Dif and the first target at T = 4, without and with the tangent.
AGREEING = [
    (1, 0.527, 0.829, 0.678, 0.825),
    (2, 0.130, 0.686, 0.549, 0.830),
    (3, 0.025, 0.556, 0.530, 0.830),
    (5, 0.0007, 0.503, 0.527, 0.829),
]


@pytest.mark.parametrize(("z", "dif", "target", "bounded_dif", "bounded_target"), AGREEING)
def test_unbounded_sure_teachers_teach_nothing_and_bounded_ones_do(
    z, dif, target, bounded_dif, bounded_target
):
    for logit, want_dif, want_target in ((z, dif, target), (math.tanh(z), bounded_dif, bounded_target)):
        teachers = torch.tensor([logit, -logit]).expand(6, 1, 2)
        assert float(difficulty(teachers)[0]) == pytest.approx(want_dif, abs=6e-4)
        found = (expert_teacher(teachers, "none") / 4).softmax(-1)[0, 0]
        assert float(found) == pytest.approx(want_target, abs=1.5e-3)


def test_the_expert_weighs_each_sample_by_its_own_difficulty():
    undecided, sure = [0.0, 0.0, 0.0], [50.0, 0.0, 0.0]
    teachers = torch.tensor([[undecided, sure], [[1.0, 2.0, 3.0], [1.0, 2.0, 3.0]]])
    weights = difficulty(teachers)
    assert weights[0].tolist() == pytest.approx([1.0, 0.0], abs=1e-6)
    common = float(weights[1, 0])
    assert 0 < common < 1
    line = [common * value for value in (1.0, 2.0, 3.0)]
    assert expert_teacher(teachers, "none").tolist() == [pytest.approx(line), pytest.approx(line)]
    assert expert_teacher(teachers, "n")[0].tolist() == pytest.approx([value / 2 for value in line])
    assert expert_teacher(teachers, "sumdif").tolist() == [
        pytest.approx([value / (1 + common) for value in line]), pytest.approx([1.0, 2.0, 3.0]),
    ]  # fmt: skip


def test_sure_teachers_alone_divide_by_no_zero():
    found = expert_teacher(torch.full((3, 2, 2), 0.0) + torch.tensor([500.0, -500.0]), "sumdif")
    assert torch.isfinite(found).all()


# One student that is undecided and six teachers at tanh(+-1): the numbers of the divergence and of its gradient.
TEACHERS = torch.tensor([math.tanh(1), -math.tanh(1)]).expand(6, 1, 2)
ONE_STUDENT = Split(torch.tensor([0]), torch.arange(1, 7))


@pytest.mark.parametrize(("options", "gradient"), [({"kd_t2": False}, -0.081), ({}, -1.30)])
def test_the_student_learns_from_the_expert_and_the_teachers_stay(options, gradient):
    logits = torch.cat([torch.zeros(1, 1, 2), TEACHERS]).requires_grad_()
    loss = expert_distillation(logits, ONE_STUDENT, CsdbertOptions(**options))
    loss.backward()
    assert float(logits.grad[0, 0, 0]) == pytest.approx(gradient, abs=5e-3)
    assert logits.grad[1:].abs().max() == 0
    p = 0.8247  # T_exp = 6 * 0.6779 * tanh(+-1) = +-3.0975, at T = 4
    divergence = p * math.log(p / 0.5) + (1 - p) * math.log((1 - p) / 0.5)
    factor = 16 if CsdbertOptions(**options).kd_t2 else 1
    assert float(loss.detach()) == pytest.approx(factor * divergence, rel=2e-3)


def test_students_are_summed_and_samples_averaged():
    torch.manual_seed(0)
    logits, split = torch.randn(4, 3, 2), Split(torch.tensor([2, 0]), torch.tensor([1, 3]))
    options = CsdbertOptions(kd_t2=False, kd_temperature=2.0)
    expert = (expert_teacher(logits[[1, 3]], "none") / 2).softmax(-1)
    total = 0.0
    for student in (0, 2):
        for sample in range(3):
            guess = (logits[student, sample] / 2).softmax(-1)
            pairs = zip(expert[sample].tolist(), guess.tolist(), strict=True)
            total += sum(t * math.log(t / s) for t, s in pairs) / 3
    assert float(expert_distillation(logits, split, options)) == pytest.approx(total, abs=1e-6)


# ---- contrast (Eqs. 6 to 8) and the whole


def outputs(exits=4, rows=5):
    torch.manual_seed(0)
    return CsdbertOutputs(
        logits=torch.randn(exits, rows, 2).requires_grad_(),
        features=torch.randn(exits, rows, 8).requires_grad_(),
    )


def test_students_are_weighted_worst_first():
    """Student 0 has what the teacher has, student 1 has its samples swapped; the worst is named first."""
    teacher = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    features = torch.stack([teacher, teacher.flip(0), teacher])
    right = math.log((2 + math.exp(2)) / math.exp(2))  # of 3 candidates: e^2 right, 1, 1
    swapped = math.log(2 + math.exp(2))
    worst_is_one = Split(torch.tensor([1, 0]), torch.tensor([2]))
    found = contrastive_loss(features, worst_is_one, CsdbertOptions())
    assert float(found) == pytest.approx((swapped + 2 * right) / 3, abs=1e-6)
    other = contrastive_loss(features, worst_is_one, CsdbertOptions(scl_weight_order="loss_asc"))
    assert float(other) == pytest.approx((2 * swapped + right) / 3, abs=1e-6)
    alone = contrastive_loss(features, worst_is_one, CsdbertOptions(scl_negatives="students_only", tau=1.0))
    want = (math.log(1 + math.e) + 2 * math.log((1 + math.e) / math.e)) / 3
    assert float(alone) == pytest.approx(want, abs=1e-6)


@pytest.mark.parametrize("detached", [True, False])
def test_contrast_moves_the_teachers_only_if_asked(detached):
    found, split = outputs(), Split(torch.tensor([0, 1]), torch.tensor([2, 3]))
    contrastive_loss(found.features, split, CsdbertOptions(scl_detach_teacher=detached)).backward()
    moved = found.features.grad.abs().amax(dim=(1, 2))
    assert (moved[:2] > 0).all() and bool((moved[2:] == 0).all()) == detached


@pytest.mark.parametrize("detached", [True, False])
def test_a_batch_of_one_has_no_contrast(detached):
    found, labels = outputs(rows=1), torch.tensor([1])
    terms = csdbert_loss(found, labels, STEP, CsdbertOptions(scl_detach_teacher=detached))
    assert float(terms["scl"]) == 0
    terms["loss"].backward()
    assert torch.isfinite(found.logits.grad).all() and found.logits.grad.abs().max() > 0


def test_the_loss_is_the_plain_sum_of_cross_entropies_plus_the_two_terms():
    found, labels = outputs(), torch.tensor([0, 1, 1, 0, 1])
    terms = {
        name: float(value.detach())
        for name, value in csdbert_loss(found, labels, STEP, CsdbertOptions()).items()
    }
    ce = sum(float(torch.nn.functional.cross_entropy(logits, labels)) for logits in found.logits.detach())
    assert terms["ce"] == pytest.approx(ce, abs=1e-5)
    assert terms["loss"] == pytest.approx(ce + 0.01 * terms["scl"] + terms["kd"], abs=1e-5)
    assert terms["scl"] > 0 and terms["kd"] > 0


@pytest.mark.parametrize(
    ("options", "left"),
    [({"alpha": 0}, {"loss", "ce", "kd"}), ({"beta": 0}, {"loss", "ce", "scl"}),
     ({"alpha": 0, "beta": 0}, {"loss", "ce"})],
)  # fmt: skip
def test_a_weight_of_zero_leaves_its_term_out(options, left):
    terms = csdbert_loss(outputs(), torch.tensor([0, 1, 1, 0, 1]), STEP, CsdbertOptions(**options))
    assert terms.keys() == left
    if left == {"loss", "ce"}:
        assert torch.equal(terms["loss"], terms["ce"])


def test_the_split_follows_the_losses_of_the_batch():
    """Exit 0 answers right and so teaches; with one teacher the wrong exit 1 gets all of the distillation."""
    logits = torch.tensor([[[0.9, -0.9]], [[-0.9, 0.9]]]).requires_grad_()
    found = CsdbertOutputs(logits=logits, features=torch.zeros(2, 1, 4))
    csdbert_loss(found, torch.tensor([0]), STEP, CsdbertOptions(alpha=0))["kd"].backward()
    assert logits.grad[0].abs().max() == 0 < logits.grad[1].abs().max()


# ---- model and training


def test_training_shows_what_the_heads_read_and_inference_does_not():
    model = built().eval()
    with torch.no_grad():
        plain = model(batch())
        model.train()
        for module in model.modules():
            module.training = isinstance(module, CsdbertModel)  # no dropout, to compare
        shown = model(batch())
    assert type(plain) is Outputs and isinstance(shown, CsdbertOutputs)
    assert torch.allclose(plain.logits, shown.logits, atol=1e-6)
    assert shown.features.shape == (2, 3, 24) and shown.features.dtype == torch.float32
    state = model.backbone(batch())
    assert torch.allclose(shown.features[1], state.hidden[:, 0], atol=1e-6)
    assert shown.average is None
    with torch.autocast("cpu", torch.bfloat16):
        half = model(batch())
    assert half.features.dtype == half.logits.dtype == torch.float32


def test_the_papers_defaults():
    options = CsdbertOptions()
    assert (options.alpha, options.beta, options.tau, options.kd_temperature) == (0.01, 1.0, 0.5, 4.0)
    assert (options.epochs, options.lr, options.batch_size) == (5, 2e-5, 32)
    assert (options.warmup_share, options.weight_decay, options.holdout) == (0.06, 0.0, 0.1)
    assert options.select == "best" and options.kd_t2
    method = find_method("csdbert")
    assert method.default_rule == "cka;theta=0.06" and not method.regression
    (stage,) = method.stages(options)
    assert (stage.epochs, stage.lr, stage.judge([0.5, 0.9])) == (5, 2e-5, pytest.approx(0.7))


VARIANTS = [
    {"rank_ema": 0.9}, {"alpha": 0.0}, {"beta": 0.0}, {"head_form": "linear"}, {"head_form": "pooler_linear"},
    {"texp_norm": "n", "kd_t2": False}, {"texp_norm": "sumdif", "scl_negatives": "students_only"},
    {"scl_weight_order": "depth", "scl_detach_teacher": False},
]  # fmt: skip


@pytest.mark.parametrize("options", VARIANTS, ids=str)
def test_every_variant_trains(executor, toy_job, options):
    record = executor.ensure_trained(toy_job("csdbert", epochs=1, **options)).record()
    terms = record["history"][0]
    assert {"loss", "ce"} <= terms.keys()
    assert ("scl" in terms, "kd" in terms) == (options.get("alpha", 1) > 0, options.get("beta", 1) > 0)


def test_it_learns_the_toy_task_and_keeps_the_best_epoch(executor, toy_job):
    job = toy_job("csdbert", epochs=4, select="best", holdout=0.2)
    record = executor.ensure_trained(job).record()
    assert all("exit_scores" in epoch for epoch in record["history"])
    assert record["history"][-1]["ce"] < record["history"][0]["ce"]
    trace = executor.ensure_trace(job)
    accuracy = (trace.answers()[-1] == trace.labels).float().mean()
    assert accuracy > 0.8 and float(trace.logits.abs().max()) <= 1


def test_the_remembered_losses_are_no_part_of_inference_and_no_optimiser_moves_them(executor, toy_job):
    remembering = executor.ensure_trained(toy_job("csdbert", epochs=1, rank_ema=0.5))
    plain = executor.ensure_trained(toy_job("csdbert", epochs=1))
    assert remembering.record()["parameters"] == plain.record()["parameters"]
    ranking = remembering.weights()["ranking"]
    assert ranking.shape == (2,) and (ranking > 0).all() and "ranking" not in plain.weights()
    # Six batches: a constant loss l would leave l (1 - 0.5^6), about the mean loss of the epoch.
    assert float(ranking.sum()) == pytest.approx(remembering.record()["history"][0]["ce"], rel=0.25)


class _Killed(Exception):
    pass


@pytest.mark.parametrize("rank_ema", [0.0, 0.9])
def test_a_killed_run_goes_on_to_the_same_bytes(tmp_path: Path, toy_job, rank_ema):
    job = toy_job("csdbert", epochs=3, rank_ema=rank_ema)
    whole = Executor(Store(tmp_path / "whole"), torch.device("cpu")).ensure_trained(job)
    again = Executor(Store(tmp_path / "killed"), torch.device("cpu"))

    def stop(moment):
        if moment.done == 8:
            raise _Killed

    with pytest.raises(_Killed):
        again.ensure_trained(job, stop)
    done = []
    resumed = again.ensure_trained(job, lambda moment: done.append(moment.done))
    assert done[0] == 7
    assert checksum(resumed.model_path) == checksum(whole.model_path) and resumed.record() == whole.record()


def test_it_can_be_counted_without_weights(toy_job):
    model = build_skeleton(toy_job("csdbert"))
    assert model.exit_layers == (1, 2) and all(p.device.type == "meta" for p in model.parameters())


def test_the_toy_backbone_is_pooled_as_it_was_trained():
    backbone = load_backbone("toy")
    assert csdbert_head(backbone, 2, CsdbertOptions(), 1).pooling == backbone.pooling == "mean"


def test_results_name_the_form_of_the_head():
    assert Csdbert().exit_form(CsdbertOptions()) == "linear_tanh"
    assert Csdbert().exit_form(CsdbertOptions(head_form="linear")) == "linear"
