"""Figure 36: layers of ResNet18 on CIFAR10 after 10 full-batch steps."""

from __future__ import annotations

from spectail.paper.catalogue import Artifact
from spectail.paper.deep import RESNET18, Layer, claims, draw, trained

LAYERS = [Layer(RESNET18.replace(dataset="cifar10"), number) for number in (5, 8, 10)]

ARTIFACT = Artifact(
    name="fig36",
    title="Layers of ResNet18 on CIFAR10 after 10 full-batch steps",
    repeats=1,
    experiments=lambda seed: (),
    trainings=trained(LAYERS),
    draw=draw("Fig. 36", LAYERS),
    claims=claims("40.36", "App. F.6, Fig. 36", LAYERS),
    protocols=("published",),
)
