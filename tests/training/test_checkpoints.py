import pytest
import torch

from eebench.errors import DamagedError
from eebench.training.checkpoints import Checkpoint, CheckpointFile, Progress, part, restore

CPU = torch.device("cpu")


def trained(steps):
    """A small model after some AdamW steps with dropout."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Dropout(0.5), torch.nn.Linear(8, 1))
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, fused=True)
    go(model, optimizer, steps)
    return model, optimizer


def go(model, optimizer, steps):
    for _ in range(steps):
        model(torch.ones(3, 4)).square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()


def test_going_on_equals_never_having_stopped(tmp_path):
    whole, _ = trained(5)
    model, optimizer = trained(3)
    CheckpointFile(tmp_path).save(Checkpoint(Progress(steps=3)), model, optimizer, CPU)
    torch.manual_seed(99)  # whatever happened in between
    other = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Dropout(0.5), torch.nn.Linear(8, 1))
    fresh = torch.optim.AdamW(other.parameters(), lr=0.1, fused=True)
    checkpoint, tensors = CheckpointFile(tmp_path).load()
    restore(tensors, other, fresh, CPU)
    go(other, fresh, 2)
    assert checkpoint.progress == Progress(steps=3)
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), other.parameters(), strict=True))


def test_progress_and_best_weights_come_back(tmp_path):
    model, optimizer = trained(1)
    progress = Progress(1, 2, 30, [{"stage": "one", "loss": 0.5}], 0.75, 1)
    CheckpointFile(tmp_path).save(Checkpoint(progress, {"0.weight": torch.ones(2)}), model, optimizer, CPU)
    checkpoint, tensors = CheckpointFile(tmp_path).load()
    assert checkpoint.progress == progress and checkpoint.best["0.weight"].tolist() == [1.0, 1.0]
    assert set(part(tensors, "model")) == {"0.weight", "0.bias", "2.weight", "2.bias"}


def test_only_the_newest_is_kept_and_clear_removes_it(tmp_path):
    model, optimizer = trained(1)
    file = CheckpointFile(tmp_path)
    for steps in (1, 2):
        file.save(Checkpoint(Progress(steps=steps)), model, optimizer, CPU)
    assert [path.name for path in tmp_path.glob("*.safetensors")] == ["checkpoint-2.safetensors"]
    file.clear()
    assert not list(tmp_path.iterdir()) and file.load() is None


def test_a_damaged_checkpoint_is_noticed(tmp_path):
    model, optimizer = trained(1)
    file = CheckpointFile(tmp_path)
    file.save(Checkpoint(Progress(steps=1)), model, optimizer, CPU)
    path = tmp_path / "checkpoint-1.safetensors"
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)
    with pytest.raises(DamagedError, match="does not match its checksum"):
        file.load()
