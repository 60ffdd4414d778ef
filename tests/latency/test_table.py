from dataclasses import asdict, replace

import pytest

from eebench.errors import DataError
from eebench.latency.table import LATENCY, LatencyRow, slower_than_full
from eebench.timings import merged

FULL = LatencyRow(
    task="rte", backbone="toy", method="finetune", rule="budgeted", setting="exit=6", executor="full",
    batch_size=32, score=0.83456, mean_exit=6.0, speedup_flops=1.0, seconds_per_sample=0.0123456789,
    seconds_low=0.012, seconds_high=0.013, throughput=81.0, p50_ms=200.0, p95_ms=300.0, p99_ms=310.5,
    speedup_time=1.0, efficiency=1.0, repeats=5, samples=277, threads=2, precision="fp32",
    convention="full_2mac@real", device="Some, CPU",
)  # fmt: skip
FAST = replace(FULL, method="pabee", rule="patience", setting="patience=3", executor="compact", speedup_flops=2.0,
               speedup_time=1.9, efficiency=0.95)  # fmt: skip
SLOW = replace(FAST, executor="pooled", speedup_time=0.8, efficiency=0.4)


def test_what_is_run_and_its_times_come_first_in_order():
    assert LATENCY.columns[:22] == (
        "task", "backbone", "method", "rule", "setting", "executor", "batch_size", "score", "mean_exit",
        "speedup_flops", "seconds_per_sample", "seconds_low", "seconds_high", "throughput", "p50_ms", "p95_ms",
        "p99_ms", "speedup_time", "efficiency", "repeats", "samples", "threads",
    )  # fmt: skip


def test_rows_come_back_rounded(tmp_path):
    path = LATENCY.write(tmp_path / "glue", [FULL, FAST])
    assert path.name == "latency.csv"
    first, second = LATENCY.read(tmp_path / "glue")
    assert first == replace(FULL, score=0.8346, seconds_per_sample=0.0123457)
    assert asdict(second) == {**asdict(FAST), "score": 0.8346, "seconds_per_sample": 0.0123457}
    assert path.read_text(encoding="utf-8").splitlines()[1].endswith(',full_2mac@real,"Some, CPU"')


def test_without_a_file_there_are_no_rows(tmp_path):
    assert LATENCY.read(tmp_path) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("task\n", "has not the columns"),
        (",".join(LATENCY.columns) + "\na,b\n", "line 2"),
        (",".join(LATENCY.columns) + "\n" + ",".join(["x"] * len(LATENCY.columns)) + "\n", "line 2: .*'x'"),
        ('"', "is not a CSV table"),
    ],
)
def test_a_damaged_file_is_named_with_the_way_out(tmp_path, text, message):
    folder = tmp_path / "glue"
    folder.mkdir()
    (folder / "latency.csv").write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=message) as caught:
        LATENCY.read(folder)
    assert "`eebench latency --suite glue` writes it anew" in str(caught.value)


def test_a_part_replaces_its_methods_and_the_whole_its_places():
    old = [FULL, FAST, SLOW, replace(FAST, task="mrpc"), replace(FAST, device="A Card")]
    again = replace(FAST, speedup_time=1.5)
    assert merged(old, [again], whole=False) == [FULL, *old[3:], again]
    single = replace(again, batch_size=1)
    assert merged(old, [single], whole=False) == [*old, single]
    assert merged(old, [again], whole=True) == [*old[3:], again]


def test_what_is_slower_is_said_in_words():
    library = replace(FULL, executor="stock", speedup_time=0.9)
    assert list(slower_than_full([FULL, library, FAST, SLOW, replace(FULL, speedup_time=0.99)])) == [
        "Slower than the full model: pabee, patience patience=3, pooled, batches of 32 on rte saves FLOPs (2.00x) and "
        "costs time (0.80x)."
    ]
