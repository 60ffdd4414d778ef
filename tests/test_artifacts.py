import json

import pytest
import torch

from eebench.artifacts import (
    TEMPORARY,
    canonical_json,
    checksum,
    read_json,
    read_tensors,
    write_json,
    write_tensors,
    write_whole,
)
from eebench.errors import DamagedError, StorageError


def test_canonical_json_ignores_the_order_of_keys():
    assert canonical_json({"b": 1, "a": [1.5, None]}) == canonical_json({"a": [1.5, None], "b": 1})
    assert canonical_json({"b": 1, "a": 2}) == '{"a":2,"b":1}'


def test_canonical_json_refuses_what_json_has_not():
    with pytest.raises(ValueError, match="Out of range"):
        canonical_json(float("nan"))


def test_the_same_tensors_give_the_same_bytes(tmp_path):
    tensors = {"b": torch.arange(3), "a": torch.ones(2, 2)}
    write_tensors(tmp_path / "one", tensors, {"x": 1, "y": 2})
    write_tensors(tmp_path / "two", dict(reversed(tensors.items())), {"y": 2, "x": 1})
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    back, header = read_tensors(tmp_path / "one")
    assert torch.equal(back["b"], tensors["b"]) and header == {"x": 1, "y": 2}


def test_a_write_that_fails_leaves_the_old_file(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")

    def full(temporary):
        temporary.write_text("half")
        raise OSError(28, "No space left on device")

    with pytest.raises(StorageError, match="no space left on the disk"):
        write_whole(path, full)
    assert path.read_text() == "old"
    assert not list(tmp_path.glob(f"{TEMPORARY}*"))


def test_a_full_disk_is_a_storage_error():
    from pathlib import Path

    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    with pytest.raises(StorageError, match="no space left"):
        write_whole(Path("unused"), lambda _: Path("/dev/full").write_bytes(b"x"))


def test_a_folder_that_cannot_be_made_is_a_storage_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot write"):
        write_json(tmp_path / "file" / "below.json", {})


def test_damaged_files_are_noticed(tmp_path):
    write_tensors(tmp_path / "t", {"a": torch.ones(4)})
    whole = checksum(tmp_path / "t")
    (tmp_path / "t").write_bytes((tmp_path / "t").read_bytes()[:-3])
    assert checksum(tmp_path / "t") != whole
    with pytest.raises(DamagedError):
        read_tensors(tmp_path / "t")
    (tmp_path / "j").write_text("{")
    with pytest.raises(DamagedError, match="not readable JSON"):
        read_json(tmp_path / "j")


def test_json_is_sorted_and_ends_with_a_newline(tmp_path):
    write_json(tmp_path / "j", {"b": 1, "a": 2})
    text = (tmp_path / "j").read_text()
    assert text.endswith("}\n") and list(json.loads(text)) == ["a", "b"]
