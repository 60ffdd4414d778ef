import xml.etree.ElementTree as ET
from dataclasses import replace

from eebench.latency.table import LatencyRow
from eebench.report.figures import Caption
from eebench.report.latency_figure import latency_svg

FULL = LatencyRow(
    task="RTE", backbone="toy", method="finetune", rule="budgeted", setting="exit=6", executor="full",
    batch_size=32, score=0.83, mean_exit=6.0, speedup_flops=1.0, seconds_per_sample=0.01,
    seconds_low=0.01, seconds_high=0.01, throughput=100.0, p50_ms=1.0, p95_ms=1.0, p99_ms=1.0,
    speedup_time=1.0, efficiency=1.0, repeats=5, samples=9, threads=1, precision="fp32",
    convention="full_2mac@real", device="CPU",
)  # fmt: skip
FAST = replace(FULL, method="pabee", executor="compact", score=0.8, speedup_flops=2.0, speedup_time=1.6)
CAPTION = Caption("RTE, toy, compact, batches of 32", "accuracy")


def texts(svg):
    root = ET.fromstring(svg)
    return ["".join(node.itertext()).strip() for node in root.iter("{http://www.w3.org/2000/svg}text")]


def test_two_panels_one_legend_and_words_from_data_as_they_are():
    seen = texts(latency_svg([FULL, FAST], {"pabee": "P <b> & $x$"}, CAPTION))
    for text in ("FLOPs per sample (share of the full model)", "time per sample (share of the full model)",
                 "accuracy (%)", "RTE, toy, compact, batches of 32", "finetune (full)"):  # fmt: skip
        assert seen.count(text) == 1
    assert seen.count("P <b> & $x$") == 1


def test_the_same_rows_give_the_same_bytes_and_other_times_others():
    first = latency_svg([FULL, FAST], {}, CAPTION)
    assert first == latency_svg([FULL, FAST], {}, CAPTION)
    assert first != latency_svg([FULL, replace(FAST, speedup_time=0.9)], {}, CAPTION)
    assert first != latency_svg([FULL, replace(FAST, speedup_flops=1.5)], {}, CAPTION)
