from eebench.rules.forms import is_of


def test_a_form_takes_the_settings_that_begin_with_its_knobs():
    assert is_of("cka;theta=0.06", "cka", "theta=0.06;R=2") and is_of("cka", "cka", "theta=0.1;R=2")
    assert not is_of("cka;theta=0.06", "cka", "theta=0.065;R=2")
    assert not is_of("cka;theta=0.06", "cka-abs", "theta=0.06;R=2") and not is_of("cka", "cka-abs", "R=2")
