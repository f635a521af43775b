"""What holds for any scores, scope and amount. Many scores are equal or zero, for that is where selections go wrong."""

from dataclasses import dataclass

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from pruning.amounts import Amount, PerLayer, Sparsity, Threshold
from pruning.scopes import SCOPES, Scope
from pruning.select import position, rank, select
from pruning.units import UnitGroup

DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.int8]

few = st.sampled_from([0.0, 0.5, 1.0, 1.0, 2.0, 100.0])
many = st.floats(0, 1e4, width=32)
share = st.one_of(st.floats(0, 1), st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0]))


@dataclass
class Case:
    groups: list[UnitGroup]
    scores: dict[str, Tensor]
    scope: Scope

    def keep(self, amount: Amount, progress: float = 1.0, fallen: dict[str, Tensor] | None = None) -> dict[str, Tensor]:
        return select(rank(self.groups, self.scores, self.scope, amount, fallen), amount, progress)

    def rescored(self, values: st.DataObject) -> "Case":
        drawn = {
            n: torch.tensor(values.draw(st.lists(few, min_size=len(s), max_size=len(s))))
            for n, s in self.scores.items()
        }
        return Case(self.groups, drawn, self.scope)


@st.composite
def cases(draw) -> Case:
    dtype = draw(st.sampled_from(DTYPES))
    values = [
        draw(st.lists(draw(st.sampled_from([few, many])), min_size=1, max_size=12))
        for _ in range(draw(st.integers(1, 4)))
    ]
    wide = {
        f"g{i}": torch.tensor(v).clamp(max=127 if dtype == torch.int8 else 1e4).to(dtype).float()
        for i, v in enumerate(values)
    }
    groups = [UnitGroup(name, (name,), (f"{name}.weight",), (len(s),), len(s)) for name, s in wide.items()]
    return Case(groups, wide, SCOPES[draw(st.sampled_from(sorted(SCOPES)))]())


@st.composite
def amounts(draw, names: list[str]) -> Amount:
    plain = draw(st.one_of(st.builds(Sparsity, share), st.builds(Threshold, st.one_of(few, many))))
    own = draw(st.lists(st.sampled_from(names), unique=True))
    return PerLayer({name: draw(share) for name in own}, plain) if own else plain


def size(keep: dict[str, Tensor]) -> int:
    return sum(int((~stays).sum()) for stays in keep.values())


@given(cases(), share)
def test_exactly_the_rounded_share_falls_but_for_the_best_unit_of_each_layer(case, asked):
    keep = case.keep(Sparsity(asked))
    for pool in case.scope.pools([group.name for group in case.groups]):
        units = sum(len(case.scores[name]) for name in pool)
        assert size({name: keep[name] for name in pool}) == min(round(asked * units), units - len(pool))
    assert all(stays.any() for stays in keep.values())


@given(cases(), st.one_of(few, many))
def test_all_below_a_threshold_fall_but_for_the_best_unit_of_each_layer(case, value):
    for name, stays in case.keep(Threshold(value)).items():
        scores = case.scores[name].double()
        expected = scores >= value
        if not expected.any():
            expected[len(scores) - 1 - int(scores.flip(0).argmax())] = True
        assert stays.tolist() == expected.tolist()


@given(cases(), st.data())
def test_no_unit_stays_that_is_worse_than_one_that_falls_and_ties_fall_by_position(case, data):
    amount = data.draw(amounts(list(case.scores)))
    keep = case.keep(amount)
    own = amount.own_pools()
    pools = case.scope.pools([name for name in case.scores if name not in own]) + [(name,) for name in own]
    for pool in pools:
        ranks = [(score, i) for i, score in enumerate(torch.cat([case.scores[name] for name in pool]).tolist())]
        stays = torch.cat([keep[name] for name in pool]).tolist()
        best = {
            max(ranks[start : start + len(case.scores[name])])
            for name, start in zip(pool, starts(case, pool), strict=True)
        }
        lowest_kept = min(
            (r for r, s in zip(ranks, stays, strict=True) if s and r not in best), default=(float("inf"), 0)
        )
        assert all(r < lowest_kept for r, s in zip(ranks, stays, strict=True) if not s and r not in best)


def starts(case: Case, pool: tuple[str, ...]) -> list[int]:
    sizes = [len(case.scores[name]) for name in pool]
    return [sum(sizes[:i]) for i in range(len(sizes))]


@given(cases(), share, st.data())
def test_position_and_select_agree(case, progress, data):
    amount = data.draw(amounts(list(case.scores)))
    gone = {name: ~stays for name, stays in case.rescored(data).keep(amount, data.draw(share)).items()}
    ranking = rank(case.groups, case.scores, case.scope, amount, data.draw(st.sampled_from([None, gone])))
    where, keep = position(ranking, amount, progress), select(ranking, amount, progress)
    assert keep.keys() == {group.name for group in case.groups}
    assert [row.fallen for row in where.shares] == [int((~keep[row.name]).sum()) for row in where.shares]
    assert [row.units for row in where.shares] == [len(keep[row.name]) for row in where.shares]
    assert where.fallen == size(keep) and where.units == sum(map(len, keep.values()))


@given(cases(), share, share)
def test_a_larger_share_never_revives_a_unit(case, one, two):
    less, more = (case.keep(Sparsity(s)) for s in sorted((one, two)))
    assert all(bool((less[name] | ~more[name]).all()) for name in less)


@given(cases(), st.data())
def test_more_progress_never_revives_a_unit_even_with_new_scores(case, data):
    amount = data.draw(amounts(list(case.scores)))
    first = case.keep(amount, data.draw(share))
    later = case.rescored(data).keep(amount, data.draw(share), {name: ~stays for name, stays in first.items()})
    assert all(bool((first[name] | ~later[name]).all()) for name in first)


@given(cases(), st.data())
def test_layers_die_only_when_asked_for_by_name(case, data):
    amount = data.draw(amounts(list(case.scores)))
    for name, stays in case.keep(amount).items():
        assert bool(stays.any()) != (name in amount.empties())


@given(cases(), st.data())
def test_the_cut_lies_between_what_falls_and_what_stays(case, data):
    amount = data.draw(amounts(list(case.scores)))
    ranking = rank(case.groups, case.scores, case.scope, amount)
    keep = select(ranking, amount)
    for row in position(ranking, amount).shares:
        if row.cut is not None and (~keep[row.name]).any():
            assert float(case.scores[row.name][~keep[row.name]].max()) <= row.cut
