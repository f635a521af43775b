"""The one backend of this server, shared by all sessions, and how a page asks it something."""

import gc
from collections.abc import Callable
from concurrent.futures import TimeoutError as FutureTimeout
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar

import streamlit as st

from pruning.errors import JobError
from pruning.jobs.local import LocalBackend
from pruning.jobs.store import default_home

if TYPE_CHECKING:
    from pruning.workbench import Lab

LONGEST_S = 180.0  # the slowest answer is a data-driven criterion on a large model

Arguments = ParamSpec("Arguments")
Answer = TypeVar("Answer")


@st.cache_resource(show_spinner=False)
def backend() -> LocalBackend:
    """Workers start here, once, when the first page is opened. `PRUNING_HOME` says where runs are kept."""
    made = LocalBackend(default_home())
    gc.collect()
    gc.freeze()  # what is imported by now stays for good: later collections need not walk it
    return made


def ask(
    function: "Callable[Concatenate[Lab, Arguments], Answer]", *arguments: Arguments.args, **named: Arguments.kwargs
) -> Answer:
    """The answer of a function of `pruning.lab`, computed in the interactive worker. PruningError if it cannot answer."""
    future = backend().call(function, *arguments, **named)
    try:
        return future.result(LONGEST_S)
    except FutureTimeout:
        future.cancel()
        raise JobError(f"no answer within {LONGEST_S:.0f} s; choose a smaller model or another criterion") from None
