"""What storing weights in fewer bits does to their measured spectrum: `python -m benchmarks.quantisation_noise`.

Three matrices: noise with four spikes, a hidden layer of a trained network, and one whose eigenvalues have a tail of
exponent 3. Each is rounded to the nearest value that a format has, with the scales that are usual for it.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

import spectail

E2M1 = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
NF4 = (  # as stored by bitsandbytes
    *(-1.0, -0.6961928, -0.52507305, -0.3949175, -0.28444138, -0.18477343, -0.09105004, 0.0),
    *(0.0795803, 0.1609302, 0.2461123, 0.33791524, 0.44070983, 0.5626170, 0.72295684, 1.0),
)
SHOWN = ("pl_alpha_hill", "n_spikes", "bulk_edge", "stable_rank", "spectral_norm")


def nearest(values: Tensor, table: Tensor) -> Tensor:
    """For each value, the nearest one of a table in ascending order."""
    result: Tensor = table[torch.bucketize(values, (table[1:] + table[:-1]) / 2)]
    return result


def in_groups(weight: Tensor, size: int, rounded: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Each group of a row rounded, given its largest absolute value."""
    groups = weight.reshape(-1, size)
    return rounded(groups, groups.abs().amax(1, keepdim=True)).reshape(weight.shape)


def fp8(weight: Tensor) -> Tensor:
    def rounded(w: Tensor, most: Tensor) -> Tensor:
        return (w * 448 / most).to(torch.float8_e4m3fn).float() * most / 448

    return in_groups(weight, weight.shape[1], rounded)


def integers(bits: int, size: int | None) -> Callable[[Tensor], Tensor]:
    top = 2 ** (bits - 1) - 1

    def rounded(w: Tensor, most: Tensor) -> Tensor:
        result: Tensor = (w * top / most).round() * most / top
        return result

    return lambda weight: in_groups(weight, size or weight.shape[1], rounded)


def nf4(weight: Tensor) -> Tensor:
    return in_groups(weight, 64, lambda w, most: nearest(w / most, torch.tensor(NF4)) * most)


def mxfp4(weight: Tensor) -> Tensor:
    def rounded(w: Tensor, most: Tensor) -> Tensor:
        power = 2.0 ** (most.log2().floor() - 2)  # OCP MX v1.0, §6.3: the largest exponent of e2m1 is 2
        return nearest((w / power).abs(), torch.tensor(E2M1)) * power * w.sign()

    return in_groups(weight, 32, rounded)


FORMATS: dict[str, tuple[float, Callable[[Tensor], Tensor]]] = {
    "float32": (32, lambda weight: weight),
    "bfloat16": (16, lambda weight: weight.bfloat16().float()),
    "fp8 e4m3, a scale a row": (8, fp8),
    "int8, a scale a row": (8, integers(8, None)),
    "int4, groups of 128": (4.125, integers(4, 128)),
    "nf4, blocks of 64": (4.5, nf4),
    "mxfp4, blocks of 32": (4.25, mxfp4),
    "int3, groups of 128": (3.125, integers(3, 128)),
    "int2, groups of 128": (2.125, integers(2, 128)),
}
"""Bits a weight, with its scales; how a weight is rounded."""


def spiked(n: int = 1024) -> Tensor:
    """Independent normal entries and four directions: λ of 1.05, 1.5, 3 and 10 times the edge of the bulk."""
    noise = torch.randn(n, n, generator=torch.Generator().manual_seed(0)) / math.sqrt(n)
    u, v = (torch.linalg.qr(torch.randn(n, 4, generator=torch.Generator().manual_seed(seed)))[0] for seed in (1, 2))
    # of noise of variance 1/n, s becomes the singular value s + 1/s, and the edge is 2 (Benaych-Georges and Nadakuditi)
    observed = torch.tensor([1.05, 1.5, 3.0, 10.0]).mul(4).sqrt()
    strength = (observed + (observed**2 - 4).sqrt()) / 2
    weight: Tensor = (noise + u * strength @ v.T) * 0.02
    return weight


def trained() -> Tensor:
    """The 512 × 512 layer of a network that has learnt the handwritten digits, by Adam with weight decay."""
    from sklearn.datasets import load_digits

    data = load_digits()
    x, y = torch.tensor(data.data / 16, dtype=torch.float32), torch.tensor(data.target)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.1)
    for _ in range(400):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    layer = model[2]
    assert isinstance(layer, nn.Linear)
    return layer.weight.detach()


def heavy(n: int = 1024) -> Tensor:
    """Eigenvalues whose density falls as λ⁻³, in random directions."""
    u, v = (torch.linalg.qr(torch.randn(n, n, generator=torch.Generator().manual_seed(seed)))[0] for seed in (3, 4))
    eigenvalues = (torch.arange(n) + 0.5).div(n).pow(-1 / 2)
    weight: Tensor = (u * eigenvalues.sqrt()) @ v.T * 0.02
    return weight


def main() -> None:
    torch.set_num_threads(2)
    for name, make in (("noise and 4 spikes", spiked), ("trained on digits", trained), ("tail of exponent 3", heavy)):
        weight = make()
        state = {f"{label}.weight": rounded(weight) for label, (_, rounded) in FORMATS.items()}
        frame = spectail.analyze(state).frame.set_index("name")
        print(f"\n| {name}, {weight.shape[0]} × {weight.shape[1]} | bits | error | " + " | ".join(SHOWN) + " |")
        print("|---" * (3 + len(SHOWN)) + "|")
        for label, (bits, _) in FORMATS.items():
            row = frame.loc[f"{label}.weight"]
            error = float((state[f"{label}.weight"] - weight).norm() / weight.norm())
            print(
                f"| {label} | {bits:g} | {error:.2%} | " + " | ".join(f"{row[column]:.4g}" for column in SHOWN) + " |"
            )


if __name__ == "__main__":
    main()
