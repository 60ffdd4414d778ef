import torch

from eebench.backbones.toy import toy_backbone


def test_the_toy_is_always_the_same_and_leaves_the_generator_alone():
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    first, second = toy_backbone(), toy_backbone()
    assert torch.equal(torch.rand(1), expected)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert (first.depth, toy_backbone(1).depth) == (2, 1)
