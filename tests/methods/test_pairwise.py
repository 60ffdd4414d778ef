import math

import numpy as np
import pytest
import torch

from eebench.errors import ConfigError, ModelError, UserError
from eebench.methods.catalogue import find_method
from eebench.methods.pairwise import PairwiseOptions, pairwise_loss
from eebench.model import Outputs
from eebench.options import parse_assignments, resolve_options
from eebench.training.stages import Step

METHOD = find_method("pairwise")
TEACHINGS = ("joint", "deep_to_shallow", "shallow_to_deep", "mutual")

# One sample of class 0: the shallow exit says (1/2, 1/2), the deep one (3/4, 1/4).
LOGITS = ((0.0, 0.0), (math.log(3.0), 0.0))
CE = math.log(2) + math.log(4 / 3)
FROM_DEEP = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)  # KL(deep || shallow) = 0.130812
FROM_SHALLOW = 0.5 * math.log(2 / 3) + 0.5 * math.log(2)  # KL(shallow || deep) = 0.143841


def terms(teaching, **options):
    logits = torch.tensor(LOGITS, requires_grad=True)
    found = pairwise_loss(
        Outputs(logits[:, None]), torch.tensor([0]), Step(0, np.arange(1)),
        PairwiseOptions(teaching=teaching, **options),
    )  # fmt: skip
    found["loss"].backward()
    return {name: float(value.detach()) for name, value in found.items()}, logits.grad


KD = {
    "joint": 0.0,
    "deep_to_shallow": FROM_DEEP,
    "shallow_to_deep": FROM_SHALLOW,
    "mutual": FROM_DEEP + FROM_SHALLOW,
}


@pytest.mark.parametrize("teaching", TEACHINGS)
def test_the_losses_are_summed(teaching):
    found, _ = terms(teaching)
    assert found["loss"] == pytest.approx(CE + KD[teaching], abs=1e-6)
    assert found.get("kd", 0.0) == pytest.approx(KD[teaching], abs=1e-6)


def test_the_weight_is_of_the_divergences_alone():
    found, _ = terms("mutual", kd_weight=0.2)
    assert found["loss"] == pytest.approx(CE + 0.2 * (0.130812 + 0.143841), abs=1e-5)


@pytest.mark.parametrize(("teaching", "student"), [("deep_to_shallow", 0), ("shallow_to_deep", 1)])
def test_only_the_student_feels_the_divergence(teaching, student):
    _, alone = terms("joint")
    _, taught = terms(teaching)
    # d KL(teacher || p) / d logits = p - teacher: (1/2 - 3/4) for the shallow exit, (3/4 - 1/2) for the deep one.
    assert float((taught - alone)[student, 0]) == pytest.approx((-0.25, 0.25)[student], abs=1e-6)
    torch.testing.assert_close(taught[1 - student], alone[1 - student])


def test_two_exits_on_the_layers_up_to_the_later():
    options = PairwiseOptions(pair=(1, 6), teaching="deep_to_shallow")
    assert METHOD.depth(options, 12) == 6
    assert METHOD.exit_layers(options, 6) == (1, 6)
    assert METHOD.label(options) == "pairwise-1-6-deep-to-shallow"
    assert METHOD.heading(options) == "Exits 1 and 6, deep to shallow"
    assert METHOD.label(PairwiseOptions(pair=(1, 6))) == "pairwise-1-6-mutual"


def test_the_heads_are_two_classifiers_on_one_pooler():
    from transformers import BertConfig, BertModel

    from eebench.backbones.bert import BertBackbone

    with torch.device("meta"):
        backbone = BertBackbone(BertModel(BertConfig(num_hidden_layers=12)))
        model = METHOD.build(backbone, 2, PairwiseOptions())
    assert model.exit_layers == (6, 12)
    assert model.parameter_count() - sum(p.numel() for p in backbone.parameters()) == 590_592 + 2 * 1538


def test_a_pair_comes_from_a_suite_or_the_command_line():
    from_yaml = resolve_options(METHOD, {"pair": [1, 12]}, "here")
    typed = resolve_options(METHOD, parse_assignments(["pair=[1, 12]"]), "here")
    assert from_yaml == typed == PairwiseOptions(pair=(1, 12))
    assert from_yaml.model_dump(mode="json")["pair"] == [1, 12]
    assert resolve_options(METHOD, from_yaml.model_dump(), "again") == from_yaml


@pytest.mark.parametrize("pair", [[12, 6], [6, 6], [0, 6], [-1, 2]])
def test_a_pair_out_of_order_is_refused(pair):
    with pytest.raises(ConfigError, match=r"^here: pair: write two layers, the shallow one first, counted"):
        resolve_options(METHOD, {"pair": pair}, "here")


@pytest.mark.parametrize("pair", [[1], [1, 2, 3], [1, 2.5], "1,2", [1, True]])
def test_what_is_no_pair_of_layers_is_refused(pair):
    with pytest.raises(ConfigError, match=r"pair"):
        resolve_options(METHOD, {"pair": pair}, "here")


def test_more_layers_than_there_are(toy_job):
    with pytest.raises(ModelError, match="layers asked of 'toy', which has 2"):
        toy_job("pairwise", pair=[1, 3])


def test_regression_is_refused():
    from eebench.plan import Planner
    from eebench.tasks.specs import task_spec

    with pytest.raises(UserError, match="'pairwise' is not defined for regression"):
        Planner(None, "fp32").job(METHOD, PairwiseOptions(pair=(1, 2)), "toy", task_spec("stsb"), 1)


@pytest.mark.parametrize("teaching", TEACHINGS)
def test_every_teaching_trains_both_exits(executor, toy_job, teaching):
    trace = executor.ensure_trace(toy_job("pairwise", pair=[1, 2], teaching=teaching, epochs=4))
    assert trace.exit_layers == (1, 2)
    right = (trace.logits.argmax(dim=-1) == trace.labels).float().mean(dim=1)
    assert (right > 0.7).all()
