import torch

from eebench.backbones.base import Batch
from eebench.backbones.toy import toy_backbone


def test_forward_runs_every_layer():
    backbone = toy_backbone().eval()
    batch = Batch(
        torch.tensor([[1, 5, 2]]), torch.ones(1, 3, dtype=torch.bool), torch.zeros(1, 3).long(), False
    )
    state = backbone.embed(batch)
    for layer in (1, 2):
        state = backbone.layer(layer, state)
    assert torch.equal(backbone(batch).hidden, state.hidden)


def test_a_batch_moves_whole():
    batch = Batch(torch.ones(1, 2).long(), torch.ones(1, 2).bool(), torch.zeros(1, 2).long(), padded=False)
    moved = batch.to(torch.device("meta"))
    assert {moved.input_ids.device.type, moved.mask.device.type, moved.segments.device.type} == {"meta"}
    assert moved.padded is False
