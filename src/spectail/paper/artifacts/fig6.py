"""Figure 6: layers of VGG11 and ResNet18 after 10 full-batch steps."""

from __future__ import annotations

from spectail.paper.catalogue import Artifact
from spectail.paper.deep import RESNET18, VGG11, Layer, claims, draw, trained

LAYERS = [
    Layer(VGG11.replace(dataset="cifar10"), 4),
    Layer(VGG11.replace(dataset="mnist"), 7),
    Layer(RESNET18.replace(dataset="cifar10"), 5),
    Layer(RESNET18.replace(dataset="svhn"), 10),
]

ARTIFACT = Artifact(
    name="fig6",
    title="Layers of VGG11 and ResNet18 after 10 full-batch steps",
    repeats=1,
    experiments=lambda seed: (),
    trainings=trained(LAYERS),
    draw=draw("Fig. 6", LAYERS),
    claims=claims("40.6", "§5.3, Fig. 6", LAYERS),
    protocols=("published",),
)
