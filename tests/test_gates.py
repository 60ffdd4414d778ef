import math

import numpy as np
import pytest
import torch
from torch import nn
from transformers import BertModel

from eebench.backbones.base import State
from eebench.backbones.bert import BertBackbone
from eebench.backbones.checkpoints import load_backbone
from eebench.backbones.tokens import load_tokenizer
from eebench.backbones.toy import toy_config
from eebench.gates import Gate, GatedModel, carried, straight_through
from eebench.heads import HeadConfig, exit_heads
from eebench.model import Outputs
from eebench.replay import exit_indices, near_threshold
from eebench.rules.catalogue import find_rule
from eebench.rules.confidence import entropy
from eebench.runtime import leave_early, sequential
from eebench.toy import toy_data
from eebench.trace import trace_model

CPU = torch.device("cpu")


class Told(nn.Module):
    """A gate that says what it is told, row by row."""

    def __init__(self, *probabilities):
        super().__init__()
        self.probabilities = torch.tensor(probabilities)

    def forward(self, state):
        return self.probabilities[: len(state.mask)]


class Counted(nn.Module):
    """Notes how many rows it is asked for."""

    def __init__(self, module, rows):
        super().__init__()
        self.module, self.rows, self.classes = module, rows, 2

    def forward(self, *inputs):
        first = inputs[0]
        self.rows.append(len(first.mask if isinstance(first, State) else first))
        return self.module(*inputs)


def make(threshold=0.5, **gates):
    """A gated toy model in evaluation mode; `first` and `second` are what the gates say."""
    torch.manual_seed(0)
    backbone = load_backbone("toy")
    heads = exit_heads(backbone, 2, HeadConfig(attention="smartbert"), (1, 2))
    model = GatedModel(backbone, heads, threshold).eval()
    for layer, name in enumerate(("first", "second"), start=1):
        if name in gates:
            model.gates[str(layer)] = Told(*gates[name])
    return model


def encoded(*texts):
    return load_tokenizer("toy").encode([(text,) for text in texts], 16)


@pytest.fixture
def batch():
    return encoded("a good warm bright day", "grim", "we saw the film").batch(np.arange(3))


# Parameters of one gate at BERT-base width, from the published architecture: narrow, three maps, one number.
def test_the_gate_has_the_published_number_of_parameters():
    count = sum(parameter.numel() for parameter in Gate(768).parameters())
    assert count == (768 * 128 + 128) + 3 * (128 * 128 + 128) + (128 + 1) == 148_097


def test_the_gate_does_what_its_layers_say():
    torch.manual_seed(0)
    gate = Gate(8).eval()
    hidden = torch.randn(2, 3, 8)
    mask = torch.tensor([[True, True, True], [True, True, False]])
    found = gate(State(hidden, mask, None))
    for row in range(2):
        tokens = torch.tanh(gate.narrow(hidden[row][mask[row]]))
        query, key, value = gate.query(tokens)[0], gate.key(tokens), gate.value(tokens)
        context = [
            torch.softmax(key[:, part] @ query[part] / 8, dim=0) @ value[:, part]
            for part in (slice(0, 64), slice(64, 128))
        ]
        score = gate.decide(torch.cat(context))
        assert found[row].tolist() == pytest.approx(1 / (1 + math.exp(-score.item())), abs=1e-6)


def test_the_gate_is_fp32_under_autocast():
    with torch.autocast("cpu", torch.bfloat16):
        gate = Gate(8).eval()(State(torch.randn(1, 2, 8), torch.ones(1, 2, dtype=torch.bool), None))
    assert gate.dtype == torch.float32 and gate.shape == (1,)


def test_dropout_acts_on_the_gates_attention_in_training_only():
    torch.manual_seed(0)
    gate, state = Gate(8), State(torch.randn(4, 6, 8), torch.ones(4, 6, dtype=torch.bool), None)
    assert not torch.equal(gate(state), gate(state))
    assert torch.equal(gate.eval()(state), gate(state))


def test_a_hard_gate_is_zero_or_one_with_the_gradient_of_the_soft_one():
    soft = torch.tensor([0.0, 0.1, 0.49999997, 0.5, 0.7, 0.9000001, 1.0], requires_grad=True)
    weights = torch.arange(1.0, 8.0)
    hard = straight_through(soft)
    assert hard.tolist() == [0, 0, 0, 1, 1, 1, 1]
    (gradient,) = torch.autograd.grad((hard * weights).sum(), soft)
    (expected,) = torch.autograd.grad((soft * weights).sum(), soft)
    assert torch.equal(gradient, expected)


def test_training_blends_each_row_by_its_gate(batch):
    model = make(first=(0.25, 0.75, 0.5)).train()
    model.backbone.eval()
    state = model.embed(batch)
    ran = model.layer(1, state).hidden
    share = torch.tensor([0.25, 0.75, 0.5])[:, None, None]
    soft = model.advance(1, state)
    assert torch.allclose(soft.hidden, share * state.hidden + (1 - share) * ran, atol=1e-6)
    model.hard = True
    hard = model.advance(1, state)
    assert torch.equal(hard.hidden[0], ran[0]) and torch.equal(hard.hidden[1:], state.hidden[1:])
    assert torch.equal(hard.gate, torch.tensor([0.25, 0.75, 0.5]))


def test_a_skipped_layer_is_not_computed_for_the_rows_that_skip_it(batch):
    model, rows = make(first=(0.2, 0.5, 0.4)), []
    before, alone = model.embed(batch), [model.layer(1, model.embed(batch)).hidden]
    model.backbone.layers[0] = Counted(model.backbone.layers[0], rows)
    after = model.advance(1, before)
    assert rows == [2] and after.executed.tolist() == [True, False, True]
    assert torch.allclose(after.hidden[[0, 2]], alone[0][[0, 2]], atol=1e-6)
    assert torch.equal(after.hidden[1], before.hidden[1])
    assert torch.equal(after.gate, torch.tensor([0.2, 0.5, 0.4]))


def test_nothing_is_computed_where_all_rows_skip(batch):
    model, rows = make(first=(0.6, 0.5, 0.9)), []
    model.backbone.layers[0] = Counted(model.backbone.layers[0], rows)
    state = model.embed(batch)
    assert torch.equal(model.advance(1, state).hidden, state.hidden) and rows == []


def test_a_threshold_of_one_skips_nothing_even_at_a_saturated_gate(batch):
    model = make(threshold=1.0, first=(1.0, 1.0, 1.0))
    state = model.advance(1, model.embed(batch))
    assert state.executed.all() and torch.equal(state.hidden, model.layer(1, model.embed(batch)).hidden)
    model.gate_threshold = 0.0
    assert not model.advance(1, model.embed(batch)).executed.any()


def test_gate_threshold_one_and_no_exiting_is_the_plain_model_with_its_last_classifier(batch):
    model = make(threshold=1.0)
    plain = model.heads["2"](model.backbone(batch))
    assert torch.equal(model(batch).logits[-1], plain)
    texts = toy_data().splits["dev"].texts
    rows = load_tokenizer("toy").encode(texts, 16)
    for row, left in enumerate(sequential(model, find_rule("entropy"), 0.0, rows, CPU)):
        with torch.no_grad():
            alone = model.heads["2"](model.backbone(rows.batch(np.array([row]))))[0]
        assert left.layer == 2 and torch.allclose(left.logits, alone, atol=1e-6)


def test_the_classifier_of_a_skipped_layer_is_not_asked_but_for_the_last(batch):
    model = make(first=(0.9, 0.1, 0.9), second=(0.9, 0.9, 0.1))
    asked = {name: [] for name in model.heads}
    for name, head in list(model.heads.items()):
        model.heads[name] = Counted(head, asked[name])
    outputs = model(batch)
    assert asked == {"1": [1], "2": [3]}
    assert outputs.executed.tolist() == [[False, True, False], [False, False, True]]
    assert outputs.logits[0, [0, 2]].abs().max() == 0 < outputs.logits[0, 1].abs().max()
    assert torch.allclose(outputs.gates[1], torch.tensor([0.9, 0.9, 0.1]))


def test_logits_of_skipped_exits_are_the_latest_ones_but_for_the_last():
    logits = torch.tensor([0.0, 2.0, 3.0, 4.0])[:, None, None].expand(4, 2, 1)
    executed = torch.tensor([[False, True], [True, False], [False, False], [False, False]])
    answers = carried(Outputs(logits, executed=executed))[..., 0]
    assert answers.T.tolist() == [[0.0, 2.0, 2.0, 4.0], [0.0, 0.0, 0.0, 4.0]]


def test_a_batch_of_one_that_skips_asks_no_head_before_the_last():
    model, asked = make(first=(0.9,), second=(0.9,)), []
    model.heads["1"] = Counted(model.heads["1"], asked)
    one = encoded("grim").batch(np.arange(1))
    with torch.inference_mode():
        left = leave_early(model, find_rule("entropy"), 10.0, one)
    assert asked == [] and left.layer == 2
    assert torch.allclose(left.logits, model.heads["2"](model.embed(one))[0], atol=1e-6)


DEPTH = 6


@pytest.fixture
def near_half():
    """A six-layer gated model whose gates are close to 0.5, its rows, and their trace: about half of the layers run."""
    torch.manual_seed(0)
    backbone = BertBackbone(BertModel(toy_config(DEPTH)))
    layers = tuple(range(1, DEPTH + 1))
    model = GatedModel(backbone, exit_heads(backbone, 2, HeadConfig(attention="smartbert"), layers)).eval()
    for head in model.heads.values():
        nn.init.normal_(head.classifier.weight)  # answers that differ
    split = toy_data().splits["dev"]
    rows = load_tokenizer("toy").encode(split.texts, 16)
    for index in range(DEPTH):  # in depth order: a gate's input depends on those before it
        gates = trace_model(model, rows, split.labels, CPU).gates
        with torch.no_grad():
            model.gates[str(index + 1)].decide.bias -= torch.logit(gates[index]).median()
    return model, rows, trace_model(model, rows, split.labels, CPU)


def test_the_gates_of_the_example_are_mixed(near_half):
    _, _, trace = near_half
    assert trace.gate_threshold == 0.5 and (trace.gates - 0.5).abs().max() < 0.3
    assert trace.executed.float().mean(dim=1).tolist() == pytest.approx([0.5] * DEPTH, abs=0.1)


@pytest.mark.parametrize("name", ["entropy", "max-prob", "patience", "budgeted"])
def test_one_by_one_is_the_replay_of_the_batched_trace(near_half, name):
    model, rows, trace = near_half
    rule, checked, exits = find_rule(name), 0, set()
    spread = torch.tensor([0.05, 0.3, 0.6])  # thresholds amid what untrained exits say
    own = {
        "entropy": entropy(trace.logits).quantile(spread).tolist(),
        "max-prob": trace.logits.softmax(dim=-1).amax(dim=-1).quantile(1 - spread).tolist(),
    }
    for threshold in own.get(name) or rule.grid(trace.geometry):
        replayed = exit_indices(rule, trace, [threshold])[0]
        near = near_threshold(rule, trace, threshold)
        for row, left in enumerate(sequential(model, rule, threshold, rows, CPU)):
            if near[row]:
                continue
            checked += 1
            exits.add(left.exit_index)
            assert left.exit_index == replayed[row]
            assert torch.allclose(left.logits, trace.logits[left.exit_index, row], atol=1e-5)
            assert int(left.logits.argmax()) == int(trace.answers()[left.exit_index, row])
    assert checked > 60 and len(exits) > 3


def test_one_by_one_executes_the_layers_of_the_trace(near_half):
    model, rows, trace = near_half
    near = near_threshold(find_rule("budgeted"), trace, float(DEPTH))
    executed: list[int] = []
    for index, layer in enumerate(model.backbone.layers):
        layer.register_forward_hook(lambda *_, index=index: executed.append(index))
    for row, _ in enumerate(sequential(model, find_rule("entropy"), 0.0, rows, CPU)):
        if not near[row]:
            assert executed == trace.executed[:, row].nonzero()[:, 0].tolist()
        executed.clear()
    assert int(near.sum()) < len(rows) / 2


def test_the_gate_is_named_for_counting():
    model = make(first=(0.1, 0.2, 0.3))
    state = State(torch.zeros(3, 4, 32), torch.ones(3, 4, dtype=torch.bool), None)
    parts = model.parts(1)
    assert list(parts) == ["gate"] and parts["gate"](state).tolist() == pytest.approx([0.1, 0.2, 0.3])


def test_a_gate_costs_what_the_paper_says():
    from eebench.cost.components import measure

    gate = Gate(768)

    class Reads(nn.Module):
        def __init__(self):
            super().__init__()
            self.gate = gate

        def forward(self, hidden):
            return self.gate(State(hidden, torch.ones(hidden.shape[:2], dtype=torch.bool), None))

    counted = measure(Reads(), lambda length: (torch.zeros(1, length, 768),))
    assert counted.linear(128) == 18_874_496


def test_hidden_states_of_gated_models_are_not_compared():
    model = make()
    assert model.kinds == {"logits", "score"}
    split = toy_data().splits["dev"]
    trace = trace_model(model, load_tokenizer("toy").encode(split.texts, 16), split.labels, CPU)
    assert trace.similarities is None and trace.kinds == {"logits"}
