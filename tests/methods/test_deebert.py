import numpy as np
import torch

from eebench.methods.deebert import off_ramp_loss
from eebench.model import Outputs
from eebench.training.stages import Step


def test_off_ramps_are_summed_without_the_final_exit():
    logits = torch.zeros(3, 2, 2, requires_grad=True)
    loss = off_ramp_loss(Outputs(logits), torch.tensor([0, 1]), Step(0, np.arange(2)))["loss"]
    loss.backward()
    assert abs(float(loss.detach()) - 2 * 0.693147) < 1e-5
    assert logits.grad[2].abs().max() == 0


def test_stage_one_is_a_shared_fine_tuned_run(toy_job):
    deebert, finetune = toy_job("deebert"), toy_job("finetune")
    # DeeBERT's recipe differs from fine-tuning's defaults, so the options have to be the same to share.
    same = toy_job("finetune", **dict(deebert.needs["finetuned"].options.model_dump()))
    assert deebert.needs["finetuned"].spec.key == same.spec.key
    assert deebert.spec.needs == {"finetuned": same.spec.key}
    assert finetune.method.name == deebert.needs["finetuned"].method.name


def test_stage_two_leaves_the_fine_tuned_model_untouched(executor, toy_job):
    job = toy_job("deebert", weight_decay=0.1)
    trace = executor.ensure_trace(job)
    tuned = executor.run(job.needs["finetuned"]).weights()
    final = executor.run(job).weights()
    assert all(torch.equal(weight, final[name]) for name, weight in tuned.items())
    assert any(name.startswith("heads.1.") for name in final.keys() - tuned.keys())
    alone = executor.ensure_trace(job.needs["finetuned"])
    assert torch.allclose(trace.logits[-1], alone.logits[0], atol=1e-6)


def test_stage_two_may_have_its_own_length():
    from eebench.methods.catalogue import find_method

    method = find_method("deebert")
    (stage,) = method.stages(method.options_type(epochs=2, exit_epochs=5, exit_lr=1e-3))
    assert (stage.epochs, stage.lr) == (5, 1e-3)
