"""Figure 34: layers of VGG11 on CIFAR10 after 10 full-batch steps."""

from __future__ import annotations

from spectail.paper.catalogue import Artifact
from spectail.paper.deep import VGG11, Layer, claims, draw, trained

LAYERS = [Layer(VGG11.replace(dataset="cifar10"), number) for number in (2, 4, 7)]

ARTIFACT = Artifact(
    name="fig34",
    title="Layers of VGG11 on CIFAR10 after 10 full-batch steps",
    repeats=1,
    experiments=lambda seed: (),
    trainings=trained(LAYERS),
    draw=draw("Fig. 34", LAYERS),
    claims=claims("40.34", "App. F.6, Fig. 34", LAYERS),
    protocols=("published",),
)
