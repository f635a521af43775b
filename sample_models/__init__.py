"""Small trained networks with their data. Importing this reads nothing; making a workload reads weights and data."""

from pruning.workload import Workload, Workloads
from sample_models import fashion_cnn, fashion_lstm, fashion_resnet, fashion_vit, lenet_300_100, mlp_128
from sample_models.shipped import ModelCard, card

__all__ = ["MODELS", "ModelCard", "card", "workload"]

MODELS: Workloads = {
    fashion_cnn.NAME: fashion_cnn.workload,
    lenet_300_100.NAME: lenet_300_100.workload,
    mlp_128.NAME: mlp_128.workload,
    fashion_resnet.NAME: fashion_resnet.workload,
    fashion_lstm.NAME: fashion_lstm.workload,
    fashion_vit.NAME: fashion_vit.workload,
}


def workload(name: str) -> Workload:
    """The sample model of that name with its data: how another process gets it."""
    return MODELS[name]()
