"""What the docstrings of methods' options say of defaults is what the options are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from eebench.heads import HeadConfig
from eebench.methods.catalogue import BUILT_IN, find_method

Said = Mapping[str, Mapping[str, Any]]
RECIPES: Mapping[str, Said] = {
    "finetune": {"the last layer's pooled state": {"head.pooler": "own"}, "three epochs": {"epochs": 3}},
    "first-k": {"how many layers are kept": {"k": 6}},
    "berxit": {
        "batch 8, three epochs, no warm-up, no decay, own poolers": {
            "batch_size": 8, "epochs": 3, "warmup_share": 0.0, "warmup_epochs": None, "weight_decay": 0.0,
            "head.pooler": "own",
        },
        "the paper does not, and is followed (`joint_with_last`)": {"joint_with_last": True},
    },
    "deebert": {
        "batch 8, three epochs a stage, no warm-up, no decay, own pooler at each exit": {
            "batch_size": 8, "epochs": 3, "warmup_share": 0.0, "warmup_epochs": None, "weight_decay": 0.0,
            "head.pooler": "own",
        },
        "`exit_epochs` and `exit_lr` (None: the same)": {"exit_epochs": None, "exit_lr": None},
    },
    "fastbert": {
        "stage 1 three epochs at 2e-5, stage 2 five epochs at ten times that": {
            "epochs": 3, "lr": 2e-5, "exit_epochs": 5, "exit_lr": None, "head.attention": "fastbert",
        },
        "the code the teacher's (the default here)": {"divergence": "teacher_first"},
    },
    "fastbert-ga": {"every exit learns from the last one only": {"kd_pairs": "to_last"}},
    "elasticbert": {
        "plain sum, weight decay 0.1, warm-up 6%, five epochs, own poolers": {
            "exit_weights": "sum", "weight_decay": 0.1, "warmup_share": 0.06, "warmup_epochs": None, "epochs": 5,
            "head.pooler": "own",
        },
        "the epoch with the best mean over exits": {"select": "best"},
    },
    "csdbert": {
        "five epochs at 2e-5 in batches of 32": {"epochs": 5, "lr": 2e-5, "batch_size": 32},
        "(alpha, beta, tau, T,": {"alpha": 0.01, "beta": 1.0, "tau": 0.5, "kd_temperature": 4.0},
        "no weight decay, so there is none": {"weight_decay": 0.0},
        "(6%, linear decay)": {"warmup_share": 0.06, "warmup_epochs": None, "schedule": "linear"},
        "The best epoch by the mean over exits is kept": {"select": "best"},
        "judged on a held-out tenth of train": {"holdout": 0.1},
        "L_KD is multiplied by T^2": {"kd_t2": True},
    },
    "smartbert": {
        "at the paper's batch size": {"batch_size": 32},
        "so these are the run script's": {
            "gate_weight": 0.04, "ccl1_weight": 0.01, "ccl2_weight": 0.05, "ccl1_temperature": 0.5,
            "ccl2_temperature": 0.55, "epochs": 5, "exit_epochs": 4, "weight_decay": 0.01,
        },
        "`lr` is the best of {1e-5, 2e-5, 5e-5} in the paper": {"lr": 2e-5},
        "each stage warms up for ten steps and decays": {
            "warmup_steps": 10, "warmup_share": 0.0, "warmup_epochs": None, "schedule": "linear",
        },
    },
    "distilbert": {
        "equal weights, temperature 2": {"alpha": 0.5, "temperature": 2.0},
        "four epochs at 3e-5": {"epochs": 4, "lr": 3e-5},
    },
    "pkd": {
        "alpha 0.7, T 10, beta 500, lr 1e-5, four epochs, the best of them kept": {
            "alpha": 0.7, "temperature": 10.0, "beta": 500.0, "lr": 1e-5, "epochs": 4, "select": "best",
        },
        "the code averages the patient loss": {"patient_reduction": "mean"},
        "and the divergence over classes too": {"divergence_mean": "classes"},
    },
    "tinybert": {
        "stage 1 ten epochs at 5e-5, stage 2 three at 3e-5 with the best kept": {
            "intermediate_epochs": 10, "intermediate_lr": 5e-5, "epochs": 3, "lr": 3e-5, "select": "best",
        },
        "both stages warm up and decay": {"warmup_share": 0.1, "schedule": "linear"},
    },
    "layerdrop": {
        "1 - r / N where r of N layers stay": {"drop_rate": None},
        "By default every other layer is kept, from the first": {"keep": None, "layers": None},
    },
    "theseus": {
        "15 epochs, neither weight decay nor warm-up, r(t) = min(1, k t + b) with b = 0.3": {
            "epochs": 15, "weight_decay": 0.0, "warmup_share": 0.0, "warmup_epochs": None, "rate": "linear",
            "first_rate": None,
        },
        "here k follows from `full_at`": {"slope": None},
        "with the head frozen (the default)": {"train_head": False},
        "the paper's separate phase is `successor_epochs`": {"successor_epochs": 0},
    },
    "head-pruning": {
        "nothing is trained afterwards": {"retrain_epochs": 0},
        "here `pruned` says when": {"pruned": 0.4},
    },
    "cost-eff-assistant": {
        "`epochs` (E_T) is 12 on MRPC": {"epochs": 12, "batch_size": 32, "lr": 2e-5},
        "the code is the default": {"ta_recipe": "code", "feature_loss": "per_token"},
    },
    "cost-eff": {
        "released recipe for MRPC; `epochs` is still the assistant's (E_T)": {"epochs": 12},
        "MRPC 2.0, 20, 20, 10;": {
            "size": "8x", "prune_every": 2.0, "prune_epochs": None, "recovery_feature_epochs": None,
            "recovery_epochs": None,
        },
        "The share of features in pruning is 0.5 on MRPC": {"representation_share": 0.5},
    },
}  # fmt: skip
ELSEWHERE = {
    "joint", "pabee", "shallow-deep", "pcee", "leebert", "ml", "gaml", "pairwise", "cascade", "first-k-fold"
}  # fmt: skip
"""Their own tests say what their defaults are."""


@pytest.mark.parametrize("name", RECIPES)
def test_defaults_are_what_the_docstring_says(name: str) -> None:
    options = find_method(name).options_type()
    text = " ".join((type(options).__doc__ or "").split())
    for phrase, values in RECIPES[name].items():
        assert phrase in text
        for key, value in values.items():
            found: Any = options
            for part in key.split("."):
                found = getattr(found, part)
            assert found == value, key


def test_every_method_with_options_of_its_own_is_here() -> None:
    assert {method.name for method in BUILT_IN} == {*RECIPES, *ELSEWHERE}


def test_the_stages_have_the_lengths_and_rates_that_are_said() -> None:
    def stages(name: str) -> list[tuple[float, float]]:
        method = find_method(name)
        return [(stage.epochs, pytest.approx(stage.lr)) for stage in method.stages(method.options_type())]

    assert stages("fastbert") == [(5, 2e-4)] and stages("deebert") == [(3, 2e-5)]
    assert stages("smartbert") == [(5, 2e-5), (4, 2e-5)] and stages("tinybert") == [(10, 5e-5), (3, 3e-5)]
    assert (
        find_method("fastbert").needs(find_method("fastbert").options_type())["finetuned"].options["epochs"]
        == 3
    )


def test_heads_are_the_forms_that_are_named_after_their_methods() -> None:
    """`HeadConfig` says whose form is which."""
    forms = {name: find_method(name).options_type().head for name in ("pabee", "deebert", "cost-eff")}
    assert [forms[name].pooler for name in forms] == ["shared", "own", "tanh"]
    text = " ".join((HeadConfig.__doc__ or "").split())
    assert "(no dense map: COST-EFF), shared (one for all exits: PABEE), own (one per exit: DeeBERT)" in text
    for name in ("fastbert", "smartbert"):
        assert find_method(name).options_type().head.attention == name
