"""Work for a second process in the tests of the store; without torch, so that it starts at once."""

from pathlib import Path

from pruning.events import Finished, TuningStep, Warned
from pruning.execution.store.store import Store


def claim_and_write(home: Path, worker: str) -> None:
    """Carry out every queued run: ten events and an end."""
    store = Store(home)
    while (lease := store.leases.claim(worker)) is not None:
        for step in range(5):
            store.leases.append(lease, TuningStep(0, 0, step, 0.5), Warned(worker))
        store.leases.finish(lease, Finished(False, 1.0))
