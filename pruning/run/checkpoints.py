"""What an interrupted run goes on from: one file, written as a whole after every epoch and every cut."""

import hashlib
import io
import json
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from pruning.errors import PruningError
from pruning.events import Event, Masked, PrunedValues, Stage, event_from_dict, event_to_dict
from pruning.files.atomic_write import UNFINISHED, write_whole
from pruning.model.devices import Randomness
from pruning.recipe.recipe import Recipe, from_json, to_json
from pruning.run.state import Plan, RoundCut, RoundStart, RunState
from pruning.training.schedules import Round

FILE = "run.checkpoint"
VERSION = b"pruning checkpoint 6\n"
"""How the file begins; another number where the classes below, or those in `_KNOWN`, have changed."""


class CheckpointError(PruningError):
    """A checkpoint is there, but nothing can go on from it."""


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A run after a validation.

    `recipe` is as it was asked for and `carried_out` as it is carried out: with a smaller batch after memory ran out,
    and with the amount that was found where a search was asked for.
    `events` are all that the run has said, `seconds` the time it has taken.
    """

    recipe: Recipe
    carried_out: Recipe
    events: tuple[Event, ...]
    seconds: float
    progress: RunState


_KNOWN: list[Any] = [Randomness, RunState, Plan, RoundCut, RoundStart, Masked, PrunedValues, Round, Stage]
"""The classes that a checkpoint may hold besides tensors and plain values; no other is ever built from the file."""

# once and for all: torch's context manager for this is undone for all threads when one of them leaves it
torch.serialization.add_safe_globals(_KNOWN)


def write(folder: Path, checkpoint: Checkpoint) -> None:
    """Put it in the place of the one before; a kill leaves the one or the other. ExportError if that is impossible."""
    body = io.BytesIO()
    torch.save(
        {
            "recipe": to_json(checkpoint.recipe),
            "carried_out": to_json(checkpoint.carried_out),
            "events": json.dumps([event_to_dict(event) for event in checkpoint.events]),
            "seconds": checkpoint.seconds,
            "progress": checkpoint.progress,
        },
        body,
    )
    content = body.getvalue()
    # torch does not look at the checksums of its own format
    write_whole(folder / FILE, VERSION + hashlib.sha256(content).digest() + content)


def read(folder: Path, recipe: Recipe) -> Checkpoint | None:
    """The checkpoint of this recipe in the folder, None if there is none; sweeps what a killed writer left there.

    CheckpointError if it is damaged, of another recipe or of another version of the format.
    """
    for stray in folder.glob(f".*{UNFINISHED}"):
        stray.unlink(missing_ok=True)
    try:
        content = (folder / FILE).read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise CheckpointError(f"the run's checkpoint cannot be read ({error.strerror})") from error
    if not content.startswith(VERSION):
        raise CheckpointError("the run's checkpoint is damaged, or was written by another version of the program")
    digest, body = content[len(VERSION) :][:32], memoryview(content)[len(VERSION) + 32 :]
    if hashlib.sha256(body).digest() != digest:
        raise CheckpointError("the run's checkpoint is damaged")
    try:
        saved = torch.load(io.BytesIO(body), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:  # it holds a class that is none of ours
        raise CheckpointError("the run's checkpoint is damaged") from error
    try:
        asked, carried_out = from_json(saved["recipe"]), from_json(saved["carried_out"])
        events = tuple(event_from_dict(fields) for fields in json.loads(saved["events"]))
    except PruningError as error:
        raise CheckpointError(f"the run's checkpoint cannot be read ({error})") from error
    if asked != recipe:
        raise CheckpointError("the run's checkpoint is of another recipe")
    return Checkpoint(recipe, carried_out, events, saved["seconds"], saved["progress"])
