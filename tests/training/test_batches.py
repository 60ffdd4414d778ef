import numpy as np

from eebench.training.batches import epoch_batches

LENGTHS = np.random.default_rng(0).integers(5, 60, size=1003)


def test_every_row_appears_once():
    batches = epoch_batches(LENGTHS, 32, seed=1, epoch=0)
    assert sorted(np.concatenate(batches).tolist()) == list(range(1003))
    assert sorted(len(batch) for batch in batches)[1:] == [32] * 31 and len(batches) == 32


def test_an_epoch_is_a_function_of_seed_and_number():
    first = epoch_batches(LENGTHS, 32, seed=1, epoch=0)
    again = epoch_batches(LENGTHS, 32, seed=1, epoch=0)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    for other in (epoch_batches(LENGTHS, 32, 1, 1), epoch_batches(LENGTHS, 32, 2, 0)):
        assert not all(np.array_equal(a, b) for a, b in zip(first, other, strict=True))


def test_batches_hold_rows_of_similar_length():
    def padded(batches):
        return sum(len(batch) * LENGTHS[batch].max() for batch in batches)

    shuffled = np.array_split(np.random.default_rng(0).permutation(1003), 32)
    assert padded(epoch_batches(LENGTHS, 32, 1, 0)) < 1.1 * LENGTHS.sum() < padded(shuffled)
