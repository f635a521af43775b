"""A teacher that is given beside the recipe: a network, a file with weights, or a name."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import pruning
from pruning.errors import PruningError, RecipeError, WorkloadError
from pruning.recipe.recipe import Recipe
from pruning.training.distillation import Logits, Outputs
from pruning.training.tuning import Tuning
from pruning.workload import Workload
from tests.api.small import data, small

SPLITS = {"train": data(2), "validation": data(3), "test": data(4)}


def learnt(teacher: Any, distillation: Any = "outputs", **choices: Any) -> pruning.PruningResult:
    tuning = Tuning(epochs=2, batch_size=20)
    plain: dict[str, Any] = {"device": "cpu", "progress": False, "tuning": tuning, **SPLITS}
    return pruning.prune(small(), **{**plain, "distillation": distillation, "teacher": teacher, **choices})


def same(one: pruning.PruningResult, other: pruning.PruningResult) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.model.parameters(), other.model.parameters(), strict=True))


@pytest.fixture(scope="module")
def expected() -> pruning.PruningResult:
    """What is learnt from another network of the same class, which the workload names."""
    own = learnt(None).workload
    return pruning.prune(
        replace(own, teachers={"other": lambda: small(seed=9)}),
        recipe=Recipe("any", tuning=Tuning(epochs=2, batch_size=20), distillation=Outputs(teacher="other")),
        device="cpu",
        progress=False,
    )


def test_a_module_teaches_and_stays_as_it_is(expected: pruning.PruningResult) -> None:
    other = small(seed=9).train()
    before = {name: tensor.clone() for name, tensor in other.state_dict().items()}
    found = learnt(other)
    assert found.recipe.distillation == Outputs(teacher="teacher")
    assert same(found, expected) and not same(found, learnt(None))
    assert other.training and all(torch.equal(tensor, before[name]) for name, tensor in other.state_dict().items())


def test_a_file_teaches_under_its_own_name(tmp_path: Path, expected: pruning.PruningResult) -> None:
    tensors = small(seed=9).state_dict()
    torch.save(tensors, tmp_path / "careful.pt")
    save_file(tensors, tmp_path / "careful.safetensors")
    for file in (tmp_path / "careful.pt", str(tmp_path / "careful.safetensors")):
        found = learnt(file)
        assert found.recipe.distillation == Outputs(teacher="careful") and same(found, expected)


def test_a_recipe_keeps_its_other_fields(tmp_path: Path) -> None:
    torch.save(small(seed=9).state_dict(), tmp_path / "careful.pt")
    recipe = Recipe("any", tuning=Tuning(epochs=1), distillation=Logits(4.0, 0.5, teacher="elsewhere"))
    found = learnt(tmp_path / "careful.pt", distillation=None, tuning=None, recipe=recipe)
    assert found.recipe.distillation == Logits(4.0, 0.5, teacher="careful")


def test_a_smaller_network_that_was_exported_teaches(tmp_path: Path) -> None:
    smaller = nn.Sequential()
    smaller.hidden, smaller.out = nn.Linear(6, 5), nn.Linear(5, 3)
    torch.save(smaller.state_dict(), tmp_path / "smaller.pt")
    found = learnt(tmp_path / "smaller.pt")
    assert found.recipe.distillation == Outputs(teacher="smaller")
    assert found.workload.teachers["smaller"]().hidden.out_features == 5


def named() -> Workload:
    own = learnt(None).workload
    return replace(own, teachers={"wide": lambda: nn.Sequential(nn.Linear(6, 9), nn.ReLU(), nn.Linear(9, 3))})


def test_a_name_among_the_workloads_teachers_is_taken_before_a_file() -> None:
    for name in ("wide", "dense"):
        found = pruning.prune(named(), distillation="logits", teacher=name, epochs=1, device="cpu", progress=False)
        assert found.recipe.distillation == Logits(teacher=name)


def test_a_file_that_does_not_fit_is_refused_with_its_tensors(tmp_path: Path) -> None:
    torch.save(nn.Linear(6, 3).state_dict(), tmp_path / "linear.pt")
    with pytest.raises(WorkloadError) as caught:
        learnt(tmp_path / "linear.pt")
    said = str(caught.value)
    assert "linear.pt cannot teach model: the file and model differ in the tensors bias, hidden.bias, hidden.w" in said
    assert "or let a network of another class teach by Workload(teachers={'linear': its maker})" in said
    wider = small(seed=9)
    wider.hidden, wider.out = nn.Linear(6, 20), nn.Linear(20, 3)
    torch.save(wider.state_dict(), tmp_path / "wider.pt")
    with pytest.raises(WorkloadError, match=r"hidden\.\w+ has shape \[20.* in the file and \[16.* in the network"):
        learnt(tmp_path / "wider.pt")


class Harmful:
    """Writes a file when it is unpickled."""

    def __init__(self, file: str) -> None:
        self.file = file

    def __reduce__(self) -> Any:
        return Path.touch, (Path(self.file),)


def test_no_code_in_a_file_is_run(tmp_path: Path) -> None:
    torch.save(Harmful(str(tmp_path / "was run")), tmp_path / "bad.pt")
    with pytest.raises(
        WorkloadError, match=r"bad\.pt: it holds a pickled .*, and no code is run .* save model\.state_dict\(\)"
    ):
        learnt(tmp_path / "bad.pt")
    assert not (tmp_path / "was run").exists()


@pytest.mark.parametrize(
    ("teacher", "distillation", "sentence"),
    [
        (small(), None, "distillation none takes none but the dense network: choose distillation logits or outputs"),
        (small(), "features", "distillation features takes none but the dense network: choose distillation logits"),
        ("nobody", "logits", "teacher is 'nobody', which is no file and no teacher of model: use one of dense, or"),
        ("nobody.pt", "logits", "nobody.pt: no such file; check the path"),
        (small().state_dict(), "logits", "teacher is a OrderedDict; give an nn.Module"),
        (nn.Linear(5, 3), "logits", r"distillation.teacher teacher does not run on inputs of model, of shape \[1, 6\]"),
        (nn.Linear(6, 2), "logits", r"gives \[2, 3\] where its teacher gives \[2, 2\]: choose another"),
    ],
)
def test_who_cannot_teach_is_refused_in_a_sentence(teacher: Any, distillation: Any, sentence: str) -> None:
    with pytest.raises(PruningError, match=sentence):
        learnt(teacher, distillation)


def test_a_file_may_not_take_a_name_that_somebody_has(tmp_path: Path) -> None:
    for name in ("dense", "wide"):
        torch.save(small().state_dict(), tmp_path / f"{name}.pt")
        with pytest.raises(WorkloadError, match=f"a teacher of model is called {name} already; rename the file"):
            pruning.prune(named(), distillation="logits", teacher=tmp_path / f"{name}.pt", progress=False)


def test_a_recipe_that_names_a_file_reads_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may come from elsewhere: who runs it says where the file lies."""
    monkeypatch.chdir(tmp_path)
    torch.save(small().state_dict(), "careful.pt")
    for said in ("careful", "careful.pt", str(tmp_path / "careful.pt")):
        with pytest.raises(RecipeError, match="no such teacher: use one of dense, or give it by `run --teacher"):
            learnt(None, Logits(teacher=said))
