import pytest
import torch

from eebench.backbones.tokens import load_tokenizer
from eebench.replay import exit_indices, near_threshold
from eebench.rules.catalogue import RULES, find_rule
from eebench.runtime import leave_early, sequential
from eebench.toy import toy_data

CPU = torch.device("cpu")


@pytest.fixture
def trained(executor, toy_job):
    job = toy_job("pabee")
    trace = executor.ensure_trace(job)
    encoded = load_tokenizer("toy").encode(toy_data().splits["dev"].texts, 16)
    return executor.model(job), trace, encoded


@pytest.mark.parametrize(
    "name", [r.name for r in RULES.values() if r.classification and r.needs <= {"logits"}]
)
def test_really_leaving_early_equals_replay(trained, name):
    model, trace, encoded = trained
    rule = find_rule(name)
    for threshold in rule.grid(trace.geometry)[:8]:
        replayed = exit_indices(rule, trace, [threshold])[0]
        near = near_threshold(rule, trace, threshold)
        for row, left in enumerate(sequential(model, rule, threshold, encoded, CPU)):
            if not near[row]:
                assert left.exit_index == replayed[row]
                assert int(left.logits.argmax()) == int(trace.answers()[left.exit_index, row])


def test_layers_after_the_exit_are_not_computed(trained):
    model, _trace, encoded = trained
    import numpy as np

    executed = []
    for layer in model.backbone.layers:
        layer.register_forward_hook(lambda module, *_: executed.append(module))
    model.eval()
    with torch.inference_mode():
        left = leave_early(model, find_rule("budgeted"), 1.0, encoded.batch(np.array([0])))
    assert left.layer == 1 and executed == [model.backbone.layers[0]]


def test_a_fixed_exit_evaluates_no_head_before_it(trained):
    model, _, encoded = trained
    import numpy as np

    asked = []
    for name, head in model.heads.items():
        head.register_forward_hook(lambda *_, name=name: asked.append(name))
    model.eval()
    with torch.inference_mode():
        leave_early(model, find_rule("budgeted"), 2.0, encoded.batch(np.array([0])))
    assert asked == ["2"]
