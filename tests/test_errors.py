from eebench.errors import ConfigError, RunError, UnknownName, UserError, closest


def test_an_unknown_name_says_where_and_what_to_type_next():
    error = UnknownName("method", "pabbe", ["gaml", "pabee"], "suites/glue.yaml: methods[2]")
    assert str(error) == (
        "unknown method 'pabbe' in suites/glue.yaml: methods[2]; did you mean 'pabee'?  "
        "`eebench list methods` shows all 2."
    )


def test_nothing_is_suggested_when_nothing_is_close():
    assert closest("zzz", ["gaml", "pabee"]) is None
    assert "did you mean" not in str(UnknownName("rule", "zzz", ["entropy"]))


def test_configuration_problems_come_together():
    assert str(ConfigError(["first", "second"])) == "first\nsecond"


def test_a_users_mistake_is_not_a_failed_run():
    assert issubclass(ConfigError, UserError)
    assert not issubclass(RunError, UserError)
