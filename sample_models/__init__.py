"""Small trained networks with their data. Importing this reads nothing and imports no torch; making a workload does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sample_models.cards import ModelCard, card

if TYPE_CHECKING:
    from pruning.workload import Workload, Workloads

__all__ = ["MODELS", "ModelCard", "card", "workload"]


def _fashion_cnn() -> Workload:
    from sample_models import fashion_cnn

    return fashion_cnn.workload()


def _lenet_300_100() -> Workload:
    from sample_models import lenet_300_100

    return lenet_300_100.workload()


def _mlp_128() -> Workload:
    from sample_models import mlp_128

    return mlp_128.workload()


def _fashion_resnet() -> Workload:
    from sample_models import fashion_resnet

    return fashion_resnet.workload()


def _fashion_lstm() -> Workload:
    from sample_models import fashion_lstm

    return fashion_lstm.workload()


def _fashion_vit() -> Workload:
    from sample_models import fashion_vit

    return fashion_vit.workload()


MODELS: Workloads = {
    "fashion_cnn": _fashion_cnn,
    "lenet_300_100": _lenet_300_100,
    "mlp_128": _mlp_128,
    "fashion_resnet": _fashion_resnet,
    "fashion_lstm": _fashion_lstm,
    "fashion_vit": _fashion_vit,
}


def workload(name: str) -> Workload:
    """The sample model of that name with its data: how another process gets it."""
    return MODELS[name]()
