import torch

from eebench.backbones.base import Batch, stretched
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


def test_states_join_padded_to_the_longest_and_rows_come_out_again():
    backbone = toy_backbone().eval()
    ids = torch.arange(3, 33).view(2, 15) % 100
    long = Batch(ids, torch.ones(2, 15).bool(), torch.zeros(2, 15).long(), padded=False)
    short = Batch(ids[:, :4], torch.ones(2, 4).bool(), torch.zeros(2, 4).long(), padded=False)
    with torch.no_grad():
        states = [backbone.layer(1, backbone.embed(batch)) for batch in (short, long)]
        joined = backbone.layer(2, backbone.join(states))
        alone = [backbone.layer(2, state) for state in states]
    assert joined.mask.sum(dim=1).tolist() == [4, 4, 15, 15]
    out = [backbone.select(joined, torch.tensor([0, 1]), 4), backbone.select(joined, torch.tensor([3, 2]))]
    assert torch.allclose(out[0].hidden, alone[0].hidden, atol=1e-5)
    assert torch.allclose(out[1].hidden, alone[1].hidden[[1, 0]], atol=1e-5)


def test_whole_states_join_without_a_mask():
    backbone = toy_backbone()
    batch = Batch(torch.full((1, 5), 4), torch.ones(1, 5).bool(), torch.zeros(1, 5).long(), padded=False)
    state = backbone.embed(batch)
    joined = backbone.join([state, state])
    assert joined.attention is None and joined.hidden.shape == (2, 5, 32)


def test_stretched_by_hand():
    one, two = torch.ones(1, 2), torch.full((2, 3), 2.0)
    assert stretched([one, two], 3).tolist() == [[1, 1, 0], [2, 2, 2], [2, 2, 2]]
    assert stretched([two, two], 3).shape == (4, 3)
