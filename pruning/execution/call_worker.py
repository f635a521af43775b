"""The interactive worker's side: it answers calls from what its session keeps."""

import pickle
from pathlib import Path

import torch

from pruning.execution.error_messages import explain
from pruning.execution.ipc import WorkerLink, log_file
from pruning.interactive.session import PreviewSession
from pruning.model.devices import default_device
from pruning.workload import Workloads


def serve_calls(link: WorkerLink, workloads: Workloads) -> None:
    """Carry out the calls that come over the link, one after the other, for ever, with one session for all."""
    session = PreviewSession(workloads, default_device())
    link.ready()
    while True:
        link.send(_answer(session, link.receive(), link.home))


def _compute_with(threads: int) -> None:
    """Workers that are busy at the same time share the cores; 0: as many threads as there are."""
    if threads and threads != torch.get_num_threads():
        torch.set_num_threads(threads)


def _answer(session: PreviewSession, request: bytes, home: Path) -> bytes:
    """(result, None) or (None, error), pickled. Plainly, because torch's own way sends handles of shared memory."""
    doing = "the interactive worker's call"
    try:
        threads, call = pickle.loads(request)
        _compute_with(threads)
        function, arguments, named = pickle.loads(call)
        doing = f"{function.__name__}()"
        return pickle.dumps((function(session, *arguments, **named), None))
    except Exception as error:
        return pickle.dumps(
            (None, explain(error, doing, "close other programs or choose a smaller model", log_file(home)))
        )
