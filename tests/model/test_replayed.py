import pytest
import torch
import torch.nn.functional as F

from pruning.model.replayed import Statistics

VALUES = torch.randn(2, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
STAYS = torch.tensor([True, False, True, True, False, True])


def noted_and_replayed(compute, wide: torch.Tensor, narrow: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    statistics = Statistics()
    with statistics:
        expected = compute(wide)
    statistics.replaying = True
    with statistics:
        return expected, compute(narrow)


def masked(values: torch.Tensor) -> torch.Tensor:
    return torch.where(STAYS.reshape([1, 6, *[1] * (values.dim() - 2)]), values, 0.0)


MEANS = {
    "mean": lambda v: v.mean(1, keepdim=True),
    "variance": lambda v: v.var(1, keepdim=True),
    "largest": lambda v: v.amax(1, keepdim=True),
    "written out": lambda v: (v - v.mean(1, keepdim=True)).pow(2).mean(1),
}


@pytest.mark.parametrize("name", MEANS)
def test_a_statistic_over_units_that_are_gone_is_the_one_of_units_that_are_zero(name):
    expected, found = noted_and_replayed(MEANS[name], masked(VALUES), VALUES[:, STAYS])
    assert torch.equal(found, expected)


NORMS = {
    "layer_norm": (lambda v, w, b: F.layer_norm(v, v.shape[1:], w, b), VALUES),
    "rms_norm": (lambda v, w, b: F.rms_norm(v, v.shape[1:], w), VALUES),
    "group_norm": (lambda v, w, b: F.group_norm(v, 1, w, b), VALUES[:, :, None].repeat(1, 1, 3)),
}


@pytest.mark.parametrize("owned", [True, False], ids=["scaled", "bare"])
@pytest.mark.parametrize("name", NORMS)
def test_a_norm_scales_what_is_left_by_the_statistics_of_all(name, owned):
    compute, values = NORMS[name]
    scale, shift = (torch.arange(1.0, 7.0, dtype=torch.float64) + more if owned else None for more in (0, 5))

    def norm(given):
        parts = [part if part is None or given.shape[1] == 6 else part[STAYS] for part in (scale, shift)]
        return compute(given, *parts)

    expected, found = noted_and_replayed(norm, masked(values), values[:, STAYS])
    assert torch.allclose(found, expected[:, STAYS], rtol=1e-12)
    assert not torch.allclose(norm(values[:, STAYS]), expected[:, STAYS], rtol=1e-3)  # by itself it is another


def test_sums_and_statistics_over_as_many_values_are_taken_anew():
    expected, found = noted_and_replayed(lambda v: v.sum(1), VALUES, VALUES[:, STAYS])
    assert not torch.allclose(found, expected) and torch.equal(found, VALUES[:, STAYS].sum(1))
    expected, found = noted_and_replayed(lambda v: v.mean(1), VALUES, 2 * VALUES)
    assert torch.equal(found, 2 * expected)


def test_a_group_norm_of_several_groups_has_the_statistics_of_what_is_left():
    values = VALUES[:, :, None].repeat(1, 1, 3)
    _, found = noted_and_replayed(lambda v: F.group_norm(v, 2), values, values[:, STAYS])
    assert torch.equal(found, F.group_norm(values[:, STAYS], 2))


def test_the_nth_statistic_is_the_nth_again():
    def twice(values):
        return torch.stack([values.mean(1), (values * 3).mean(1)])

    expected, found = noted_and_replayed(twice, VALUES, VALUES[:, STAYS])
    assert torch.equal(found, expected)


def test_a_statistic_that_was_not_taken_before_is_taken():
    statistics = Statistics()
    statistics.replaying = True
    with statistics:
        assert torch.allclose(VALUES.mean(1), VALUES.sum(1) / 6)
