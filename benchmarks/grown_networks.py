"""Random networks of the blocks in `benchmarks/grown_blocks`: the same network from the same seed, always."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from random import Random

import torch
from torch import Tensor, nn

from benchmarks.grown_blocks import BLOCKS
from benchmarks.grown_blocks.parts import Averaging, Block, Form, Shape
from benchmarks.grown_blocks.transitions import WORDS

SHAPES: dict[Form, Shape] = {"images": (3, 10, 10), "ids": (5,), "vectors": (8,)}
"""What a network may take, without the batch."""


@dataclass(frozen=True)
class Step:
    """A block that is made with a seed of its own: it stays the same when others are taken out."""

    block: type[Block]
    seed: int


@dataclass(frozen=True)
class Plan:
    """What a network takes and its blocks, one after the other; `seed` draws the parameters."""

    takes: Form
    steps: tuple[Step, ...]
    seed: int

    def __str__(self) -> str:
        return f"{self.takes}: {' -> '.join(step.block.__name__ for step in self.steps)}"

    @property
    def fits(self) -> bool:
        """Whether each block takes what the one before it gives, and the last gives classes."""
        given: Form = self.takes
        for step in self.steps:
            if step.block.takes != given:
                return False
            given = step.block.gives
        return given == "classes"


class GrownNetwork(nn.Module):
    """The blocks of a plan, called in turn. One input to one tensor [b, classes]."""

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        self.blocks = nn.ModuleList()
        seen = samples_of(plan, 1)
        seen = seen.float() if seen.is_floating_point() else seen
        for step in plan.steps:
            block = step.block(tuple(seen.shape[1:]), Random(step.seed)).eval()
            with torch.no_grad():
                seen = block(seen)
            self.blocks.append(block)

    def forward(self, values: Tensor) -> Tensor:
        for block in self.blocks:
            values = block(values)
        return values

    @property
    def averages(self) -> bool:
        """Whether some module computes statistics over units, so that removing units changes them."""
        norms = (nn.LayerNorm, nn.RMSNorm, Averaging)
        return any(
            isinstance(module, norms) or (isinstance(module, nn.GroupNorm) and module.num_groups < module.num_channels)
            for module in self.modules()
        )

    @property
    def moves_zero(self) -> bool:
        """Whether a unit whose weights are zero may still give something else than zero."""
        return any(getattr(module, "moves_zero", False) for module in self.blocks.modules())

    @property
    def sees_all(self) -> bool:
        """Whether something is made of all units together, so that what nobody reads is seen all the same."""
        return self.averages or any(getattr(module, "sees_all", False) for module in self.blocks.modules())

    def reads(self, param: str, dim: int) -> bool:
        """Whether a slice of this tensor along the dimension reads a unit, and does not make it."""
        home, _, name = param.rpartition(".")
        layer = self.get_submodule(home)
        if isinstance(layer, nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d):
            return dim == 1
        if isinstance(layer, nn.ConvTranspose2d):
            return dim == 0 and name == "weight" and layer.groups == 1
        if isinstance(layer, nn.RNNBase | nn.RNNCellBase):
            return dim == 1
        if isinstance(layer, nn.MultiheadAttention):
            return dim == 1 and "weight" in name
        return getattr(layer, "reading", {}).get(name) == dim


def planned(seed: int, most: int = 4) -> Plan:
    """A plan with at most so many blocks in a row that take and give the same form: 2 to 12 blocks in all."""
    draw = Random(seed)
    takes = draw.choices(("images", "ids", "vectors"), (6, 3, 2))[0]
    blocks = list(_blocks(takes, draw, most))
    return Plan(takes, tuple(Step(block, draw.randrange(2**31)) for block in blocks), seed)


def _blocks(takes: Form, draw: Random, most: int) -> Iterator[type[Block]]:
    """Blocks from what the network takes to classes."""
    form: Form = takes
    if form == "images":
        yield draw.choices(_between("images", "maps"), (8, 3, 1))[0]
        yield from draw.choices(_between("maps", "maps"), k=draw.randint(1, most))
        form = "tokens" if draw.random() < 0.25 else "vectors"
        yield draw.choice(_between("maps", form))
    elif form == "ids":
        form = draw.choices(("tokens", "vectors", "classes"), (18, 1, 1))[0]
        yield draw.choice(_between("ids", form))
        if form == "classes":
            return
    elif draw.random() < 0.15:
        yield draw.choice(_between("vectors", "tokens"))
        form = "tokens"
    if form == "tokens":
        yield from draw.choices(_between("tokens", "tokens"), k=draw.randint(1, most))
        yield draw.choice(_between("tokens", "vectors"))
    count = draw.randint(1, most) if takes == "vectors" else draw.choice((0, 0, 1))
    yield from draw.choices(_between("vectors", "vectors"), k=count)
    yield draw.choice(_between("vectors", "classes"))


def _between(takes: Form, gives: Form) -> list[type[Block]]:
    return [block for block in BLOCKS if (block.takes, block.gives) == (takes, gives)]


DRAWS = 5


def grown(plan: Plan) -> GrownNetwork:
    """The network in eval mode and float64; the global generator stays as it was.

    Small networks often are dead: they give the same for all samples, and then wrong answers look right. Parameters are
    drawn until four samples have four outputs, `DRAWS` times at most.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(plan.seed)
        for _ in range(DRAWS - 1):
            model = _drawn(plan)
            if _tells_apart(model, samples_of(plan, 4)):
                return model
        return _drawn(plan)


def _drawn(plan: Plan) -> GrownNetwork:
    model = GrownNetwork(plan).double().eval()
    _unsettle(model)
    return model


@torch.no_grad()
def _tells_apart(model: nn.Module, samples: Tensor) -> bool:
    """Whether the outputs of any two samples differ by more than a thousandth of the largest."""
    outputs = model(samples)
    largest = outputs.abs().max()
    apart = (outputs[:, None] - outputs).abs().amax(dim=-1) + largest * torch.eye(len(samples))
    return bool(apart.min() > 1e-3 * largest)


@torch.no_grad()
def _unsettle(model: nn.Module) -> None:
    """Draw what layers start with as zeros and ones: biases, norms, running statistics, what scales and shifts.

    With zeros and ones many a wrong answer is right.
    """
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        word = name.rpartition(".")[2]
        if not tensor.is_floating_point() or word in ("cos", "sin"):
            continue
        if word == "running_var" or word in ("scale", "share", "p"):
            tensor.uniform_(0.5, 1.5)
        elif tensor.dim() == 1 and "bias" not in word and word != "running_mean":
            tensor.uniform_(0.5, 1.5).mul_(torch.randint(0, 2, tensor.shape) * 2 - 1)
        elif tensor.dim() == 1 or not tensor.any():
            tensor.uniform_(-0.5, 0.5)


def samples_of(plan: Plan, count: int) -> Tensor:
    """Normal values float64, or numbers of words int64: [count, *shape]."""
    draw = torch.Generator().manual_seed(0)
    shape = (count, *SHAPES[plan.takes])
    if plan.takes == "ids":
        return torch.randint(WORDS, shape, generator=draw)
    return torch.randn(shape, generator=draw, dtype=torch.float64)


def shrunk(plan: Plan, fails: Callable[[Plan], bool]) -> Plan:
    """The smallest plan on the way down from one that fails which fails as well: no block of it can be taken out.

    Blocks that have to stay, for they change the form, become the plainest that also fail.
    """
    for smaller in _smaller(plan):
        if fails(smaller):
            return shrunk(smaller, fails)
    return plan


def _smaller(plan: Plan) -> Iterator[Plan]:
    for i in range(len(plan.steps)):
        for count in (3, 2, 1):
            fewer = replace(plan, steps=(*plan.steps[:i], *plan.steps[i + count :]))
            if i + count <= len(plan.steps) and fewer.fits:
                yield fewer
    for i, step in enumerate(plan.steps):
        plainest = _between(step.block.takes, step.block.gives)[0]
        if step.block is not plainest:
            yield replace(plan, steps=_with(plan.steps, i, Step(plainest, 0)))


def _with(steps: Sequence[Step], at: int, step: Step) -> tuple[Step, ...]:
    return (*steps[:at], step, *steps[at + 1 :])
