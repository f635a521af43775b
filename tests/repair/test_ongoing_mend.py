"""A repair in slices is the repair in one piece, and nobody notices it in between."""

import threading

import pytest
import torch

from pruning.model.preparation import open_model
from pruning.repair import REPAIRS, Block, LeastSquares, NormsAndBiases
from pruning.repair.mended import Mender
from pruning.repair.ongoing_mend import OngoingMend
from tests.architectures import Encoder, LSTMClassifier
from tests.networks import CPU, IMAGE, Residual, conv_bn, seeded, workload
from tests.repair.test_repairs import FEW, cut_of

# the last two need switches of torch that are one for the whole process
WORK = {
    "conv_bn": workload(lambda: seeded(conv_bn), IMAGE),
    "residual": workload(lambda: seeded(Residual), IMAGE),
    "attention": workload(lambda: seeded(Encoder), (5, 4)),
    "recurrent": workload(lambda: seeded(LSTMClassifier), (5, 4)),
}
KINDS = [kind for kind in REPAIRS if kind != "none"]


def switches() -> tuple[bool, ...]:
    """What torch has for the whole process."""
    return (
        torch.backends.cudnn.enabled, torch.backends.cudnn.deterministic, torch.backends.cudnn.allow_tf32,
        torch._C._get_mkldnn_enabled(), torch.backends.mha.get_fastpath_enabled(),
    )  # fmt: skip


@pytest.mark.parametrize("network", WORK)
@pytest.mark.parametrize("kind", KINDS)
def test_slices_give_the_weights_of_one_piece_and_change_nothing_in_between(kind: str, network: str):
    work = WORK[network]
    cut, inputs = cut_of(work, "weights")
    whole = Mender(FEW[kind], cut.dense, work, CPU, 3)
    done = whole.mend(cut.model, cut.masks)
    dense = open_model(work, CPU)
    before, answers = switches(), dense(inputs[:32])
    ongoing = OngoingMend(Mender(FEW[kind], dense, work, CPU, 3), cut.masks)
    slices = 1
    while not ongoing.advance(0.0):
        slices += 1
        assert switches() == before
        assert torch.equal(dense(inputs[:32]), answers)
        assert not any(module._forward_hooks or module._forward_pre_hooks for module in dense.modules())
    model, mended = ongoing.result()
    assert slices > 2 and switches() == before
    assert mended.left == done.left and mended.helped == done.helped and mended.after == done.after
    assert all(torch.equal(tensor, cut.model.state_dict()[name]) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize("network", ["attention", "recurrent"])
@pytest.mark.parametrize("kind", ["least_squares", "norms_and_biases"])
def test_given_up_anywhere_it_leaves_nothing_and_begins_anew(kind: str, network: str):
    work = WORK[network]
    cut, _ = cut_of(work, "weights")
    ongoing = OngoingMend(Mender(FEW[kind], cut.dense, work, CPU, 0), cut.masks)
    before, threads = switches(), threading.active_count()
    for slices in range(12):  # inside the walk of either network, between steps, and before and after
        for _ in range(slices):
            assert not ongoing.advance(0.0)
        ongoing.give_up()
        assert switches() == before and threading.active_count() == threads
    while not ongoing.advance(0.01):
        pass
    assert ongoing.result()[1].seconds > 0


def test_passes_are_known_beforehand_by_hand():
    assert LeastSquares(samples=100).passes(1000).as_forward == 200
    assert LeastSquares(samples=100).passes(30).as_forward == 60
    assert NormsAndBiases(samples=100, steps=10).passes(1000).as_forward == 100 + 3 * 10 * 128
    # least squares looks at 1024 in both networks; blocks take a fifth of the steps
    assert Block(samples=2048, steps=10).passes(10_000).as_forward == 2 * 1024 + 2048 + 3 * 12 * 128
    assert all(FEW[kind].passes(1000).as_forward > 0 for kind in KINDS)
