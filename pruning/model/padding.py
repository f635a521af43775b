"""How a convolution pads what it reads."""

from typing import Any


def sides(layer: Any) -> list[int]:
    """Its padding as F.pad takes it, before and after along each dimension, the last dimension first.

    `padding="same"` pads one more behind where the kernel's reach is uneven, as torch does.
    """
    found: list[int] = []
    for dim in reversed(range(len(layer.kernel_size))):
        if isinstance(layer.padding, str):
            both = layer.dilation[dim] * (layer.kernel_size[dim] - 1) if layer.padding == "same" else 0
            found += [both // 2, both - both // 2]
        else:
            found += [layer.padding[dim]] * 2
    return found
