import numpy as np
import pytest
import torch

from eebench.errors import UserError
from eebench.rules.catalogue import find_rule
from eebench.runtime.entries import Entry, entries
from eebench.runtime.walking import Walk, computing, counted, find_precision

CPU = torch.device("cpu")


def entry_of(encoded, *rows):
    rows = np.array(rows)
    return Entry(rows, encoded.lengths[rows], encoded.batch(rows))


def test_who_stays_is_padded_no_longer_than_its_longest_row(model_of, encoded):
    model, rule = model_of("bert"), find_rule("entropy")
    order = np.argsort(-encoded.lengths)
    rows = [int(order[0]), int(order[-1]), int(order[-2])]
    walk = Walk(model, rule, 0.0)
    _, group = walk.onward(walk.enter(entry_of(encoded, *rows)))
    assert (group.layer, group.width) == (1, encoded.lengths[order[0]])
    stayed = walk._staying(group, np.array([1, 2]))
    assert stayed.places.tolist() == rows[1:] and stayed.width == stayed.state.mask.shape[1]
    assert stayed.state.mask.sum(dim=1).tolist() == encoded.lengths[rows[1:]].tolist()
    assert stayed.state.hidden.is_contiguous()


@pytest.mark.parametrize("kind", ["bert", "mpnet", "gated", "cascade"])
@pytest.mark.parametrize("name", ["patience", "cka;theta=0"])
def test_joined_groups_go_on_as_they_would_alone(model_of, encoded, kind, name):
    model, rule = model_of(kind), find_rule(name)
    if not rule.needs <= model.kinds:
        pytest.skip("the model has not that signal")
    walk = Walk(model, rule, 99.0)  # nobody leaves before the last layer

    def at_exit(*rows):
        return walk.onward(walk.enter(entry_of(encoded, *rows), since=int(rows[0])))[1]

    joined = walk.join([at_exit(4, 5, 6), at_exit(2), at_exit(9, 8)])
    assert joined.places.tolist() == [4, 5, 6, 2, 9, 8] and joined.since == 2
    alone = [at_exit(row) for row in joined.places]
    while joined is not None:
        whole, joined = walk.onward(joined)
        steps = [walk.onward(group) for group in alone]
        alone = [group for _, group in steps]
        if joined is not None:
            for key, memory in joined.memory.items():
                each = torch.cat([group.memory[key] for group in alone])
                torch.testing.assert_close(memory, each, atol=1e-5, rtol=0, equal_nan=True)
    for row, (departure, _) in enumerate(steps):
        torch.testing.assert_close(whole.logits[row], departure.logits[0], atol=1e-4, rtol=0)
        if whole.executed is not None:
            assert whole.executed[row] == departure.executed[0]


def test_a_group_joined_with_none_is_itself(model_of, encoded):
    walk = Walk(model_of("bert"), find_rule("entropy"), 0.0)
    group = walk.enter(entry_of(encoded, 1, 2))
    assert walk.join([group]) is group


@pytest.mark.parametrize(("above", "leaves"), [(0.1, True), (1.0, False)])
def test_a_single_row_compares_in_fp32_as_batches_do(model_of, encoded, above, leaves):
    model, rule, entry = model_of("bert"), find_rule("max-prob"), entry_of(encoded, 3)
    signals, _ = model.observe(1, model.advance(1, model.embed(entry.batch)), rule.needs, None)
    criterion = np.float32(rule.criterion(1, signals, {}).item())
    # Above the criterion by a part of the step between two fp32 numbers, or by a whole one.
    threshold = float(criterion) + above * float(np.spacing(criterion))
    walk = Walk(model, rule, threshold)
    assert (walk.single(entry).layer == 1) is leaves
    assert (walk.onward(walk.enter(entry))[0] is not None) is leaves


def test_a_rule_without_signals_is_asked_on_the_host(model_of, encoded):
    budgeted, entropy = find_rule("budgeted"), find_rule("entropy")
    assert Walk(model_of("bert"), budgeted, 2.0)._on_host
    assert not Walk(model_of("bert"), entropy, 2.0)._on_host
    assert not Walk(model_of("gated"), budgeted, 2.0)._on_host


def test_layers_that_ran_add_up(model_of, encoded):
    model = model_of("gated")
    (entry,) = entries(encoded, 60, CPU)
    with computing(CPU, "fp32"):
        state, total = model.embed(entry.batch), None
        seen = []
        for layer in (1, 2, 3):
            state = model.advance(layer, state)
            total = counted(total, state)
            seen.append(state.executed)
    assert torch.equal(total, torch.stack(seen).sum(dim=0)) and total.unique().numel() > 1


def test_precisions_by_name():
    assert find_precision("bf16") == "bf16"
    with pytest.raises(UserError, match="unknown precision 'int8'; choose fp32, bf16, fp16"):
        find_precision("int8")
    with computing(CPU, "bf16"):
        assert torch.is_autocast_enabled("cpu") and torch.is_inference_mode_enabled()
    assert not torch.is_autocast_enabled("cpu")
