"""Planes of a few labels that meet, worked out by hand."""

import torch

from pruning.model.labels.marks import FIRST, Marks, Plane
from pruning.model.labels.meeting import Factor, Operand, contract, meet
from pruning.model.labels.relations import Relations

A, B, C, D, E, F = range(FIRST, FIRST + 6)


def plane(labels: list, vanishes: bool = True) -> Plane:
    return Plane(torch.tensor(labels), vanishes)


def data(*planes: Plane) -> Marks:
    return Marks(planes, True)


def weight(*planes: Plane) -> Marks:
    return Marks(planes, False)


def pairs(relations: Relations) -> list[list[int]]:
    return [pair for each in relations.pairs for pair in each.T.tolist()]


def ties(relations: Relations) -> list[list[int]]:
    return [pair for each, _ in relations.ties for pair in each.T.tolist()]


def lists(planes: tuple[Plane, ...]) -> list[tuple[list, bool]]:
    return [(each.labels.tolist(), each.vanishes) for each in planes]


# -- position by position


def test_units_along_the_same_dimension_are_coupled():
    relations = Relations()
    operands = [
        Operand((plane([[A, B]]),), frozenset({0, 1}), True),
        Operand((plane([[C, D]]),), frozenset({0, 1}), True),
    ]
    found = meet(relations, operands, lambda zeros: zeros == {0, 1})
    assert lists(found) == [([[C, D]], True)] and pairs(relations) == [[A, C], [B, D]]


def test_units_along_different_dimensions_stay_apart_where_the_others_are_broadcast():
    relations = Relations()
    operands = [
        Operand((plane([[A, B]]),), frozenset({1}), True),
        Operand((plane([[C], [D]]),), frozenset({0}), True),
    ]
    found = meet(relations, operands, lambda zeros: 0 in zeros)
    assert lists(found) == [([[A, B]], True), ([[C], [D]], False)]
    assert pairs(relations) == ties(relations) == []


def test_units_that_meet_other_values_of_the_input_fall_together():
    relations = Relations()
    operands = [Operand((plane([[A, B]]),), frozenset({1}), True), Operand((), frozenset({1}), True)]
    assert meet(relations, operands, lambda zeros: True) == ()
    assert ties(relations) == [[A, B]]


def test_what_the_code_makes_goes_along_with_the_units():
    relations = Relations()
    operands = [Operand((plane([[A, B]]),), frozenset({1}), True), Operand((), frozenset({1}), False)]
    assert lists(meet(relations, operands, lambda zeros: zeros == {0})) == [([[A, B]], True)]
    assert ties(relations) == []


def test_a_parameter_that_is_broadcast_over_heads_is_shared_by_them():
    # units [2 heads, 2 each], a scale [2] for what lies within a head
    relations = Relations()
    operands = [
        Operand((plane([[A, B], [C, D]]),), frozenset({0, 1}), True),
        Operand((plane([[E, F]]),), frozenset({1}), False),
    ]
    found = meet(relations, operands, lambda zeros: 0 in zeros)
    assert lists(found) == [([[A, B], [C, D]], True)] and pairs(relations) == []
    ((shared, _),) = relations.shared
    assert shared.T.tolist() == [[E, A], [E, C], [F, B], [F, D]]


def test_units_of_data_that_are_broadcast_over_others_are_tied_to_what_they_have_in_common():
    relations = Relations()
    operands = [
        Operand((plane([[A, B], [C, D]]),), frozenset({0, 1}), True),
        Operand((plane([[E, F]]),), frozenset({1}), True),
    ]
    found = meet(relations, operands, lambda zeros: 0 in zeros)
    # columns stay: A with C and E, B with D and F
    assert sorted(map(sorted, ties(relations))) == [[A, C], [B, D]]
    assert sorted(map(sorted, pairs(relations))) == [[C, E], [D, F]] and lists(found)[0][0] == [[E, F]]


# -- multiplied and added up


def test_a_weight_reads_units_and_makes_others():
    relations = Relations()
    found = contract(
        relations,
        Factor(data(plane([[A, B]])), "mk"),
        Factor(weight(plane([[C], [D]]), plane([[E, F]])), "kn"),
        "mn",
    )
    assert lists(found) == [([[E, F]], True)]
    assert pairs(relations) == [[A, C], [B, D]] and ties(relations) == []
    assert [each.tolist() for each in relations.read] == [[C, D]]
    assert [each.tolist() for each in relations.written] == [[E, F]]
    assert [each.tolist() for each in relations.consumed] == [[A, B], [C, D]]


def test_columns_that_read_the_input_never_fall():
    relations = Relations(here="mm in first")
    contract(relations, Factor(data(), "mk"), Factor(weight(plane([[C], [D]]), plane([[E, F]])), "kn"), "mn")
    ((locked, why),) = relations.locks
    assert (
        locked.tolist() == [C, D]
        and why == "its units meet values that no layer makes, such as the input, at mm in first"
    )


def test_units_multiplied_with_numbers_of_the_code_change_nothing_if_they_vanish():
    for vanishes in (True, False):
        relations = Relations(here="mm")
        contract(relations, Factor(data(plane([[A, B]], vanishes)), "mk"), Factor(weight(), "kn"), "mn")
        assert relations.locks == [] and len(relations.statistics) == (0 if vanishes else 1)


def test_what_queries_and_keys_have_in_common_is_a_head():
    # q [2 heads, t, 2] and k [2 heads, 2, t]: within a head all units of both fall together
    relations = Relations(module="attention")
    found = contract(
        relations,
        Factor(data(plane([[[A, B]], [[C, D]]])), "bmk"),
        Factor(data(plane([[[A + 10], [B + 10]], [[C + 10], [D + 10]]])), "bkn"),
        "bmn",
    )
    assert [(labels.tolist(), where) for labels, where in relations.heads] == [([B + 10, D + 10], "attention")]
    assert lists(found) == [([[[B + 10]], [[D + 10]]], True)]
    assert pairs(relations) == [[A, A + 10], [B, B + 10], [C, C + 10], [D, D + 10]]
    assert ties(relations) == [[A + 10, B + 10], [C + 10, D + 10]]


def test_rows_and_columns_of_a_batch_stay_apart():
    # units along m of the first and along n of the second pass through
    relations = Relations()
    found = contract(relations, Factor(data(plane([[A], [B]])), "mk"), Factor(weight(plane([[C, D]])), "kn"), "mn")
    assert [each.labels.tolist() for each in found] == [[[A], [B]], [[C, D]]]
    assert pairs(relations) == ties(relations) == []
