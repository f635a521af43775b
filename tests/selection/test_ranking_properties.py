"""What holds for any scores, scope and amount. Many scores are equal or zero, for that is where selections go wrong.

`python -m benchmarks selection` runs the same properties with many more cases.
"""

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from pruning.errors import RecipeError
from pruning.model.costs import CostModel
from pruning.model.macs import Macs
from pruning.model.units import Tiles, UnitGroup
from pruning.selection.allocation import CostLeft
from pruning.selection.amounts import STEPS, Amount, Budget, PerLayer, RelativeThreshold, Sparsity, Threshold, n_of_m
from pruning.selection.ranking import Ranking, position, rank, select
from pruning.selection.scopes import SCOPES, Global, Scope, WithinBlocks, WithinLayer, WithinRow

DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.int8]
"""What scores are made of before they are widened to float32."""

FEW = torch.tensor([0.0, 0.0, 0.5, 1.0, 1.0, 2.0, 100.0, -1.0])
few = st.sampled_from(FEW.tolist())
many = st.floats(-1e4, 1e4, width=32)
share = st.one_of(st.floats(0, 1), st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0]))
blocks = st.builds(WithinBlocks, st.integers(2, 6))
scopes = st.one_of(
    st.builds(Global, st.sampled_from(["none", "mean", "l2", "max"])),
    st.builds(WithinLayer),
    st.builds(WithinRow),
    blocks,
)

Unit = tuple[str, int]


@dataclass
class Case:
    groups: list[UnitGroup]
    scores: dict[str, Tensor]
    scope: Scope

    @property
    def names(self) -> list[str]:
        return [group.name for group in self.groups]

    def ranking(self, amount: Amount, pruned: dict[str, Tensor] | None = None) -> Ranking:
        return rank(self.groups, self.scores, self.scope, amount, pruned)

    def keep(self, amount: Amount, progress: float = 1.0, pruned: dict[str, Tensor] | None = None) -> dict[str, Tensor]:
        return select(self.ranking(amount, pruned), amount, progress)

    def keys(self) -> dict[str, Tensor]:
        """What is compared: the scores, each layer's divided by its size where the scope says so."""
        found = {}
        for name, scores in self.scores.items():
            sizes = scores.double().abs()
            how = self.scope.normalise if isinstance(self.scope, Global) else "none"
            size = {"none": 1.0, "mean": float(sizes.mean()), "l2": float(sizes.norm()), "max": float(sizes.max())}[how]
            found[name] = (scores.double() / (size or 1.0)).float()
        return found

    def best(self, gone: Mapping[str, Tensor] | None = None) -> set[Unit]:
        """The unit of each layer that is never pruned: the last of its highest, of those that are not gone."""
        best = set()
        for name, s in self._lists().items():
            left = [i for i in range(len(s)) if gone is None or not gone[name][i]]
            best |= {(name, max(left, key=lambda i: (s[i], i)))} if left else set()
        return best

    def units(self) -> list[Unit]:
        return [(name, unit) for name, scores in self.scores.items() for unit in range(len(scores))]

    def asked(self, amount: Amount, pool: list[Unit], key: dict[Unit, float], exempt: set[Unit], gone) -> int:
        """How many units of the pool are pruned by their keys, those that are exempt aside."""
        if isinstance(amount, Sparsity):
            return round(amount.share * len(pool))
        value = amount.value if isinstance(amount, Threshold) else -math.inf
        if isinstance(amount, RelativeThreshold):
            (name,) = {name for name, _ in pool}
            highest = max(
                (float(k) for k, lost in zip(self.keys()[name], gone[name], strict=True) if not lost), default=0
            )
            value = amount.share * highest if highest > 0 else -math.inf
        return sum(key[unit] < value and unit not in exempt for unit in pool)

    def _lists(self) -> dict[str, list[float]]:
        return {name: scores.tolist() for name, scores in self.scores.items()}

    def pools(self, own: frozenset[str] = frozenset()) -> list[list[Unit]]:
        """Who competes with whom, found without the scopes' own arithmetic. `own` layers leave the common pool."""
        found: dict[object, list[Unit]] = {}
        for group in self.groups:
            for unit, at in enumerate(itertools.product(*map(range, group.layout))):
                found.setdefault(self._pool(group.name, at, group.name in own), []).append((group.name, unit))
        return list(found.values())

    def _pool(self, name: str, at: tuple[int, ...], own: bool) -> object:
        if isinstance(self.scope, WithinRow):
            return name, at[0]
        if isinstance(self.scope, WithinBlocks):
            inputs = {group.name: group.layout[1] for group in self.groups}[name]
            whole = at[1] < inputs // self.scope.of * self.scope.of
            return name, at[0], at[2:], at[1] // self.scope.of if whole else "rest"
        return name if own or isinstance(self.scope, WithinLayer) else ""

    def rescored(self, data: st.DataObject) -> "Case":
        return Case(
            self.groups, {name: data.draw(values(len(s), ties=True)) for name, s in self.scores.items()}, self.scope
        )


@cache
def values(count: int, ties: bool) -> st.SearchStrategy[Tensor]:
    """So many scores, drawn as bytes: a list of numbers takes ten times as long to draw."""
    if ties:
        drawn = st.binary(min_size=count, max_size=count)
        return drawn.map(lambda found: FEW[torch.frombuffer(bytearray(found), dtype=torch.uint8).long() % 8])
    drawn = st.binary(min_size=2 * count, max_size=2 * count)
    return drawn.map(lambda found: torch.frombuffer(bytearray(found), dtype=torch.int16).float() / 3)


LAYOUTS = [
    layout
    for dims, longest in ((1, 12), (2, 7), (3, 4), (4, 3))
    for layout in itertools.product(range(1, longest + 1), repeat=dims)
]
# strategies are made once: hypothesis takes longer to check a new one than to draw from it
layouts = {False: st.sampled_from(LAYOUTS), True: st.sampled_from([layout for layout in LAYOUTS if len(layout) > 1])}
dtypes, sizes = st.sampled_from(DTYPES), st.integers(1, 3)
plain_amounts = st.one_of(
    st.builds(Sparsity, share), st.builds(Threshold, st.one_of(few, many)), st.builds(RelativeThreshold, share)
)
own_shares = st.lists(st.tuples(st.integers(0, 2), share), max_size=3)


@st.composite
def cases(draw, scopes: st.SearchStrategy[Scope] = scopes) -> Case:
    scope, dtype = draw(scopes), draw(dtypes)
    low, high = (-127, 127) if dtype == torch.int8 else (-1e4, 1e4)
    groups, wide = [], {}
    for i in range(draw(sizes)):
        layout = draw(layouts[scope.within_rows])
        scores = draw(values(math.prod(layout), draw(st.booleans())))
        wide[f"g{i}"] = scores.clamp(low, high).to(dtype).float()
        groups.append(UnitGroup(f"g{i}", (f"g{i}",), layout, (Tiles(f"g{i}.weight"),)))
    return Case(groups, wide, scope)


@st.composite
def by_hand(draw, names: list[str]) -> Amount:
    plain = draw(plain_amounts)
    own = {f"g{i}": share for i, share in draw(own_shares) if f"g{i}" in names}
    return PerLayer(own, plain) if own else plain


amounts = cache(lambda count: by_hand([f"g{i}" for i in range(count)]))


def size(keep: dict[str, Tensor]) -> int:
    return sum(int((~stays).sum()) for stays in keep.values())


def stays(keep: dict[str, Tensor], unit: Unit) -> bool:
    return bool(keep[unit[0]][unit[1]])


@given(cases(), share)
def test_exactly_the_rounded_share_of_each_pool_is_pruned_but_for_the_best_unit_of_each_layer(case, asked):
    keep, best = case.keep(Sparsity(asked)), case.best()
    for pool in case.pools():
        pruned = sum(not stays(keep, unit) for unit in pool)
        assert pruned == min(round(asked * len(pool)), len(pool) - sum(unit in best for unit in pool))
    assert all(any(kept) for kept in keep.values())


@given(cases(blocks), st.data())
def test_n_of_m_holds_in_every_block(case, data):
    of = case.scope.of
    kept = data.draw(st.integers(1, of))
    keep = case.keep(Sparsity(n_of_m(kept, of)))
    for group in case.groups:
        inputs = group.layout[1]
        blocks = keep[group.name].reshape(group.layout).movedim(1, -1).reshape(-1, inputs)
        for start in range(0, inputs // of * of, of):
            assert (blocks[:, start : start + of].sum(dim=1) == kept).all()


@given(cases(), st.one_of(few, many))
def test_all_below_a_threshold_are_pruned_but_for_the_best_unit_of_each_layer(case, value):
    keep, best = case.keep(Threshold(value)), case.best()
    for name, keys in case.keys().items():
        expected = [key >= value or (name, i) in best for i, key in enumerate(keys.double().tolist())]
        assert keep[name].tolist() == expected


@given(cases(), share)
def test_all_below_a_share_of_their_layers_highest_are_pruned_and_that_one_stays(case, asked):
    keep, best = case.keep(RelativeThreshold(asked)), case.best()
    for name, keys in case.keys().items():
        values = keys.double().tolist()
        low = asked * max(values) if max(values) > 0 else -math.inf
        assert keep[name].tolist() == [value >= low or (name, i) in best for i, value in enumerate(values)]


@given(cases(), st.data())
def test_no_unit_stays_that_is_worse_than_one_that_is_pruned_and_ties_are_pruned_by_position(case, data):
    amount = data.draw(amounts(len(case.groups)))
    keep, keys, best = case.keep(amount), case.keys(), case.best()
    for pool in case.pools(amount.own_pools(case.names)):
        ranks = {unit: (float(keys[unit[0]][unit[1]]), place) for place, unit in enumerate(pool)}
        lowest = min((ranks[unit] for unit in pool if stays(keep, unit) and unit not in best), default=(math.inf, 0))
        emptied = {unit for unit in pool if unit[0] in amount.empties()}
        assert all(ranks[unit] < lowest for unit in pool if not stays(keep, unit) and unit not in best | emptied)


@given(cases(), share, st.data())
def test_position_and_select_agree(case, progress, data):
    amount = data.draw(amounts(len(case.groups)))
    gone = {name: ~kept for name, kept in case.rescored(data).keep(amount, data.draw(share)).items()}
    ranking = case.ranking(amount, data.draw(st.sampled_from([None, gone])))
    where, keep = position(ranking, amount, progress), select(ranking, amount, progress)
    assert list(keep) == case.names == [row.name for row in where.shares]
    assert [row.pruned for row in where.shares] == [int((~keep[row.name]).sum()) for row in where.shares]
    assert [row.units for row in where.shares] == [len(keep[row.name]) for row in where.shares]
    assert where.pruned == size(keep) and where.units == sum(map(len, keep.values()))


@given(cases(), share, st.data())
def test_which_units_are_pruned_is_what_sorting_every_pool_by_score_and_position_gives(case, progress, data):
    amount = data.draw(amounts(len(case.groups)))
    gone = {name: ~kept for name, kept in case.rescored(data).keep(amount, data.draw(share)).items()}
    keep, keys = case.keep(amount, progress, gone), case.keys()
    own = amount.shares if isinstance(amount, PerLayer) else {}
    rest = amount.rest if isinstance(amount, PerLayer) else amount
    exempt = case.best(gone) - {unit for unit in case.units() if unit[0] in amount.empties()}
    for pool in case.pools(amount.own_pools(case.names)):
        lost = {unit for unit in pool if bool(gone[unit[0]][unit[1]])}
        key = {unit: -math.inf if unit in lost else float(keys[unit[0]][unit[1]]) for unit in pool}
        by_hand = own.get(pool[0][0]) if len({name for name, _ in pool}) == 1 else None
        asked = case.asked(rest if by_hand is None else Sparsity(by_hand), pool, key, exempt, gone)
        pruned = min(max(round(progress * asked), len(lost)), len(pool) - len(exempt & set(pool)))
        order = sorted(range(len(pool)), key=lambda at: (pool[at] in exempt, key[pool[at]], at))
        expected = {pool[at] for at in order[:pruned]}
        assert {unit for unit in pool if not stays(keep, unit)} == expected


@given(cases(), share, share)
def test_a_larger_share_never_revives_a_unit(case, one, two):
    less, more = (case.keep(Sparsity(s)) for s in sorted((one, two)))
    assert all(bool((less[name] | ~more[name]).all()) for name in less)


@given(cases(), st.data())
def test_what_has_been_pruned_stays_pruned_whatever_its_new_score(case, data):
    amount = data.draw(amounts(len(case.groups)))
    first = case.keep(amount, data.draw(share))
    later = case.rescored(data).keep(amount, data.draw(share), {name: ~kept for name, kept in first.items()})
    assert all(bool((first[name] | ~later[name]).all()) for name in first)


@given(cases(), st.data())
def test_layers_die_only_when_asked_for_by_name(case, data):
    amount = data.draw(amounts(len(case.groups)))
    for name, kept in case.keep(amount).items():
        assert bool(kept.any()) != (name in amount.empties())


@given(cases(), st.data())
def test_the_order_of_a_pool_is_the_one_in_which_its_units_are_pruned(case, data):
    amount = data.draw(amounts(len(case.groups)))
    ranking = case.ranking(amount)
    keep = select(ranking, amount)
    for pools in ranking.pools:
        kept = torch.cat([keep[name] for name in pools.names])[pools.order]
        assert torch.equal(kept, torch.arange(pools.size) >= pools.counts_to_prune(amount, 1.0)[:, None])


@given(cases(), st.data())
def test_the_cut_lies_between_what_is_pruned_and_what_stays(case, data):
    amount = data.draw(amounts(len(case.groups)))
    ranking = case.ranking(amount)
    keep, best = select(ranking, amount), case.best()
    for row in position(ranking, amount).shares:
        if row.cut is None:
            continue
        scores, slack = case.scores[row.name], 1e-6 * abs(row.cut)  # a normalised cut has been divided and multiplied
        pruned = scores[~keep[row.name]]
        assert not len(pruned) or float(pruned.max()) <= row.cut + slack
        kept = [float(scores[i]) for i in range(len(scores)) if keep[row.name][i] and (row.name, i) not in best]
        assert not kept or row.cut <= min(kept) + slack


@given(cases(), st.data())
def test_the_scale_of_a_layer_does_not_matter_where_scores_are_normalised(case, data):
    scope = Global(data.draw(st.sampled_from(["mean", "l2", "max"])))
    amount = data.draw(amounts(len(case.groups)))
    scaled = {name: scores * 2.0 ** data.draw(st.integers(-20, 20)) for name, scores in case.scores.items()}
    plain, other = replace(case, scope=scope).keep(amount), replace(case, scope=scope, scores=scaled).keep(amount)
    assert all(torch.equal(plain[name], other[name]) for name in plain)


@given(cases(), share, st.booleans(), st.data())
def test_a_budget_is_the_smallest_sparsity_that_meets_it(case, asked, one_by_hand, data):
    shapes = {f"{group.name}.weight": group.layout for group in case.groups}
    units = sum(len(scores) for scores in case.scores.values())
    budget = Budget("parameters", asked)
    amount = PerLayer({data.draw(st.sampled_from(case.names)): data.draw(share)}, budget) if one_by_hand else budget
    ranking = case.ranking(amount)
    cost = CostLeft(ranking, CostModel(shapes, dict.fromkeys(shapes, torch.float32), frozenset(shapes), Macs(), shapes))

    def left(share: float) -> float:
        tried = replace(amount, rest=Sparsity(share)) if isinstance(amount, PerLayer) else Sparsity(share)
        return (units - size(select(ranking, tried))) / units

    try:
        settled = amount.settled(cost)
    except RecipeError:
        assert left(1.0) > asked
        return
    found = settled.rest.share if isinstance(settled, PerLayer) else settled.share
    assert left(found) <= asked
    assert found == 0.0 or left(found - 1 / STEPS) > asked


def test_all_scopes_are_drawn():
    assert set(SCOPES.values()) == {Global, WithinLayer, WithinRow, WithinBlocks}
