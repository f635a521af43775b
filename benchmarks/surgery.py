"""The properties of surgery on networks that grow at random, many more of them than the tests take."""

from __future__ import annotations

import sys
import time
import warnings
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import torch

from benchmarks.grown_networks import Plan, grown, planned, samples_of, shrunk
from benchmarks.report import Report, Target
from benchmarks.surgery_checks import Checked, checked, drawn_keep
from benchmarks.surgery_files import loads_in_a_process, record_of
from pruning.granularities import Channels
from pruning.model.surgery import remove_units

NETWORKS = 2_000
IN_A_PROCESS = 20
"""Networks whose file is loaded by the printed lines in a process of its own."""
SAID = 100
"""Every so many networks it says how far it is."""
SHOWN = 3
"""Failures of a kind that are shown with the smallest network that fails so."""


def measure() -> Report:
    """Every property on 2 000 networks and all granularities. What fails is printed with its smallest network."""
    start = time.monotonic()
    grouped, refused, failures = Counter[str](), Counter[str](), Counter[tuple[str, str]]()
    failing = removed = in_a_process = 0
    # spawn: torch's threads do not survive a fork
    with ProcessPoolExecutor(mp_context=get_context("spawn"), initializer=torch.set_num_threads, initargs=(1,)) as pool:
        for seed, found in enumerate(pool.map(_checked, range(NETWORKS), chunksize=10)):
            plan = planned(seed)
            removed += found.removed
            grouped.update(found.grouped)
            refused.update({name: len(reasons) for name, reasons in found.refused.items()})
            failing += bool(found.failures)
            for failure in found.failures:
                failures[failure.granularity, failure.violated] += 1
                if failures[failure.granularity, failure.violated] <= SHOWN:
                    smallest = shrunk(plan, failure.recurs)
                    print(f"seed {seed}: {failure}\n    smallest: {smallest}", file=sys.stderr, flush=True)
            if found.removed and in_a_process < IN_A_PROCESS:
                in_a_process += 1
                failing += not _loads_in_a_process(plan) and not found.failures
            if (seed + 1) % SAID == 0:
                print(f"{seed + 1} networks, {failing} fail", file=sys.stderr, flush=True)
    rows = [
        {
            "granularity": name,
            "rows in groups": grouped[name],
            "rows refused": refused[name],
            "failures": sum(count for (granularity, _), count in failures.items() if granularity == name),
        }
        for name in grouped
    ]
    figures = {
        "networks": NETWORKS,
        "networks that fail": failing,
        "units removed": removed,
        "minutes": (time.monotonic() - start) / 60,
    }
    return Report(figures, {"networks that fail": Target(at_most=0)}, rows)


def _checked(seed: int) -> Checked:
    warnings.simplefilter("ignore")
    return checked(planned(seed))


def _loads_in_a_process(plan: Plan) -> bool:
    """Whether the network without some of its channels is loaded by the printed lines in a fresh process."""
    model, inputs = grown(plan), samples_of(plan, 4)
    groups, _ = Channels().sorted_out(model, inputs[:1])
    smaller = remove_units(model, inputs[:1], groups, drawn_keep(groups, plan.seed))
    return loads_in_a_process(record_of(plan, smaller), plan, inputs)
