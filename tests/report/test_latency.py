"""The section on measured time: its tables, what it says in words, its figures."""

from dataclasses import replace

import pytest

from eebench.errors import DataError
from eebench.latency.table import LATENCY, LatencyRow
from eebench.report.latency import ALL_FASTER, MEANING, latency_figures, latency_section

FULL = LatencyRow(
    task="RTE", backbone="toy-bert", method="finetune", rule="budgeted", setting="exit=6", executor="full",
    batch_size=32, score=0.8346, mean_exit=6.0, speedup_flops=1.0, seconds_per_sample=0.01234,
    seconds_low=0.012, seconds_high=0.013, throughput=81.0, p50_ms=200.0, p95_ms=300.0, p99_ms=310.5,
    speedup_time=1.0, efficiency=1.0, repeats=5, samples=277, threads=2, precision="fp32",
    convention="full_2mac@real", device="Some | CPU",
)  # fmt: skip
FAST = replace(
    FULL, method="pabee", rule="patience", setting="patience=3", executor="compact", score=0.82, mean_exit=3.1,
    speedup_flops=2.0, seconds_per_sample=0.0065, speedup_time=1.9, efficiency=0.95,
)  # fmt: skip
SLOW = replace(FAST, executor="pooled", speedup_time=0.8, efficiency=0.4)
FULL_TABLE = """\
| method     | rule     | setting    | executor   |   score |   mean exit |   ms / sample |          range |    p50 / p95 / p99 ms |   FLOPs |   time |   efficiency |
|:-----------|:---------|:-----------|:-----------|--------:|------------:|--------------:|---------------:|----------------------:|--------:|-------:|-------------:|
| Fine-tuned | budgeted | exit=6     | full       |    83.5 |        6.00 |         12.34 | 12.00 to 13.00 | 200.0 / 300.0 / 310.5 |   1.00x |  1.00x |         1.00 |
| PABEE      | patience | patience=3 | compact    |    82.0 |        3.10 |          6.50 | 12.00 to 13.00 | 200.0 / 300.0 / 310.5 |   2.00x |  1.90x |         0.95 |"""  # noqa: E501


def test_the_section(tiny):
    LATENCY.write(tiny, [FULL, FAST])
    figure = latency_figures(tiny)[0]
    assert list(latency_section(tiny)) == [
        "### toy-bert, RTE", "Batches of 32:", FULL_TABLE, ALL_FASTER, figure.image,
        "Measured on Some \\| CPU: 2 threads, fp32, 277 samples, 5 passes; FLOPs under full_2mac@real.", MEANING,
    ]  # fmt: skip


def test_what_is_slower_is_said_in_words(tiny):
    LATENCY.write(tiny, [FULL, FAST, SLOW])
    blocks = list(latency_section(tiny))
    assert (
        "- Slower than the full model: PABEE, patience patience=3, pooled, batches of 32 on RTE saves FLOPs (2.00x) "
        "and costs time (0.80x)."
    ) in blocks
    assert ALL_FASTER not in blocks


def test_speedups_against_the_library_are_said_in_words(tiny):
    library = replace(FULL, executor="stock", speedup_time=0.95, efficiency=0.95)
    LATENCY.write(tiny, [FULL, library, FAST, replace(FAST, speedup_flops=1.6)])
    blocks = list(latency_section(tiny))
    assert (  # 1.9 / 0.95 = 2; 2 / 2 = 1 and 2 / 1.6 = 1.25
        "Against *stock*, the full model by the forward pass of transformers, speed-ups in time are 2.00x, "
        "efficiencies 1.00 to 1.25."
    ) in blocks
    assert "| stock      |" in blocks[2] and ALL_FASTER in blocks
    assert [figure.path for figure in latency_figures(tiny)] == [
        "figures/latency-RTE-toy-bert-compact-32.svg"
    ]
    LATENCY.write(tiny, [FULL, library])
    assert not any("Against *stock*" in block for block in latency_section(tiny))


def test_places_and_sizes_are_apart(tiny):
    one = replace(FULL, batch_size=1)
    alone = replace(FAST, batch_size=1, executor="sequential", repeats=1)
    card = replace(FULL, device="A Card")
    LATENCY.write(tiny, [one, FULL, alone, FAST, card])
    blocks = list(latency_section(tiny))
    assert [block for block in blocks if block.startswith(("###", "Batches", "One"))] == [
        "### toy-bert, RTE", "One sample at a time:", "Batches of 32:", "### toy-bert, RTE", "Batches of 32:",
    ]  # fmt: skip
    assert any("1 pass;" in block and "5 passes;" in block for block in blocks)
    assert [figure.path for figure in latency_figures(tiny)] == [
        "figures/latency-RTE-toy-bert-sequential-1.svg", "figures/latency-RTE-toy-bert-compact-32.svg",
    ]  # fmt: skip


def test_without_measured_times_there_is_nothing(tiny, tmp_path):
    assert list(latency_section(tiny)) == [] == latency_figures(tiny)
    assert list(latency_section(tmp_path / "nowhere")) == []


def test_names_stand_in_for_titles(tmp_path):
    LATENCY.write(tmp_path, [FULL, FAST])
    assert "| pabee    |" in list(latency_section(tmp_path))[2]


def test_a_damaged_file_is_an_error(tmp_path):
    (tmp_path / "latency.csv").write_text("task\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"latency\.csv has not the columns"):
        list(latency_section(tmp_path))
