import math

import numpy as np
import pytest
import torch

from eebench.errors import UserError
from eebench.methods.catalogue import find_method
from eebench.methods.fastbert import self_distillation
from eebench.model import Outputs
from eebench.training.gradients import GradientAlignment
from eebench.training.stages import Step

P, Q = [0.8, 0.2], [0.5, 0.5]


def divergence(a, b):
    return sum(x * math.log(x / y) for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize(
    ("direction", "expected"), [("teacher_first", divergence(P, Q)), ("student_first", divergence(Q, P))]
)
def test_students_learn_from_the_last_exit(direction, expected):
    logits = torch.tensor([Q, Q, P]).log()[:, None, :].requires_grad_()
    loss = self_distillation(Outputs(logits), torch.tensor([0]), Step(0, np.arange(1)), direction)["loss"]
    assert float(loss.detach()) == pytest.approx(2 * expected, abs=1e-6)  # two students
    loss.backward()
    assert logits.grad[2].abs().max() == 0 < logits.grad[0].abs().max()


def test_the_head_has_the_published_number_of_parameters():
    from eebench.heads import AttentionHead

    def count(form, classes=2):
        return sum(p.numel() for p in AttentionHead(768, classes, form).parameters())

    assert (count("fastbert"), count("smartbert"), count("smartbert", 3)) == (181_250, 164_738, 164_867)


def test_stage_two_trains_students_only(executor, toy_job):
    job = toy_job("fastbert", exit_epochs=1)
    executor.ensure_trace(job)
    tuned, final = executor.run(job.needs["finetuned"]).weights(), executor.run(job).weights()
    assert all(torch.equal(weight, final[name]) for name, weight in tuned.items())
    assert {name.split(".")[1] for name in final.keys() - tuned.keys()} == {"1"}
    (stage,) = job.method.stages(job.options)
    assert (stage.epochs, stage.lr) == (1, pytest.approx(10 * job.options.lr))


def test_fastbert_ga_is_one_stage_with_the_last_exit_as_teacher():
    method = find_method("fastbert-ga")
    options = method.options_type()
    (stage,) = method.stages(options)
    assert options.kd_pairs == "to_last" and isinstance(stage.update, GradientAlignment)


def test_padding_does_not_reach_an_attention_head():
    from eebench.backbones.base import State
    from eebench.heads import AttentionHead

    torch.manual_seed(0)
    head = AttentionHead(32, 2, "fastbert").eval()
    hidden = torch.randn(1, 5, 32)
    mask = torch.tensor([[True, True, True, False, False]])
    with torch.no_grad():
        padded = head(State(hidden, mask, None))
        alone = head(State(hidden[:, :3], mask[:, :3], None))
    assert torch.allclose(padded, alone, atol=1e-6)


def test_fastbert_cannot_have_the_shared_pooler_of_fastbert_ga(toy_job):
    assert find_method("fastbert-ga").options_type().head.pooler == "shared"
    with pytest.raises(UserError, match="shared pooler"):
        toy_job("fastbert", head={"attention": "none", "pooler": "shared"})
