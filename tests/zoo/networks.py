"""The networks of the zoo, by name: what people bring, with weights by lot and few of them."""

from collections.abc import Callable

import torch

from tests.zoo import plain_networks, timm_networks, torchvision_networks, transformers_of_images, transformers_of_words
from tests.zoo.network import Network, enliven
from tests.zoo.torchvision_import import import_torchvision

NETWORKS: dict[str, Callable[[], Network]] = {
    "transformers/bert": transformers_of_words.bert,
    "transformers/roberta": transformers_of_words.roberta,
    "transformers/albert": transformers_of_words.albert,
    "transformers/electra": transformers_of_words.electra,
    "transformers/distilbert": transformers_of_words.distilbert,
    "transformers/deberta_v2": transformers_of_words.deberta_v2,
    "transformers/mpnet": transformers_of_words.mpnet,
    "transformers/xlnet": transformers_of_words.xlnet,
    "transformers/gpt2": transformers_of_words.gpt2,
    "transformers/gpt_neox": transformers_of_words.gpt_neox,
    "transformers/gptj": transformers_of_words.gptj,
    "transformers/opt": transformers_of_words.opt,
    "transformers/bloom": transformers_of_words.bloom,
    "transformers/llama": transformers_of_words.llama,
    "transformers/mistral": transformers_of_words.mistral,
    "transformers/qwen2": transformers_of_words.qwen2,
    "transformers/qwen3": transformers_of_words.qwen3,
    "transformers/gemma2": transformers_of_words.gemma2,
    "transformers/phi3": transformers_of_words.phi3,
    "transformers/mixtral": transformers_of_words.mixtral,
    "transformers/t5": transformers_of_words.t5,
    "transformers/bart": transformers_of_words.bart,
    "transformers/whisper": transformers_of_images.whisper,
    "transformers/vit": transformers_of_images.vit,
    "transformers/deit": transformers_of_images.deit,
    "transformers/beit": transformers_of_images.beit,
    "transformers/swin": transformers_of_images.swin,
    "transformers/convnext": transformers_of_images.convnext,
    "transformers/dinov2": transformers_of_images.dinov2,
    "transformers/yolos": transformers_of_images.yolos,
    "transformers/segformer": transformers_of_images.segformer,
    "transformers/mamba": transformers_of_words.mamba,
    "transformers/rwkv": transformers_of_words.rwkv,
    "transformers/wav2vec2": transformers_of_images.wav2vec2,
    "transformers/hubert": transformers_of_images.hubert,
    "timm/resnet": timm_networks.resnet,
    "timm/resnext": timm_networks.resnext,
    "timm/res2net": timm_networks.res2net,
    "timm/sknet": timm_networks.sknet,
    "timm/regnet": timm_networks.regnet,
    "timm/efficientnet_lite0": timm_networks.efficientnet_lite0,
    "timm/efficientnet_b0": timm_networks.efficientnet_b0,
    "timm/mobilenetv3": timm_networks.mobilenetv3,
    "timm/convnext": timm_networks.convnext,
    "timm/swin": timm_networks.swin,
    "timm/vit": timm_networks.vit,
    "timm/deit3": timm_networks.deit3,
    "timm/mixer": timm_networks.mixer,
    "timm/mobilevit": timm_networks.mobilevit,
    "timm/densenet": timm_networks.densenet,
    "timm/hrnet": timm_networks.hrnet,
    "timm/repvgg": timm_networks.repvgg,
    "timm/ghostnet": timm_networks.ghostnet,
    "timm/coatnet": timm_networks.coatnet,
    "timm/maxvit": timm_networks.maxvit,
    "timm/inception_next": timm_networks.inception_next,
    "timm/poolformer": timm_networks.poolformer,
    "timm/xcit": timm_networks.xcit,
    "torchvision/shufflenet_v2": torchvision_networks.shufflenet_v2,
    "torchvision/googlenet": torchvision_networks.googlenet,
    "torchvision/squeezenet": torchvision_networks.squeezenet,
    "torchvision/mnasnet": torchvision_networks.mnasnet,
    "torchvision/mobilenet_v2": torchvision_networks.mobilenet_v2,
    "torchvision/vgg": torchvision_networks.vgg,
    "torchvision/inception_v3": torchvision_networks.inception_v3,
    "torchvision/fcn": torchvision_networks.fcn,
    "torchvision/deeplab": torchvision_networks.deeplab,
    "ultralytics/c2f": torchvision_networks.c2f,
    "ultralytics/c2f_split": torchvision_networks.c2f_split,
    "torch/unet": plain_networks.unet,
    "torch/lstm": plain_networks.lstm,
    "torch/lstm_stacked": plain_networks.lstm_stacked,
    "torch/gru": plain_networks.gru,
    "torch/gru_stacked_both_ways": plain_networks.gru_stacked_both_ways,
    "torch/transformer_encoder": plain_networks.transformer_encoder,
    "torch/transformer": plain_networks.transformer,
    "torch/state_space": plain_networks.state_space,
}
"""Library/name -> maker; use `made`, which gives the weights their values."""


def made(name: str) -> Network:
    """The network of this name in eval mode, the same each time."""
    import_torchvision()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = NETWORKS[name]()
        enliven(network)
    return network
