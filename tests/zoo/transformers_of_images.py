"""Networks of transformers for images and sound, made small from their configurations: nothing is downloaded."""

import torch

from tests.zoo.network import CLASSES, IMAGE, WORDS, Answer, Logits, Network, Pixels, of_images, of_sound

VISION = {
    "image_size": IMAGE,
    "patch_size": 8,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "num_labels": CLASSES,
}
SOUND = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "num_labels": CLASSES,
    "conv_dim": (16, 16, 16),
    "conv_kernel": (10, 3, 3),
    "conv_stride": (5, 2, 2),
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
    "classifier_proj_size": 16,
    "apply_spec_augment": False,
}


def whisper() -> Network:
    """Convolutions over a spectrogram, an encoder, and a decoder that looks at it."""
    from transformers import WhisperConfig, WhisperForConditionalGeneration

    made = WhisperConfig(
        vocab_size=WORDS,
        num_mel_bins=16,
        d_model=32,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=64,
        decoder_ffn_dim=64,
        max_source_positions=20,
        max_target_positions=16,
        use_cache=False,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=1,
        begin_suppress_tokens=None,
        suppress_tokens=None,
    )
    return Network(Answer(WhisperForConditionalGeneration(made)), torch.randn(1, 16, 40))


def vit() -> Network:
    from transformers import ViTConfig, ViTForImageClassification

    return of_images(Logits(ViTForImageClassification(ViTConfig(**VISION))))


def deit() -> Network:
    from transformers import DeiTConfig, DeiTForImageClassification

    return of_images(Logits(DeiTForImageClassification(DeiTConfig(**VISION))))


def beit() -> Network:
    from transformers import BeitConfig, BeitForImageClassification

    made = BeitConfig(**VISION, use_relative_position_bias=True, layer_scale_init_value=0.1)
    return of_images(Logits(BeitForImageClassification(made)))


def swin() -> Network:
    from transformers import SwinConfig, SwinForImageClassification

    made = SwinConfig(
        image_size=IMAGE,
        patch_size=2,
        embed_dim=16,
        depths=[2, 2],
        num_heads=[2, 4],
        window_size=4,
        num_labels=CLASSES,
    )
    return of_images(Logits(SwinForImageClassification(made)))


def convnext() -> Network:
    from transformers import ConvNextConfig, ConvNextForImageClassification

    made = ConvNextConfig(image_size=IMAGE, hidden_sizes=[16, 24, 32, 48], depths=[1, 1, 2, 1], num_labels=CLASSES)
    return of_images(Logits(ConvNextForImageClassification(made)))


def dinov2() -> Network:
    from transformers import Dinov2Config, Dinov2ForImageClassification

    return of_images(Logits(Dinov2ForImageClassification(Dinov2Config(**VISION, mlp_ratio=2))))


class Detected(Logits):
    """A detector: the mean over its detections of the logits of their classes, [n, classes]."""

    def forward(self, inputs):
        return self.network(inputs).logits.mean(dim=1)


def yolos() -> Network:
    from transformers import YolosConfig, YolosForObjectDetection

    made = YolosConfig(**{**VISION, "image_size": (IMAGE, IMAGE)}, num_detection_tokens=6)
    return of_images(Detected(YolosForObjectDetection(made)))


def segformer() -> Network:
    from transformers import SegformerConfig, SegformerForSemanticSegmentation

    made = SegformerConfig(
        depths=[1, 1, 1, 1],
        hidden_sizes=[16, 24, 32, 40],
        num_attention_heads=[1, 2, 4, 4],
        decoder_hidden_size=32,
        num_labels=CLASSES,
    )
    return of_images(Pixels(SegformerForSemanticSegmentation(made)), 64)


def wav2vec2() -> Network:
    from transformers import Wav2Vec2Config, Wav2Vec2ForSequenceClassification

    return of_sound(Logits(Wav2Vec2ForSequenceClassification(Wav2Vec2Config(**SOUND))), 800)


def hubert() -> Network:
    from transformers import HubertConfig, HubertForSequenceClassification

    return of_sound(Logits(HubertForSequenceClassification(HubertConfig(**SOUND))), 800)
