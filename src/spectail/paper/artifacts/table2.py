"""Table 2: the eight sizes of Figure 8."""

from __future__ import annotations

from matplotlib.figure import Figure

from spectail.paper.catalogue import Artifact
from spectail.paper.figures import repeated
from spectail.paper.runs import Runs
from spectail.paper.setups import S2

# ε = 0: eq. 9 is the limit ε → 0, and entries of G₀ fall with the size. d divides small scales.
SIZES = [
    S2.replace(
        n=1000 * k, h=750 * k, d=500 * k, optimizer="adam", optimizer_options={"eps": 0.0}, lr=1.0, steps=1, record=(1,)
    )
    for k in range(1, 9)
]
experiments = repeated(SIZES)


def draw(runs: Runs) -> Figure:
    from spectail.paper.artifacts import fig8

    return fig8.draw(runs)


def table(runs: Runs) -> list[tuple[str, ...]]:
    from spectail.paper.artifacts.fig8 import norms, roots

    rows: list[tuple[str, ...]] = [("size", "n", "h", "d", "√(hd)", "‖G̃₀‖_F/√(hd)", "‖G̃₀‖₂/√(hd)")]
    root = roots(runs)
    frobenius, spectral = norms(runs, "Frobenius").mean(0) / root, norms(runs, "spectral").mean(0) / root
    for k, e in enumerate(map(runs.scale, SIZES)):
        rows.append(
            (str(k + 1), str(e.n), str(e.h), str(e.d), f"{root[k]:.1f}", f"{frobenius[k]:.4f}", f"{spectral[k]:.4f}")
        )
    return rows


ARTIFACT = Artifact(
    name="table2",
    title="The 8 sizes of Fig. 8, and the norms of FB-Adam's first update",
    repeats=2,
    experiments=experiments,
    draw=draw,
    table=table,
)
