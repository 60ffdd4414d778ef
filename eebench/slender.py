"""Really smaller layers: heads, feed-forward neurons and embedding ranks cut out of stock BERT-type encoders.

Slicing keeps the order of what stays, so a sliced layer computes what the whole layer computes with the removed
parts masked. Hidden width and head size never change (COST-EFF section 3.2; head pruning).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from eebench.backbones.base import Backbone
from eebench.errors import ModelError

SUPPORTED = "BERT, RoBERTa, ELECTRA, DistilBERT or ElasticBERT"


@dataclass(frozen=True)
class Size:
    """What a layer and the word embeddings keep: attention heads, feed-forward neurons, rank (None: unfactorised)."""

    heads: int
    feed_forward: int
    rank: int | None = None


@dataclass(frozen=True)
class LayerParts:
    """The matrices of one stock layer: Q, K, V [A, H]; `output` [H, A]; `inner` [F, H]; `outer` [H, F]."""

    attention: nn.Module
    query: nn.Linear
    key: nn.Linear
    value: nn.Linear
    output: nn.Linear
    inner: nn.Linear
    outer: nn.Linear

    @property
    def head_size(self) -> int:
        """Width of one attention head."""
        return int(self.attention.attention_head_size)  # type: ignore[arg-type]

    @property
    def heads(self) -> int:
        """Attention heads the layer has now."""
        return self.query.out_features // self.head_size

    @property
    def feed_forward(self) -> int:
        """Feed-forward neurons the layer has now."""
        return self.inner.out_features


PLACES = (
    ("attention.self", "attention.self.query", "attention.self.key", "attention.self.value",
     "attention.output.dense", "intermediate.dense", "output.dense"),
    ("attention", "attention.q_lin", "attention.k_lin", "attention.v_lin", "attention.out_lin", "ffn.lin1", "ffn.lin2"),
)  # fmt: skip
"""Where BERT's descendants, and DistilBERT, keep the parts of a layer, in the order of `LayerParts`."""


def layer_parts(layer: nn.Module) -> LayerParts:
    """The parts of a stock layer; ModelError when it is of a type that cannot be sliced."""
    modules = dict(layer.named_modules())
    for places in PLACES:
        if all(place in modules for place in places):
            return LayerParts(*(modules[place] for place in places))
    raise ModelError(
        f"layers of type {type(layer).__name__} cannot be slenderised (they share weights or a bias over heads); "
        f"use a backbone of type {SUPPORTED}."
    )


class FactorisedEmbedding(nn.Module):
    """Word embeddings as the product of V x R and a bias-free R x H (COST-EFF Eq. 1)."""

    def __init__(self, vocabulary: int, rank: int, width: int, padding: int | None = None) -> None:
        super().__init__()
        self.narrow = nn.Embedding(vocabulary, rank, padding_idx=padding)
        self.widen = nn.Linear(rank, width, bias=False)

    def forward(self, ids: Tensor) -> Tensor:
        """Token ids int64 [B, T] -> [B, T, H]."""
        wide: Tensor = self.widen(self.narrow(ids))
        return wide

    def product(self) -> Tensor:
        """The embedding matrix that the two factors stand for, [V, H]."""
        return self.narrow.weight.detach() @ self.widen.weight.detach().T


def word_embeddings(backbone: Backbone) -> nn.Embedding | FactorisedEmbedding:
    """The backbone's word embeddings, whole or factorised."""
    found: nn.Embedding | FactorisedEmbedding = backbone.embeddings.word_embeddings  # type: ignore[union-attr, assignment]
    return found


def embedding_width(backbone: Backbone) -> int:
    """Width of the word embeddings (H, less in some ELECTRAs)."""
    words = word_embeddings(backbone)
    return words.embedding_dim if isinstance(words, nn.Embedding) else words.widen.out_features


def embedding_rank(backbone: Backbone) -> int:
    """The highest rank the word embeddings V x H can be factorised to: the smaller of V and H."""
    words = word_embeddings(backbone)
    table = words if isinstance(words, nn.Embedding) else words.narrow
    return min(table.num_embeddings, embedding_width(backbone))


def size_of(backbone: Backbone) -> Size:
    """The size of the first layer and of the embeddings."""
    parts, words = layer_parts(backbone.layers[0]), word_embeddings(backbone)
    rank = None if isinstance(words, nn.Embedding) else words.widen.in_features
    return Size(parts.heads, parts.feed_forward, rank)


def keep_heads(layer: nn.Module, kept: Sequence[int]) -> None:
    """Cuts all attention heads but `kept` (counted from 0) out of a layer; their order stays."""
    parts = layer_parts(layer)
    heads = torch.tensor(chosen(kept, parts.heads, "heads"))
    rows = (heads[:, None] * parts.head_size + torch.arange(parts.head_size)).flatten()
    for projection in (parts.query, parts.key, parts.value):
        slice_linear(projection, rows=rows)
    slice_linear(parts.output, columns=rows)
    count_heads(parts.attention)


def keep_neurons(layer: nn.Module, kept: Sequence[int]) -> None:
    """Cuts all feed-forward neurons but `kept` (counted from 0) out of a layer; their order stays."""
    parts = layer_parts(layer)
    neurons = torch.tensor(chosen(kept, parts.feed_forward, "feed-forward neurons"))
    slice_linear(parts.inner, rows=neurons)
    slice_linear(parts.outer, columns=neurons)


def chosen(kept: Sequence[int], available: int, what: str) -> list[int]:
    """`kept` in ascending order, each once; ValueError when none is left or one does not exist."""
    order = sorted(set(kept))
    if not order or order[0] < 0 or order[-1] >= available:
        raise ValueError(f"cannot keep {what} {order}: there are {available}, and one must stay.")
    return order


def slice_linear(linear: nn.Linear, rows: Tensor | None = None, columns: Tensor | None = None) -> None:
    """Keeps the output `rows` and the input `columns` of a linear map, as new, smaller parameters."""
    weight = linear.weight.detach()
    bias = None if linear.bias is None else linear.bias.detach()
    if rows is not None:
        index = rows.to(weight.device)
        weight, bias = weight[index], None if bias is None else bias[index]
    if columns is not None:
        weight = weight[:, columns.to(weight.device)]
    replace_linear(linear, weight, bias)


def replace_linear(linear: nn.Linear, weight: Tensor, bias: Tensor | None) -> None:
    """Gives a linear map copies of `weight` [out, in] and `bias` [out], whatever their size."""
    linear.out_features, linear.in_features = weight.shape
    linear.weight = nn.Parameter(weight.clone())
    linear.bias = None if bias is None else nn.Parameter(bias.clone())  # type: ignore[assignment]


def count_heads(attention: nn.Module) -> None:
    """Lets a stock attention module know how many heads it has, under its own names."""
    query = attention.query if hasattr(attention, "query") else attention.q_lin
    assert isinstance(query, nn.Linear)
    heads = query.out_features // int(attention.attention_head_size)  # type: ignore[arg-type]
    for name, value in (
        ("num_attention_heads", heads),
        ("all_head_size", query.out_features),
        ("n_heads", heads),
    ):
        if hasattr(attention, name):
            setattr(attention, name, value)


def factorise(backbone: Backbone, rank: int) -> None:
    """Replaces the word embeddings by the best product of rank `rank`, from the truncated SVD of the current V x H.

    W1 = U_R S_R, W2 = V_R^T (COST-EFF Eq. 1); embeddings that are factorised already are multiplied out first.
    ValueError when the matrix has no such rank.
    """
    highest = embedding_rank(backbone)
    if not 1 <= rank <= highest:
        raise ValueError(f"cannot factorise word embeddings to rank {rank}: choose 1..{highest}.")
    words = word_embeddings(backbone)
    matrix = words.weight.detach() if isinstance(words, nn.Embedding) else words.product()
    left, scale, right = torch.linalg.svd(matrix.float(), full_matrices=False)
    padding = words.padding_idx if isinstance(words, nn.Embedding) else words.narrow.padding_idx
    factors = blank_factors(matrix, rank, padding)
    with torch.no_grad():
        factors.narrow.weight.copy_(left[:, :rank] * scale[:rank])
        factors.widen.weight.copy_(right[:rank].T)
    set_words(backbone, factors)


def blank_factors(matrix: Tensor, rank: int, padding: int | None) -> FactorisedEmbedding:
    """Factors of zeros, V x R and R x H for a matrix V x H, on its device; they draw no random numbers."""
    with torch.device("meta"):
        factors = FactorisedEmbedding(matrix.shape[0], rank, matrix.shape[1], padding)
    factors = factors.to_empty(device=matrix.device)
    for factor in factors.parameters():
        nn.init.zeros_(factor)
    return factors


def set_words(backbone: Backbone, words: nn.Module) -> None:
    """Puts `words` in the place of the backbone's word embeddings, in the mode of its neighbours."""
    embeddings = backbone.embeddings
    assert isinstance(embeddings, nn.Module)
    embeddings.word_embeddings = words.train(embeddings.training)


def shrink(backbone: Backbone, size: Size) -> None:
    """Gives every layer and the word embeddings `size` by keeping the first heads and neurons: a skeleton.

    The numbers mean nothing; it is for weights that are copied in afterwards, and for counting on the meta device.
    """
    for layer in backbone.layers:
        keep_heads(layer, range(size.heads))
        keep_neurons(layer, range(size.feed_forward))
    words = word_embeddings(backbone)
    if size.rank is not None and isinstance(words, nn.Embedding):
        set_words(backbone, blank_factors(words.weight, size.rank, words.padding_idx))


def conform(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Gives the linear maps and word embeddings in `model` the shapes that `weights` has under their names.

    The values of what changes shape are undefined until the weights are copied in. Nothing else is touched: a
    model that already has these shapes keeps its parameters.
    """
    heads = []
    for name, module in list(model.named_modules()):
        if isinstance(module, nn.Linear) and f"{name}.weight" in weights:
            resize_linear(module, weights[f"{name}.weight"])
        words = getattr(module, "word_embeddings", None)
        narrow = weights.get(f"{name}.word_embeddings.narrow.weight")
        if words is not None and narrow is not None:
            module.word_embeddings = resized_words(words, narrow.shape[1])
        # MPNet's maps have other names; nothing prunes them.
        if hasattr(module, "attention_head_size") and (hasattr(module, "query") or hasattr(module, "q_lin")):
            heads.append(module)
    for attention in heads:
        count_heads(attention)


def resize_linear(linear: nn.Linear, weight: Tensor) -> None:
    """Makes room in a linear map for `weight` [out, in] if it has another shape."""
    if linear.weight.shape != weight.shape:
        bias = None if linear.bias is None else linear.bias.new_zeros(weight.shape[0])
        replace_linear(linear, linear.weight.new_zeros(weight.shape), bias)


def resized_words(words: nn.Embedding | FactorisedEmbedding, rank: int) -> FactorisedEmbedding:
    """Word embeddings with factors of rank `rank`; the same module if that is what they are."""
    if isinstance(words, FactorisedEmbedding):
        if words.narrow.embedding_dim == rank:
            return words
        return blank_factors(words.product(), rank, words.narrow.padding_idx).train(words.training)
    return blank_factors(words.weight, rank, words.padding_idx).train(words.training)
