"""Where tensors live. Device code is written once: `torch.accelerator` picks CUDA, MPS or CPU."""

import contextlib
import platform
from collections.abc import Generator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pruning.model.narrow_convolutions import lay_out_plainly
from pruning.model.patching import evaluating


def default_device() -> torch.device:
    """The machine's accelerator if it has one, else the CPU."""
    accelerator = torch.accelerator.current_accelerator(check_available=True)
    return accelerator if accelerator is not None else torch.device("cpu")


def device_name(device: torch.device) -> str:
    """`cpu (x86_64)` or `cuda (NVIDIA H100)`: the device with the name a person knows it by."""
    if device.type == "cuda":
        return f"cuda ({torch.cuda.get_device_name(device)})"
    return f"{device.type} ({platform.machine()})"


@contextlib.contextmanager
def mixed_precision(device: torch.device) -> Generator[None]:
    """bf16 autocast where the hardware multiplies in bf16, else nothing.

    That is CUDA from compute capability 8 on and CPUs with AVX-512 BF16 or AMX, on which a step of the sample models
    takes 0.55 to 0.85 of the time. Only tuning uses it: scores and accuracies are always float32, so that they repeat
    to the digit.
    """
    if device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0):
        with torch.autocast("cuda", dtype=torch.bfloat16):
            yield
    elif device.type == "cpu" and any(torch.cpu.get_capabilities().get(name) for name in ("avx512_bf16", "amx_bf16")):
        # the gradient of torch's fused attention is seven times slower in bf16 than in float32 on a CPU; the switch is
        # of all devices, whatever its module, and costs a fiftieth of `sdpa_kernel`, which a small network feels
        fused = torch.backends.cuda.flash_sdp_enabled()
        torch.backends.cuda.enable_flash_sdp(False)
        try:
            with torch.autocast("cpu", dtype=torch.bfloat16):
                yield
        finally:
            torch.backends.cuda.enable_flash_sdp(fused)
    else:
        yield


@contextlib.contextmanager
def full_precision() -> Generator[None]:
    """Convolutions on CUDA in float32: torch lets cuDNN use TF32 unless told otherwise. For scores that must repeat."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before


@contextlib.contextmanager
def repeatable() -> Generator[None]:
    """Convolutions on CUDA in float32, and by kernels that give the same bits each time."""
    before = torch.backends.cudnn.deterministic
    torch.backends.cudnn.deterministic = True
    try:
        with full_precision():
            yield
    finally:
        torch.backends.cudnn.deterministic = before


@contextlib.contextmanager
def recurrence_apart() -> Generator[None]:
    """Recurrent layers compute by products that can be seen: cuDNN and oneDNN compute one in a single operation.

    An nn.LSTM of which nothing is seen has no multiply-accumulates, and nothing to repair.
    """
    cudnn = torch.backends.cudnn.enabled
    torch.backends.cudnn.enabled = False
    try:
        # None leaves TF32 alone: setting it warns
        with torch.backends.mkldnn.flags(enabled=False, allow_tf32=None):  # type: ignore[arg-type]
            yield
    finally:
        torch.backends.cudnn.enabled = cudnn


@contextlib.contextmanager
def one_thread() -> Generator[None]:
    """Torch computes on one core of the CPU while the block runs."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextlib.contextmanager
def drawn_by(seed: int, device: torch.device) -> Generator[None]:
    """What dropout and its like draw inside the block is decided by the seed; global generators stay as they were."""
    generators = [torch.default_generator]
    if device.type == "cuda":
        index = torch.cuda.current_device() if device.index is None else device.index  # type: ignore[comparison-overlap]
        generators.append(torch.cuda.default_generators[index])
    states = [generator.get_state() for generator in generators]
    try:
        for generator in generators:
            generator.manual_seed(seed)
        yield
    finally:
        for generator, state in zip(generators, states, strict=True):
            generator.set_state(state)


@dataclass(frozen=True, eq=False)
class Randomness:
    """The states of torch's global generators, uint8 [n] each. `accelerator` is None where the run was on a CPU."""

    cpu: Tensor
    accelerator: Tensor | None

    @classmethod
    def now(cls, device: torch.device) -> "Randomness":
        return cls(torch.get_rng_state(), torch.cuda.get_rng_state(device) if device.type == "cuda" else None)

    def restore(self, device: torch.device) -> None:
        torch.set_rng_state(self.cpu)
        if device.type == "cuda" and self.accelerator is not None:
            torch.cuda.set_rng_state(self.accelerator, device)


def place(model: nn.Module, example: Tensor, device: torch.device) -> nn.Module:
    """The model on the device, its weights laid out channels last where there are convolutions over images.

    Tuning and scoring the sample CNN on two CPU cores takes 0.55 of the time that way; on GPUs with tensor cores it is
    the layout that they multiply in. A network that calls view() on its images cannot take them so and is left as it
    is, and so is one with weights of five dimensions, which have no such layout.
    """
    model = model.to(device)
    if any(isinstance(module, nn.Conv2d) for module in model.modules()):
        try:
            model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            with torch.no_grad(), evaluating(model):
                # of a single sample many a view is possible that is none of two
                model(torch.cat([example, example]).to(device))
        except RuntimeError:
            model = model.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    lay_out_plainly(model)
    return model
