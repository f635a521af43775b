"""Which granularity has units in which network: the contract is checked for these, and that there are no others."""

from pruning.workload import Classification, TensorSplit, Workload
from tests.architectures import ARCHITECTURES, inputs_of, made
from tests.networks import CLASSES, tiny

ALL = ("weights", "channels", "blocks")
IMAGES = (*ALL, "kernels")
RECURRENT = ("rnn_units", "rnn_gates")
WORDS = ("embedding_rows", "embedding_dimensions")

APPLIES: dict[str, tuple[str, ...]] = {
    "mlp": ALL,
    "conv": IMAGES,
    "residual": IMAGES,
    "dense": IMAGES,
    "separable": IMAGES,
    "grouped": IMAGES,
    "squeeze_excite": IMAGES,
    "inception": IMAGES,
    "unet": IMAGES,
    "lstm": (*ALL, *RECURRENT),
    "gru": (*ALL, *RECURRENT, *WORDS),
    "rnn": (*ALL, *RECURRENT),
    "encoder": (*ALL, "heads"),
    "vit": (*IMAGES, "heads", "layers"),
    "language_model": (*ALL, *WORDS, "heads", "layers"),
    "group_norm": IMAGES,
    "wave": IMAGES,
}
"""Network -> the granularities that have units in it. One block to skip, as in the residual one, is no choice."""

ONLY_ZEROED = {("heads", "vit"), ("heads", "language_model"), ("embedding_dimensions", "language_model")}
"""Where units cannot be removed: both networks fold the heads back into as many numbers as the tokens have."""


def work_on(network: str) -> Workload:
    """A workload of 16 samples a split around the network; nobody learns from its targets."""
    if network not in ARCHITECTURES:
        return tiny(network, count=16)
    inputs = inputs_of(network)
    split = TensorSplit(inputs, inputs.new_zeros(len(inputs)).long())
    return Workload(network, lambda: made(network), inputs[:1], split, split, split, Classification(CLASSES))
