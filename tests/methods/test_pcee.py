from eebench.methods.catalogue import find_method


def test_pcee_is_pabees_run_with_its_own_rule(toy_job):
    assert toy_job("pcee").spec.key == toy_job("pabee").spec.key
    assert find_method("pcee").default_rule == "patient-confident"


def test_pcee_has_its_released_defaults():
    options = find_method("pcee").options_type()
    assert (options.epochs, options.batch_size, options.exit_weights) == (15, 16, "depth")
    # The script's 200 steps, of MRPC's 3,668 rows in batches of 16.
    assert options.warmup_epochs is not None and round(options.warmup_epochs * -(-3668 // 16)) == 200
