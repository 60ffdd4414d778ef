import pytest
import torch

from eebench.backbones.base import Batch
from eebench.backbones.checkpoints import load_backbone
from eebench.depth import first_layers, keep_layers


def batch():
    ids = torch.arange(10).view(2, 5)
    return Batch(ids, torch.ones_like(ids, dtype=torch.bool), torch.zeros_like(ids), padded=False)


def test_the_layers_that_stay_are_numbered_anew():
    whole, cut = load_backbone("toy").eval(), load_backbone("toy").eval()
    keep_layers(cut, [2])
    state = whole.embed(batch())
    with torch.no_grad():
        assert cut.depth == 1 and torch.equal(cut(batch()).hidden, whole.layer(2, state).hidden)


@pytest.mark.parametrize("kept", [[], [0], [3], [1, 3]])
def test_layers_that_do_not_exist_cannot_stay(kept):
    with pytest.raises(ValueError, match="of 2"):
        keep_layers(load_backbone("toy"), kept)


def test_the_first_layers_are_a_copy_of_their_own():
    whole = load_backbone("toy").eval()
    first = first_layers(whole, 1)
    assert (whole.depth, len(whole.layers), first.depth) == (2, 2, 1)
    with torch.no_grad():
        assert torch.equal(first(batch()).hidden, whole.layer(1, whole.embed(batch())).hidden)
        for parameter in first.parameters():
            parameter.zero_()
        assert whole(batch()).hidden.abs().max() > 0
