"""Networks of torchvision and of ultralytics' modules."""

import torch
from torch import Tensor, nn

from tests.zoo.network import CLASSES, Network, of_images


def shufflenet_v2() -> Network:
    """Half of the channels pass a block by, and the channels are shuffled after it."""
    from torchvision.models import shufflenet_v2_x0_5

    return of_images(shufflenet_v2_x0_5(num_classes=CLASSES), 64)


def googlenet() -> Network:
    from torchvision.models import googlenet

    made = googlenet(num_classes=CLASSES, aux_logits=False, init_weights=False)
    return of_images(made, 64)


def squeezenet() -> Network:
    from torchvision.models import squeezenet1_1

    return of_images(squeezenet1_1(num_classes=CLASSES), 64)


def mnasnet() -> Network:
    from torchvision.models import mnasnet0_5

    return of_images(mnasnet0_5(num_classes=CLASSES), 64)


def mobilenet_v2() -> Network:
    from torchvision.models import mobilenet_v2

    return of_images(mobilenet_v2(num_classes=CLASSES, width_mult=0.35), 64)


class VGG(nn.Module):
    """torchvision's features with a classifier for small images: its flattened maps are read by a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        from torchvision.models.vgg import make_layers

        self.features = make_layers([16, 16, "M", 24, 24, "M", 32, 32, "M"], batch_norm=True)
        self.classifier = nn.Sequential(
            nn.Linear(32 * 16, 64),
            nn.ReLU(True),
            nn.Dropout(),
            nn.Linear(64, 64),
            nn.ReLU(True),
            nn.Linear(64, CLASSES),
        )

    def forward(self, images: Tensor) -> Tensor:
        return self.classifier(torch.flatten(self.features(images), 1))


def vgg() -> Network:
    return of_images(VGG())


class InceptionV3(nn.Module):
    """A stem, the first and the last kind of block of Inception v3, and its head."""

    def __init__(self) -> None:
        super().__init__()
        from torchvision.models import inception as blocks

        self.stem = blocks.BasicConv2d(3, 24, kernel_size=3, stride=2, padding=1)
        self.first = blocks.InceptionA(24, pool_features=16)
        self.second = blocks.InceptionA(240, pool_features=24)
        self.fc = nn.Linear(248, CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        return self.fc(self.second(self.first(self.stem(images))).mean(dim=(2, 3)))


def inception_v3() -> Network:
    return of_images(InceptionV3())


class Segmented(nn.Module):
    """torchvision's segmentation networks give a mapping: the mean over pixels of its logits, [n, classes]."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        return self.network(images)["out"].mean(dim=(2, 3))


def fcn() -> Network:
    from torchvision import models

    resnet = models.resnet.ResNet(models.resnet.BasicBlock, [1, 1, 1, 1])
    backbone = models._utils.IntermediateLayerGetter(resnet, {"layer2": "out"})
    return of_images(Segmented(models.segmentation.FCN(backbone, models.segmentation.fcn.FCNHead(128, CLASSES))), 64)


def deeplab() -> Network:
    """Convolutions of several dilations and the mean of the picture, side by side."""
    from torchvision import models

    resnet = models.resnet.ResNet(models.resnet.BasicBlock, [1, 1, 1, 1])
    backbone = models._utils.IntermediateLayerGetter(resnet, {"layer1": "out"})
    head = models.segmentation.deeplabv3.DeepLabHead(64, CLASSES, (2, 4, 6))
    return of_images(Segmented(models.segmentation.DeepLabV3(backbone, head)), 64)


class YoloClassifier(nn.Module):
    """Convolutions and C2f blocks of YOLOv8, with its classification head."""

    def __init__(self) -> None:
        super().__init__()
        from ultralytics.nn.modules import C2f, Classify, Conv

        self.backbone = nn.Sequential(
            Conv(3, 16, 3, 2), Conv(16, 24, 3, 2), C2f(24, 24, 2, True), Conv(24, 32, 3, 2), C2f(32, 32, 1, True)
        )
        self.head = Classify(32, CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        given = self.head(self.backbone(images))
        return given[1] if isinstance(given, tuple) else given  # evaluation gives probabilities and logits


def c2f() -> Network:
    """The blocks take their channels apart with chunk."""
    return of_images(YoloClassifier(), 64)


def c2f_split() -> Network:
    """The blocks take their channels apart with split, which names the two widths."""
    model = YoloClassifier()
    from ultralytics.nn.modules import C2f

    for block in model.modules():
        if isinstance(block, C2f):
            block.forward = block.forward_split
    return of_images(model, 64)
