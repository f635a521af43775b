"""One update of RigL on numbers that can be followed, and what it owes for all."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from pruning.selection.exchange import exchanged


def bits(text: str) -> torch.Tensor:
    return torch.tensor([letter == "x" for letter in text])


def test_the_smallest_fall_and_those_with_the_largest_slopes_grow():
    sizes = torch.tensor([0.5, 0.1, 0.2, 0.9, 0.0, 0.0, 0.0, 0.0])
    slopes = torch.tensor([9.0, 1.0, 1.0, 9.0, 2.0, 5.0, 3.0, 0.0])
    now, new = exchanged(bits("xxxx...."), sizes, slopes, 0.5)
    assert torch.equal(now, bits("x..x.xx.")) and torch.equal(new, bits(".....xx."))


def test_a_weight_that_would_grow_at_once_stays_and_is_not_new():
    slopes = torch.tensor([0.0, 8.0, 5.0, 1.0])
    now, new = exchanged(bits("xx.."), torch.tensor([0.9, 0.1, 0.0, 0.0]), slopes, 0.5)
    assert torch.equal(now, bits("xx..")) and not bool(new.any())


def test_of_equal_ones_the_first_fall_and_the_first_grow():
    now, _ = exchanged(bits("xx.."), torch.ones(4), torch.tensor([0.0, 0.0, 1.0, 1.0]), 0.5)
    assert torch.equal(now, bits(".xx."))


@given(st.data(), st.integers(1, 30), st.floats(0, 1))
def test_as_many_stay_and_what_is_new_was_pruned(data, units, share):
    numbers = st.lists(st.floats(0, 10, width=32), min_size=units, max_size=units)
    keep = torch.tensor(data.draw(st.lists(st.booleans(), min_size=units, max_size=units)))
    sizes, slopes = (torch.tensor(data.draw(numbers)) for _ in range(2))
    before = keep.clone()
    now, new = exchanged(keep, sizes, slopes, share)
    count = round(share * int(before.sum()))
    assert torch.equal(keep, before) and int(now.sum()) == int(before.sum())
    assert torch.equal(new, now & ~before) and int(new.sum()) <= count
    gone, stayed = before & ~now, before & now
    if bool(gone.any()):
        # what falls is among the `count` smallest, what grows has no smaller slope than what could have grown
        assert float(sizes[gone].max()) <= float(sizes[before].sort().values[count - 1])
        assert float(slopes[new].min()) >= float(slopes[gone].max())
    assert bool(stayed.any()) or count == int(before.sum())
