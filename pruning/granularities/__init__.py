"""Turns a network into unit groups: what is pruned together? Knows nothing of scores or amounts.

One file a granularity, one line in the table.
"""

from pruning.granularities.blocks import Blocks
from pruning.granularities.channels import Channels
from pruning.granularities.embedding_dimensions import EmbeddingDimensions
from pruning.granularities.embedding_rows import EmbeddingRows
from pruning.granularities.granularity import Granularity
from pruning.granularities.heads import Heads
from pruning.granularities.kernels import Kernels
from pruning.granularities.layers import Layers
from pruning.granularities.rnn_gates import RNNGates
from pruning.granularities.rnn_units import RNNUnits
from pruning.granularities.weights import Weights

GRANULARITIES: dict[str, type[Granularity]] = {
    "weights": Weights,
    "channels": Channels,
    "kernels": Kernels,
    "blocks": Blocks,
    "heads": Heads,
    "embedding_rows": EmbeddingRows,
    "embedding_dimensions": EmbeddingDimensions,
    "rnn_units": RNNUnits,
    "rnn_gates": RNNGates,
    "layers": Layers,
}

__all__ = [
    "GRANULARITIES",
    "Blocks",
    "Channels",
    "EmbeddingDimensions",
    "EmbeddingRows",
    "Granularity",
    "Heads",
    "Kernels",
    "Layers",
    "RNNGates",
    "RNNUnits",
    "Weights",
]
