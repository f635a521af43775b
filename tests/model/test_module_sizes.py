import copy

import pytest
import torch
from torch import nn

from pruning.model.costs import file_bytes
from pruning.model.module_sizes import NO_SIZES, ModuleSizes, from_metadata, set_numbers, sizes_between, to_metadata


class Sized(nn.Module):
    """A module with numbers of many kinds."""

    def __init__(self) -> None:
        super().__init__()
        self.heads, self.passes, self.scale, self.causal = 4, 7, 0.5, True
        self.parts, self.shape, self.named = (4, 8), [4, -1, "same"], {"heads": 4}
        self.tensors = [torch.ones(2)]
        self.layer = nn.Linear(4, 3)


def smaller() -> tuple[Sized, Sized]:
    """A module and its copy with half as many of all; `passes` and `scale` are no sizes."""
    dense = Sized()
    less = copy.deepcopy(dense)
    less.heads, less.passes, less.scale, less.causal = 2, 8, 0.25, False
    less.parts, less.shape, less.named = (4, 4), [2, -1, "same"], {"heads": 2}
    less.tensors = [torch.ones(1)]
    less.layer.in_features = 2
    return dense, less


NUMBERS = {"": {"heads": 2, "parts": [4, 4], "shape": [2, -1, "same"]}, "layer": {"in_features": 2}}


def test_whole_numbers_that_went_down_are_sizes_and_nothing_else_is():
    dense, less = smaller()
    assert sizes_between(dense, less) == ModuleSizes(NUMBERS)
    assert sizes_between(dense, dense) == NO_SIZES
    # nothing of it went down the other way round but the number that is no size
    assert sizes_between(less, dense) == ModuleSizes({"": {"passes": 7}})


def test_a_tuple_in_which_a_number_went_up_is_no_size():
    dense, other = Sized(), Sized()
    other.parts = (3, 9)
    assert sizes_between(dense, other) == NO_SIZES


def test_numbers_are_set_as_what_they_were_tuples_and_lists():
    model = Sized()
    set_numbers(model, ModuleSizes(NUMBERS))
    assert (model.heads, model.parts, model.shape, model.layer.in_features) == (2, (4, 4), [2, -1, "same"], 2)


def test_a_class_that_was_changed_is_named():
    dense = nn.Sequential(nn.Linear(2, 2))
    other = copy.deepcopy(dense)
    other[0].__class__ = Sized
    assert sizes_between(dense, other).classes == {"0": "Sized"}


@pytest.mark.parametrize("sizes", [NO_SIZES, ModuleSizes(NUMBERS), ModuleSizes({}, {"a": "NarrowLSTM"}, ("mask",))])
def test_metadata_says_the_same_again(sizes: ModuleSizes):
    metadata = to_metadata(sizes)
    assert from_metadata({**metadata, "format": "pt"}) == sizes
    assert len(metadata) == sum(map(bool, (sizes.numbers, sizes.classes, sizes.buffers)))


def test_files_with_sizes_are_equal_where_the_networks_are():
    # the library's own order of three keys is another at nearly every second call
    files = {file_bytes({"ä": torch.ones(3)}, ModuleSizes(NUMBERS, {"ü": "NarrowLSTM"})) for _ in range(20)}
    assert len(files) == 1
