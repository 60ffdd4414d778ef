import subprocess
import sys

import pytest

from eebench.cost.shapes import SHAPES, Shape, known_shape

# COST-EFF Table 2: name, L, H, heads, head size, F.
TABLE_2 = [
    ("bert-base-uncased", 12, 768, 12, 64, 3072),
    ("bert-8l-256h", 8, 256, 4, 64, 1024),
    ("tinybert-4l", 4, 312, 12, 26, 1200),
    ("bert-12l-256h", 12, 256, 4, 64, 1024),
    ("bert-6l-768h", 6, 768, 12, 64, 3072),
    ("tinybert-6l", 6, 768, 12, 64, 3072),
    ("distilbert-6l", 6, 768, 12, 64, 3072),
    ("elasticbert-6l", 6, 768, 12, 64, 3072),
    ("bert-12l-512h", 12, 512, 8, 64, 2048),
]


@pytest.mark.parametrize(("name", "layers", "width", "heads", "head_size", "feed_forward"), TABLE_2)
def test_table_2_of_cost_eff(
    name: str, layers: int, width: int, heads: int, head_size: int, feed_forward: int
):
    assert known_shape(name) == Shape(layers, width, heads, feed_forward)
    assert width == heads * head_size


def test_the_shapes_beside_the_table():
    """BERT-large of the BERT paper, and all-MiniLM-L6."""
    assert known_shape("bert-large-uncased") == Shape(24, 1024, 16, 4096)
    assert known_shape("minilm-l6") == Shape(6, 384, 12, 1536)


def test_every_named_shape_splits_into_heads():
    assert all(shape.width % shape.heads == 0 for shape in SHAPES.values())


def test_compact_names_follow_one_scheme():
    assert known_shape("bert-3l-768h") == Shape(3, 768, 12, 3072)
    assert known_shape("google/bert_uncased_L-8_H-256_A-4") == SHAPES["bert-8l-256h"]


@pytest.mark.parametrize(
    "name", ["bert-0l-768h", "bert-6l-0h", "bert-6l-100h", "google/bert_uncased_L-2_H-128_A-3", "bert", ""]
)
def test_names_that_tell_no_size(name: str):
    assert known_shape(name) is None


def test_shapes_load_without_heavy_imports():
    code = (
        "import sys; import eebench.cost.shapes, eebench.cost.paths, eebench.cost.conventions; "
        "print([name for name in ('torch', 'transformers', 'fvcore', 'pandas') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
