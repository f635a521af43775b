import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from pruning.model.units import Slice, Tiles, UnitGroup, Whole, apply_masks, group_of, masks_of


def rows_of(param: str, units: int) -> Slice:
    return Slice(param, 0, torch.arange(units)[:, None])


@pytest.fixture
def two_layers() -> tuple[nn.Module, UnitGroup]:
    """2-3-1, and the group of its three hidden neurons."""
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    model[0].weight.data = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    follows = (rows_of("0.bias", 3), Slice("1.weight", 1, torch.arange(3)[:, None]))
    return model, UnitGroup("0", ("0",), (3,), (rows_of("0.weight", 3),), follows)


def test_sums_are_over_the_rows_of_the_members_weights_only(two_layers):
    model, group = two_layers
    assert group.sums(dict(model.named_parameters())).tolist() == [3.0, 7.0, 11.0]


def test_coupled_members_are_added_up():
    group = UnitGroup("a", ("a", "b"), (2,), (rows_of("a.w", 2), rows_of("b.w", 2)))
    values = {"a.w": torch.tensor([[1.0, 1.0], [2.0, 2.0]]), "b.w": torch.tensor([[10.0], [20.0]])}
    assert group.sums(values).tolist() == [12.0, 24.0]


def test_a_unit_may_own_several_rows():
    group = UnitGroup("a", ("a",), (2,), (Slice("a.w", 0, torch.tensor([[0, 1], [2, 3]])),))
    assert group.sums({"a.w": torch.tensor([[1.0], [2.0], [4.0], [8.0]])}).tolist() == [3.0, 12.0]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64, torch.int8, torch.float8_e4m3fn])
def test_sums_are_float32_whatever_the_dtype(dtype):
    group = UnitGroup("a", ("a",), (1,), (rows_of("a.w", 1),))
    single = UnitGroup("a", ("a",), (1, 4), (Tiles("a.w"),))
    values = {"a.w": torch.full((1, 4), 100.0).to(dtype)}  # 4 x 100 does not fit int8
    exact = float(values["a.w"].float()[0, 0])
    assert group.sums(values).dtype == single.sums(values).dtype == torch.float32
    assert group.sums(values).tolist() == [4 * exact]
    assert single.sums(values).tolist() == [exact] * 4


def test_masks_cover_every_slice_of_a_pruned_unit(two_layers):
    model, group = two_layers
    masks = masks_of([group], {"0": torch.tensor([True, False, True])}, model)
    assert {name: mask.tolist() for name, mask in masks.items()} == {
        "0.weight": [[True, True], [False, False], [True, True]],
        "0.bias": [True, False, True],
        "1.weight": [[True, False, True]],
    }


def test_nothing_is_masked_where_all_stay(two_layers):
    model, group = two_layers
    assert masks_of([group], {"0": torch.ones(3, dtype=torch.bool)}, model) == {}


def test_masks_of_two_groups_on_one_tensor_meet():
    model = nn.Sequential(nn.Linear(2, 2, bias=False))
    rows = UnitGroup("rows", ("0",), (2,), (rows_of("0.weight", 2),))
    columns = UnitGroup("columns", ("0",), (2,), (Slice("0.weight", 1, torch.arange(2)[:, None]),))
    keep = {"rows": torch.tensor([True, False]), "columns": torch.tensor([False, True])}
    assert masks_of([rows, columns], keep, model)["0.weight"].tolist() == [[False, True], [False, False]]


def test_masking_a_nan_gives_zero():
    model = nn.Sequential(nn.Linear(2, 1, bias=False))
    model[0].weight.data = torch.tensor([[torch.nan, 3.0]])
    apply_masks(model, {"0.weight": torch.tensor([[False, True]])})
    assert model[0].weight.tolist() == [[0.0, 3.0]]


def test_a_layer_is_found_by_its_own_name_and_as_a_member():
    group = UnitGroup("a", ("a", "b"), (1,), (rows_of("a.w", 1),))
    assert group_of([group], "a") is group_of([group], "b") is group
    assert group_of([group], "c") is None


def test_the_owners_of_a_slice_are_its_units_and_minus_one_elsewhere():
    assert Slice("w", 1, torch.tensor([[2], [0]])).owners((2, 3)).tolist() == [[1, -1, 0]]
    assert Slice("w", 0, torch.tensor([[0, 2], [1, 3]])).owners((4,)).tolist() == [0, 1, 0, 1]


def test_tiles_are_counted_row_by_row_and_are_smaller_at_the_edge():
    tiles = Tiles("w", 2, 3)
    assert tiles.grid((3, 2, 2)) == (2, 2)  # 3 x 4 values: 2 rows of tiles, the lower of height 1; 3 and 1 columns
    assert tiles.owners((3, 2, 2)).flatten(1).tolist() == [[0, 0, 0, 1], [0, 0, 0, 1], [2, 2, 2, 3]]


def test_a_whole_tensor_has_one_owner_whatever_its_shape():
    for shape in [(), (3,), (2, 2)]:
        assert Whole("w", 5).owners(shape).expand(shape).unique().tolist() == [5]


def test_tiles_and_whole_tensors_are_summed_and_averaged():
    values = {"w": torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]), "v": torch.tensor([[10.0, 20.0]])}
    tiles = UnitGroup("w", ("w",), (1, 2), (Tiles("w", 2, 2),))
    assert tiles.sums(values).tolist() == [1 + 2 + 4 + 5, 3 + 6]
    assert tiles.means(values).tolist() == [12 / 4, 9 / 2]
    blocks = UnitGroup("w", ("w", "v"), (2,), (Whole("w", 1), Whole("v", 0)))
    assert blocks.sums(values).tolist() == [30.0, 21.0]
    assert blocks.means(values).tolist() == [15.0, 3.5]


@pytest.mark.parametrize("shape", [(4, 6), (5, 7), (3, 2, 2, 3), (1, 1), (9, 4), (4, 9)])
@pytest.mark.parametrize("rows, columns", [(2, 3), (4, 4), (1, 5), (5, 1), (64, 64), (1, 1)])
def test_the_sums_of_tiles_are_those_of_their_owners_also_at_ragged_edges(shape, rows, columns):
    numbers = torch.randint(-1000, 1000, shape, generator=torch.Generator().manual_seed(0)).float()
    tiles = Tiles("w", rows, columns)
    down, across = tiles.grid(shape)
    group = UnitGroup("w", ("w",), (down, across), (tiles,))
    by_owner = torch.zeros(down * across).index_add_(0, tiles.owners(shape).flatten(), numbers.flatten())
    assert group.sums({"w": numbers}).tolist() == by_owner.tolist()  # whole numbers: exactly
    assert group.sums({"w": numbers / 7000}).tolist() == pytest.approx((by_owner / 7000).tolist(), abs=1e-6)


def test_sums_never_add_up_owner_by_owner_which_is_not_deterministic_on_an_accelerator():
    values = torch.ones(5, 7, device="meta")  # on no device at all: what is called is what counts
    calls = []

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            calls.append(str(func))
            return func(*args, **(kwargs or {}))

    with Watch():
        for piece in (Tiles("w", 2, 3), Whole("w", 0)):
            UnitGroup("w", ("w",), (9,), (piece,)).sums({"w": values})
    assert calls and not any("index_add" in call or "scatter" in call or "index_put" in call for call in calls)


def test_a_slice_that_owns_only_some_columns_leaves_the_others_alone():
    model = nn.Sequential(nn.Linear(3, 2, bias=False))
    group = UnitGroup("0", ("0",), (2,), (Slice("0.weight", 1, torch.tensor([[2], [0]])),))
    masks = masks_of([group], {"0": torch.tensor([False, True])}, model)
    assert masks["0.weight"].tolist() == [[True, True, False]] * 2


def test_masks_of_tiles_and_whole_tensors():
    model = nn.Sequential(nn.Linear(3, 2))
    tiles = UnitGroup("0", ("0",), (1, 2), (Tiles("0.weight", 2, 2),))
    masks = masks_of([tiles], {"0": torch.tensor([True, False])}, model)
    assert masks["0.weight"].tolist() == [[True, True, False]] * 2
    whole = UnitGroup("0", ("0",), (2,), (Whole("0.weight", 0),), (Whole("0.bias", 1),))
    masks = masks_of([whole], {"0": torch.tensor([True, False])}, model)
    assert masks["0.weight"].all() and not masks["0.bias"].any()


def test_only_single_weights_are_of_weights():
    assert UnitGroup("a", ("a",), (2, 2), (Tiles("w"),)).of_weights
    assert not UnitGroup("a", ("a",), (1, 2), (Tiles("w", 2, 1),)).of_weights
    assert not UnitGroup("a", ("a",), (2,), (rows_of("w", 2),)).of_weights


def test_a_group_shows_what_is_pruned_together() -> None:
    group = UnitGroup(
        "a<b", ("a<b", "c"), (3,), (Slice("a.weight", 0, torch.arange(3)[:, None]),), (Whole("n.bias", 0),)
    )
    assert repr(group) == "UnitGroup a<b: 3 units of a<b, c; pruned with each: a.weight, n.bias"
    assert "a&lt;b, c</td>" in group._repr_html_() and "<b" not in group._repr_html_()
