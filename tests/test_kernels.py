import math

import pytest
import torch

from eebench.backbones.base import State
from eebench.kernels import Gram, alignment, centred_gram


def state(hidden, real=None):
    """States of tokens [B, T, H]; the first `real` tokens of each row are no padding."""
    hidden = torch.as_tensor(hidden, dtype=torch.float32)
    mask = (
        torch.arange(hidden.shape[1])[None]
        < torch.as_tensor(real or [hidden.shape[1]] * len(hidden))[:, None]
    )
    return State(hidden, mask, None)


def cka(first, second, real=None):
    return alignment(centred_gram(state(first, real)), centred_gram(state(second, real)))


def feature_form(first, second):
    """||X^T Y||^2 / (||X^T X|| ||Y^T Y||) of centred features, in fp64."""
    x, y = ((tokens - tokens.mean(dim=0)).double() for tokens in (first, second))
    return (x.T @ y).norm() ** 2 / ((x.T @ x).norm() * (y.T @ y).norm())


@pytest.fixture
def pair():
    generator = torch.Generator().manual_seed(0)
    return tuple(torch.randn(3, 7, 16, generator=generator) for _ in range(2))


def test_a_state_is_aligned_with_itself_and_with_its_rotations_and_scalings(pair):
    first, _ = pair
    rotation, _ = torch.linalg.qr(torch.randn(16, 16, generator=torch.Generator().manual_seed(1)))
    for same in (first, first @ rotation, 3.7 * first, first + 2.0):
        torch.testing.assert_close(cka(first, same), torch.ones(3), atol=1e-5, rtol=0)


def test_by_hand():
    # Centred rows (-1, 1) and (1, 0, -1) x ... : K = [[1, -1], [-1, 1]] on both sides of two tokens, so CKA is 1;
    # with three tokens at -1, 0, 1 against 1, -2, 1 the centred products are orthogonal: CKA is 0.
    assert float(cka([[[0.0], [2.0]]], [[[5.0], [1.0]]])) == pytest.approx(1.0)
    assert float(cka([[[-1.0], [0.0], [1.0]]], [[[1.0], [-2.0], [1.0]]])) == pytest.approx(0.0, abs=1e-7)


def test_gram_and_feature_form_agree(pair):
    expected = torch.stack([feature_form(x, y) for x, y in zip(*pair, strict=True)])
    torch.testing.assert_close(cka(*pair).double(), expected, atol=1e-6, rtol=0)


def test_padding_changes_nothing(pair):
    short = cka(*(tokens[:, :5] for tokens in pair))
    torch.testing.assert_close(cka(*pair, real=[5, 5, 5]), short, atol=1e-6, rtol=0)


def test_one_token_and_equal_tokens_have_no_alignment(pair):
    assert math.isnan(cka(pair[0][:1], pair[1][:1], real=[1]))
    assert math.isnan(cka([[[1.0], [1.0]]], [[[0.0], [1.0]]]))
    assert not math.isnan(cka(pair[0][:1], pair[1][:1], real=[2]))


def test_rows_can_be_chosen_and_padding_cut(pair):
    whole = [centred_gram(state(tokens, [5, 4, 2])) for tokens in pair]
    kept = torch.tensor([2, 1])
    cut = [gram.select(kept, 4) for gram in whole]
    torch.testing.assert_close(alignment(*cut), alignment(*whole)[kept])


def test_matrices_of_several_batches_join_padded_to_the_longest(pair):
    parts = [[centred_gram(state(tokens[:1])), centred_gram(state(tokens[1:, :5]))] for tokens in pair]
    joined = [Gram.join(grams) for grams in parts]
    assert joined[0].matrix.shape == (3, 7, 7)
    expected = torch.cat([alignment(before, now) for before, now in zip(*parts, strict=True)])
    torch.testing.assert_close(alignment(*joined), expected)
