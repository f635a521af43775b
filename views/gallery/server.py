"""Server: the tables of whoever runs it, full, empty and with long names."""

import time
from dataclasses import replace

from pruning.execution.server_state import Question, ServerState, WorkerState
from pruning.execution.store.disk_share import DiskShare
from pruning.execution.store.records import RunRow
from pruning.recipe.recipe import Recipe, to_json
from pruning.selection.amounts import Sparsity
from views.entrance.presence import Present
from views.gallery.states import LONG_WORDS, Draw, States
from views.server import tables
from views.server.components import BoardData, board

MB, GB = 2**20, 2**30
NOW = time.time()
ANNA, BERT, SOMEBODY = "browser-a1b2c3d4e5f60718", "user-bert", "user-a person whose school writes names in full, Dr."
HERE = [Present(ANNA, 2, NOW), Present(BERT, 1, NOW - 400), Present(SOMEBODY, 0, NOW - 90_000)]
RUN = RunRow(
    "7f3a9c21-1", to_json(Recipe("fashion_cnn", amount=Sparsity(0.8))), ANNA, "running", "", NOW - 500, NOW - 400, None,
    False, "", False, 1, seconds=380.0, carrier="7f3a9c21-1", ran=4000.0,
)  # fmt: skip
LIVE = [
    RUN,
    replace(RUN, id="7f3a9c21-2", session=BERT),
    replace(RUN, id="0d2e11aa-1", carrier="0d2e11aa-1", session=SOMEBODY, title=LONG_WORDS, stopping=True),
    replace(RUN, id="51cc0b7e-1", carrier="51cc0b7e-1", session=BERT, state="queued", started=None, seconds=0, ran=0),
    replace(RUN, id="51cc0b7e-2", carrier="51cc0b7e-2", session=BERT, state="queued", started=None, seconds=0, ran=0),
    replace(RUN, id="99ab34ef-1", carrier="99ab34ef-1", session="", state="queued", started=None, seconds=0, ran=90),
]
ORDER = ["51cc0b7e-1", "51cc0b7e-2"]
PAUSED = {"99ab34ef-1": "waiting for room on the disk: 3 MB free, 64 MB needed"}
DISK = [DiskShare(BERT, 112, 3 * GB), DiskShare(ANNA, 3, 412 * MB), DiskShare("", 1, 800)]
FULL = ServerState(
    (
        WorkerState(
            "a1b2c3d4e5f6", "calls", Question("estimate fashion_cnn", (ANNA, BERT), 0.04), "", 310 * MB, 4 * GB
        ),
        WorkerState("b1b2c3d4e5f6", "calls", None, "", 290 * MB, 4 * GB),
        WorkerState(
            "c1b2c3d4e5f6", "background", Question("sensitivity fashion_vit", (SOMEBODY,), 95.0), "", None, None
        ),
        WorkerState("d1b2c3d4e5f6", "runs", None, RUN.id, 1200 * MB, 4 * GB),
        WorkerState("e1b2c3d4e5f6", "runs", None, "", 80 * MB, 4 * GB, starting=True),
    ),
    (Question("sensitivity fashion_vit", (SOMEBODY,), 95.0), Question("estimate fashion_cnn", (ANNA, BERT), 2.2)),
)
IDLE = ServerState((), ())


def _draws(data: BoardData) -> Draw:
    return lambda key: board(data, lambda action, which: None, f"{key}_board")


STATES: States = {
    "people": {
        "three, one of them gone": _draws(tables.people(HERE, LIVE, DISK, FULL)),
        "nobody": _draws(tables.people([], [], [], IDLE)),
    },
    "runs of all": {
        "running, shared, stopping, queued, paused": _draws(tables.runs(LIVE, ORDER, PAUSED)),
        "none": _draws(tables.runs([], [], {})),
    },
    "workers": {"busy and idle": _draws(tables.workers(FULL, LIVE)), "none": _draws(tables.workers(IDLE, []))},
    "questions": {"two": _draws(tables.questions(FULL)), "none": _draws(tables.questions(IDLE))},
}
