# ruff: noqa: C408, E501 - keywords of other libraries, and tables
"""The layouts of the model families that are used most: what each parameter becomes, as a module and as a state dict.

What is expected is written down from the definition of each model, of its last layer and what is around the layers.
"""

import json
import warnings

import pytest
import torch

from spectail.weights.opening import open_weights

SMALL = dict(vocab_size=96, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4)
GROUPED = dict(SMALL, num_key_value_heads=2, max_position_embeddings=64, pad_token_id=0)
EXPERTS = dict(num_local_experts=2)
LATENT = dict(kv_lora_rank=16, q_lora_rank=20, qk_rope_head_dim=4, qk_nope_head_dim=8, v_head_dim=8)
DEEPSEEK = dict(
    GROUPED | LATENT,
    num_key_value_heads=4,
    moe_intermediate_size=24,
    n_routed_experts=2,
    n_group=1,
    topk_group=1,
    n_shared_experts=1,
    num_experts_per_tok=2,
    first_k_dense_replace=1,
)
IMAGE = dict(image_size=16, patch_size=4)

ATTENTION = {"q_proj": "linear 32x32", "k_proj": "linear 16x32", "v_proj": "linear 16x32", "o_proj": "linear 32x32"}
EQUAL = {f"{letter}_proj": "linear 32x32" for letter in "qkv"}
MLP = {"gate_proj": "linear 48x32", "up_proj": "linear 48x32", "down_proj": "linear 32x48"}
MLP_2 = {"fc1": "linear 48x32", "fc2": "linear 32x48"}
AROUND = {"model.embed_tokens.weight": "embedding 96x32", "lm_head.weight": "linear 96x32"}
TIED = {"model.embed_tokens.weight": "embedding 96x32"}


def weights(path, layers):
    return {f"{path}.{layer}.weight": row for layer, row in layers.items()}


def experts(path, inner=48, count=2):
    """A row a gate, an up and a down of each expert, whichever way the model stores them."""
    halves = {
        f"{path}.gate_up_proj[{i}, {half}]": f"expert {inner}x32" for i in range(count) for half in ("gate", "up")
    }
    return halves | {f"{path}.down_proj[{i}]": f"expert 32x{inner}" for i in range(count)}


def split(name, sizes, kind="attention", cols=32):
    return {f"{name}[{part}]": f"{kind} {size}x{cols}" for part, size in sizes.items()}


L = "model.layers.1"
DENSE = {**AROUND, **weights(f"{L}.self_attn", ATTENTION), **weights(f"{L}.mlp", MLP)}
QKV = {"q": 32, "k": 32, "v": 32}
LATENT_ATTENTION = {
    f"{L}.self_attn.q_a_proj.weight": "linear 20x32",
    f"{L}.self_attn.q_b_proj.weight": "linear 48x20",
    **split(f"{L}.self_attn.kv_a_proj_with_mqa.weight", {"kv": 16, "k of positions": 4}),
    **split(f"{L}.self_attn.kv_b_proj.weight", {"k": 32, "v": 32}, cols=16),
    f"{L}.self_attn.o_proj.weight": "linear 32x32",
    f"{L}.mlp.gate.weight": "linear 2x32",
    **experts(f"{L}.mlp.experts", 24),
    **weights(f"{L}.mlp.shared_experts", {"gate_proj": "linear 24x32", "up_proj": "linear 24x32", "down_proj": "linear 32x24"}),
}  # fmt: skip
CLIP = {
    f"{part}_model.encoder.layers.1.{layer}.weight": row
    for part in ("text", "vision")
    for layer, row in {
        **{f"self_attn.{name}": row for name, row in (EQUAL | {"out_proj": "linear 32x32"}).items()},
        **{f"mlp.{name}": row for name, row in MLP_2.items()},
    }.items()
}
WHISPER = {
    f"model.{part}.layers.1.{name}.weight": row
    for part, attentions in (("encoder", ["self_attn"]), ("decoder", ["self_attn", "encoder_attn"]))
    for name, row in {
        **{f"{a}.{n}": r for a in attentions for n, r in (EQUAL | {"out_proj": "linear 32x32"}).items()},
        **MLP_2,
    }.items()
}

FAMILIES = {
    "Llama": (lambda t: t.LlamaForCausalLM(t.LlamaConfig(**GROUPED)), DENSE),
    "Mistral": (lambda t: t.MistralForCausalLM(t.MistralConfig(**GROUPED)), DENSE),
    "Qwen3": (lambda t: t.Qwen3ForCausalLM(t.Qwen3Config(**GROUPED, head_dim=8)), DENSE),
    "Granite": (lambda t: t.GraniteForCausalLM(t.GraniteConfig(**GROUPED)), DENSE),
    "Gemma2": (
        lambda t: t.Gemma2ForCausalLM(t.Gemma2Config(**GROUPED, head_dim=8)),
        {name: row for name, row in DENSE.items() if name != "lm_head.weight"},
    ),
    "Qwen3-MoE": (
        lambda t: t.Qwen3MoeForCausalLM(
            t.Qwen3MoeConfig(**GROUPED, head_dim=8, moe_intermediate_size=24, num_experts=2, num_experts_per_tok=1)
        ),
        {
            **AROUND,
            **weights(f"{L}.self_attn", ATTENTION),
            **experts(f"{L}.mlp.experts", 24),
            f"{L}.mlp.gate.weight": "linear 2x32",
        },
    ),
    "Mixtral": (
        lambda t: t.MixtralForCausalLM(t.MixtralConfig(**GROUPED, **EXPERTS)),
        {
            **AROUND,
            **weights(f"{L}.self_attn", ATTENTION),
            **experts(f"{L}.mlp.experts"),
            f"{L}.mlp.gate.weight": "linear 2x32",
        },
    ),
    "DeepSeek-V2": (
        lambda t: t.DeepseekV2ForCausalLM(t.DeepseekV2Config(**DEEPSEEK)),
        AROUND | LATENT_ATTENTION,
    ),
    "DeepSeek-V3": (
        lambda t: t.DeepseekV3ForCausalLM(t.DeepseekV3Config(**DEEPSEEK)),
        AROUND | LATENT_ATTENTION,
    ),
    "gpt-oss": (
        lambda t: t.GptOssForCausalLM(t.GptOssConfig(**GROUPED, **EXPERTS, head_dim=8)),
        {
            **AROUND,
            **weights(f"{L}.self_attn", ATTENTION),
            **experts(f"{L}.mlp.experts"),
            f"{L}.mlp.router.weight": "linear 2x32",
        },
    ),
    "Llama4": (
        lambda t: t.Llama4ForCausalLM(
            t.Llama4TextConfig(**GROUPED, **EXPERTS, head_dim=8, intermediate_size_mlp=56, interleave_moe_layer_step=2)
        ),
        {
            **AROUND,
            **weights(f"{L}.self_attn", ATTENTION),
            **experts(f"{L}.feed_forward.experts"),
            **weights(f"{L}.feed_forward.shared_expert", MLP),
            f"{L}.feed_forward.router.weight": "linear 2x32",
        },
    ),
    "GraniteMoE": (
        lambda t: t.GraniteMoeForCausalLM(t.GraniteMoeConfig(**GROUPED, **EXPERTS)),
        {
            **AROUND,
            **weights(f"{L}.self_attn", ATTENTION),
            **experts(f"{L}.block_sparse_moe.experts"),
            f"{L}.block_sparse_moe.router.weight": "linear 2x32",
        },
    ),
    "Phi": (
        lambda t: t.PhiForCausalLM(t.PhiConfig(**{**GROUPED, "num_key_value_heads": 4})),
        {
            **AROUND,
            **weights(f"{L}.self_attn", EQUAL | {"dense": "linear 32x32"}),
            **weights(f"{L}.mlp", MLP_2),
        },
    ),
    "Phi-3": (
        lambda t: t.Phi3ForCausalLM(t.Phi3Config(**GROUPED)),
        {
            **AROUND,
            **split(f"{L}.self_attn.qkv_proj.weight", {"q": 32, "k": 16, "v": 16}),
            f"{L}.self_attn.o_proj.weight": "linear 32x32",
            **split(f"{L}.mlp.gate_up_proj.weight", {"gate": 48, "up": 48}, "linear"),
            f"{L}.mlp.down_proj.weight": "linear 32x48",
        },
    ),
    "GPT-2": (
        lambda t: t.GPT2LMHeadModel(t.GPT2Config(vocab_size=96, n_positions=64, n_embd=32, n_layer=2, n_head=4)),
        {
            "transformer.wte.weight": "embedding 96x32",
            "transformer.wpe.weight": "embedding 64x32",
            **split("transformer.h.1.attn.c_attn.weight", QKV),
            "transformer.h.1.attn.c_proj.weight": "linear 32x32",
            "transformer.h.1.mlp.c_fc.weight": "linear 128x32",
            "transformer.h.1.mlp.c_proj.weight": "linear 32x128",
        },
    ),
    "OPT": (
        lambda t: t.OPTForCausalLM(
            t.OPTConfig(**{k: v for k, v in SMALL.items() if k != "intermediate_size"}, ffn_dim=48, word_embed_proj_dim=16, max_position_embeddings=64)
        ),
        {
            "model.decoder.embed_tokens.weight": "embedding 96x16",
            "model.decoder.embed_positions.weight": "embedding 66x32",
            "model.decoder.project_in.weight": "linear 32x16",
            "model.decoder.project_out.weight": "linear 16x32",
            **weights("model.decoder.layers.1.self_attn", EQUAL | {"out_proj": "linear 32x32"}),
            **weights("model.decoder.layers.1", MLP_2),
        },
    ),
    "BERT": (
        lambda t: t.BertForMaskedLM(t.BertConfig(**SMALL, max_position_embeddings=64)),
        {
            "bert.embeddings.word_embeddings.weight": "embedding 96x32",
            "bert.embeddings.position_embeddings.weight": "embedding 64x32",
            "bert.embeddings.token_type_embeddings.weight": "embedding 2x32",
            **weights("bert.encoder.layer.1.attention.self", dict.fromkeys(("query", "key", "value"), "linear 32x32")),
            "bert.encoder.layer.1.attention.output.dense.weight": "linear 32x32",
            "bert.encoder.layer.1.intermediate.dense.weight": "linear 48x32",
            "bert.encoder.layer.1.output.dense.weight": "linear 32x48",
            "cls.predictions.transform.dense.weight": "linear 32x32",
        },
    ),
    "T5": (
        lambda t: t.T5ForConditionalGeneration(
            t.T5Config(vocab_size=96, d_model=32, d_kv=8, d_ff=48, num_layers=2, num_heads=4, feed_forward_proj="gated-gelu")
        ),
        {
            "shared.weight": "embedding 96x32",
            **weights("encoder.block.1.layer.0.SelfAttention", dict.fromkeys("qkvo", "linear 32x32")),
            **weights("encoder.block.1.layer.1.DenseReluDense", {"wi_0": "linear 48x32", "wi_1": "linear 48x32", "wo": "linear 32x48"}),
            **weights("decoder.block.1.layer.0.SelfAttention", dict.fromkeys("qkvo", "linear 32x32")),
            **weights("decoder.block.1.layer.1.EncDecAttention", dict.fromkeys("qkvo", "linear 32x32")),
            **weights("decoder.block.1.layer.2.DenseReluDense", {"wi_0": "linear 48x32", "wi_1": "linear 48x32", "wo": "linear 32x48"}),
        },
    ),
    "ViT": (
        lambda t: t.ViTForImageClassification(t.ViTConfig(**{k: v for k, v in SMALL.items() if k != "vocab_size"}, **IMAGE)),
        {
            "vit.embeddings.position_embeddings": "embedding 17x32",
            "vit.embeddings.patch_embeddings.projection.weight": "conv2d 16x32x3",
            **weights("vit.layers.1.attention", EQUAL | {"o_proj": "linear 32x32"}),
            **weights("vit.layers.1.mlp", MLP_2),
            "classifier.weight": "linear 2x32",
        },
    ),
    "CLIP": (
        lambda t: t.CLIPModel(
            t.CLIPConfig(
                text_config=dict(SMALL, max_position_embeddings=64),
                vision_config={k: v for k, v in SMALL.items() if k != "vocab_size"} | IMAGE,
                projection_dim=16,
            )
        ),
        {
            **CLIP,
            "text_model.embeddings.token_embedding.weight": "embedding 96x32",
            "text_model.embeddings.position_embedding.weight": "embedding 64x32",
            "vision_model.embeddings.patch_embedding.weight": "conv2d 16x32x3",
            "vision_model.embeddings.position_embedding.weight": "embedding 17x32",
            "visual_projection.weight": "linear 16x32",
            "text_projection.weight": "linear 16x32",
        },
    ),
    "Whisper": (
        lambda t: t.WhisperForConditionalGeneration(
            t.WhisperConfig(
                vocab_size=96,
                num_mel_bins=20,
                d_model=32,
                encoder_layers=2,
                decoder_layers=2,
                encoder_attention_heads=4,
                decoder_attention_heads=4,
                encoder_ffn_dim=48,
                decoder_ffn_dim=48,
                max_source_positions=40,
                max_target_positions=44,
                pad_token_id=0,
                bos_token_id=1,
                eos_token_id=2,
                decoder_start_token_id=1,
            )
        ),
        {
            **WHISPER,
            "model.encoder.conv1.weight": "conv1d 3x32x20",
            "model.encoder.conv2.weight": "conv1d 3x32x32",
            "model.decoder.embed_tokens.weight": "embedding 96x32",
            "model.decoder.embed_positions.weight": "embedding 44x32",
        },
    ),
    "Mamba": (
        lambda t: t.MambaForCausalLM(t.MambaConfig(vocab_size=96, hidden_size=32, state_size=8, num_hidden_layers=2)),
        {
            "backbone.embeddings.weight": "embedding 96x32",
            "backbone.layers.1.mixer.conv1d.weight": "conv1d 64x4",
            **split("backbone.layers.1.mixer.in_proj.weight", {"x": 64, "gate": 64}, "linear"),
            **split("backbone.layers.1.mixer.x_proj.weight", {"dt": 2, "B": 8, "C": 8}, "linear", 64),
            "backbone.layers.1.mixer.dt_proj.weight": "linear 64x2",
            "backbone.layers.1.mixer.out_proj.weight": "linear 32x64",
        },
    ),
    "RWKV": (
        lambda t: t.RwkvForCausalLM(
            t.RwkvConfig(vocab_size=96, hidden_size=32, num_hidden_layers=2, attention_hidden_size=32, context_length=32)
        ),
        {
            "rwkv.embeddings.weight": "embedding 96x32",
            **weights("rwkv.blocks.1.attention", dict.fromkeys(("key", "value", "receptance", "output"), "linear 32x32")),
            **weights("rwkv.blocks.1.feed_forward", {"key": "linear 128x32", "receptance": "linear 32x32", "value": "linear 32x128"}),
            "head.weight": "linear 96x32",
        },
    ),
    "ConvNeXt": (
        lambda t: t.ConvNextForImageClassification(
            t.ConvNextConfig(hidden_sizes=[16, 32], depths=[1, 2], num_stages=2, layer_scale_init_value=1e-6)
        ),
        {
            "convnext.embeddings.patch_embeddings.weight": "conv2d 16x16x3",
            "convnext.encoder.stages.1.downsampling_layer.1.weight": "conv2d 4x32x16",
            "convnext.encoder.stages.1.layers.1.dwconv.weight": "conv2d 32x49",
            "convnext.encoder.stages.1.layers.1.pwconv1.weight": "linear 128x32",
            "convnext.encoder.stages.1.layers.1.pwconv2.weight": "linear 32x128",
            "classifier.weight": "linear 2x32",
        },
    ),
    "GPT-NeoX": (
        lambda t: t.GPTNeoXForCausalLM(t.GPTNeoXConfig(**SMALL, max_position_embeddings=64)),
        {
            "gpt_neox.embed_in.weight": "embedding 96x32",
            "lm_head.weight": "linear 96x32",
            **split("gpt_neox.layers.1.attention.query_key_value.weight", QKV),
            "gpt_neox.layers.1.attention.dense.weight": "linear 32x32",
            "gpt_neox.layers.1.mlp.dense_h_to_4h.weight": "linear 48x32",
            "gpt_neox.layers.1.mlp.dense_4h_to_h.weight": "linear 32x48",
        },
    ),
    "Falcon-40B": (
        lambda t: t.FalconForCausalLM(
            t.FalconConfig(**{k: v for k, v in SMALL.items() if k != "intermediate_size"}, num_kv_heads=2, new_decoder_architecture=True)
        ),
        {
            "transformer.word_embeddings.weight": "embedding 96x32",
            **split("transformer.h.1.self_attention.query_key_value.weight", {"q": 32, "k": 16, "v": 16}),
            "transformer.h.1.self_attention.dense.weight": "linear 32x32",
            "transformer.h.1.mlp.dense_h_to_4h.weight": "linear 128x32",
            "transformer.h.1.mlp.dense_4h_to_h.weight": "linear 32x128",
        },
    ),
}  # fmt: skip

DIFFUSERS = {
    "SD-UNet": (
        lambda d: d.UNet2DConditionModel(
            block_out_channels=(16, 32),
            layers_per_block=1,
            sample_size=8,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
            cross_attention_dim=24,
            attention_head_dim=8,
            norm_num_groups=4,
        ),
        "down_blocks.1.attentions.0.transformer_blocks.0.",
        {
            **weights("attn1", dict.fromkeys(("to_q", "to_k", "to_v", "to_out.0"), "linear 32x32")),
            **weights("attn2", {"to_q": "linear 32x32", "to_k": "linear 32x24", "to_v": "linear 32x24", "to_out.0": "linear 32x32"}),
            **split("ff.net.0.proj.weight", {"up": 128, "gate": 128}, "linear"),
            "ff.net.2.weight": "linear 32x128",
        },
    ),
    "Flux": (
        lambda d: d.FluxTransformer2DModel(
            patch_size=1,
            in_channels=4,
            num_layers=1,
            num_single_layers=1,
            attention_head_dim=8,
            num_attention_heads=4,
            joint_attention_dim=24,
            pooled_projection_dim=20,
            axes_dims_rope=(2, 2, 4),
        ),
        "single_transformer_blocks.0.",
        {
            "norm.linear.weight": "linear 96x32",
            "proj_mlp.weight": "linear 128x32",
            "proj_out.weight": "linear 32x160",
            **weights("attn", dict.fromkeys(("to_q", "to_k", "to_v"), "linear 32x32")),
        },
    ),
}  # fmt: skip


def library(name, version):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the library's own dependencies
        return pytest.importorskip(name, minversion=version)


def built(make, module):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return make(module)


def shapes(source):
    size = {m.name: (m.slices, m.rows, m.cols) if m.slices > 1 else (m.rows, m.cols) for m in source.matrices}
    return {m.name: f"{m.kind} {'x'.join(map(str, size[m.name]))}" for m in source.matrices}


def assert_complete(model, weights_):
    """Every parameter is measured or left out, for one of the few reasons that there are in these models."""
    parameters = dict(model.named_parameters())
    measured = {matrix.name.partition("[")[0] for matrix in weights_.matrices}
    left_out = {one.name: one.reason for one in weights_.skipped}
    assert measured | left_out.keys() >= parameters.keys()
    for name in parameters.keys() & left_out.keys():
        vector = sum(size > 1 for size in parameters[name].shape) <= 1
        told = "norm", "scale", "bias", "A_log", "time_", "token", "embed_positions", "dt", ".D", "embedding"
        assert vector or any(word in name for word in told), (name, left_out[name])


def in_last_layer(name):
    """Not in a layer before the last; those of T5 have numbered parts."""
    if name.startswith(("encoder.block.1.", "decoder.block.1.")):
        return True
    counted = ("layers", "layer", "h", "block", "blocks", "stages")
    return not any(f"{path}.0." in name for path in counted)


def configured(model, tmp_path):
    """The model as a folder: its weights as they lie in a file, and its configuration."""
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    (tmp_path / "config.json").write_text(json.dumps(model.config.to_dict(), default=str))
    return tmp_path


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_is_read_as_it_is_defined_from_a_module_and_from_its_folder(family, tmp_path):
    make, expected = FAMILIES[family]
    model = built(make, library("transformers", "5"))
    of_module = open_weights(model)
    rows = shapes(of_module)
    assert {name: row for name, row in rows.items() if in_last_layer(name)} == expected
    assert_complete(model, of_module)
    of_folder = open_weights(configured(model, tmp_path))
    assert shapes(of_folder) == rows
    for matrix, values in of_folder.each():
        other = next(one for one in of_module.matrices if one.name == matrix.name)
        assert torch.equal(values, other.load()), matrix.name


@pytest.mark.parametrize("family", DIFFUSERS)
def test_a_diffusion_model_is_read_as_it_is_defined_from_a_module_and_from_its_names(family):
    make, block, expected = DIFFUSERS[family]
    model = built(make, library("diffusers", "0.30"))
    of_module = open_weights(model)
    rows = shapes(of_module)
    assert {name.removeprefix(block): row for name, row in rows.items() if name.startswith(block)} == expected
    assert_complete(model, of_module)
    assert shapes(open_weights(model.state_dict())) == rows
    assert not [name for name, row in rows.items() if row.startswith("weight ")]
