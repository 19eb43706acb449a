"""What adapters add to a weight, from their factors, as from the matrix that they make."""

import json

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from spectail import analyze
from spectail.analysis.pooling import pooled_eigenvalues
from spectail.errors import SourceError
from spectail.weights.opening import open_weights

R, ROWS, COLS = 12, 60, 40


def random(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed + sum(shape)), dtype=torch.float64)


def spectrum_of(delta):
    return torch.linalg.svdvals(delta.double()).flip(0).square()


def assert_spectrum(values, delta):
    """To 1e-12 of the largest, of which a float64 SVD is right to about 1e-15 times the size."""
    exact = spectrum_of(delta)
    values = torch.as_tensor(values)
    torch.testing.assert_close(values, exact[len(exact) - len(values) :], rtol=0, atol=1e-12 * float(exact[-1]))
    assert float(exact[: len(exact) - len(values)].sum()) < 1e-20 * float(exact[-1])  # none is left out


A, B = random(R, COLS), random(ROWS, R)
KERNEL = random(R, 5, 3, 3)
LOHA = {"w1_a": random(ROWS, 3), "w1_b": random(3, COLS), "w2_a": random(ROWS, 4), "w2_b": random(4, COLS)}
W1, W2A, W2B = random(6, 4), random(10, 2), random(2, 10)
KRON = random(10, 10)


def pair(left, right, a=A, b=B, **others):
    """A state dict of one adapter; others are parts of its layer."""
    return {f"l.q{right}": a, f"l.q{left}": b} | {f"l.q.{part}": torch.tensor(value) for part, value in others.items()}


STATES = {
    "PEFT": (pair(".lora_B.weight", ".lora_A.weight"), B @ A),
    "an embedding of PEFT": (pair(".lora_embedding_B", ".lora_embedding_A"), (B @ A).T),
    "loralib": (pair(".lora_B", ".lora_A"), B @ A),
    "kohya": (pair(".lora_up.weight", ".lora_down.weight", alpha=3.0), 3 / R * B @ A),
    "diffusers": (pair(".lora.up.weight", ".lora.down.weight"), B @ A),
    "older diffusers": (pair("_lora.up.weight", "_lora.down.weight"), B @ A),
    "a convolution of one": (
        pair(".lora_up.weight", ".lora_down.weight", A[:, :, None, None], B[:, :, None, None], alpha=float(R)),
        B @ A,
    ),
    "a convolution": (
        pair(".lora_up.weight", ".lora_down.weight", KERNEL, B[:, :, None, None]),
        B @ KERNEL.flatten(1),
    ),
    "LoHa": (
        {f"l.q.hada_{part}": values for part, values in LOHA.items()},
        (LOHA["w1_a"] @ LOHA["w1_b"]) * (LOHA["w2_a"] @ LOHA["w2_b"]),
    ),
    "LoKr": (
        {"l.q.lokr_w1": W1, "l.q.lokr_w2_a": W2A, "l.q.lokr_w2_b": W2B, "l.q.alpha": torch.tensor(1.0)},
        torch.kron(W1, W2A @ W2B) / 2,
    ),
    "LoKr, whole": ({"l.q.lokr_w1": W1, "l.q.lokr_w2": KRON, "l.q.alpha": torch.tensor(9.0)}, torch.kron(W1, KRON)),
}


@pytest.mark.parametrize("kind", STATES)
def test_the_spectrum_of_the_factors_is_that_of_what_they_make(kind):
    state, delta = STATES[kind]
    analysis = analyze(state, nulls=False)
    row = analysis.frame.iloc[0]
    assert len(analysis.frame) == 1
    assert "not measured" not in row["note"]
    assert (row["name"], row["kind"], row["rows"], row["cols"]) == ("l.q.weight", "lora", *delta.shape)
    (matrix,) = open_weights(state).matrices
    assert_spectrum(pooled_eigenvalues(matrix), delta)
    torch.testing.assert_close(matrix.load()[0], delta, rtol=0, atol=1e-12 * float(delta.abs().max()))
    assert {one.name for one in analysis.skipped} == set(state)
    assert row["frobenius_norm"] == pytest.approx(float(delta.norm()), rel=1e-12)
    assert row["spectral_norm"] == pytest.approx(float(torch.linalg.matrix_norm(delta, 2)), rel=1e-12)


def test_an_adapter_beside_its_weight_and_several_of_one_weight_have_names_of_their_own():
    state = {"q.weight": random(ROWS, COLS)} | {f"q.lora_{part}.weight": one for part, one in (("A", A), ("B", B))}
    assert list(analyze(state, nulls=False).frame["name"]) == ["q.weight", "q.weight[lora]"]
    several = {f"q.lora_{part}.{name}.weight": one for name in ("x", "y") for part, one in (("A", A), ("B", B))}
    assert list(analyze(several, nulls=False).frame["name"]) == ["q.weight[x]", "q.weight[y]"]


def test_an_untrained_adapter_is_all_zero_and_says_so():
    row = analyze(pair(".lora_B.weight", ".lora_A.weight", b=torch.zeros(ROWS, R)), nulls=False).frame.iloc[0]
    assert "all weights are zero" in row["note"]
    assert row["frobenius_norm"] == 0.0


def test_an_adapter_with_nan_is_a_row_with_a_note():
    row = analyze(pair(".lora_B.weight", ".lora_A.weight", b=B * float("nan")), nulls=False).frame.iloc[0]
    assert "NaN" in row["note"]


def test_half_a_pair_is_a_matrix_like_others():
    assert list(analyze({"q.lora_A.weight": A}, nulls=False).frame["name"]) == ["q.lora_A.weight"]


def test_an_adapter_with_a_core_is_named_as_what_is_not_read():
    state = pair(".lora_up.weight", ".lora_down.weight") | {"l.q.lora_mid.weight": random(R, R, 3, 3)}
    with pytest.raises(SourceError, match="a core between its factors"):
        analyze(state, nulls=False)


@pytest.mark.parametrize(
    ("config", "scale"),
    [
        ({"lora_alpha": 6}, 6 / R),
        ({"lora_alpha": 6, "use_rslora": True}, 6 / R**0.5),
        ({"lora_alpha": 6, "alpha_pattern": {"q": 3}}, 3 / R),
        ({"lora_alpha": 6, "alpha_pattern": {"k": 3, ".*[": 5}}, 6 / R),
        ({}, 1.0),
        ({"lora_alpha": [6], "alpha_pattern": [1]}, 1.0),
        ({"lora_alpha": float("nan")}, 1.0),
    ],
)
@pytest.mark.parametrize("of", ["the folder", "the file"])
def test_a_folder_of_peft_knows_its_scale(tmp_path, config, scale, of):
    file = tmp_path / "adapter_model.safetensors"
    save_file({f"base_model.model.{name}": one for name, one in STATES["PEFT"][0].items()}, file)
    (tmp_path / "adapter_config.json").write_text(json.dumps(config))
    analysis = analyze(tmp_path if of == "the folder" else file, nulls=False)
    exact = spectrum_of(scale * B @ A)[-R:]
    torch.testing.assert_close(torch.from_numpy(analysis.spectra["l.q.weight"]), exact, rtol=1e-6, atol=0.0)  # float32
    assert ("its α is not known" in analysis.frame["note"][0]) == (config.get("lora_alpha") != 6)


@pytest.mark.parametrize("options", [{}, {"use_rslora": True}, {"use_dora": True}])
def test_adapters_that_peft_made_are_what_peft_adds(tmp_path, options):
    peft = pytest.importorskip("peft")
    torch.manual_seed(0)
    base = nn.Sequential(nn.Linear(COLS, ROWS), nn.ReLU(), nn.Linear(ROWS, COLS))
    config = peft.LoraConfig(r=R, lora_alpha=20, target_modules=["0", "2"], init_lora_weights=False, **options)
    model = peft.get_peft_model(base, config)
    model.save_pretrained(tmp_path)
    of_folder, of_module = analyze(tmp_path, nulls=False), analyze(model, nulls=False)
    for layer in ("0", "2"):
        delta = model.base_model.model[int(layer)].get_delta_weight("default").detach()
        exact = spectrum_of(delta)[-R:]  # delta is rounded to float32
        for values in (of_folder.spectra[f"{layer}.weight"], of_module.spectra[f"{layer}.weight"]):
            torch.testing.assert_close(torch.from_numpy(values), exact, rtol=1e-4, atol=1e-5 * float(exact[-1]))
    dora = of_folder.frame["note"].str.contains("DoRA").all()
    assert dora == ("use_dora" in options)
    assert "base_model.model.0.base_layer.weight" in set(of_module.frame["name"])
