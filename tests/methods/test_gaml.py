import numpy as np
import pytest
import torch

from eebench.errors import UserError
from eebench.methods.catalogue import find_method
from eebench.methods.gaml import GamlOptions, MutualOptions, mutual_loss
from eebench.model import Outputs
from eebench.training.gradients import GradientAlignment
from eebench.training.stages import Step, descend


def terms(**options):
    torch.manual_seed(0)
    return mutual_loss(
        Outputs(torch.randn(4, 6, 2)),
        torch.randint(0, 2, (6,)),
        Step(0, np.arange(6)),
        MutualOptions(**options),
    )


def test_the_objective_is_equation_two():
    got = terms(alpha=0.3)
    assert float(got["loss"]) == pytest.approx(0.7 * float(got["ce"]) + 0.3 * float(got["kd"]), abs=1e-6)


def test_the_mean_divides_by_the_number_of_pairs():
    assert float(terms(kd_norm="mean")["kd"]) == pytest.approx(float(terms()["kd"]) / 12, abs=1e-6)
    to_last = terms(kd_pairs="to_last", kd_norm="mean")["kd"]
    assert float(to_last) == pytest.approx(float(terms(kd_pairs="to_last")["kd"]) / 3, abs=1e-6)


def test_ml_descends_and_gaml_aligns():
    (plain,) = find_method("ml").stages(MutualOptions())
    (aligned,) = find_method("gaml").stages(GamlOptions())
    assert plain.update is descend
    assert aligned.update == GradientAlignment(0.3, "soft", "global")


def test_gaml_without_alignment_is_ml(toy_job):
    assert toy_job("gaml", ga="none").spec.key == toy_job("ml").spec.key
    assert toy_job("gaml").spec.key != toy_job("ml").spec.key


def test_regression_is_refused():
    from eebench.plan import Planner
    from eebench.tasks.specs import task_spec

    method = find_method("gaml")
    with pytest.raises(UserError, match="'gaml' is not defined for regression"):
        Planner(None, "fp32").job(method, method.options_type(), "toy", task_spec("stsb"), 1)


@pytest.mark.parametrize("scope", ["global", "per_layer", "per_tensor"])
@pytest.mark.parametrize("ga", ["none", "soft", "hard"])
def test_every_variant_trains_and_logs_the_angle(executor, toy_job, ga, scope):
    job = toy_job("gaml", ga=ga, ga_scope=scope, epochs=1)
    history = executor.ensure_trained(job).record()["history"]
    assert ("obtuse" in history[0]) == (ga != "none")


def test_global_alignment_moves_only_along_the_task_gradient(executor, toy_job):
    from eebench.engine.execute import build
    from eebench.training.loop import freeze_others

    job = toy_job("gaml", head={"dropout": 0.0})
    torch.manual_seed(0)
    model = build(job).eval()
    (stage,) = job.method.stages(job.options)
    trained = freeze_others(model, stage)
    examples = executor.examples(job, "dev")
    outputs = model(examples.encoded.batch(np.arange(16)))
    found = stage.objective(outputs, torch.from_numpy(examples.labels[:16]), Step(0, np.arange(16)))
    task = torch.autograd.grad(found["ce"], [p for _, p in trained], retain_graph=True, allow_unused=True)
    stage.update(found, trained)
    flat = torch.cat([p.grad.flatten() for (_, p), g in zip(trained, task, strict=True) if g is not None])
    along = torch.cat([g.flatten() for g in task if g is not None])
    assert abs(float(torch.nn.functional.cosine_similarity(flat, along, dim=0))) == pytest.approx(
        1.0, abs=1e-5
    )


def test_watching_the_angle_trains_the_same_weights(executor, toy_job):
    plain = executor.ensure_trained(toy_job("ml", epochs=1))
    watched = executor.ensure_trained(toy_job("ml", epochs=1, record_angle=True))
    assert plain.directory != watched.directory
    first, second = plain.weights(), watched.weights()
    assert all(torch.equal(first[name], second[name]) for name in first)
    (epoch,) = watched.record()["history"]
    assert len(epoch["series"]["angle"]) == watched.record()["training_steps"]
    assert "series" not in plain.record()["history"][0]


def test_what_docstrings_say_of_defaults():
    ml, gaml = (find_method(name).options_type() for name in ("ml", "gaml"))
    assert (ml.epochs, ml.patience, ml.holdout, ml.select) == (15, 5, 0.1, "best")
    assert (ml.ga, gaml.ga, gaml.ga_scope, ml.kd_temperature, ml.kd_norm) == (
        "none",
        "soft",
        "global",
        1.0,
        "sum",
    )
