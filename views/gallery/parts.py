"""The parts of the gallery: one for each page of the product."""

from views.gallery import compare, lab, runs, search, sensitivity, server
from views.gallery.states import States

PARTS: dict[str, States] = {
    "lab": lab.STATES,
    "runs": runs.STATES,
    "compare": compare.STATES,
    "sensitivity": sensitivity.STATES,
    "search": search.STATES,
    "server": server.STATES,
}
