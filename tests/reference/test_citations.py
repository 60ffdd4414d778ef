"""What the code and the suites cite: sections by their headings and papers by their titles."""

import re
from pathlib import Path

import pytest

from eebench.reference import PAPERS

ROOT = Path(__file__).parents[2]

# Every section that a file of the package cites, and its heading in the paper, read there.
SECTIONS = {
    ("eebench/contrastive.py", "3.3"): "CsdBERT: Contrastive Loss",
    ("eebench/methods/csdbert.py", "2"): "Hinton et al. 2015: Distillation",
    ("eebench/methods/gaml.py", "6.4"): "GAML-BERT: Experimental settings",
    ("eebench/methods/joint.py", "3.2"): "DeeBERT: DeeBERT at fine-tuning",
    ("eebench/methods/pairwise.py", "3.1"): "GAML-BERT: Pilot experiments",
    ("eebench/rules/alignment.py", "3.6"): "CsdBERT: Centered Kernel Alignment",
    ("eebench/search.py", "6.4"): "GAML-BERT: Experimental settings",
}


def test_every_cited_section_has_the_heading_it_is_cited_for():
    cited = {
        (str(path.relative_to(ROOT)), number)
        for folder in ("eebench", "suites", "benchmarks")
        for path in (ROOT / folder).rglob("*")
        if path.suffix in (".py", ".yaml")
        for number in re.findall(r"Secs?\. (\d(?:\.\d)*)", path.read_text(encoding="utf-8"))
    }
    assert cited == set(SECTIONS)


@pytest.mark.parametrize(
    ("suite", "paper"),
    [("gaml", "GAML-BERT"), ("csdbert", "CsdBERT"), ("csdbert-elue", "CsdBERT"), ("smartbert", "SmartBERT"),
     ("costeff", "COST-EFF")],
)  # fmt: skip
def test_a_suite_names_its_paper_by_its_title(suite, paper):
    header = (ROOT / "suites" / f"{suite}.yaml").read_text(encoding="utf-8").split("\nname:")[0]
    assert f'"{PAPERS[paper].title}"' in " ".join(line.lstrip("# ") for line in header.splitlines())
