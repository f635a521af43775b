"""A class at one server: sixty people move sliders, ten of them in real browsers, and nobody waits for another."""

import asyncio
import os
import random
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal, get_args
from urllib.parse import quote

import psutil
from playwright.async_api import Browser, async_playwright

from benchmarks.classroom_session import Student
from benchmarks.live import WATCH
from benchmarks.report import Direction, Report, Target
from pruning.criteria import OptimalBrainDamage
from pruning.execution.store.store import Store
from pruning.recipe.recipe import Recipe, to_json
from pruning.selection.amounts import PerLayer, Sparsity
from pruning.training.tuning import Tuning
from tests.browser.chromium import find
from tests.browser.conftest import serving

PEOPLE, BROWSERS, MANY, FEW = 60, 10, 100, 30
EVERY_S = 3.0
MOVES = 5  # then a person looks at what the cut scores
PATIENCE_S = 90.0
BEFORE_S = 20.0  # the server was started before the class came
ARRIVING_S = 15.0
QUIET_S, DRAWN_S, BUSY_S, MANY_S, FEW_S = 200.0, 200.0, 160.0, 90.0, 60.0
WORKLOAD = "fashion_cnn"
FLAT = "memory before the run over that after a quarter of the time"
APART = ", no browser on its cores"
SIXTY = (APART, "", f", a run trains{APART}", ", a run trains")
SHOWN = ("sizes", "estimate", "measured")
Where = Literal["while people arrive", "not in browsers", "in browsers"]
"""Moves count apart until everybody is there: a browser that loads the page takes a core for seconds."""
WHERE: tuple[Where, ...] = get_args(Where)
SERVED_BY = 2
"""Cores of the server, where there are as many others: in a class, browsers are on other machines."""
SHARED = "cores that browsers share with the server"
SLOWEST = Recipe(WORKLOAD, OptimalBrainDamage("hutchinson", samples=2048, probes=40), seed=1)
TRAINED = Recipe(WORKLOAD, tuning=Tuning(epochs=10_000))
Waits = Callable[[], Mapping[str, float | None]]
"""Seconds from a move until each thing was shown, as far as that is known when it is called."""


@dataclass
class Seen:
    """What people waited for, in seconds, and what went wrong."""

    missing: int
    """Of all that are to come, how many have not arrived yet."""
    waits: dict[tuple[Where, str], list[float]] = field(default_factory=dict[tuple[Where, str], list[float]])
    """For each thing that is shown."""
    moves: int = 0
    unmeasured: int = 0
    """Rests in which nothing was measured for as long as patience lasts."""
    errors: list[str] = field(default_factory=list[str])

    def add(self, values: Mapping[str, float | None], rested: bool, where: Where) -> None:
        """A move; only where the slider rested after it does anybody wait for the measured score."""
        self.moves += 1
        for name in SHOWN if rested else SHOWN[:2]:
            if (seconds := values[name]) is not None:
                self.waits.setdefault((where, name), []).append(seconds)
        self.unmeasured += rested and values["measured"] is None

    def figures(self, when: str) -> dict[str, float]:
        found: dict[str, float] = {}
        for name in SHOWN:
            arriving, apart, drawn = (self.waits.get((where, name), []) for where in WHERE)
            found[f"release to {name}{when}, median (s)"] = statistics.median(apart + drawn)
            found[f"release to {name}{when}, p95 (s)"] = _p95(apart + drawn)
            if drawn:
                found[f"release to {name}{when}, in browsers, p95 (s)"] = _p95(drawn)
                found[f"release to {name}{when}, not in browsers, p95 (s)"] = _p95(apart)
            if len(arriving) > 1:
                found[f"release to {name}{when}, {WHERE[0]}, p95 (s)"] = _p95(arriving)
        found[f"moves{when}"] = float(self.moves)
        found[f"rests without a measured score{when}"] = float(self.unmeasured)
        found[f"errors on pages{when}"] = float(len(self.errors))
        return found


def measure() -> Report:
    """Sixty people, without a browser and with ten in browsers; again while a run trains and somebody asks for a slow
    criterion. Before them thirty, after them a hundred.

    The server has two cores. Where the machine has no others, browsers take their part of them.
    """
    figures: dict[str, float] = {}
    with TemporaryDirectory() as home, on_own_cores(serving(Path(home))) as (address, shared):
        server = psutil.Process().children()[0]
        time.sleep(BEFORE_S)
        memory, with_run = list[float](), list[float]()
        few = asyncio.run(lesson(address, FEW, 0, FEW_S, [], server))
        apart = asyncio.run(lesson(address, PEOPLE, 0, QUIET_S, memory, server))
        quiet = asyncio.run(lesson(address, PEOPLE, BROWSERS, DRAWN_S, memory, server))
        Store(Path(home)).create(TRAINED, "teacher")
        busy_apart = asyncio.run(lesson(address, PEOPLE, 0, BUSY_S, with_run, server, slow=True))
        busy = asyncio.run(lesson(address, PEOPLE, BROWSERS, BUSY_S, with_run, server, slow=True))
        many = asyncio.run(lesson(address, MANY, 0, MANY_S, [], server))
    lessons = {
        f", {FEW} people": few,
        APART: apart,
        "": quiet,
        f", a run trains{APART}": busy_apart,
        ", a run trains": busy,
        f", {MANY} people": many,
    }
    for when, seen in lessons.items():
        figures |= seen.figures(when)
    figures[SHARED] = float(shared)
    # until then models are opened and caches fill, which are bounded; a run and a slow criterion take what they take
    figures["memory of the server and its workers (MB)"] = memory[-1]
    figures["memory of the server and its workers, a run trains (MB)"] = with_run[-1]
    figures[FLAT] = memory[-1] / memory[len(memory) // 4]
    return Report(figures, TARGETS, better=BETTER)


TARGETS = {
    f"release to {name}{when}{arriving}, p95 (s)": Target(at_most=most)
    for when in SIXTY
    for arriving in ("", f", {WHERE[0]}")
    for name, most in (("sizes", 0.4), ("estimate", 1.5), ("measured", 15.0))
} | {
    f"{what}{when}": Target(at_most=0)
    for what in ("rests without a measured score", "errors on pages")
    for when in (*SIXTY, f", {MANY} people")
}
TARGETS[FLAT] = Target(at_most=1.1)
BETTER: dict[str, Direction] = {"memory of the server and its workers (MB)": "less"}


@contextmanager
def on_own_cores(served: AbstractContextManager[str]) -> Generator[tuple[str, int]]:
    """The address of a server on cores of its own, and how many it has to share with whatever else starts meanwhile."""
    cores = sorted(os.sched_getaffinity(0)) if sys.platform == "linux" else list(range(os.cpu_count() or 1))
    own, others = cores[:SERVED_BY], cores[SERVED_BY:]
    if sys.platform != "linux" or len(others) < len(own):
        with served as address:
            yield address, len(cores)
        return
    os.sched_setaffinity(0, own)  # what is started has the cores of who starts it
    with served as address:
        os.sched_setaffinity(0, others)
        try:
            yield address, 0
        finally:
            os.sched_setaffinity(0, cores)


async def lesson(
    address: str,
    people: int,
    browsers: int,
    seconds: float,
    memory: list[float],
    server: psutil.Process,
    slow: bool = False,
) -> Seen:
    """So many people at once, `browsers` of them in a Chromium; with `slow`, one more asks for a slow criterion."""
    seen, ends = Seen(people), time.monotonic() + seconds
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(people))  # each asks by a thread
    async with async_playwright() as playwright:
        chromium = None
        if browsers:
            chromium = await playwright.chromium.launch(executable_path=find(), args=["--no-sandbox", "--disable-gpu"])
        coming: list[Awaitable[None]] = [_student(address, number, ends, seen) for number in range(people - browsers)]
        if chromium is not None:
            coming += [_reader(chromium, address, people + number, ends, seen) for number in range(browsers)]
        if slow:
            coming.append(_patient(address, ends, seen))
        watching = asyncio.create_task(_watch(server, memory))
        await asyncio.gather(*coming)
        watching.cancel()
        if chromium is not None:
            await chromium.close()
    return seen


async def _student(address: str, number: int, ends: float, seen: Seen) -> None:
    await asyncio.sleep(random.Random(number).uniform(0, ARRIVING_S))
    student = await Student.arrive(address, recipe_of(number))
    if not await student.until_shown(PATIENCE_S):
        seen.errors.append("the first page showed nothing")
    seen.missing -= 1

    async def move(position: float) -> Waits:
        waits = await student.move(position)
        return lambda: vars(waits)

    await _moves(number, ends, seen, "not in browsers", move, lambda: student.until("measured", PATIENCE_S))
    seen.errors += student.errors
    await student.leave()


async def _moves(
    number: int,
    ends: float,
    seen: Seen,
    where: Where,
    move: Callable[[float], Awaitable[Waits]],
    measured: Callable[[], Awaitable[bool]],
) -> None:
    """Five moves of a step each, three seconds apart, to positions that nobody has seen; then a rest until measured."""
    position = 5.0
    await asyncio.sleep(random.Random(number).uniform(0, EVERY_S))
    while time.monotonic() < ends:
        for turn in range(MOVES):
            began, early = time.monotonic(), seen.missing > 0
            position = position + 1.0 if position < 94.0 else 5.0 + position % 1.0 + 0.1
            waits = await move(position)
            if turn == MOVES - 1:
                await measured()
            await asyncio.sleep(max(EVERY_S - (time.monotonic() - began), 0.0))
            seen.add(waits(), turn == MOVES - 1, WHERE[0] if early else where)


async def _reader(browser: Browser, address: str, number: int, ends: float, seen: Seen) -> None:
    """The same in a browser, which draws what it is sent."""
    await asyncio.sleep(random.Random(number).uniform(0, ARRIVING_S))
    context = await browser.new_context()  # a person of its own
    page = await context.new_page()
    await page.goto(f"{address}/?recipe={quote(recipe_of(number))}", timeout=1000 * PATIENCE_S)
    await page.wait_for_function(
        "/(estimated|measured) \\d/.test(document.querySelector('.strip')?.innerText ?? '')",
        timeout=1000 * PATIENCE_S,
    )
    shown: dict[str, float | None] = {}

    def told(state: Mapping[str, float | None]) -> None:
        shown.update({name: None if (ms := state[name]) is None else ms / 1000 for name in SHOWN})

    await page.expose_function("told", told)
    await page.evaluate(WATCH)
    slider = page.locator("[data-testid=stSlider] input[type=range]").first
    seen.missing -= 1

    async def move(_position: float) -> Waits:
        shown.update(dict.fromkeys(SHOWN))
        await slider.focus()
        await page.keyboard.press("ArrowRight")
        return lambda: shown

    async def measured() -> bool:
        ends_at = time.monotonic() + PATIENCE_S
        while shown.get("measured") is None and time.monotonic() < ends_at:
            await asyncio.sleep(0.1)
        return shown.get("measured") is not None

    await _moves(number, ends, seen, "in browsers", move, measured)
    seen.errors += await page.locator("[data-testid=stAlert]").all_inner_texts()
    await context.close()


async def _patient(address: str, ends: float, seen: Seen) -> None:
    """Somebody who asks for the slowest criterion, and for it again with another seed when it is done."""
    student = await Student.arrive(address, to_json(SLOWEST))
    await student.until_shown(max(ends - time.monotonic(), 1.0))
    seen.errors += student.errors
    await student.leave()


async def _watch(server: psutil.Process, memory: list[float]) -> None:
    """Once a second, MB of the server and all its workers together."""
    while True:
        processes = [server, *server.children(recursive=True)]
        total = 0
        for process in processes:
            try:
                total += process.memory_info().rss
            except psutil.NoSuchProcess:
                continue
        memory.append(total / 2**20)
        await asyncio.sleep(1.0)


def _p95(waits: Sequence[float]) -> float:
    return statistics.quantiles(waits, n=20)[-1]


def recipe_of(number: int) -> str:
    """Each person has a share of their own in one layer: no position of the slider is anybody else's."""
    return to_json(Recipe(WORKLOAD, amount=PerLayer({"fc": round(0.3 + 0.0013 * number, 6)}, rest=Sparsity(0.05))))
