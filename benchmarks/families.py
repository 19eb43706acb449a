"""Families of random matrices whose spectrum is known for what it is, and what a row has to say of each.

Not here: how many are drawn, and the tables, which `calibration` makes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from spectail.spectra.spikes import critical_strength

Array = NDArray[np.float64]
Stream = np.random.Generator
Shape = tuple[int, int, int]
"""Slices, rows, columns."""

SHAPES: dict[str, Shape] = {
    "16×16": (1, 16, 16),
    "64×64": (1, 64, 64),
    "300×200": (1, 300, 200),
    "1000×250": (1, 1000, 250),
    "1500×1000": (1, 1500, 1000),
    "512×2048": (1, 512, 2048),
    "2000×30": (1, 2000, 30),
    "64×3×7×7": (49, 64, 3),
    "96 of 7×7": (1, 96, 49),
    "256×256×3×3": (9, 256, 256),
}

Row = Mapping[str, Any]
Right = Callable[[Row, Shape], bool]
BROADENED = ("bulk-decay", "heavy-tailed")


@dataclass(frozen=True)
class Family:
    """Matrices of one kind.

    Attributes:
        name: as the tables have it.
        draw: makes slices × rows × columns.
        right: whether a row says what is so.
        answer: the right answer, in words.
        dtype: the dtype of the weights.
        tail: whether the kind of tail is asked for.
        excused: whether a shape lies past a boundary of docs/calibration.md, so that nobody can tell.
    """

    name: str
    draw: Callable[[Stream, Shape], Array]
    right: Right
    answer: str
    dtype: torch.dtype = torch.float32
    tail: bool = False
    excused: Callable[[Shape], bool] = lambda shape: min(shape[1:]) < 64

    def weights(self, shape: Shape, number: int) -> torch.Tensor:
        """The matrix of this number, the same on every machine."""
        stream = np.random.default_rng([number, *shape, *self.name.encode()])
        return torch.from_numpy(self.draw(stream, shape)).to(self.dtype)


# ── what a row has to say ────────────────────────────────────────────────────────────────────────────────────────────


def untrained(row: Row, _: Shape) -> bool:
    return bool(row["phase"] == "random-like" and row["cause"] == "")


def untrained_of_light_entries(row: Row, _: Shape) -> bool:
    return bool(row["phase"] == "random-like" and row["cause"] in ("", "entries"))


def only(cause: str) -> Right:
    """Neither spikes nor a broader bulk, once this cause is taken out."""
    return lambda row, _: bool(row["phase"] == "random-like" and row["n_spikes"] == 0 and row["cause"] == cause)


def correlated(row: Row, _: Shape) -> bool:
    return bool(row["cause"] == "correlation")


def broadened(row: Row, _: Shape) -> bool:
    return row["phase"] in BROADENED and row["tail_kind"] not in ("power law", "truncated power law")


def tailed(kind: str) -> Right:
    return lambda row, _: row["phase"] in BROADENED and row["tail_kind"] == kind


def spiked(count: Callable[[Shape], int]) -> Right:
    """Exactly so many a slice, and the rest random-like."""
    return lambda row, shape: bool(row["phase"] == "bulk+spike" and row["n_spikes"] == shape[0] * count(shape))


def collapsed(row: Row, _: Shape) -> bool:
    """Rank-collapse, or its reason in words."""
    return row["phase"] == "rank-collapse" or "are zero" in row["note"] or "multiples of another" in row["note"]


def narrower(row: Row, _: Shape) -> bool:
    return bool(row["phase"] == "unknown" and row["cause"] == "correlation" and "narrower" in row["note"])


def without_exponent(row: Row, _: Shape) -> bool:
    return math.isnan(row["pl_alpha_hill"]) and math.isnan(row["z_hill"]) and row["note"] != ""


# ── how they are drawn ───────────────────────────────────────────────────────────────────────────────────────────────


def gaussian(stream: Stream, shape: Shape) -> Array:
    return stream.standard_normal(shape)


def unit_t3(stream: Stream, shape: Shape) -> Array:
    return stream.standard_t(3, shape) / math.sqrt(3.0)


def frame(stream: Stream, size: int, count: int) -> Array:
    """Random orthonormal columns."""
    q, r = np.linalg.qr(stream.standard_normal((size, count)))
    return np.asarray(q * np.sign(np.diag(r)))


def tail_size(shape: Shape, exponent: float) -> float:
    """Eigenvalues in the tail of a slice: half of all; of a power law, as many as noise leaves visible, if fewer."""
    b, longer = min(shape[1:]), max(shape[1:])
    return b * min(0.5, math.exp(-exponent * math.log1p(math.sqrt(b / longer))))


def share_of(share: float) -> Callable[[Shape], int]:
    """How many directions make up a share of those of a slice, but at least one."""
    return lambda shape: max(1, round(share * min(shape[1:])))


def planted(
    count: Callable[[Shape], int], thresholds: float, noise: Callable[[Stream, Shape], Array] = gaussian
) -> Callable[[Stream, Shape], Array]:
    """Noise with directions of so many times the critical strength in each slice."""

    def draw(stream: Stream, shape: Shape) -> Array:
        weights = noise(stream, shape)
        _, rows, cols = shape
        for one in weights:
            k = count(shape)
            one += thresholds * critical_strength(rows, cols) * frame(stream, rows, k) @ frame(stream, cols, k).T
        return weights

    return draw


def scaled(
    rows: Callable[[Stream, int], Array] | None = None,
    cols: Callable[[Stream, int], Array] | None = None,
    slices: Callable[[Stream, int], Array] | None = None,
    of: Callable[[Stream, Shape], Array] = gaussian,
) -> Callable[[Stream, Shape], Array]:
    """Matrices whose rows, columns or slices have norms of a law."""

    def draw(stream: Stream, shape: Shape) -> Array:
        weights = of(stream, shape)
        if rows:
            weights *= rows(stream, shape[1])[:, None]
        if cols:
            weights *= cols(stream, shape[2])
        if slices:
            weights *= slices(stream, shape[0])[:, None, None]
        return weights

    return draw


def between(low: float, high: float) -> Callable[[Stream, int], Array]:
    return lambda stream, count: stream.uniform(low, high, count)


def two_classes(stream: Stream, count: int) -> Array:
    return np.where(stream.random(count) < 0.5, 1.0, 3.0)


def pruned(share: float) -> Callable[[Stream, int], Array]:
    return lambda stream, count: (stream.random(count) >= share).astype(np.float64)


def lognormal(sigma: float) -> Callable[[Stream, int], Array]:
    return lambda stream, count: np.exp(sigma * stream.standard_normal(count))


def power_law(alpha: float) -> Callable[[Stream, int], Array]:
    return lambda stream, count: (1.0 - stream.random(count)) ** (-1.0 / (alpha - 1.0))


def exponential(stream: Stream, count: int) -> Array:
    return stream.exponential(size=count)


def population(law: Callable[[Stream, int], Array]) -> Callable[[Stream, Shape], Array]:
    """Noise whose covariance along the shorter side has these eigenvalues, in random directions."""

    def draw(stream: Stream, shape: Shape) -> Array:
        slices, rows, cols = shape
        shorter, longer = min(rows, cols), max(rows, cols)
        weights = np.empty((slices, longer, shorter))
        for one in weights:
            one[:] = stream.standard_normal((longer, shorter)) * np.sqrt(law(stream, shorter))
            one[:] = one @ frame(stream, shorter, shorter).T
        return weights if rows >= cols else weights.transpose(0, 2, 1)

    return draw


def with_eigenvalues(law: Callable[[Stream, int], Array]) -> Callable[[Stream, Shape], Array]:
    """Matrices whose eigenvalues are themselves independent values of a law."""

    def draw(stream: Stream, shape: Shape) -> Array:
        slices, rows, cols = shape
        b = min(rows, cols)
        each = [(frame(stream, rows, b) * np.sqrt(law(stream, b))) @ frame(stream, cols, b).T for _ in range(slices)]
        return np.stack(each)

    return draw


def sparse(zeros: float) -> Callable[[Stream, Shape], Array]:
    return lambda stream, shape: gaussian(stream, shape) * (stream.random(shape) >= zeros)


def autoregressive(rho: float) -> Callable[[Stream, Shape], Array]:
    """Along each row, an entry depends on the one before."""

    def draw(stream: Stream, shape: Shape) -> Array:
        weights = gaussian(stream, shape)
        for j in range(1, shape[2]):
            weights[:, :, j] = rho * weights[:, :, j - 1] + math.sqrt(1.0 - rho**2) * weights[:, :, j]
        return weights

    return draw


def eight_bits(stream: Stream, shape: Shape) -> Array:
    """Rounded to whole numbers up to 127, with a scale a row."""
    weights = gaussian(stream, shape)
    scale = np.abs(weights).max(2, keepdims=True) / 127
    return np.asarray(np.round(weights / scale) * scale)


def of_three(stream: Stream, shape: Shape) -> Array:
    """A product of three Gaussian matrices."""
    b = min(shape[1:])
    return product(stream, shape) @ stream.standard_normal((shape[0], shape[2], shape[2])) / math.sqrt(b)


def product(stream: Stream, shape: Shape, rank: int | None = None) -> Array:
    """A product of two Gaussian matrices, its entries of variance one."""
    slices, rows, cols = shape
    rank = rank or min(rows, cols)
    left, right = stream.standard_normal((slices, rows, rank)), stream.standard_normal((slices, rank, cols))
    return np.asarray(left @ right / math.sqrt(rank))


def of_rank(share: float, noise: float = 0.0) -> Callable[[Stream, Shape], Array]:
    def draw(stream: Stream, shape: Shape) -> Array:
        low = product(stream, shape, max(1, int(share * min(shape[1:]))))
        return low + noise * gaussian(stream, shape)

    return draw


def with_noise_of_rank(most: int) -> Callable[[Stream, Shape], Array]:
    return lambda stream, shape: gaussian(stream, shape) + product(stream, shape, min(most, *shape[1:]))


def duplicated(stream: Stream, shape: Shape) -> Array:
    """Every row stands there twice."""
    slices, rows, cols = shape
    half = stream.standard_normal((slices, (rows + 1) // 2, cols))
    return np.concatenate([half, half], 1)[:, :rows]


def beside_identity(stream: Stream, shape: Shape) -> Array:
    """Noise with norms of columns about one, and a unit matrix, as where layers begin as the identity."""
    return gaussian(stream, shape) / math.sqrt(shape[1]) + np.eye(*shape[1:])


def four_times(stream: Stream, shape: Shape) -> Array:
    """Every column stands there four times, in random order."""
    slices, rows, cols = shape
    quarter = stream.standard_normal((slices, rows, -(-cols // 4)))
    return np.concatenate([quarter] * 4, 2)[:, :, stream.permutation(cols)]


def transposed(draw: Callable[[Stream, Shape], Array]) -> Callable[[Stream, Shape], Array]:
    return lambda stream, shape: draw(stream, (shape[0], shape[2], shape[1])).transpose(0, 2, 1)


def orthogonal(stream: Stream, shape: Shape) -> Array:
    return with_eigenvalues(lambda _, count: np.ones(count))(stream, shape)


def families() -> list[Family]:
    """All of them, in the order of the tables."""
    one, three = (lambda _: 1), 3.0
    wide, unequal = between(0.5, 2.0), lognormal(0.5)
    none = "random-like, no cause"
    entries, norms = "random-like, cause entries", "random-like, cause norms"
    rank = "rank-collapse, or its reason in words"

    def tail(
        name: str, kind: str, law: Callable[[Stream, int], Array], alpha: float = 0.0, make: Any = population
    ) -> Family:
        hidden = 0.0 if make is with_eigenvalues else alpha - 1.0
        return Family(
            name,
            make(law),
            tailed(kind),
            f"broadened or heavy-tailed, tail: {kind}",
            tail=True,
            excused=lambda shape: shape[0] * tail_size(shape, hidden) < 50,
        )

    def spikes(percent: int, thresholds: float) -> Family:
        count = share_of(percent / 100)
        fewest = 200 if thresholds < 2 else 64
        return Family(
            f"{percent} % spikes of {thresholds:g} θ_c",
            planted(count, thresholds),
            spiked(count),
            "bulk+spike, the number exact",
            excused=lambda shape: min(shape[1:]) < fewest,
        )

    return [
        Family("Gaussian", gaussian, untrained, none),
        Family("Gaussian in bf16", gaussian, untrained, none, torch.bfloat16),
        Family("Gaussian in int8", eight_bits, untrained, none),
        Family(
            "uniform, the default initialisation",
            lambda stream, shape: stream.uniform(-1.0, 1.0, shape),
            untrained_of_light_entries,
            "random-like, no cause or entries",
        ),
        Family("t(3)", lambda stream, shape: stream.standard_t(3, shape), only("entries"), entries),
        Family("t(5)", lambda stream, shape: stream.standard_t(5, shape), only("entries"), entries),
        Family("t(2)", lambda stream, shape: stream.standard_t(2, shape), only("entries"), entries),
        Family("Cauchy", lambda stream, shape: stream.standard_cauchy(shape), only("entries"), entries),
        Family("Laplace", lambda stream, shape: stream.laplace(size=shape), only("entries"), entries),
        Family("90 % zeros", sparse(0.9), only("entries"), entries),
        Family("rows scaled by ½ to 2", scaled(rows=wide), only("norms"), norms),
        Family("columns scaled by ½ to 2", scaled(cols=wide), only("norms"), norms),
        Family("both scaled, lognormal(½)", scaled(rows=unequal, cols=unequal), only("norms"), norms),
        Family("both scaled, lognormal(1)", scaled(rows=lognormal(1.0), cols=lognormal(1.0)), only("norms"), norms),
        Family("t(3), both scaled, lognormal(½)", scaled(unequal, unequal, of=unit_t3), only("norms"), norms),
        Family("rows of norm 1 or 3", scaled(rows=two_classes), only("norms"), norms),
        Family("a tenth of the rows zero", scaled(rows=pruned(0.1)), only("norms"), norms),
        Family("slices scaled by ½ to 2", scaled(slices=wide), only("norms"), norms),
        Family(
            "rows scaled, one spike of 3 θ_c",
            scaled(rows=wide, of=planted(one, three)),
            spiked(one),
            "bulk+spike, exactly one",
        ),
        Family(
            "columns scaled, one spike of 3 θ_c",
            scaled(cols=wide, of=planted(one, three)),
            spiked(one),
            "bulk+spike, exactly one",
        ),
        Family("one spike of 3 θ_c", planted(one, three), spiked(one), "bulk+spike, exactly one"),
        Family("t(3), one spike of 3 θ_c", planted(one, three, unit_t3), spiked(one), "bulk+spike, exactly one"),
        Family(
            "2 % spikes of 3 θ_c, both scaled, lognormal(½)",
            scaled(unequal, unequal, of=planted(share_of(0.02), three)),
            spiked(share_of(0.02)),
            "bulk+spike, the number exact",
        ),
        *[spikes(percent, three) for percent in (1, 2, 5, 10)],
        *[spikes(percent, 1.5) for percent in (1, 2, 5, 10)],
        Family("AR(0.3) along rows", autoregressive(0.3), correlated, "cause correlation"),
        Family("AR(0.3) along columns", transposed(autoregressive(0.3)), correlated, "cause correlation"),
        Family("identity and noise", beside_identity, narrower, "narrower than untrained, cause correlation"),
        Family("product of three Gaussians", of_three, broadened, "broadened, no power law", tail=True),
        Family("product of two Gaussians", product, broadened, "broadened, no power law", tail=True),
        Family(
            "Gaussian + noise of rank 300", with_noise_of_rank(300), broadened, "broadened, no power law", tail=True
        ),
        tail("power law 2.5", "power law", power_law(2.5), 2.5),
        tail("power law 3.5", "power law", power_law(3.5), 3.5),
        tail("lognormal, σ = 1", "lognormal", lognormal(1.0)),
        tail("exponential", "exponential", exponential),
        tail("eigenvalues of a power law 2.5", "power law", power_law(2.5), 2.5, with_eigenvalues),
        tail("eigenvalues lognormal, σ = 1", "lognormal", lognormal(1.0), make=with_eigenvalues),
        tail("eigenvalues exponential", "exponential", exponential, make=with_eigenvalues),
        Family("rank b/4", of_rank(0.25), collapsed, rank),
        Family("rank b/4 in bf16", of_rank(0.25), collapsed, rank, torch.bfloat16),
        Family("rank b/8 in fp16", of_rank(0.125), collapsed, rank, torch.float16),
        Family("rank b/4, noise of 10⁻³", of_rank(0.25, 1e-3), collapsed, rank),
        Family("every row twice", duplicated, collapsed, rank),
        Family("every column four times", four_times, collapsed, rank),
        Family("orthogonal", orthogonal, without_exponent, "NaN with a reason"),
    ]
