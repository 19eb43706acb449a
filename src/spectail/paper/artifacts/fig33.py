"""Figure 33: layers of VGG11 on MNIST after 10 full-batch steps."""

from __future__ import annotations

from spectail.paper.catalogue import Artifact
from spectail.paper.deep import VGG11, Layer, claims, draw, trained

LAYERS = [Layer(VGG11.replace(dataset="mnist"), number) for number in (2, 4, 7)]

ARTIFACT = Artifact(
    name="fig33",
    title="Layers of VGG11 on MNIST after 10 full-batch steps",
    repeats=1,
    experiments=lambda seed: (),
    trainings=trained(LAYERS),
    draw=draw("Fig. 33", LAYERS),
    claims=claims("40.33", "App. F.6, Fig. 33", LAYERS),
    protocols=("published",),
)
