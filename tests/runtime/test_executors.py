import numpy as np
import pytest
import torch

from eebench.backbones.tokens import Encoded, pack
from eebench.rules.catalogue import find_rule
from eebench.runtime.entries import entries
from eebench.runtime.executors import EXECUTORS, LONGEST_WAIT, Pool, compact, length_class, pooled
from eebench.runtime.walking import Walk

CPU = torch.device("cpu")


@pytest.fixture
def batches_seen(model_of):
    """`batches_seen(run)` are the rows of every call of each layer, by layer from 1, while `run(model)` runs."""

    def watch(run):
        model = model_of("bert")
        rows = {layer: [] for layer in range(1, 6)}
        for layer, module in enumerate(model.backbone.layers, start=1):
            module.register_forward_hook(
                lambda _m, inputs, _o, layer=layer: rows[layer].append(len(inputs[0]))
            )
        run(model)
        return rows

    return watch


@pytest.fixture
def alike():
    """Many rows of one length, so that all can be joined."""
    ids = np.random.default_rng(3).integers(3, 50, size=(320, 9)).tolist()
    return pack(ids, [[0] * 9] * 320, 1)


def test_a_batch_shrinks_by_those_who_leave(batches_seen, encoded, trace_of, model_of):
    from eebench.replay import exit_indices

    rule = find_rule("patience")
    rows = batches_seen(lambda model: list(compact(Walk(model, rule, 2.0), entries(encoded, 60, CPU))))
    exits = exit_indices(rule, trace_of(model_of("bert")), [2.0])[0] + 1
    expected = {layer: int((exits >= layer).sum()) for layer in range(1, 6)}
    assert {layer: sum(sizes) for layer, sizes in rows.items()} == expected
    assert all(len(sizes) == 1 for sizes in rows.values()) and expected[5] < 60


def test_late_layers_run_full_when_pooled(batches_seen, alike):
    rule, rows = find_rule("patience"), alike
    shrinking = batches_seen(lambda model: list(compact(Walk(model, rule, 2.0), entries(rows, 8, CPU))))
    filled = batches_seen(lambda model: list(pooled(Walk(model, rule, 2.0), entries(rows, 8, CPU), 8)))
    assert {layer: sum(sizes) for layer, sizes in filled.items()} == {
        layer: sum(sizes) for layer, sizes in shrinking.items()
    }
    assert max(max(sizes) for sizes in filled.values()) <= 15  # fewer than two batches
    for layer in (4, 5):
        assert np.mean(filled[layer]) > np.mean(shrinking[layer])
        assert len(filled[layer]) < len(shrinking[layer])


def test_no_row_waits_longer_than_so_many_batches(model_of, encoded):
    rows, entered, waited = Encoded.joined([encoded] * 8), {}, []
    batches = list(entries(rows, 4, CPU))

    def stream():
        for number, entry in enumerate(batches):
            entered["now"] = number
            yield entry

    came = {int(place): number for number, entry in enumerate(batches) for place in entry.places}
    for departure in pooled(Walk(model_of("bert"), find_rule("patience"), 1.0), stream(), 4):
        waited += [entered["now"] - came[int(place)] for place in departure.places]
    assert len(waited) == 480 and 0 < max(waited) <= LONGEST_WAIT


def test_the_deepest_full_pool_goes_first_and_the_shallowest_at_the_end(model_of, alike):
    walk = Walk(model_of("bert"), find_rule("patience"), 99.0)
    batch, *_ = entries(alike, 4, CPU)
    first = walk.onward(walk.enter(batch, 0))[1]
    second = walk.onward(walk.onward(walk.enter(batch, 1))[1])[1]
    pool = Pool(walk, 4, 8)
    pool.put(first), pool.put(second)
    assert pool.due(1).layer == 2 and pool.due(1).layer == 1 and pool.due(1) is None
    waiting = Pool(walk, 5, 8)
    waiting.put(second), waiting.put(first)
    assert waiting.due(7.5) is None
    assert waiting.due(8).layer == 1 and waiting.shallowest().layer == 2
    assert waiting.shallowest() is None


def test_rows_of_very_different_length_do_not_wait_together(model_of, encoded):
    walk = Walk(model_of("bert"), find_rule("patience"), 99.0)
    pool = Pool(walk, 40, 8)
    for entry in entries(encoded, 20, CPU):
        pool.put(walk.enter(entry))
    widths = sorted({entry.lengths.max() for entry in entries(encoded, 20, CPU)})
    assert len(widths) == 3 and len(pool._waiting) == len({length_class(int(width)) for width in widths}) == 3


def test_classes_of_length():
    # 1.25^0 = 1, 1.25^10 = 9.3, 1.25^11 = 11.6, 1.25^12 = 14.6
    assert [length_class(width) for width in (1, 10, 11, 12, 14, 15)] == [0, 10, 10, 11, 11, 12]
    assert list(EXECUTORS) == ["sequential", "compact", "pooled"]
