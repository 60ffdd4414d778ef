import numpy as np
import torch

from eebench.backbones.tokens import Encoded
from eebench.runtime.entries import BATCHES_PER_WINDOW, entries, windows

CPU = torch.device("cpu")


def ids_of(encoded):
    return [
        encoded.ids[start:stop].tolist()
        for start, stop in zip(encoded.offsets[:-1], encoded.offsets[1:], strict=True)
    ]


def test_a_cut_is_those_rows_and_pieces_lie_together_again(encoded):
    part = encoded.part(3, 6)
    assert ids_of(part) == ids_of(encoded)[3:6] and part.offsets[0] == 0
    assert ids_of(Encoded.joined([encoded.part(0, 3), part])) == ids_of(encoded)[:6]


def test_windows_do_not_depend_on_the_pieces(encoded):
    pieces = [encoded.part(0, 1), encoded.part(1, 1), encoded.part(1, 40), encoded.part(40, 60)]
    for stream in (encoded, pieces, iter(pieces)):
        found = list(windows(stream, 25))
        assert [len(window) for window in found] == [25, 25, 10]
        assert [row for window in found for row in ids_of(window)] == ids_of(encoded)


def test_batches_hold_every_row_once_with_alike_lengths(encoded):
    found = list(entries(encoded, 8, CPU))
    assert [len(entry.places) for entry in found] == [8] * 7 + [4]
    assert sorted(np.concatenate([entry.places for entry in found])) == list(range(60))
    lengths = np.concatenate([entry.lengths for entry in found])
    assert list(lengths) == sorted(encoded.lengths, reverse=True)
    for entry in found:
        assert np.array_equal(entry.lengths, encoded.lengths[entry.places])
        assert entry.batch.mask.sum(dim=1).tolist() == entry.lengths.tolist()
        assert entry.batch.mask.shape[1] == entry.lengths.max()


def test_every_second_window_is_sorted_the_other_way_round(encoded):
    long = Encoded.joined([encoded] * 5)
    lengths = np.concatenate([entry.lengths for entry in entries(long, 2, CPU)])
    window = 2 * BATCHES_PER_WINDOW
    first, second, third = lengths[:window], lengths[window : 2 * window], lengths[2 * window :]
    assert list(first) == sorted(first, reverse=True) and list(third) == sorted(third, reverse=True)
    assert list(second) == sorted(second)


def test_single_rows_keep_their_order_and_are_not_waited_for(encoded):
    read = []

    def stream():
        for row in range(3):
            read.append(row)
            yield encoded.part(row, row + 1)

    found = entries(stream(), 1, CPU)
    assert next(found).places.tolist() == [0] and read == [0]
    assert [(entry.places.tolist(), entry.lengths.tolist()) for entry in found] == [
        ([row], [encoded.lengths[row]]) for row in (1, 2)
    ]


def test_a_single_row_is_the_batch_of_that_row(encoded):
    singles = list(encoded.singles())
    assert len(singles) == len(encoded) and not list(encoded.part(5, 5).singles())
    for row in (0, 7, 59):
        single, batch = singles[row], encoded.batch(np.array([row]))
        assert single.padded is batch.padded is False
        for name in ("input_ids", "mask", "segments"):
            one, other = getattr(single, name), getattr(batch, name)
            assert one.dtype == other.dtype and torch.equal(one, other)
