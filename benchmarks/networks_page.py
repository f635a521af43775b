"""docs/reference/networks.md: what of each network of the zoo can be pruned, from the last measurement alone."""

from pathlib import Path

from benchmarks.catalog import BENCHMARKS
from benchmarks.history import HISTORY, read
from benchmarks.measured_page import DOCS, cells, table

NAME = "zoo"
NETWORKS_PAGE = DOCS / BENCHMARKS[NAME].rows
HEAD = """# Networks that were tried

`make test-zoo` opens, inspects, cuts, maps and exports each of these networks and reads it again. They are small and
have weights by lot. `python -m benchmarks zoo --record` makes this page. Do not edit it by hand.

- *weights*, *channels*, *heads*, *hidden units*: the rows of the layer table that such units are pruned in, of all rows
  with a weight matrix.
- *left*: the parameters that are left where 30 % of the units of *pruned by* go, without fine-tuning.
- *torch-pruning alone*: the same by its own `BasePruner`: magnitudes of groups, the last layer left out, the number of
  heads told. `fails` comes with the error of the cut, or of the network after it.
- *masked = removed*: whether the network with those units set to zero and the network without them give the same, up to
  1e-5 of the largest output. A norm or a mean over the units rightly makes a difference; the run says so.
- *most stays because*: the most frequent reason why a row has none of the units of *pruned by*, and for how many rows.
"""


def networks_page(folder: Path = HISTORY) -> str:
    """The page, as Markdown."""
    measurements = read(NAME, folder)
    if not measurements:
        return f"{HEAD}\nNothing was recorded yet.\n"
    last = measurements[-1]
    rows = [list(last.rows[0]), *(cells(row.values()) for row in last.rows)]
    return "\n".join([HEAD, f"Commit `{last.commit}`, {last.day}.\n", *table(rows), ""])
