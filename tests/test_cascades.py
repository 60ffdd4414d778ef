import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from eebench.backbones.base import Batch
from eebench.backbones.checkpoints import load_backbone
from eebench.cascades import (
    CascadeModel,
    CascadeOutputs,
    Member,
    as_one,
    difficult,
    fitted_temperature,
    part_of,
    ranking_loss,
)
from eebench.cost.components import model_cost
from eebench.cost.operations import Polynomial
from eebench.cost.paths import path_operations
from eebench.depth import first_layers
from eebench.heads import HeadConfig, exit_heads
from eebench.model import MultiExitModel
from eebench.rules.confidence import MaxProbability
from eebench.runtime import leave_early

HEAD = HeadConfig(pooler="own", dropout=0.0)


def members():
    torch.manual_seed(0)
    whole = load_backbone("toy")
    found = []
    for encoder in (first_layers(whole, 1), whole):
        with torch.no_grad():
            encoder.embeddings.word_embeddings.weight.add_(torch.randn(128, 32))  # members share nothing
        found.append(Member(encoder, exit_heads(encoder, 2, HEAD, (encoder.depth,))[encoder.depth]))
    return found


@pytest.fixture
def cascade():
    return CascadeModel(members()).eval()


def alone(cascade, number):
    """A member as a model of its own."""
    encoder = cascade.encoders[number]
    return MultiExitModel(encoder, {encoder.depth: cascade.heads[str(cascade.exit_layers[number])]}).eval()


def batch(rows=3):
    ids = torch.arange(3, 3 + rows * 6).view(rows, 6)
    mask = torch.ones_like(ids, dtype=torch.bool)
    mask[-1, 4:] = False
    return Batch(ids, mask, torch.zeros_like(ids))


def test_exits_are_the_members_after_the_layers_executed_until_then(cascade):
    assert (cascade.exit_layers, cascade.depth, cascade.comparable) == ((1, 3), 3, False)
    assert [cascade.place(layer) for layer in (1, 2, 3)] == [(0, 1), (1, 1), (1, 2)]
    assert cascade.backbone.depth == 2 and cascade.kinds == {"logits", "score"}


def test_every_exit_answers_as_its_member_does_alone(cascade):
    with torch.no_grad():
        logits = cascade(batch()).logits
        assert torch.equal(logits[0], alone(cascade, 0)(batch()).logits[0])
        assert torch.equal(logits[1], alone(cascade, 1)(batch()).logits[0])
        cascade.temperatures.copy_(torch.tensor([2.0, 1.0]))
        assert torch.allclose(cascade(batch()).logits[0], logits[0] / 2)


def test_the_second_answer_costs_both_complete_models(cascade):
    with torch.no_grad():
        # Embeddings with a product inside, as narrow as ELECTRA's: the second one must be paid as well.
        cascade.encoders[1].embeddings.word_embeddings = torch.nn.Sequential(
            torch.nn.Embedding(128, 8), torch.nn.Linear(8, 32)
        )
    both, (small, large) = model_cost(cascade), [model_cost(alone(cascade, number)) for number in (0, 1)]
    paid = path_operations(both, (1, 3), 3, "all")
    complete = path_operations(small, (1,), 1, "all") + path_operations(large, (2,), 2, "all")
    # The sums of embeddings that one convention leaves out are those of ordinary embeddings, which these are not.
    plain = {"elementwise": Polynomial()}
    assert replace(paid, **plain) == replace(complete, **plain) and paid.layers == 3
    first, alone_first = path_operations(both, (1, 3), 1, "all"), path_operations(small, (1,), 1, "all")
    assert replace(first, **plain) == replace(alone_first, **plain)
    assert both.layers[1].linear(10) == large.layers[0].linear(10) + 8 * 32 * 10


@pytest.mark.parametrize(("threshold", "layer"), [(0.0, 1), (1.1, 3)])
def test_samples_really_leave_between_members(cascade, threshold, layer):
    one = Batch(*(tensor[:1] for tensor in (batch().input_ids, batch().mask, batch().segments)), padded=False)
    with torch.no_grad():
        left = leave_early(cascade, MaxProbability(), threshold, one)
        expected = cascade(one).logits[(1, 3).index(layer), 0]
    assert left.layer == layer and torch.allclose(left.logits, expected)


def test_rows_that_stay_take_their_tokens_along(cascade):
    rows = torch.tensor([2, 0])
    with torch.no_grad():
        state = cascade.layer(1, cascade.embed(batch()))
        fewer = cascade.select(state, rows, 5)
        for layer in (2, 3):
            fewer = cascade.layer(layer, fewer)
        whole = cascade(part_of(batch(), rows, 5)).logits[1]
        assert torch.allclose(cascade.classify(3, fewer), whole, atol=1e-6)


def test_rows_of_two_batches_go_on_together(cascade):
    short = part_of(batch(), torch.tensor([2]), 4)
    with torch.no_grad():
        states = [cascade.layer(1, cascade.embed(some)) for some in (short, batch())]
        state = cascade.join(states)
        for layer in (2, 3):
            state = cascade.layer(layer, state)
        whole = cascade(as_one([short, batch()])).logits[1]
        assert torch.allclose(cascade.classify(3, state), whole, atol=1e-6)
        assert torch.allclose(whole[0], cascade(short).logits[1, 0], atol=1e-6)


def test_training_runs_the_smallest_member_and_asks_who_never_saw_a_row(cascade):
    judges = [copy.deepcopy(alone(cascade, number)) for number in (0, 1)]
    cascade.judges, cascade.folds = (judges,), torch.tensor([[1, 0, 1]])
    outputs = cascade.train()(batch())
    assert isinstance(outputs, CascadeOutputs) and outputs.logits.shape == (1, 3, 2)
    with torch.no_grad():
        first, second = (judge(batch()).logits[0] for judge in judges)
    assert torch.allclose(outputs.unseen[0], torch.stack([second[0], first[1], second[2]]), atol=1e-6)
    assert not outputs.unseen.requires_grad and outputs.logits.requires_grad


def test_hard_is_what_most_get_wrong():
    right, wrong = [2.0, 0.0], [0.0, 2.0]
    unseen = torch.tensor([[right, wrong, wrong], [right, right, wrong]])
    assert difficult(unseen, torch.zeros(3, dtype=torch.int64)).tolist() == [
        False,
        False,
        True,
    ]  # half is easy


def test_the_ranking_loss_by_hand():
    # Confidences 0.9 (easy), 0.6 (easy) and 0.8 (hard), margin 0.3: mean(max(0, 0.2), max(0, 0.5)).
    logits = torch.tensor([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]]).log().requires_grad_()
    hard = torch.tensor([False, False, True])
    loss = ranking_loss(logits, hard, 0.3)
    assert float(loss.detach()) == pytest.approx(0.35)
    loss.backward()
    assert logits.grad is not None and logits.grad.abs().sum() > 0
    for one_kind in (torch.zeros(3, dtype=torch.bool), torch.ones(3, dtype=torch.bool)):
        assert float(ranking_loss(logits, one_kind, 0.3).detach()) == 0


def test_the_fitted_temperature():
    # Three of four right, all answered with logit 4 against 0: p must be 0.75, so 4 / T = ln 3.
    logits = torch.tensor([[4.0, 0.0]] * 4)
    assert fitted_temperature(logits, torch.tensor([0, 0, 0, 1])) == pytest.approx(4 / np.log(3), abs=1e-3)
    assert fitted_temperature(logits, torch.tensor([0, 0, 0, 0])) == 0.25  # never wrong: as sharp as allowed
    assert fitted_temperature(logits, torch.tensor([1, 1, 1, 1])) == 10.0
