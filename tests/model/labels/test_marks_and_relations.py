import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pruning.model.labels.marks import (
    CONSTANT,
    DATA,
    FIRST,
    Plane,
    aligned,
    compact,
    lettered,
    marked,
    own_sizes,
    without,
)
from pruning.model.labels.relations import Relations, joined, roots

A, B, C, D = range(FIRST, FIRST + 4)


def labels(*values: int) -> torch.Tensor:
    return torch.tensor(values)


# -- marks


def test_labels_are_as_small_as_they_can_be():
    assert compact(torch.tensor([[A, B], [A, B]])).tolist() == [[A, B]]
    assert compact(torch.tensor([[A, A], [B, B]])).tolist() == [[A], [B]]
    assert compact(torch.tensor([[A, A], [A, A]])).tolist() == [[A]]
    assert compact(torch.tensor([[A, B], [B, A]])).tolist() == [[A, B], [B, A]]
    assert compact(labels(A, B)[:, None].expand(2, 5)).shape == (2, 1)


def test_planes_that_are_the_same_everywhere_are_not_kept():
    marks = marked([Plane(torch.tensor([[A, A]]), True), Plane(torch.tensor([[A, B], [A, B]]), False)], data=True)
    assert [(plane.labels.tolist(), plane.vanishes, plane.dims) for plane in marks.planes] == [([[A, B]], False, {1})]
    assert marks.data


def test_broadcasting_adds_dimensions_in_front():
    assert aligned(labels(A, B), 3).shape == (1, 1, 2)
    assert own_sizes(torch.zeros(2, 1, 3), 4) == {1, 3}
    assert own_sizes(torch.zeros(1, 3).expand(2, 3), 2) == {1}


def test_dimensions_are_put_in_the_order_of_letters():
    made = torch.tensor([[A, B]])
    assert lettered(made, "mk", "kbm").shape == (2, 1, 1)
    assert without(made, [0]).tolist() == [A, B]


# -- what meets


def test_labels_that_meet_fall_together_and_with_data_never():
    relations = Relations(here="add")
    met = relations.couple(labels(A, B, C, DATA, CONSTANT), labels(D, B, CONSTANT, A, DATA))
    assert met.tolist() == [D, B, C, A, DATA]
    assert [pair.tolist() for pair in relations.pairs] == [[[A], [D]]]
    assert [(each.tolist(), why) for each, why in relations.locks] == [
        ([A], "its units meet values that no layer makes, such as the input, at add")
    ]


def test_labels_are_broadcast_before_they_meet():
    relations = Relations()
    relations.couple(torch.tensor([[A], [B]]), torch.tensor([[C, D]]))
    assert relations.pairs[0].T.tolist() == [[A, C], [A, D], [B, C], [B, D]]


def test_tied_labels_fall_together_along_their_dimensions_only():
    relations = Relations(here="sort")
    assert relations.tie(torch.tensor([[A, B], [C, D]]), {1}).tolist() == [[B], [D]]
    ((pairs, where),) = relations.ties
    assert pairs.T.tolist() == [[A, B], [C, D]] and where == "sort" and relations.locks == []
    assert relations.tie(torch.tensor([[A, B]]), {0}).tolist() == [[A, B]]  # one row meets nobody
    assert len(relations.ties) == 1


def test_what_is_tied_to_data_never_falls_and_a_constant_goes_along():
    relations = Relations(here="sort")
    assert relations.tie(labels(A, CONSTANT), {0}).tolist() == [A] and relations.locks == []
    relations.tie(labels(A, DATA), {0})
    assert [each.tolist() for each, _ in relations.locks] == [[A]]


def test_data_and_constants_are_never_locked_or_averaged():
    relations = Relations(here="mean")
    relations.lock(labels(DATA, CONSTANT), "no reason")
    relations.average(labels(DATA, CONSTANT))
    relations.average(labels(B, A, B))
    assert relations.locks == [] and [(each.tolist(), at) for each, at in relations.statistics] == [([A, B], "mean")]


def test_the_operation_is_named_with_its_module():
    relations = Relations()
    relations.at("add", "blocks.0")
    assert (relations.here, relations.module) == ("add in blocks.0", "blocks.0")
    relations.at("add", "")
    assert relations.here == "add"


# -- shared slices


def test_a_shared_slice_that_meets_one_unit_is_its_own():
    relations = Relations()
    relations.share(labels(A, A), labels(C, C))
    root, torn = joined(6, relations)
    assert root.tolist() == [0, 1, A, B, A, D] and torn.tolist() == []


def test_a_shared_slice_that_meets_several_units_is_torn():
    relations = Relations()
    relations.share(labels(A, A, B), labels(C, D, D))
    root, torn = joined(6, relations)
    # B meets D alone; A meets both
    assert root.tolist() == [0, 1, A, B, C, B] and torn.tolist() == [A]


def test_units_that_fall_together_anyway_are_one_unit_for_what_they_share():
    relations = Relations()
    relations.share(labels(A, A), labels(C, D))
    relations.couple(labels(C), labels(D))
    root, torn = joined(6, relations)
    assert root.tolist() == [0, 1, A, B, A, A] and torn.tolist() == []


# -- roots


def test_roots_are_the_smallest_labels():
    assert roots(6, []).tolist() == [0, 1, 2, 3, 4, 5]
    assert roots(6, [torch.tensor([[5, 4], [4, 3]])]).tolist() == [0, 1, 2, 3, 3, 3]


def union_find(count: int, pairs: list[tuple[int, int]]) -> list[int]:
    parent = list(range(count))

    def root(label: int) -> int:
        while parent[label] != label:
            label = parent[label]
        return label

    for first, second in pairs:
        low, high = sorted((root(first), root(second)))
        parent[high] = low
    return [root(label) for label in range(count)]


@settings(max_examples=60, deadline=None)
@given(st.data(), st.integers(1, 30))
def test_roots_are_those_of_a_plain_union_find(data, count):
    label = st.integers(0, count - 1)
    pairs = data.draw(st.lists(st.tuples(label, label), max_size=40))
    cut = data.draw(st.integers(0, len(pairs)))
    tensors = [torch.from_numpy(np.array(part, dtype=np.int64).reshape(-1, 2).T) for part in (pairs[:cut], pairs[cut:])]
    assert roots(count, tensors).tolist() == union_find(count, pairs)


@pytest.mark.parametrize(
    "name", ["pairs", "ties", "locks", "shared", "statistics", "written", "read", "consumed", "unsure", "heads"]
)
def test_all_that_another_run_found_is_taken_over(name):
    mine, theirs = Relations(), Relations()
    getattr(theirs, name).append(entry := (labels(A), "there"))
    mine.add(theirs)
    assert getattr(mine, name) == [entry]
