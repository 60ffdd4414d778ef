from eebench.methods.finetune import FinetuneOptions
from eebench.methods.needs import finetuned, first_layers_finetuned, shared_options
from eebench.methods.theseus import TheseusOptions
from eebench.plan import in_order


def test_only_what_was_given_is_shared_and_not_the_methods_own_defaults():
    options = TheseusOptions(lr=1e-4, full_at=0.5)
    assert options.epochs == 15
    assert shared_options(options) == {"lr": 1e-4, "head": FinetuneOptions().head.model_dump()}
    assert finetuned(options).method == "finetune"
    need = first_layers_finetuned(options, 3)
    assert (need.method, need.options["k"], need.options["lr"]) == ("first-k", 3, 1e-4)


def test_the_needed_run_is_the_one_beside_it_in_a_suite(toy_job):
    jobs = in_order([toy_job("theseus"), toy_job("head-pruning", pruned=0.25), toy_job("finetune")])
    assert sorted(job.method.name for job in jobs) == ["finetune", "head-pruning", "theseus"]
