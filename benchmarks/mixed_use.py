"""Half an hour of everything at once: pages come and go, sliders move, maps grow, runs train. What stays is counted."""

import asyncio
import random
import statistics
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil

from benchmarks.classroom_session import Student
from benchmarks.report import Report, Target
from pruning.criteria import Magnitude, Random, Snip, Taylor
from pruning.errors import JobError
from pruning.execution.store.store import Store
from pruning.granularities import Channels
from pruning.recipe.recipe import Recipe, to_json
from pruning.repair import LeastSquares
from pruning.selection.amounts import Sparsity
from pruning.training.tuning import Tuning
from tests.browser.conftest import serving

MINUTES = 30.0
PEOPLE = 20
EVERY_S = 3.0
PATIENCE_S = 120.0
RUN_EVERY_S = 45.0
SETTLED = 1 / 3  # of the time: until then all models were opened, and caches are as full as they become
THREADS = 3  # its column in what is held
AT_MOST = 1.05
PAGES = ["", "", "", "sensitivity", "compare", "search", "runs"]
RECIPES = [
    Recipe("fashion_cnn"),
    Recipe("fashion_cnn", Taylor(), Channels()),
    Recipe("mlp_128", Random()),
    Recipe("lenet_300_100", Snip()),
    Recipe("lenet_300_100", repair=LeastSquares()),
    Recipe("fashion_resnet", Magnitude(), Channels()),
]
TRAINED = Recipe("mlp_128", tuning=Tuning(epochs=2, images_per_epoch=10_000))


@dataclass
class _Seen:
    """What was done, and what the server held meanwhile: a row for each second, (seconds, MB, handles, threads)."""

    pages: Counter[str] = field(default_factory=Counter[str])
    moves: int = 0
    errors: list[str] = field(default_factory=list[str])
    held: list[tuple[float, float, float, float]] = field(default_factory=list[tuple[float, float, float, float]])


def measure(minutes: float = MINUTES) -> Report:
    """Twenty people; memory, handles and threads of the server and its workers at the end and after a third."""
    seen = _Seen()
    with TemporaryDirectory() as home, serving(Path(home)) as address:
        server = psutil.Process().children()[0]
        asyncio.run(_everybody(address, Store(Path(home)), 60 * minutes, server, seen))
    ends = seen.held[-1][0]
    figures: dict[str, float] = {"minutes": ends / 60, "people": float(PEOPLE), "moves": float(seen.moves)}
    figures |= {f"pages opened: {page or 'lab'}": float(n) for page, n in sorted(seen.pages.items())}
    figures["errors on pages"] = float(len(seen.errors))
    targets = {"errors on pages": Target(at_most=0)}
    for column, what in enumerate(("memory (MB)", "open handles", "threads that stay"), 1):
        held = [(row[0], row[column]) for row in seen.held]
        held = _least_of_each_minute(held) if column == THREADS else held
        settled = _median(held, SETTLED * ends, 2 * SETTLED * ends)
        last = _median(held, 2 * SETTLED * ends, ends)
        figures[f"{what}, last third"] = last
        figures[f"{what}, last third over the one before"] = last / settled
        targets[f"{what}, last third over the one before"] = Target(at_most=AT_MOST)
    return Report(figures, targets)


async def _everybody(address: str, store: Store, seconds: float, server: psutil.Process, seen: _Seen) -> None:
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(PEOPLE))  # each asks by a thread
    ends = time.monotonic() + seconds
    watching = asyncio.create_task(_watch(server, time.monotonic(), seen))
    training = asyncio.create_task(_train(store))
    await asyncio.gather(*(_person(address, number, ends, seen) for number in range(PEOPLE)))
    training.cancel()
    watching.cancel()


async def _person(address: str, number: int, ends: float, seen: _Seen) -> None:
    """Opens a page, stays a while, closes it, opens another: the same browser all the time."""
    chance, cookie = random.Random(number), ""
    await asyncio.sleep(chance.uniform(0.0, 10.0))
    while time.monotonic() < ends:
        recipe, page = chance.choice(RECIPES), chance.choice(PAGES)
        recipe = replace(recipe, amount=Sparsity(round(chance.uniform(0.05, 0.9), 4)))
        student = await Student.arrive(address, to_json(recipe), page, cookie)
        cookie = student.cookie
        seen.pages[page] += 1
        if page:
            await asyncio.sleep(chance.uniform(5.0, 30.0))
        elif await student.until_shown(PATIENCE_S):
            for _ in range(chance.randint(1, 8)):
                await student.move(round(chance.uniform(5.0, 90.0), 1))
                seen.moves += 1
                await asyncio.sleep(EVERY_S)
        else:
            student.errors.append(f"{recipe.workload}: no score within {PATIENCE_S:g} s")
        seen.errors += student.errors
        await student.leave()
        await asyncio.sleep(chance.uniform(0.0, 3.0))


async def _train(store: Store) -> None:
    number = 0
    while True:
        with suppress(JobError):
            store.create(replace(TRAINED, seed=number), f"teacher {number % 5}")
        number += 1
        await asyncio.sleep(RUN_EVERY_S)


async def _watch(server: psutil.Process, began: float, seen: _Seen) -> None:
    while True:
        megabytes = handles = threads = 0.0
        for process in [server, *server.children(recursive=True)]:
            with suppress(psutil.NoSuchProcess):
                megabytes += process.memory_info().rss / 2**20
                handles += process.num_fds()
                threads += process.num_threads()
        seen.held.append((time.monotonic() - began, megabytes, handles, threads))
        await asyncio.sleep(1.0)


def _least_of_each_minute(held: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Each run of a page's script has a thread of its own for a moment: how many there are says how many pages are
    drawn just then. What a leak leaves behind is there at the quietest moment too.
    """
    minutes: dict[int, float] = {}
    for seconds, value in held:
        minute = int(seconds // 60)
        minutes[minute] = min(minutes.get(minute, value), value)
    return [(60.0 * minute, value) for minute, value in minutes.items()]


def _median(held: Sequence[tuple[float, float]], begin: float, end: float) -> float:
    return statistics.median(value for seconds, value in held if begin <= seconds <= end)
