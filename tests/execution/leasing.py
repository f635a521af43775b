"""Runs in a store for the tests, and what is written of them."""

from pruning.events import Event, Finished
from pruning.execution.settings import Limits
from pruning.execution.store.records import Lease
from pruning.execution.store.store import Store
from pruning.recipe.recipe import Recipe
from pruning.selection.amounts import Sparsity

RECIPE = Recipe("mlp", amount=Sparsity(0.5))
OTHER = Recipe("mlp", amount=Sparsity(0.7))
GENEROUS = Limits(runs_per_session=1000)


def claimed(store: Store, worker: str = "w") -> Lease:
    lease = store.leases.claim(worker)
    assert lease is not None
    return lease


def running(store: Store, recipe: Recipe = RECIPE, worker: str = "w") -> Lease:
    store.create(recipe, "s")
    return claimed(store, worker)


def reported(store: Store, run: str) -> list[Event]:
    events = store.events(run)
    assert [seq for seq, _ in events] == list(range(1, len(events) + 1))
    return [event for _, event in events]


def over(store: Store, recipe: Recipe = RECIPE) -> str:
    lease = running(store, recipe)
    store.leases.finish(lease, Finished(False, 1.0))
    return lease.run
