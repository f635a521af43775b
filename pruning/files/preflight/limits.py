"""How much a file of weights may say and hold: far more than networks need, and little enough to be read at once."""

FILE_BYTES = 2 * 2**30
"""Of a .safetensors file, which is mapped and not copied."""

STATE_DICT_BYTES = 2**30
"""Of a .pt file, and of all tensors in it: it is written anew twice on its way."""

HEADER_BYTES = 8_000_000
"""What says which tensors there are: the header of a .safetensors file, the pickle and the table of a .pt file."""

TENSORS = 20_000

DIMENSIONS = 25
"""torch cannot print, and safetensors never writes, more."""

STEPS = 900_000
"""Of a pickle. A state dict of 20 000 tensors takes 830 000."""
