"""What lives or dies together? One file a granularity, one line in the table."""

from pruning.granularities.channels import Channels
from pruning.granularities.granularity import Granularity
from pruning.granularities.weights import Weights

GRANULARITIES: dict[str, type[Granularity]] = {"weights": Weights, "channels": Channels}

__all__ = ["GRANULARITIES", "Channels", "Granularity", "Weights"]
