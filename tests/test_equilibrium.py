import pytest
import torch

from eebench.equilibrium import scale_gradient


def test_forward_is_the_identity_and_the_gradient_is_scaled():
    x = torch.tensor([1.0, -2.0], requires_grad=True)
    y = scale_gradient(x, 0.25)
    assert torch.equal(y, x)
    (3 * y).sum().backward()
    assert x.grad.tolist() == [0.75, 0.75]


def test_telescoping_gives_each_layer_the_average_of_the_exits_after_it():
    """Five layers x -> w x with an exit each whose loss is its value: compared with gradients taken apart."""
    torch.manual_seed(0)
    start = [torch.randn((), dtype=torch.float64) for _ in range(5)]
    weights = [w.clone().requires_grad_() for w in start]
    hidden, total = torch.ones((), dtype=torch.float64), 0.0
    for layer, w in enumerate(weights, start=1):
        hidden = scale_gradient(hidden * w, 1 / (5 - layer + 1))
        total = total + hidden
        hidden = scale_gradient(hidden, float(5 - layer)) if layer < 5 else hidden
    total.backward()
    for k in range(1, 6):
        apart = []
        for exit_layer in range(k, 6):
            fresh = [w.clone().requires_grad_() for w in start]
            value = torch.ones((), dtype=torch.float64)
            for w in fresh[:exit_layer]:
                value = value * w
            value.backward()
            apart.append(float(fresh[k - 1].grad))
        assert float(weights[k - 1].grad) == pytest.approx(sum(apart) / (5 - k + 1), abs=1e-15)
