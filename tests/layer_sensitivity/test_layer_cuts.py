"""Cuts are made in a copy, weigh what was asked, lie in memory as the network did, and are taken back."""

import pytest
import torch
from torch import nn

from pruning.criteria import Magnitude, unit_scores
from pruning.criteria.calibration import Calibration
from pruning.granularities import Weights
from pruning.layer_sensitivity import layer_cuts as cuts_module
from pruning.layer_sensitivity.layer_cuts import CutModel, bytes_of_largest
from pruning.layer_sensitivity.suffix_graph import GraphWalk
from pruning.model.costs import cost_model
from pruning.workload import Workload
from tests.networks import CPU, seeded, tiny, workload

LEVELS = (0.0, 0.25, 0.5, 1.0)


def rows(work: Workload, levels: tuple[float, ...] = LEVELS):
    model = work.build()
    groups, _ = Weights().sorted_out(model, work.example)
    scores = unit_scores(Magnitude(), model, groups, Calibration(work, CPU, 0))
    cutting, cost = CutModel(model), cost_model(model, work.example)
    walk = GraphWalk(model, cutting.work, work.example)
    return model, cutting, [cutting.row(group, scores, levels, walk, cost) for group in groups]


def grey() -> nn.Module:
    """A convolution of one input channel, whose weights lie in memory either way at once."""
    model = nn.Sequential(nn.Conv2d(1, 8, 3), nn.Conv2d(8, 4, 3), nn.Flatten(), nn.Linear(4 * 16, 3))
    return seeded(lambda: model).to(memory_format=torch.channels_last)


@pytest.mark.parametrize("network", ["conv_bn", "residual"])
def test_a_cut_lets_the_smallest_weights_be_pruned_and_is_taken_back(network):
    model, cutting, made = rows(tiny(network))
    whole = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    for row in made:
        for level, cut in zip(LEVELS, (row.cuts[i] for i in row.of_level), strict=True):
            assert cut.pruned == min(round(level * row.group.units), row.group.units - 1)  # one unit stays
            with pytest.raises(ValueError), cutting.cut(row, cut, exactly=True):
                (name,) = cut.gone or {f"{row.group.name}.weight": None}
                inside = cutting.work.get_parameter(name)
                assert int((inside == 0).sum()) == cut.pruned
                left = inside[inside != 0]
                if cut.pruned and len(left):
                    assert left.abs().min() >= whole[name].abs().flatten().kthvalue(cut.pruned).values
                raise ValueError
            assert all(torch.equal(tensor, whole[name]) for name, tensor in cutting.work.state_dict().items())
    assert all(torch.equal(tensor, whole[name]) for name, tensor in model.state_dict().items())


def test_cut_weights_lie_in_memory_as_the_networks_own():
    """Else the convolution of one input channel answers in another layout, and all that follows takes twice as long."""
    work = workload(grey, (1, 8, 8), count=60)
    _, cutting, made = rows(work, (0.5,))
    for row in made[:2]:
        (cut,) = row.cuts
        with torch.no_grad(), cutting.cut(row, cut, exactly=True):
            assert cutting.work.get_parameter(f"{row.group.name}.weight").is_contiguous(
                memory_format=torch.channels_last
            )
            seen = work.example.expand(4, -1, -1, -1).contiguous(memory_format=torch.channels_last)
            for layer in cutting.work[: int(row.group.name) + 1]:
                seen = layer(seen)
            assert seen.is_contiguous(memory_format=torch.channels_last) and not seen.is_contiguous()


def test_cut_tensors_are_kept_as_long_as_there_is_room(monkeypatch):
    monkeypatch.setattr(cuts_module, "KEPT_BYTES", 700)
    _, cutting, made = rows(tiny("mlp"))
    for _ in range(2):
        for row in made:
            for cut in row.cuts:
                with cutting.cut(row, cut, exactly=True):
                    pass
    kept = [each for row in made for cut in row.cuts for each in cut.kept.values()]
    assert kept and sum(each.numel() * each.element_size() for each in kept) <= 700
    assert len(kept) < sum(bool(cut.pruned) for row in made for cut in row.cuts)


def test_the_largest_activation_counts_for_each_sample():
    model = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.Flatten(), nn.Linear(8 * 36, 3))
    assert bytes_of_largest(model, torch.zeros(5, 1, 6, 6)) == 4 * 8 * 36
    assert not any(module._forward_hooks for module in model.modules())
    assert bytes_of_largest(nn.Sequential(nn.Linear(9, 2)), torch.zeros(5, 9)) == 4 * 9
