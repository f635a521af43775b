"""What is said of a network: plain values, no torch."""

from dataclasses import dataclass

ZEROED = ": they are set to zero"
"""How the sentence ends that says why units of a granularity that removes them have to stay in their places."""


@dataclass(frozen=True)
class LayerRow:
    """One row of the layer table. `shape` is that of its weight, `macs` are multiply-accumulates for one sample.

    A layer with several weight matrices (recurrent, attention) has a row for each, named after the matrix; `param` is
    the weight's full name. `why_not` is empty where it can be pruned, else a sentence that says why it cannot. `macs`
    is None where it cannot be known: of a parameter of no layer of its own.
    """

    name: str
    type: str
    shape: tuple[int, ...]
    parameters: int
    macs: int | None
    why_not: str = ""
    param: str = ""


@dataclass(frozen=True)
class Costs:
    """Counts of a whole network. `bytes` and `gzip_bytes` are of its .safetensors file; `macs` are for one sample."""

    parameters: int
    nonzero: int
    bytes: int
    gzip_bytes: int
    macs: int


@dataclass(frozen=True)
class Size:
    """What removal leaves. `bytes` is the .safetensors file, exact but for the sizes of modules that it may tell."""

    parameters: int
    bytes: int
    macs: int
