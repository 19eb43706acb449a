"""Figure 35: layers of VGG11 on SVHN after 10 full-batch steps."""

from __future__ import annotations

from spectail.paper.catalogue import Artifact
from spectail.paper.deep import VGG11, Layer, claims, draw, trained

LAYERS = [Layer(VGG11.replace(dataset="svhn"), number) for number in (2, 4, 7)]

ARTIFACT = Artifact(
    name="fig35",
    title="Layers of VGG11 on SVHN after 10 full-batch steps",
    repeats=1,
    experiments=lambda seed: (),
    trainings=trained(LAYERS),
    draw=draw("Fig. 35", LAYERS),
    claims=claims("40.35", "App. F.6, Fig. 35", LAYERS),
    protocols=("published",),
)
