"""The fork server's side: becomes a worker at each request."""

import gc
import os
from contextlib import suppress

import msgspec

from pruning.execution.ipc import ForkRequest, SocketLink


def forked(link: SocketLink) -> None:
    """Fork at each request that comes over the link, for ever. Returns in each new process, with its environment.

    What is imported by now is shared by all of them. There must be no other thread: a fork has only the one that forks.
    """
    gc.freeze()
    link.ready()
    while True:
        request = msgspec.json.decode(link.receive(), type=ForkRequest)
        for process in request.ended:
            with suppress(ChildProcessError):
                os.waitpid(process, os.WNOHANG)
        process = os.fork()
        if process == 0:
            break
        link.send(str(process).encode())
    link.close()
    os.setsid()
    os.environ.clear()
    os.environ.update(request.environment)
