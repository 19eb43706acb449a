"""Models as they are before training, by name: of torchvision, transformers, and plain ones of torch."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import partial
from itertools import pairwise

from torch import nn

VISION = (
    *("squeezenet1_0", "squeezenet1_1", "shufflenet_v2_x0_5", "shufflenet_v2_x1_0", "shufflenet_v2_x2_0"),
    *("mobilenet_v2", "mobilenet_v3_small", "mobilenet_v3_large", "mnasnet0_5", "mnasnet1_0"),
    *("resnet18", "resnet34", "resnet50", "resnext50_32x4d", "wide_resnet50_2"),
    *("densenet121", "densenet169", "googlenet", "inception_v3"),
    *("efficientnet_b0", "efficientnet_b1", "efficientnet_b2", "efficientnet_v2_s"),
    *("regnet_x_400mf", "regnet_x_800mf", "regnet_y_400mf", "regnet_y_800mf", "regnet_y_1_6gf"),
    *("convnext_tiny", "swin_t", "swin_v2_t", "vit_b_16", "maxvit_t", "alexnet", "vgg11"),
)

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {"ReLU": nn.ReLU, "GELU": nn.GELU, "tanh": nn.Tanh}


def mlp(width: int, depth: int, activation: Callable[[], nn.Module]) -> nn.Module:
    """From 784 inputs to 10 classes."""
    sides = [784, *[width] * depth]
    hidden = [layer for before, after in pairwise(sides) for layer in (nn.Linear(before, after), activation())]
    return nn.Sequential(*hidden, nn.Linear(width, 10))


def vision(name: str) -> nn.Module:
    make = getattr(importlib.import_module("torchvision.models"), name)
    aside = {"init_weights": True} if name in ("googlenet", "inception_v3") else {}
    model: nn.Module = make(**aside)
    return model


def language(name: str) -> nn.Module:
    """A small model of transformers, by the defaults of its configuration but for its size."""
    transformers = importlib.import_module("transformers")
    sides = {"hidden_size": 256, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 1024}
    configurations = {
        "BERT": lambda: transformers.BertModel(transformers.BertConfig(vocab_size=4000, **sides)),
        "RoBERTa": lambda: transformers.RobertaModel(transformers.RobertaConfig(vocab_size=4000, **sides)),
        "GPT-2": lambda: transformers.GPT2LMHeadModel(
            transformers.GPT2Config(vocab_size=4000, n_embd=256, n_layer=4, n_head=4, n_positions=256)
        ),
        "Llama": lambda: transformers.LlamaForCausalLM(
            transformers.LlamaConfig(vocab_size=4000, num_key_value_heads=2, **sides)
        ),
        "T5": lambda: transformers.T5Model(
            transformers.T5Config(vocab_size=4000, d_model=256, d_kv=64, d_ff=1024, num_layers=4, num_heads=4)
        ),
        "ViT": lambda: transformers.ViTModel(transformers.ViTConfig(image_size=64, **sides)),
    }
    model: nn.Module = configurations[name]()
    return model


def encoder() -> nn.Module:
    """PyTorch's own transformer."""
    return nn.TransformerEncoder(nn.TransformerEncoderLayer(256, 4, 1024), 4, enable_nested_tensor=False)


def models() -> dict[str, Callable[[], nn.Module]]:
    """How each is made, the quick ones first."""
    plain: dict[str, Callable[[], nn.Module]] = {
        f"MLP {width} wide, {depth} deep, {name}": partial(mlp, width, depth, activation)
        for width, depth in ((32, 3), (64, 4), (200, 3), (512, 6), (1000, 3))
        for name, activation in ACTIVATIONS.items()
    }
    recurrent: dict[str, Callable[[], nn.Module]] = {
        "LSTM 128, 2 layers": partial(nn.LSTM, 64, 128, 2),
        "LSTM 300, both ways": partial(nn.LSTM, 100, 300, 1, bidirectional=True),
        "GRU 128, 2 layers": partial(nn.GRU, 64, 128, 2),
        "GRU 512": partial(nn.GRU, 256, 512),
        "RNN 200": partial(nn.RNN, 100, 200, 2),
        "TransformerEncoder 256, 4 layers": encoder,
    }
    languages = {name: partial(language, name) for name in ("BERT", "RoBERTa", "GPT-2", "Llama", "T5", "ViT")}
    return plain | recurrent | languages | {name: partial(vision, name) for name in VISION}
