"""Networks of timm, made small by their own arguments."""

import torch
from torch import nn

from tests.zoo.network import CLASSES, IMAGE, Network, of_images

NARROW = (16, 24, 32, 40)


def resnet() -> Network:
    from timm.models.resnet import Bottleneck, ResNet

    return of_images(ResNet(Bottleneck, (1, 2, 1, 1), num_classes=CLASSES, stem_width=16, channels=NARROW))


def resnext() -> Network:
    from timm.models.resnet import Bottleneck, ResNet

    made = ResNet(
        Bottleneck, (1, 1, 1, 1), num_classes=CLASSES, stem_width=16, channels=NARROW, cardinality=4, base_width=16
    )
    return of_images(made)


def res2net() -> Network:
    """The middle of a block is split into four, each of which is added to the next."""
    from timm.models.res2net import Bottle2neck
    from timm.models.resnet import ResNet

    made = ResNet(
        Bottle2neck,
        (1, 2, 1, 1),
        num_classes=CLASSES,
        stem_width=16,
        channels=NARROW,
        base_width=32,
        block_args={"scale": 4},
    )
    return of_images(made)


def sknet() -> Network:
    """Kernels of two sizes, and a small network that says how much of either passes."""
    from timm.models.resnet import ResNet
    from timm.models.sknet import SelectiveKernelBasic

    kernels = {"rd_ratio": 1 / 8, "rd_divisor": 8, "split_input": True}
    made = ResNet(
        SelectiveKernelBasic,
        (1, 1, 1, 1),
        num_classes=CLASSES,
        stem_width=16,
        channels=NARROW,
        block_args={"sk_kwargs": kernels},
    )
    return of_images(made)


def regnet() -> Network:
    from timm.models.regnet import RegNet, RegNetCfg

    cfg = RegNetCfg(depth=8, w0=16, wa=12.0, wm=1.8, group_size=8, se_ratio=0.25, stem_width=16)
    return of_images(RegNet(cfg, num_classes=CLASSES))


def efficientnet_lite0() -> Network:
    from timm.models.efficientnet import _gen_efficientnet_lite

    return of_images(_gen_efficientnet_lite("efficientnet_lite0", 0.35, 0.5, num_classes=CLASSES), 64)


def efficientnet_b0() -> Network:
    from timm.models.efficientnet import _gen_efficientnet

    return of_images(_gen_efficientnet("efficientnet_b0", 0.35, 0.5, num_classes=CLASSES), 64)


def mobilenetv3() -> Network:
    from timm.models.mobilenetv3 import mobilenetv3_small_050

    return of_images(mobilenetv3_small_050(num_classes=CLASSES), 64)


def convnext() -> Network:
    from timm.models.convnext import ConvNeXt

    return of_images(ConvNeXt(num_classes=CLASSES, depths=(1, 1, 2, 1), dims=NARROW), 64)


def swin() -> Network:
    from timm.models.swin_transformer import SwinTransformer

    made = SwinTransformer(
        img_size=IMAGE,
        patch_size=2,
        num_classes=CLASSES,
        embed_dim=16,
        depths=(2, 2),
        num_heads=(2, 4),
        window_size=4,
    )
    return of_images(made)


def vit() -> Network:
    from timm.models.vision_transformer import VisionTransformer

    made = VisionTransformer(img_size=IMAGE, patch_size=8, num_classes=CLASSES, embed_dim=32, depth=2, num_heads=4)
    return of_images(made)


def deit3() -> Network:
    """A vision transformer whose layers are scaled channel by channel, and whose class does not see positions."""
    from timm.models.vision_transformer import VisionTransformer

    made = VisionTransformer(
        img_size=IMAGE,
        patch_size=8,
        num_classes=CLASSES,
        embed_dim=32,
        depth=2,
        num_heads=4,
        no_embed_class=True,
        init_values=1e-6,
    )
    return of_images(made)


def mixer() -> Network:
    """Multilayer perceptrons over channels and, transposed, over places."""
    from timm.models.mlp_mixer import MlpMixer

    return of_images(MlpMixer(CLASSES, IMAGE, patch_size=8, num_blocks=2, embed_dim=32))


def mobilevit() -> Network:
    """Maps are unfolded into patches for a transformer, and folded again."""
    from timm.models.mobilevit import mobilevit_xxs

    return of_images(mobilevit_xxs(num_classes=CLASSES), 64)


def densenet() -> Network:
    from timm.models.densenet import DenseNet

    return of_images(DenseNet(growth_rate=8, block_config=(2, 2, 2), num_classes=CLASSES))


def hrnet() -> Network:
    """Four resolutions side by side that are added to one another all the time."""
    from timm.models.hrnet import HighResolutionNet

    def stage(block: str, *channels: int) -> dict[str, object]:
        return {
            "num_modules": 1,
            "num_branches": len(channels),
            "block_type": block,
            "num_blocks": (1,) * len(channels),
            "num_channels": channels,
            "fuse_method": "SUM",
        }

    cfg = {
        "stem_width": 16,
        "stage1": stage("BOTTLENECK", 8),
        "stage2": stage("BASIC", 8, 12),
        "stage3": stage("BASIC", 8, 12, 16),
        "stage4": stage("BASIC", 8, 12, 16, 20),
    }
    # its feature head: that for classification alone has four million parameters
    return of_images(_Branches(HighResolutionNet(cfg, num_classes=CLASSES, head=""), (8, 12, 16, 20)), 64)


class _Branches(nn.Module):
    """What the last stage gives at each resolution, averaged, read by one linear layer."""

    def __init__(self, network: nn.Module, channels: tuple[int, ...]) -> None:
        super().__init__()
        self.network = network
        self.head = nn.Linear(sum(channels), CLASSES)

    def forward(self, images):
        stages = self.network.stages(self._stem(images))
        return self.head(torch.cat([maps.mean(dim=(2, 3)) for maps in stages], dim=1))

    def _stem(self, images):
        maps = self.network.act1(self.network.bn1(self.network.conv1(images)))
        return self.network.act2(self.network.bn2(self.network.conv2(maps)))


def repvgg() -> Network:
    """Three branches that are added, one of them a norm alone."""
    from timm.models.byobnet import ByoBlockCfg, ByobNet, ByoModelCfg

    blocks = tuple(ByoBlockCfg(type="rep", d=2, c=width, s=2, gs=0, br=1.0) for width in (16, 24, 32))
    return of_images(ByobNet(ByoModelCfg(blocks=blocks, stem_type="rep", stem_chs=16), num_classes=CLASSES))


def ghostnet() -> Network:
    """Half of a layer's channels are made from the other half by a depthwise convolution."""
    from timm.models.ghostnet import ghostnet_050

    return of_images(ghostnet_050(num_classes=CLASSES), 64)


def coatnet() -> Network:
    from timm.models.maxxvit import MaxxVit, MaxxVitCfg, MaxxVitTransformerCfg

    cfg = MaxxVitCfg(
        embed_dim=(16, 24, 32, 48),
        depths=(1, 1, 1, 1),
        stem_width=16,
        transformer_cfg=MaxxVitTransformerCfg(dim_head=8, rel_pos_type="bias"),
    )
    return of_images(MaxxVit(cfg, img_size=64, num_classes=CLASSES), 64)


def maxvit() -> Network:
    """Attention within windows, then over a grid of places far apart."""
    from timm.models.maxxvit import MaxxVit, MaxxVitCfg, MaxxVitTransformerCfg

    cfg = MaxxVitCfg(
        embed_dim=(16, 32),
        depths=(1, 1),
        block_type=("M", "M"),
        stem_width=16,
        transformer_cfg=MaxxVitTransformerCfg(dim_head=8, window_size=(4, 4), grid_size=(4, 4)),
    )
    return of_images(MaxxVit(cfg, img_size=32, num_classes=CLASSES))


def inception_next() -> Network:
    """Channels are split into four; three of them are filtered by depthwise kernels of three shapes."""
    from timm.models.inception_next import MetaNeXt

    return of_images(MetaNeXt(num_classes=CLASSES, depths=(1, 1, 2, 1), dims=(16, 24, 32, 48)), 64)


def poolformer() -> Network:
    """A transformer that averages over neighbours instead of attending."""
    from timm.models.metaformer import GroupNorm1, MetaFormer, Pooling

    made = MetaFormer(
        num_classes=CLASSES,
        depths=(1, 1, 1, 1),
        dims=NARROW,
        token_mixers=Pooling,
        norm_layers=GroupNorm1,
        layer_scale_init_values=1e-5,
        use_mlp_head=False,
        downsample_norm=None,
    )
    return of_images(made, 64)


def xcit() -> Network:
    """Attention between channels instead of places."""
    from timm.models.xcit import Xcit

    made = Xcit(
        img_size=IMAGE,
        patch_size=8,
        num_classes=CLASSES,
        embed_dim=32,
        depth=2,
        cls_attn_layers=1,
        num_heads=4,
        eta=1.0,
    )
    return of_images(made)
