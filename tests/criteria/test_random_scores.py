import torch

from pruning.criteria import Random, unit_scores
from pruning.criteria.calibration import Calibration
from pruning.granularities import Weights
from pruning.model.preparation import open_model
from tests.networks import CPU, tiny


def test_the_seed_decides_and_layers_do_not_repeat_one_another():
    work = tiny("conv")
    model = open_model(work, CPU)
    groups = Weights().sorted_out(model, work.example)[0]
    one, again, other = (unit_scores(Random(), model, groups, Calibration(work, CPU, seed)) for seed in (3, 3, 4))
    for name in one:
        assert torch.equal(one[name], again[name]) and not torch.equal(one[name], other[name])
        assert float(one[name].min()) >= 0 and float(one[name].max()) < 1
    assert not torch.equal(one["0"][:50], one["3"][:50])


def test_lots_do_not_depend_on_which_other_layers_compete():
    work = tiny("conv")
    model = open_model(work, CPU)
    groups = Weights().sorted_out(model, work.example)[0]
    every, few = (unit_scores(Random(), model, part, Calibration(work, CPU, 3)) for part in (groups, groups[1:]))
    assert all(torch.equal(every[name], few[name]) for name in few)
