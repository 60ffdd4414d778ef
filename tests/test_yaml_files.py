import pytest

from eebench.errors import ConfigError
from eebench.yaml_files import parse_value, read_yaml


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3e-5", 3e-5), ("1E3", 1000.0), ("1.5e+2", 150.0), (".5e-1", 0.05), ("-2e-1", -0.2), ("0.1", 0.1),
        ("6", 6), ("true", True), ("null", None), ("[1, 2e-1]", [1, 0.2]), ("soft", "soft"), ("e5", "e5"),
        ("bert-8l", "bert-8l"), ("{pooler: none}", {"pooler": "none"}), ("", None),
    ],
)  # fmt: skip
def test_values_are_read_as_people_write_them(text, value):
    found = parse_value(text)
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize("text", ["[1", "2020-13-45", "!!python/name:os.system", "a: 1\na: 2"])
def test_a_value_that_cannot_be_read(text):
    with pytest.raises(ConfigError, match="cannot read the value '"):
        parse_value(text)


def test_a_file_is_a_mapping(tmp_path):
    path = tmp_path / "suite.yaml"
    path.write_text("seeds: [1]\nlr: 5e-3\n", encoding="utf-8")
    assert read_yaml(path) == {"seeds": [1], "lr": 0.005}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seeds: [1\nlr: 2\n", r"suite.yaml line 2 is not YAML: expected ',' or '\]'"),
        ("seeds:\n\t- 1\n", r"suite.yaml line 2 is not YAML: found character"),
        ("a: {x: 1, y: 2}\nb: {x: 1,\n  x: 2}\n", r"line 3 is not YAML: the key 'x' is there twice\.$"),
        ("seeds: [1]\nmethods: []\nseeds: [2]\n", r"line 3 is not YAML: the key 'seeds' is there twice"),
        ("day: 2020-13-45\n", r"suite.yaml is not YAML: month must be"),
        ("bell: \x07\n", r"suite.yaml is not YAML: unacceptable character"),
        ("", r"suite.yaml holds no keys; a suite starts with `backbones:`"),
        ("- a\n- b\n", r"suite.yaml holds no keys"),
    ],
)  # fmt: skip
def test_what_is_no_suite_is_told_in_one_line(tmp_path, text, message):
    path = tmp_path / "suite.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=message) as caught:
        read_yaml(path)
    assert len(caught.value.problems) == 1 and "\n" not in str(caught.value)


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(ConfigError, match=r"cannot read .*nowhere.yaml: No such file or directory\."):
        read_yaml(tmp_path / "nowhere.yaml")
    with pytest.raises(ConfigError, match="Is a directory"):
        read_yaml(tmp_path)
    (tmp_path / "latin.yaml").write_bytes(b"name: caf\xe9\n")
    with pytest.raises(ConfigError, match="latin.yaml is not YAML: 'utf-8' codec"):
        read_yaml(tmp_path / "latin.yaml")
