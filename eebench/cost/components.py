"""Measures the components of a model on its real modules, traced by fvcore.

fvcore counts one multiply-accumulate as one operation. It knows no fused attention (it would count zero), so
`scaled_dot_product_attention` gets a handle here, and operations that hide products it cannot see are refused
instead of being undercounted. Traces run on the `meta` device as well: shapes are enough.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from math import prod
from typing import Any

import torch
from torch import Tensor, nn

from eebench.backbones.base import Batch, State
from eebench.cost.operations import SIMILARITY, ModelCost, Operations, Polynomial, fit, gram_matrix
from eebench.errors import ModelError
from eebench.model import MultiExitModel
from eebench.rules.base import Signals

with warnings.catch_warnings():
    # Importing fvcore scripts a loss we never use, which newer torch calls deprecated.
    warnings.simplefilter("ignore", DeprecationWarning)
    from fvcore.nn import FlopCountAnalysis
    from fvcore.nn.jit_handles import get_shape

InputsAt = Callable[[int], tuple[Tensor, ...]]
Counts = Mapping[str, "Counter[str]"]

# Three lengths fix a quadratic, the fourth checks it. Odd and even, short enough for any position table.
TRACED_LENGTHS = (6, 10, 17, 23)

LINEAR = ("linear", "addmm", "mm", "conv")
MATMUL = ("matmul", "bmm", "baddbmm", "mv", "dot", "einsum", "scaled_dot_product_attention")
ELEMENTWISE = ("add", "mul")
NORMALIZATION = ("layer_norm", "batch_norm", "group_norm", "instance_norm")

# Operations with products inside for which there is no handle.
REFUSED = frozenset(
    f"aten::{name}"
    for name in (
        *("addbmm", "addmv", "addr", "cdist", "inner", "outer", "tensordot", "bilinear", "lstm", "gru"),
        *(
            "_native_multi_head_attention",
            "_transformer_encoder_layer_fwd",
            "chain_matmul",
            "linalg_multi_dot",
        ),
    )
)


def measure(module: nn.Module, inputs_at: InputsAt) -> Operations:
    """Operations of `module` for one sample, as polynomials of the sequence length.

    `inputs_at(n)` gives the positional inputs at n tokens, batch size 1, on the module's device. Raises
    ModelError when the module hides operations that cannot be counted, or is not quadratic in n.

    Example: ``measure(nn.Linear(768, 3072), lambda n: (torch.zeros(1, n, 768),)).linear(128)`` is 301989888.
    """
    with _evaluating(module):
        counts = [_trace(_Alone(module), inputs_at(length))[""] for length in TRACED_LENGTHS]
    return _operations(counts)


def model_cost(model: MultiExitModel) -> ModelCost:
    """Operations of every component of `model`: embedding, each layer, each exit, for one sample.

    The whole path is traced once per length and read component by component, so layers of different widths
    are told apart. Parameters may be on any device, `meta` included; the training mode is left as it was.
    """
    device = next(model.parameters()).device
    path = _Path(model)
    with _evaluating(model):
        traces = [_trace(path, _token_inputs(length, device)) for length in TRACED_LENGTHS]

    def part(name: str, layers: int = 0) -> Operations:
        return _operations([trace[f"parts.{name}"] for trace in traces], layers)

    extras = {name: part(name) for name in path.extras}
    if "similarity" in model.kinds:
        extras[SIMILARITY] = gram_matrix(model.backbone.width)
    embedding = part("embedding")
    reads = tuple(model.reads(layer) for layer in range(1, layer_count(model) + 1))
    return ModelCost(
        embedding=replace(embedding, elementwise=embedding.elementwise - added_in_place(model)),
        layers=tuple(part(f"layer_{layer}", layers=1) for layer in range(1, layer_count(model) + 1)),
        exits={layer: part(f"exit_{layer}") for layer in model.exit_layers},
        classifier=ordinary_classifier(model.backbone.width, path.classes),
        extras=extras,
        reads=reads if any(reads) else (),
    )


def added_in_place(model: MultiExitModel) -> Polynomial:
    """Elements of the position embeddings, which the library that COST-EFF profiled added in place, uncounted.

    Its own factorised embeddings are summed out of place.
    """
    words = getattr(getattr(model.backbone, "embeddings", None), "word_embeddings", None)
    return Polynomial(c1=words.embedding_dim) if isinstance(words, nn.Embedding) else Polynomial()


def ordinary_classifier(width: int, classes: int) -> Operations:
    """BERT's own classifier on the first token: pooler (width x width, tanh) and a linear head."""
    with torch.device("meta"):
        classifier = nn.Sequential(nn.Linear(width, width), nn.Tanh(), nn.Linear(width, classes))
        return measure(classifier, lambda _: (torch.zeros(1, width),))


def _token_inputs(length: int, device: torch.device) -> tuple[Tensor, ...]:
    """`input_ids`, `mask`, `segments` [1, length]: one sample without padding."""
    zeros = torch.zeros(1, length, dtype=torch.int64, device=device)
    return zeros, torch.ones_like(zeros, dtype=torch.bool), torch.zeros_like(zeros)


class _Part(nn.Module):
    """Gives what `function` does a name of its own in the trace; holds no parameters and no submodules."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self._function = (function,)

    def forward(self, *inputs: Any) -> Any:
        return self._function[0](*inputs)


class _Alone(_Part):
    """One module, traced as a whole.

    The tracer takes parameters only from the module it is given; the module itself stays outside, because
    fvcore hangs hooks on submodules and leaves them there when a trace fails.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__(module)
        _adopt(self, module)


class _Path(nn.Module):
    """The way through all layers, exits and extra parts, each step named."""

    def __init__(self, model: MultiExitModel) -> None:
        super().__init__()
        self.depth, self.exit_layers, self.classes = layer_count(model), model.exit_layers, 0
        layers = range(1, self.depth + 1)
        beside = {
            layer: {f"{name}_{layer}": part for name, part in model.parts(layer).items()} for layer in layers
        }
        self.beside = {layer: tuple(found) for layer, found in beside.items()}
        self.extras = [name for found in self.beside.values() for name in found]
        steps: dict[str, Callable[..., Any]] = {"embedding": model.embed}
        steps |= {f"layer_{layer}": model.layer for layer in layers}
        steps |= {name: part for found in beside.values() for name, part in found.items()}
        steps |= {f"exit_{layer}": model.signals for layer in self.exit_layers}
        self.parts = nn.ModuleDict({name: _Part(step) for name, step in steps.items()})
        _adopt(self, model)

    def forward(self, input_ids: Tensor, mask: Tensor, segments: Tensor) -> tuple[Tensor, ...]:
        """All that any part gives, and the last hidden states, so that nothing is dead code."""
        state: State = self.parts["embedding"](Batch(input_ids, mask, segments))
        outputs: list[Tensor] = []
        for layer in range(1, self.depth + 1):
            outputs += [self.parts[name](state) for name in self.beside[layer]]
            state = self.parts[f"layer_{layer}"](layer, state)
            if layer in self.exit_layers:
                signals: Signals = self.parts[f"exit_{layer}"](layer, state)
                outputs += [tensor for tensor in (signals.logits, signals.score) if tensor is not None]
                self.classes = signals.required_logits().shape[-1]
        return *outputs, state.hidden


def layer_count(model: MultiExitModel) -> int:
    """All layers there are: those behind the last exit, and those of every member of a cascade."""
    return max(model.depth, model.backbone.depth)


def _adopt(tracer: nn.Module, module: nn.Module) -> None:
    for index, parameter in enumerate(module.parameters()):
        tracer.register_parameter(f"parameter_{index}", parameter)


def _trace(module: nn.Module, inputs: tuple[Tensor, ...]) -> Counts:
    """fvcore's counts by submodule name ("" is the whole) and operator."""
    analysis = FlopCountAnalysis(module, inputs)
    analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).tracer_warnings("none")
    analysis.set_op_handle(
        **{f"aten::{name}": _product for name in ("matmul", "bmm", "mv", "dot")},
        **{"aten::baddbmm": lambda inputs, outputs: _product(inputs[1:], outputs)},
        **{"aten::scaled_dot_product_attention": _attention},
        **{f"aten::{name}": _elements for name in ELEMENTWISE},
    )
    counts: Counts = analysis.by_module_and_operator()
    refused = sorted(REFUSED & analysis.unsupported_ops().keys())
    if refused:
        raise ModelError(
            f"cannot count the operations of {refused[0].removeprefix('aten::')}; "
            "write the component with linear layers, matmul or scaled_dot_product_attention."
        )
    return counts


def _product(inputs: Sequence[Any], outputs: Sequence[Any]) -> int:
    """MACs of a product of two tensors: output elements times the inner size, whatever is broadcast."""
    return int(prod(get_shape(outputs[0])) * get_shape(inputs[0])[-1])


def _attention(inputs: Sequence[Any], outputs: Sequence[Any]) -> Counter[str]:
    """MACs of score and context: rows of the query x keys x (head size + value size); each score is masked by a sum."""
    query, key, value = (get_shape(tensor) for tensor in inputs[:3])
    scores = int(prod(query[:-1]) * key[-2])
    return Counter({"scaled_dot_product_attention": scores * (query[-1] + value[-1]), "add": scores})


def _elements(inputs: Sequence[Any], outputs: Sequence[Any]) -> int:
    """Elements of what a sum or product gives; single numbers, such as a length, count nothing."""
    shape = get_shape(outputs[0])
    return int(prod(shape)) if shape else 0


def _operations(counts: Sequence[Counter[str]], layers: int = 0) -> Operations:
    """Fits each group of operators; `counts` are those of `TRACED_LENGTHS`, in that order."""
    linear, matmul, normalization, elementwise = (
        fit(TRACED_LENGTHS, [sum(int(count[name]) for name in group) for count in counts])
        for group in (LINEAR, MATMUL, NORMALIZATION, ELEMENTWISE)
    )
    return Operations(linear, matmul, normalization, layers, elementwise)


@contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients or the opaque fused attention module; all restored afterwards."""
    training = {part: part.training for part in module.modules()}
    fused = torch.backends.mha.get_fastpath_enabled()
    module.eval()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.no_grad():
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)
        for part, was_training in training.items():
            part.training = was_training
