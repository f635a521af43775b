"""Backends on one Ray cluster that all tests of this process share: starting one takes seconds."""

from functools import cache
from pathlib import Path

from pruning.execution.ray_cluster.backend import Cluster, RayBackend
from tests.execution import tiny_worker

ENVIRONMENT = {"PRUNING_CPUS_PER_RUN": "1"}


def backend(home: Path, interactive: int = 1, background: int = 0, runners: int = 1) -> RayBackend:
    """With the workers of `tiny_worker`."""
    cluster()
    return RayBackend(
        home, interactive, runners, equip=tiny_worker.equipment, environment=ENVIRONMENT, background=background
    )


@cache
def cluster() -> Cluster:
    """Ends with the process. More cores than there are, so that several backends find room for their workers."""
    return Cluster("local", cores=8)
