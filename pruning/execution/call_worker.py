"""The interactive worker's side: it answers calls from what its session keeps."""

import pickle
import time
from pathlib import Path

import torch

from pruning.execution.error_messages import explain
from pruning.execution.ipc import WorkerLink, log_file
from pruning.execution.settings import Limits
from pruning.execution.worker_memory import give_back
from pruning.interactive.session import PreviewSession
from pruning.interactive.shared_answers import SharedAnswers
from pruning.model.devices import default_device
from pruning.sliced_work import end_abandoned
from pruning.workload import Workloads

TIDY_S = 5.0


def serve_calls(link: WorkerLink, workloads: Workloads) -> None:
    """Carry out the calls that come over the link, one after the other, for ever, with one session for all."""
    shared = SharedAnswers(Path(link.answers)) if link.answers else None
    session = PreviewSession(workloads, default_device(), shared, Limits.from_environment().scoring_s)
    link.ready()
    tidied = time.monotonic()
    while True:
        link.send(_answer(session, link.receive(), link.home))
        if time.monotonic() - tidied > TIDY_S:
            end_abandoned()
            give_back()
            tidied = time.monotonic()


def _compute_with(threads: int) -> None:
    """Workers that are busy at the same time share the cores; 0: as many threads as there are."""
    if threads and threads != torch.get_num_threads():
        torch.set_num_threads(threads)


def _answer(session: PreviewSession, request: bytes, home: Path) -> bytes:
    """(result, None, seconds) or (None, error, seconds): of processor time, which does not depend on who else computes.

    Pickled plainly, because torch's own way sends handles of shared memory.
    """
    began = time.process_time()
    doing = "the interactive worker's call"
    try:
        threads, call = pickle.loads(request)
        _compute_with(threads)
        function, arguments, named = pickle.loads(call)
        doing = f"{function.__name__}()"
        result = function(session, *arguments, **named)
        return pickle.dumps((result, None, time.process_time() - began))
    except Exception as error:
        said = explain(error, doing, "close other programs or choose a smaller model", log_file(home))
        return pickle.dumps((None, said, time.process_time() - began))
