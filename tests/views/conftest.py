"""The page without browser and workers: calls are answered in this process, runs are carried out when asked."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from streamlit.components.v2 import manifest_scanner
from streamlit.testing.v1 import AppTest
from streamlit.web import bootstrap

from pruning.errors import PruningError
from pruning.events import Failed, Finished
from pruning.execution.followed import Asker, Progress
from pruning.execution.server_state import Question, ServerState, WorkerState
from pruning.execution.store.records import Lease
from pruning.execution.store.store import Store
from pruning.exporters.workload_source import Called
from pruning.halving.halving import Halving, halving_to_json
from pruning.interactive.session import PreviewSession
from pruning.recipe.recipe import Recipe
from pruning.run.experiment import carry_out
from pruning.sweeps.expansion import expand
from pruning.sweeps.grid import Grid, grid_to_json
from sample_models import MODELS
from views.launch import APP, settings
from views.shared import server

bootstrap.load_config_options(settings())
# every AppTest reads the metadata of all installed packages to find components in them: once is enough
manifest_scanner.scan_component_manifests = cache(manifest_scanner.scan_component_manifests)


class InProcess:
    """A backend that does at once what it is asked."""

    def __init__(self, home: Path) -> None:
        self.store = Store(home)
        self.lab = PreviewSession(MODELS, torch.device("cpu"))
        self.recipes: list[Recipe] = []
        self.leases: dict[str, Lease] = {}
        self.followed: set[object] = set()
        self.opened_ahead: list[tuple[Callable[..., object], tuple[str, ...]]] = []
        self.others = 0
        """How many other people's questions are said to have turns."""
        self.ended: list[str] = []
        """People whose questions were ended, and workers."""

    def call(self, function: Callable[..., Any], *arguments: Any) -> "Future[Any]":
        answer: Future[Any] = Future()
        try:
            answer.set_result(function(self.lab, *arguments))
        except PruningError as error:
            answer.set_exception(error)
        return answer

    def ask(self, person: str, function: Callable[..., Any], *arguments: Any) -> "Future[Any]":
        return self.call(function, *arguments)

    def follow(
        self,
        asker: Asker,
        function: Callable[..., Any],
        arguments: tuple[Any, ...],
        complete: Callable[[Any], bool],
        background: bool = False,
        part: int | None = None,
        wait: float = 0.0,
    ) -> Progress[Any]:
        """A slice of it at every question."""
        try:
            key = (function, arguments)
            seconds = 0.2 * (key in self.followed) if background else 0.05
            outcome = self.call(function, *arguments, seconds).result()
            self.followed.add(key)
        except PruningError as error:
            return Progress(None, True, error)
        return Progress(outcome, outcome is not None and complete(outcome), others=self.others)

    def unfollow(self, asker: Asker) -> None:
        pass

    def open_ahead(self, function: Callable[..., object], names: Sequence[str]) -> None:
        self.opened_ahead.append((function, tuple(names)))

    @property
    def workers(self) -> int:
        return 1

    def fan_out(self, function: Callable[..., Any], parts: list[tuple[Any, ...]]) -> "list[Future[Any]]":
        return [self.call(function, *part) for part in parts]

    def start(self, recipe: Recipe, session: str, again: bool = False) -> str:
        self.recipes.append(recipe)
        run = self.store.create(recipe, session) if again else self.store.share(recipe, session)
        if self.store.run(run).state == "queued":
            lease = self.store.leases.claim("test")
            assert lease is not None
            self.leases[lease.run] = lease
        return run

    def start_sweep(self, grid: Grid, session: str) -> list[str]:
        recipes = [planned.recipe for planned in expand(grid).runs]
        return self.store.sweeps.queue(grid.name, grid_to_json(grid), recipes, session)

    def start_halving(self, halving: Halving, session: str, seconds: float) -> str:
        self.store.halvings.open(halving.name, halving_to_json(halving), session, seconds)
        return halving.name

    def stop_halving(self, name: str) -> None:
        self.store.halvings.end(name, "stopped", "stopped; what was found is kept")

    def cancel(self, run: str) -> None:
        self.store.request_stop(run)

    def end(self, run: str) -> None:
        self.store.end(run)

    def server_state(self) -> ServerState:
        return ServerState(
            (WorkerState("one", "calls", Question("estimate mlp_128", ("user-anna",), 2.0), "", 2**28, 2**30),), ()
        )

    def end_questions(self, person: str) -> int:
        self.ended.append(person)
        return 1

    def restart_worker(self, worker: str) -> None:
        self.ended.append(worker)

    def finish(self, run: str) -> None:
        """Carry the run out, as a worker would."""
        recipe = self.store.run(run).recipe
        workload = MODELS[recipe.workload]()
        for event in carry_out(
            workload, recipe, self.store.folder(run), Called("sample_models", "workload", (recipe.workload,))
        ):
            if isinstance(event, Finished):
                self.store.leases.finish(self.leases[run], event)
            else:
                self.store.leases.append(self.leases[run], event)

    def fail(self, run: str, sentence: str) -> None:
        self.store.leases.finish(self.leases[run], Failed(sentence))


@pytest.fixture(scope="session")
def lab() -> PreviewSession:
    return PreviewSession(MODELS, torch.device("cpu"))


@pytest.fixture
def backend(tmp_path: Path, lab: PreviewSession, monkeypatch: pytest.MonkeyPatch) -> Iterator[InProcess]:
    made = InProcess(tmp_path)
    made.lab = lab  # opened models and rankings are shared by the tests
    monkeypatch.setattr(server, "backend", lambda: made)
    for module in (
        "lab.run_button",
        "shared.changes",
        "shared.run_events",
        "shared.run_queue",
        "shared.run_panel",
        "shared.run_sharing",
        "sensitivity.asking",
        "runs.table",
        "runs.experiments",
        "runs.grid_form",
        "runs.halving_results",
        "runs.sweep_results",
        "runs.wastebasket",
        "server.server",
    ):
        monkeypatch.setattr(f"views.{module}.backend", lambda: made)
    yield made
    made.store.close()


@pytest.fixture
def app(backend: InProcess) -> AppTest:
    return AppTest.from_file(str(APP.parents[1] / "app.py"), default_timeout=60)  # which starts APP
