"""What a page's worker keeps is bounded in bytes: models that were opened long ago are dropped."""

from collections import Counter
from collections.abc import Callable

import pytest
from torch import nn

from pruning.interactive import session
from pruning.interactive.session import PreviewSession
from pruning.workload import Workload
from tests.networks import CPU, VECTOR, seeded, workload

MODELS = 6
MODEL_BYTES = 4 * (6 * 1000 + 1000 + 1000 * 3 + 3)


def wide() -> nn.Module:
    """40 kB of weights."""
    return nn.Sequential(nn.Linear(6, 1000), nn.ReLU(), nn.Linear(1000, 3))


def test_models_opened_long_ago_are_dropped_once_the_bytes_run_out(monkeypatch: pytest.MonkeyPatch):
    """Room for three models and what is known of their 100 samples each, not for four."""
    monkeypatch.setattr(session, "CACHE_BYTES", int(3.9 * MODEL_BYTES))
    opened = Counter[str]()

    def counted(name: str) -> Callable[[], Workload]:
        def make() -> Workload:
            opened[name] += 1
            return workload(lambda: seeded(wide), VECTOR, name, count=100)

        return make

    names = [f"model {number}" for number in range(MODELS)]
    bench = PreviewSession({name: counted(name) for name in names}, CPU)
    for name in names:
        bench.opened(name)
    for name in names[-3:]:
        bench.opened(name)
    assert set(opened.values()) == {1}  # the last three are still there
    bench.opened(names[0])
    assert opened[names[0]] == 2  # the first is not
