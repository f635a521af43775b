"""scores, preview and sensitivity: before anything is trained."""

import signal
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import pruning
from pruning.errors import RecipeError, WorkloadError
from pruning.pipeline.eligibility import chosen_groups
from pruning.recipe.recipe import Recipe
from tests.api.small import data, small


def two_layers() -> nn.Module:
    model = nn.Sequential(nn.Linear(2, 2, bias=False), nn.ReLU(), nn.Linear(2, 3, bias=False))
    model[0].weight.data.copy_(torch.tensor([[1.0, -2.0], [0.0, 4.0]]))
    model[2].weight.data.copy_(torch.tensor([[5.0, 6.0], [7.0, 8.0], [9.0, 3.0]]))
    return model


def test_scores_by_hand() -> None:
    found = pruning.scores(two_layers())
    assert {name: scores.tolist() for name, scores in found.items()} == {
        "0": [[1.0, 2.0], [0.0, 4.0]],
        "2": [[5.0, 6.0], [7.0, 8.0], [9.0, 3.0]],
    }
    assert pruning.scores(two_layers(), granularity="channels")["0"].tolist() == [3.0, 4.0]


def test_a_criterion_that_looks_at_data_says_that_there_is_none() -> None:
    for ask in (pruning.scores, pruning.preview):
        for criterion in ("wanda", "taylor"):
            with pytest.raises(
                WorkloadError, match=r"looks at (data|a loss) and there is no.*data=\(inputs, targets\)"
            ):
                ask(small(), criterion=criterion)  # type: ignore[operator]
    assert pruning.scores(small(), data(2), criterion="wanda")["hidden"].shape == (16, 6)
    assert pruning.preview(small(), data(2), criterion="wanda", sparsity=0.5).pruned == 72


def test_choices_that_do_not_go_together_are_refused_by_whatever_is_called() -> None:
    for ask in (pruning.scores, pruning.preview, pruning.sensitivity):
        with pytest.raises(RecipeError, match="attribution scores channels, not single weights: choose granularity"):
            ask(small(), data(2), criterion="attribution")  # type: ignore[operator]


def test_a_preview_by_hand() -> None:
    cut = pruning.preview(two_layers(), sparsity=0.4)  # 0, 1, 2 and 3 are the lowest of 10
    assert (cut.units, cut.pruned, cut.nonzero, cut.parameters) == (10, 4, 6, 10)
    assert {name: mask.tolist() for name, mask in cut.masks.items()} == {
        "0.weight": [[False, False], [False, True]],
        "2.weight": [[True, True], [True, True], [True, False]],
    }
    assert cut.kept == {"0": 0.25, "2": pytest.approx(5 / 6)}
    assert cut.table().loc["0"].to_dict() == {"units": 4, "pruned": 3, "kept": 0.25}


def test_a_preview_is_the_first_cut_of_a_run() -> None:
    choices: dict[str, Any] = {"sparsity": 0.5, "granularity": "channels", "criterion": "taylor"}
    splits = {"train": data(2), "validation": data(2), "test": data(2)}
    done = pruning.prune(small(), **splits, **choices, epochs=0, device="cpu", progress=False)
    seen = pruning.preview(small(), data(2), **choices, device="cpu")
    assert {name: keep.tolist() for name, keep in seen.keep.items()} == {
        name: keep.tolist() for name, keep in done.keep.items()
    }
    assert (seen.parameters, seen.macs) == (done.stages["tuned"].parameters, done.stages["tuned"].macs)
    groups = chosen_groups(done.workload, Recipe("model"), small())
    assert [group.name for group in groups] == ["hidden", "out"]


def test_a_preview_shows_itself() -> None:
    cut = pruning.preview(two_layers(), sparsity=0.4)
    assert (
        repr(cut).splitlines()[0].startswith("4 of 10 single weights are pruned; parameters 10 → 10, non-zeros 9 → 6")
    )
    assert [line.split()[:2] for line in repr(cut).splitlines()[1:]] == [["0:", "25.0"], ["2:", "83.3"]]
    drawn = cut._repr_html_()
    assert drawn.count("<svg") == 2 and "<title>0: 3 of 4 units are pruned</title>" in drawn


@pytest.fixture(scope="module")
def found() -> pruning.SensitivityMap:
    return pruning.sensitivity(small(), data(3), levels=(0.5, 0.9), half_width=0.0, device="cpu", progress=False)


def test_a_map_holds_what_pruning_each_layer_alone_costs(found: pruning.SensitivityMap) -> None:
    x, y = data(3)
    dense = float((small()(x).argmax(1) == y).float().mean())
    model = small()
    weight = model.hidden.weight.data
    weight[weight.abs() <= weight.abs().flatten().sort().values[47]] = 0  # 48 of 96
    expected = float((model(x).argmax(1) == y).float().mean()) - dense
    assert found.table().loc["hidden", 0.5] == pytest.approx(expected)
    assert found.table().shape == (2, 2) and found.map.done


def test_a_map_shows_itself(found: pruning.SensitivityMap) -> None:
    assert repr(found).startswith("Change of accuracy in points, each layer pruned alone; dense ")
    assert [line.split()[0] for line in repr(found).splitlines()[2:]] == ["hidden", "out"]
    drawn = found._repr_html_()
    assert drawn.count("<td style=") == 4
    assert drawn.count("outline:3px") == sum(cut > 0 for cut in found.cuts.values())
    assert [trace.name for trace in found.plot(["out"]).data if trace.name] == ["dense", "out"]
    assert {trace.name for trace in found.plot().data if trace.name} == {"dense", "hidden", "out"}
    with pytest.raises(RecipeError, match="nosuch is not a layer of the map; use hidden, out"):
        found.plot(["nosuch"])


def test_the_suggestion_prunes_each_layer_by_its_own_cut(found: pruning.SensitivityMap) -> None:
    assert found.suggest().amount.shares == found.cuts  # type: ignore[attr-defined]


def test_a_level_that_is_none_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"levels has 1\.5"):
        pruning.sensitivity(small(), data(3), levels=(0.5, 1.5))


class Interrupting:
    def __init__(self) -> None:
        self.split, self.asked = pruning.TensorSplit(*data(3, 3000)), 0

    def __len__(self) -> int:
        return len(self.split)

    def batch(self, index: Tensor, device: torch.device, generator: torch.Generator | None = None) -> Any:
        self.asked += 1
        if self.asked == 8:
            signal.raise_signal(signal.SIGINT)
        return self.split.batch(index, device, generator)


def test_an_interrupt_gives_the_map_as_far_as_it_is() -> None:
    handler = signal.getsignal(signal.SIGINT)
    made = pruning.sensitivity(small(), Interrupting(), half_width=0.0, device="cpu", progress=False)
    assert {row.name for row in made.map.rows} == {"hidden", "out"} and signal.getsignal(signal.SIGINT) is handler
