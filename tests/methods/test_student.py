import pytest
import torch

from eebench.backbones.checkpoints import load_backbone
from eebench.errors import UserError
from eebench.methods.base import Needed
from eebench.methods.catalogue import find_method
from eebench.methods.student import StudentModel, inherit
from eebench.model import weights_of

STATIC = ("distilbert", "pkd", "tinybert")


def jiggled(depth=None):
    """The toy backbone with weights that are not the pretrained ones, distinct by layer."""
    torch.manual_seed(3)
    backbone = load_backbone("toy", depth)
    with torch.no_grad():
        for parameter in backbone.parameters():
            parameter.copy_(torch.randn_like(parameter))
    return backbone


def test_half_of_the_layers_unless_told_otherwise():
    method = find_method("pkd")
    assert method.depth(method.options_type(), 12) == 6
    assert method.depth(method.options_type(), 1) == 1
    assert method.depth(method.options_type(layers=3), 12) == 3
    assert method.exit_layers(method.options_type(), 6) == (6,)


@pytest.mark.parametrize("name", STATIC)
def test_the_teacher_is_a_finetune_run_with_the_students_recipe(toy_job, name):
    teacher = toy_job(name, epochs=3, lr=1e-3).needs["teacher"]
    assert teacher.spec.key == toy_job("finetune", epochs=3, lr=1e-3).spec.key


def test_all_students_of_a_suite_share_their_teacher(toy_job):
    assert len({toy_job(name).needs["teacher"].spec.key for name in STATIC}) == 1


def test_the_teachers_recipe_can_be_fixed(toy_job):
    keys = {toy_job("pkd", lr=lr, teacher_lr=1e-3, teacher_epochs=1).needs["teacher"].spec.key
            for lr in (1e-3, 2e-3)}  # fmt: skip
    assert keys == {toy_job("finetune", lr=1e-3, epochs=1).spec.key}


def test_embeddings_and_the_chosen_layers_are_taken_over():
    student, teacher = load_backbone("toy", 1), jiggled()
    inherit(student, teacher, [2])
    own, theirs = weights_of(student), weights_of(teacher)
    assert torch.equal(own["embeddings.word_embeddings.weight"], theirs["embeddings.word_embeddings.weight"])
    name = "intermediate.dense.weight"
    assert torch.equal(own[f"layers.0.{name}"], theirs[f"layers.1.{name}"])
    assert not torch.equal(own[f"layers.0.{name}"], theirs[f"layers.0.{name}"])


def test_a_student_starts_from_its_teacher_only_where_its_method_says_so():
    finetune, pkd = find_method("finetune"), find_method("pkd")
    teacher = finetune.build(jiggled(), 2, finetune.options_type())
    for inherits in (None, lambda own, theirs: (theirs,)):
        student = pkd.build(load_backbone("toy", 1), 2, pkd.options_type())
        assert isinstance(student, StudentModel)
        student.inherits = inherits
        pkd.initialise(student, {"teacher": Needed(weights_of(teacher), lambda: teacher)})
        assert student.teacher is teacher
        weights = [model.backbone.layers[-1].output.dense.weight for model in (student, teacher)]
        assert torch.equal(*weights) == (inherits is not None)


@pytest.mark.parametrize("name", STATIC)
def test_more_layers_than_the_backbone_has_are_refused_before_anything_trains(toy_job, name):
    with pytest.raises(UserError, match="asked of 'toy', which has 2"):
        toy_job(name, layers=3)
