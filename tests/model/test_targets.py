"""Data that would be scored without a word, or fail deep inside torch, is refused when the workload is opened."""

from dataclasses import replace

import pytest
import torch

from pruning.criteria import Attribution, unit_scores
from pruning.criteria.calibration import Calibration
from pruning.errors import RecipeError, WorkloadError
from pruning.exporters.reading import read_own_network
from pruning.model.preparation import open_model
from pruning.recipe.recipe import from_dict
from pruning.training.schedules import Polynomial
from pruning.workload import TensorSplit
from tests.networks import CPU, tiny


def with_targets(split: str, change):
    work = tiny("mlp")
    old = getattr(work, split)
    return replace(work, **{split: TensorSplit(old.inputs, change(old.targets), old.prepare)})


@pytest.mark.parametrize("split", ["train", "validation", "test"])
@pytest.mark.parametrize(
    "change, words",
    [
        (lambda targets: targets + 5, r"targets from 5 to 7, but there are 3 classes \(0 to 2\)"),
        (lambda targets: targets - 1, "targets from -1 to 1"),
        (lambda targets: targets.float(), "torch.float32 targets"),
        (lambda targets: targets[:, None], "one whole number a sample"),
    ],
)
def test_targets_that_are_no_classes_are_refused(split, change, words):
    with pytest.raises(WorkloadError, match=f"its {split} split has {words}|its {split} split .*{words}"):
        open_model(with_targets(split, change), CPU)


def test_inputs_without_targets_are_refused():
    with pytest.raises(WorkloadError, match="100 inputs and 300 targets"):
        TensorSplit(torch.zeros(100, 2), torch.zeros(300, dtype=torch.long))


def test_a_split_that_raises_is_named():
    def broken(stored: torch.Tensor) -> torch.Tensor:
        raise OSError("disk gone")

    work = tiny("mlp")
    with pytest.raises(WorkloadError, match=r"its test split does not give a batch .*disk gone"):
        open_model(replace(work, test=TensorSplit(work.test.inputs, work.test.targets, broken)), CPU)


def test_attribution_wants_inputs_that_it_can_scale():
    class Whole(TensorSplit):
        def batch(self, index, device, generator=None):
            inputs, targets = super().batch(index, device, generator)
            return inputs.long(), targets

    work = tiny("mlp")
    whole = replace(work, train=Whole(work.train.inputs, work.train.targets))
    with pytest.raises(RecipeError, match=r"takes whole numbers; use .* taylor"):
        unit_scores(Attribution(), open_model(work, CPU), [], Calibration(whole, CPU))


@pytest.mark.parametrize("junk", [b"hi\n", b"\x80", b"cos\nsystem\n", b"PK\x03\x04"])
def test_a_junk_pt_file_is_a_sentence(tmp_path, junk):
    file = tmp_path / "junk.pt"
    file.write_bytes(junk)
    with pytest.raises(WorkloadError, match=r"junk.pt: not a readable weights file"):
        read_own_network(file)


def test_rounds_have_an_end_and_true_is_no_version():
    with pytest.raises(RecipeError, match="between 1 and 1000"):
        Polynomial(rounds=10**9)
    with pytest.raises(RecipeError, match="version is true"):
        from_dict({"version": True, "workload": "mlp"})
    with pytest.raises(RecipeError, match="not null"):
        from_dict(None)
