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


def test_rows_are_sorted_within_buckets_of_fifty_batches():
    """100 different lengths in pairs are one bucket: neighbours by length. Of 102, two are a bucket of their own."""
    for rows, buckets in ((100, [100]), (102, [100, 2])):
        lengths = np.arange(rows)
        order, found = np.random.default_rng([1, 0]).permutation(rows), []
        for start, size in zip(np.cumsum([0, *buckets[:-1]]), buckets, strict=True):
            found += np.sort(order[start : start + size]).reshape(-1, 2).tolist()
        assert sorted(batch.tolist() for batch in epoch_batches(lengths, 2, seed=1, epoch=0)) == sorted(found)


def test_rows_of_one_length_stay_in_their_random_order():
    lengths = np.arange(1000) % 2
    order = np.random.default_rng([1, 0]).permutation(1000)
    by_length = [order[lengths[order] == length].reshape(-1, 20).tolist() for length in (0, 1)]
    batches = epoch_batches(lengths, 20, seed=1, epoch=0)
    assert sorted(batch.tolist() for batch in batches) == sorted(by_length[0] + by_length[1])
