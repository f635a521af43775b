"""Weight matrices of layers that torch does not have, of its rarer ones, and of no layer at all."""

import pytest
import torch
from torch import Tensor, nn

from pruning.criteria import Movement, Wanda, unit_scores
from pruning.criteria.calibration import Calibration
from pruning.granularities import Weights
from pruning.model.costs import nonzero_after
from pruning.model.layer_table import BARE as STAYS
from pruning.model.layer_table import layer_table, prunable_weights
from pruning.pipeline.eligibility import scorable_groups
from tests.networks import CPU, VECTOR, seeded, workload
from tests.own_layers import BARE, LAYERS, VALUES, OwnLayers


def names(model: nn.Module, bare_parameters: bool = False) -> list[str]:
    return [weight.name for weight in prunable_weights(model, bare_parameters)]


def reasons(model: nn.Module, *shape: int) -> dict[str, str]:
    return {row.name: row.why_not for row in layer_table(model, torch.zeros(1, *shape))}


def test_every_own_layer_has_a_row_for_each_of_its_matrices():
    table = layer_table(seeded(OwnLayers), torch.zeros(1, 6))
    found = {row.name: (row.param, row.shape, row.parameters, row.macs) for row in table}
    assert found == BARE | {"scale": ("", (), 2, 0)} | LAYERS
    assert sum(row.parameters for row in table) == VALUES == sum(p.numel() for p in OwnLayers().parameters())


def test_layers_take_part_and_what_hangs_beside_them_only_if_it_is_asked_for():
    model = seeded(OwnLayers)
    assert names(model) == list(LAYERS) and names(model, bare_parameters=True) == [*BARE, *LAYERS]
    assert {name for name, why_not in reasons(model, 6).items() if why_not == STAYS} == BARE.keys()
    with_units = "no weight matrix: scales and biases are pruned with the units that they belong to"
    assert reasons(model, 6)["scale"] == with_units


class Holding(nn.Module):
    """A module with the given parameters and a Linear beside them, which alone it calls."""

    def __init__(self, **parameters: Tensor) -> None:
        super().__init__()
        for name, values in parameters.items():
            self.register_parameter(name, nn.Parameter(values, requires_grad=values.is_floating_point()))
        self.head = nn.Linear(6, 3)

    def forward(self, vectors: Tensor) -> Tensor:
        return self.head(vectors)


class Gated(Holding):
    """Computes with its own parameter too."""

    def forward(self, vectors: Tensor) -> Tensor:
        return self.head(vectors @ self.gate)


def test_the_macs_of_a_bare_parameter_are_none_or_not_known():
    known = {row.name: row.macs for row in layer_table(Holding(gate=torch.ones(6, 6)), torch.zeros(1, 6))}
    assert known == {"gate": 0, "head": 18}
    within = {row.name: row.macs for row in layer_table(Gated(gate=torch.ones(6, 6)), torch.zeros(1, 6))}
    assert within == {"gate": None, "head": 18}


def test_a_list_of_parameters_is_no_layer():
    model = Holding()
    model.gates = nn.ParameterList([torch.ones(6, 6)])
    assert names(model) == ["head"] and names(model, bare_parameters=True) == ["head", "gates.0"]


class Listed(Holding):
    """Computes with a parameter of a list."""

    def forward(self, vectors: Tensor) -> Tensor:
        return self.head(vectors @ self.gates[0])


def test_what_is_computed_with_a_list_is_not_known_to_be_computed_with_its_parameters():
    model = Listed()
    model.gates = nn.ParameterList([torch.ones(6, 6)])
    assert {row.name: row.macs for row in layer_table(model, torch.zeros(1, 6))} == {"head": 18, "gates.0": None}


def test_rows_of_a_part_that_holds_a_weight_and_a_scale_beside_its_layer_have_names_of_their_own():
    model = nn.Sequential(Holding(weight=torch.ones(2, 2), scale=torch.ones(2)))
    assert {row.name: row.parameters for row in layer_table(model, torch.zeros(1, 6))} == {
        "0.weight": 4,
        "0": 2,
        "0.head": 21,
    }


@pytest.mark.parametrize("values", [torch.ones(1, 4, 1, 1), torch.ones(4)], ids=["one long dimension", "vector"])
def test_an_own_scale_is_no_matrix(values):
    scale = Holding(weight=values)
    scale.head = nn.Identity()  # then its parameters are those of a layer
    assert names(nn.Sequential(scale)) == []
    assert "scales and biases are pruned with" in reasons(nn.Sequential(scale), 6)["0"]


def test_a_linear_layer_with_one_output_is_a_matrix():
    assert names(nn.Sequential(nn.Linear(4, 1), nn.Bilinear(1, 1, 1))) == ["0", "1"]


@pytest.mark.parametrize(
    "layer, matrices",
    [
        (nn.ConvTranspose2d(2, 3, 2), ["0"]),
        (nn.Bilinear(2, 3, 4), ["0"]),
        (nn.GRUCell(2, 3), ["0.weight_ih", "0.weight_hh"]),
        (nn.EmbeddingBag(4, 3), ["0"]),
        (nn.PReLU(4), []),
    ],
    ids=lambda value: type(value).__name__,
)
def test_torchs_rarer_layers_take_part(layer, matrices):
    assert names(nn.Sequential(layer)) == matrices


@pytest.mark.parametrize("values", [torch.ones(2, 2, dtype=torch.int8), torch.ones(2, 2, dtype=torch.complex64)])
def test_what_holds_no_real_numbers_stays_and_says_why(values):
    model = Holding(weight=values)
    assert names(model, bare_parameters=True) == ["head"] and f"{values.dtype}" in reasons(model, 6)["weight"]


def tied() -> nn.Module:
    """The module itself holds the weight of its layer under a name of its own, which comes first in the model."""
    model = Holding()
    model.same = model.head.weight
    return model


def test_a_weight_that_a_module_holds_too_is_its_layers():
    model = tied()
    assert next(iter(dict(model.named_parameters()))) == "same"
    assert names(model) == names(model, bare_parameters=True) == ["head"]
    assert reasons(model, 6) == {"same": "shares its weight with head, which stands for both", "head": ""}


def test_what_is_pruned_under_a_later_name_of_a_weight_is_counted_and_scored():
    model = seeded(tied)
    mask = torch.arange(18).reshape(3, 6) > 3
    assert nonzero_after(model, {"head.weight": mask}) == 18 - 4 + 3
    groups = Weights().sorted_out(model, torch.zeros(1, 6))[0]
    scores = unit_scores(Movement(steps=1), model, groups, Calibration(workload(tied, VECTOR, count=32), CPU))
    assert scores["head"].count_nonzero() == 18


class LowRank(nn.Linear):
    """A Linear with a correction of low rank beside its weight."""

    def __init__(self) -> None:
        super().__init__(6, 3)
        self.left, self.right = nn.Parameter(torch.randn(3, 1)), nn.Parameter(torch.randn(1, 6))

    def forward(self, vectors: Tensor) -> Tensor:
        return super().forward(vectors) + vectors @ self.right.T @ self.left.T


def test_of_a_subclass_of_linear_a_criterion_that_knows_linear_scores_the_weight_alone():
    model = nn.Sequential(LowRank())
    groups, left_out = scorable_groups(Wanda(), Weights(), model, torch.zeros(1, 6))
    assert [group.name for group in groups] == ["0"] and left_out.keys() == {"0.left", "0.right"}
    assert left_out["0.left"].startswith("wanda does not score left of LowRank (it scores Linear, ")


def test_a_criterion_that_looks_at_inputs_leaves_own_layers_whole_and_says_what_to_choose():
    groups, left_out = scorable_groups(Wanda(), Weights(), seeded(OwnLayers), torch.zeros(1, 6))
    assert [group.name for group in groups] == ["head"]
    assert left_out["up"] == (
        "wanda does not score InOut (it scores Linear, Conv1d, Conv2d, Conv3d): choose another criterion"
    )
