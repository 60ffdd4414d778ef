import pytest
from typer.testing import CliRunner

from eebench.backbones.assemble import PIECES, Pieces
from eebench.cli import app
from eebench.errors import ModelError, UnknownName


def run(*arguments):
    return CliRunner().invoke(app, ["assemble", *arguments])


def install(directory, name, number, content):
    """One installed wheel with one piece of a zip."""
    piece = directory / name / f"input/x.zip.{number:03}"
    piece.parent.mkdir(parents=True)
    piece.write_bytes(content)
    about = directory / f"{name.replace('-', '_')}-1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
    (about / "RECORD").write_text(f"{name}/input/x.zip.{number:03},,\n")


@pytest.fixture
def pieces(tmp_path, monkeypatch):
    """A small MPNet in two installed pieces, published under the name `little-mpnet`."""
    import io
    import zipfile

    from transformers import MPNetConfig, MPNetModel

    config = MPNetConfig(
        vocab_size=50, hidden_size=24, num_hidden_layers=2, num_attention_heads=3, intermediate_size=48
    )
    MPNetModel(config).save_pretrained(tmp_path / "saved")
    (tmp_path / "saved/tokenizer.json").write_text("{}")
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for path in (tmp_path / "saved").iterdir():
            archive.write(path, f"little/{path.name}")
    content = stream.getvalue()
    install(tmp_path / "site", "little-a", 1, content[:1000])
    install(tmp_path / "site", "little-b", 2, content[1000:])
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.setitem(PIECES, "little-mpnet", Pieces(("little-a", "little-b"), "1", "little", None))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_backbone_is_assembled_and_loads(pieces):
    from eebench.backbones.checkpoints import load_backbone

    result = run("little-mpnet")
    assert result.exit_code == 0, result.output
    assert result.stdout == "models/little-mpnet: ready; use it as `--backbone little-mpnet`.\n"
    assert load_backbone("models/little-mpnet").depth == 2


def test_another_place_is_linked(pieces):
    assert run("little-mpnet", "--to", "elsewhere/it").exit_code == 0
    assert (pieces / "models/little-mpnet").resolve() == (pieces / "elsewhere/it").resolve()


def test_an_assembled_backbone_needs_its_pieces_no_more(pieces, monkeypatch):
    import shutil

    assert run("little-mpnet", "--to", "it").exit_code == 0
    shutil.rmtree(pieces / "site")
    (pieces / "new").mkdir()
    monkeypatch.chdir(pieces / "new")
    with pytest.raises(ModelError, match="not installed: little-a, little-b"):
        raise run("little-mpnet").exception
    assert run("little-mpnet", "--to", "../it").exit_code == 0
    assert (pieces / "new/models/little-mpnet").resolve() == (pieces / "it").resolve()


def test_another_model_of_that_name_stays(pieces):
    (pieces / "models/little-mpnet").mkdir(parents=True)
    result = run("little-mpnet", "--to", "it")
    with pytest.raises(ModelError, match="assembled in it, but models/little-mpnet is another directory"):
        raise result.exception


def test_mistakes():
    with pytest.raises(UnknownName, match="unknown backbone 'bert' in eebench assemble"):
        raise run("bert").exception
