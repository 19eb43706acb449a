"""Figure 37: layers of ResNet18 on SVHN after 10 full-batch steps."""

from __future__ import annotations

from spectail.paper.catalogue import Artifact
from spectail.paper.deep import RESNET18, Layer, claims, draw, trained

LAYERS = [Layer(RESNET18.replace(dataset="svhn"), number) for number in (5, 8, 10)]

ARTIFACT = Artifact(
    name="fig37",
    title="Layers of ResNet18 on SVHN after 10 full-batch steps",
    repeats=1,
    experiments=lambda seed: (),
    trainings=trained(LAYERS),
    draw=draw("Fig. 37", LAYERS),
    claims=claims("40.37", "App. F.6, Fig. 37", LAYERS),
    protocols=("published",),
)
