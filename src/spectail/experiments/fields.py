"""What an experiment can say: its fields, what each means, and which belong to which kind.

Not here: how they suit each other (experiment.py), and what any description has (`description`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from spectail.errors import SettingError
from spectail.experiments.description import Description, NotNegative, Positive, Size, current_numerics
from spectail.experiments.protocols import DEFAULT, PLAIN, PROTOCOLS

_DEFAULTS = PROTOCOLS[DEFAULT]

OF_TEACHER = (
    "n", "n_test", "n_test_large", "d", "covariance_power", "input_mean", "teacher", "directions", "combination",
    "label_noise", "center_labels",
)  # fmt: skip
"""What describes data that a teacher labels."""

OF_STUDENT = ("layers", "h", "activation")
"""What describes a student."""

OF_BOTH = (
    "train_layers", "bias", "bias_scale", "initialization",
    "ridge", "weight_normalization", "overlaps", "kernels", "loss_factor", "feature_scale", "normalize_when",
    "precision",
)  # fmt: skip
"""What only a student on a teacher's data has, whose gradients have a closed form."""

OF_NETWORK = ("model", "dataset", "images", "micro_batch", "batch_norm", "conv")
"""What only networks have, whose gradients autograd finds: a model, or a student on a data set."""

_SUMS = "modular-addition-"

_MOST_MODULUS = 200  # 40,000 pairs of 400 numbers


def said_of_others(model: object, dataset: object) -> tuple[str, ...]:
    """The fields that say nothing of an experiment with this model, or this data set, or neither.

    >>> said_of_others("mine:make", "digits")[:4]
    ('n', 'n_test', 'n_test_large', 'd')
    """
    if model is None and dataset is None:
        return OF_NETWORK
    of_data = ("dataset", "images", "n_test") if dataset is None else (*OF_TEACHER, "loss_factor")
    of_model = ("model",) if model is None else OF_STUDENT
    return (*of_data, *of_model, *(name for name in OF_BOTH if name != "loss_factor"))


def modulus_of(dataset: str) -> int | None:
    """P of "modular-addition-P"; None of another data set.

    Raises:
        SettingError: P is not understood.

    >>> modulus_of("modular-addition-59"), modulus_of("digits")
    (59, None)
    """
    if not dataset.startswith(_SUMS.removesuffix("-")):
        return None
    text = dataset.removeprefix(_SUMS)
    if not text.isdecimal() or not 2 <= int(text[:9]) <= _MOST_MODULUS or text.startswith("0"):
        raise SettingError(f"dataset={dataset!r} is not understood; expected {_SUMS}P with P from 2 to {_MOST_MODULUS}")
    return int(text)


def image_count(value: Any) -> Any:
    """How many images, or "all", where text says it; other values as they are.

    Raises:
        SettingError: the text says neither.

    >>> image_count("512"), image_count("all"), image_count(None)
    (512, 'all', None)
    """
    if not isinstance(value, str) or value == "all":
        return value
    if not value.isdecimal() or int(value) < 1:
        raise SettingError(f"images={value!r} is not understood; expected a whole number from 1, or all")
    return int(value)


def is_made(dataset: object) -> bool:
    """Whether a function makes the samples; all of them are then used unless `images` says otherwise."""
    return isinstance(dataset, str) and (":" in dataset or dataset.startswith(_SUMS))


class ExperimentFields(Description):
    """The fields of an experiment; `Experiment` is what to use."""

    added_later: ClassVar[Mapping[str, Any]] = {
        **Description.added_later,
        "precision": "full",
        "epsilon": 1e-8,
        "directions": 1,
        "combination": "sum",
        "covariance_power": 0.0,
        "layers": [],
        "train_layers": "first",
        "lr_factors": [],
        "batch": None,
        "kernels": [],
        "input_mean": 0.0,
        "center_labels": False,
        "bias": "none",
        "bias_scale": 1.0,
    }

    @staticmethod
    def usual_of_network(dataset: object) -> Mapping[str, Any]:
        """The values that a network's fields have where none is given."""
        images = {} if dataset is None else {"images": "all" if is_made(dataset) else 512}
        return {
            **images,
            "micro_batch": 128,
            "batch_norm": "chunk",
            "conv": "kernel-slices",
            "lr": 0.01,
            "protocol": PLAIN,  # torch's Adam
        }

    n: Size = 2000
    """Training points, and as many hold-out points for the readout."""
    n_test: Size = 200
    """Test points, as many as the paper has."""
    n_test_large: Size = 5000
    """Points of a second test set, because 200 cannot separate the paper's claims."""
    d: Size = 1000
    """Dimension of the inputs."""
    covariance_power: Annotated[float, Field(ge=0, le=10, allow_inf_nan=False)] = 0.0
    """Coordinate k of the inputs has a variance ∝ k^(-this), 1 on average; 0 for isotropic inputs."""
    input_mean: Annotated[float, Field(ge=-1000, le=1000, allow_inf_nan=False)] = 0.0
    """Mean of each coordinate of the inputs, whose variance is 1 on average; the teacher sees it too."""
    h: Size = 1500
    """Hidden units of the student; of a deeper one, of its first layer."""
    layers: tuple[Size, ...] = ()
    """Widths of all hidden layers of a deeper student, such as 300 200; one layer of h units without it."""
    train_layers: Literal["first", "hidden", "all"] = "first"
    """What is trained: the first layer, all hidden layers (the default of a deeper student), or the last one too."""
    bias: Literal["none", "fixed", "trained"] = "none"
    """Biases of the hidden layers, σ(sWx + b): none (the paper's), fixed as they are drawn, or trained with their
    layer."""
    bias_scale: Annotated[float, Field(ge=0, le=1000, allow_inf_nan=False)] = 1.0
    """Standard deviation of the biases at the start; 0 for biases that start at 0 and are trained."""
    teacher: str = "softplus"
    """Link σ* of the teacher: softplus, tanh, relu, gelu, erf, sigmoid, identity, sine, he0 to he4 (Hermite
    polynomials), or module:function for one of your own."""
    directions: Size = 1
    """Directions K of the teacher, orthonormal; its link takes the projection on each."""
    combination: Literal["sum", "product", "staircase", "joint"] = "sum"
    """Of the links of K directions: Σ/√K, their product, staircase σ*(z₁) + σ*(z₁)σ*(z₂) + …, or joint: the teacher
    module:function takes all projections (n × K) at once."""
    activation: str = "tanh"
    """Activation σ of the student, named likewise; one of your own gets its slope by autograd, which is slow."""
    label_noise: NotNegative = 0.3
    """Standard deviation ρ_e of the label noise."""
    center_labels: bool = False
    """Whether the mean of the training labels is taken off all labels, training and test."""
    ridge: Positive = 0.01
    """Regularisation λ of the readout (eq. 6)."""
    initialization: Literal["ntk", "mean_field", "mup"] = "ntk"
    """Scale of the network: eq. 2 (ntk), eq. 37 (mean_field), or that with learning rates per layer which move
    features alike at all widths (mup, Yang & Hu 2021)."""
    model: str | None = None
    """vgg11, resnet18, or package.module:factory: a network that is trained as a whole, in place of the student."""
    dataset: str | None = None
    """digits, mnist, cifar10, svhn, or the name of an .npz file without its ending: images to tell apart, in place of
    the teacher's data; modular-addition-P: sums of pairs modulo P; or module:function, which gives inputs and labels
    or numbers of your own."""
    images: Size | Literal["all"] | None = None
    """How many samples of the dataset, drawn by the seed, or all; of images 512 where nothing is said."""
    micro_batch: Size | None = None
    """Samples of a chunk of an update, at most; 128 where nothing is said."""
    batch_norm: Literal["chunk", "frozen"] | None = None
    """Whose statistics normalise: each chunk's own (chunk, where nothing is said), or the initial network's."""
    conv: Literal["kernel-slices", "flatten"] | None = None
    """How a kernel becomes matrices: one for each of its positions (kernel-slices, where nothing is said), or
    out × everything else (flatten)."""
    optimizer: str = "adam"
    """gd, adam (full-batch Adam), sign, lion, shampoo, the name of a class in torch.optim, or module:Class for one of
    your own."""
    lr: Positive = 1.0
    """Learning rate η; of a network 0.01 where nothing is said."""
    lr_factors: tuple[Positive, ...] = ()
    """Factors of the learning rate, one for each layer that is trained; 1 without it. Of a network, its modules with
    parameters of their own are layers, in the order of their definition."""
    batch: Size | None = None
    """Points of each update, drawn without replacement until fewer than a batch are left; all of them without it."""
    optimizer_options: dict[str, Any] = Field(default_factory=dict)
    """Further options of the optimizer, such as {"betas": [0.9, 0.999]}."""
    schedule: str | None = None
    """Name of a class in torch.optim.lr_scheduler, such as StepLR, stepped after each update; or module:function, from
    a step to the factor of η."""
    schedule_options: dict[str, Any] = Field(default_factory=dict)
    """Options of the schedule, such as {"step_size": 1, "gamma": 0.4}."""
    weight_normalization: bool = False
    """Whether W is kept at its expected initial Frobenius norm (App. F.4)."""
    steps: Annotated[int, Field(ge=0, le=10**9)] = 10
    """How many updates."""
    record: Literal["log", "ends"] | tuple[Annotated[int, Field(ge=0)], ...] = "log"
    """Steps to measure: a list, "log" for 0, 1, 2, 5, 10, 20, 50, ... and the last, or "ends" for 0 and the last.
    A network's loss, and the samples that it is tested on, are evaluated at every update."""
    overlaps: tuple[tuple[int, int], ...] = ()
    """Pairs (s, t) for which the overlaps of W_s with the update M_t = W_{t+1} − W_t are kept."""
    kernels: tuple[Literal["ck", "ntk"], ...] = ()
    """Kernels whose eigenvalues on the hold-out points are kept: ck, of the last hidden layer's features; ntk."""
    protocol: Literal["equations", "published", "custom"] = DEFAULT
    """Preset of five conventions: the paper's equations, or its published program. Of them the two of adam act on a
    network, and loss_factor where a teacher teaches it; published, which has torch's Adam, where nothing is said."""
    loss_factor: Positive = _DEFAULTS["loss_factor"]
    """The loss is this over n times the squared error: 0.5 in the equations, 1 in the program."""
    bias_correction: bool = _DEFAULTS["bias_correction"]
    """Whether adam corrects the bias of its moments; eqs. 4-5 do not, the program does."""
    epsilon: NotNegative = _DEFAULTS["epsilon"]
    """ε of adam, which is added to √V; without bias correction it weighs 30 times more at first. 1e-20 is as none."""
    feature_scale: Literal["model", "extra_sqrt_d"] = _DEFAULTS["feature_scale"]
    """Hidden features in the readout: the network's own (eq. 6), or divided by √d once more."""
    normalize_when: Literal["after_update", "before_forward"] = _DEFAULTS["normalize_when"]
    """When weight normalisation acts, if it does."""
    dtype: Literal["float32", "float64"] = "float32"
    """Precision of training; eigenvalues and the readout are float64 always."""
    precision: Literal["full", "bfloat16"] = "full"
    """Of the two large products of a training step: as dtype, or rounded to bfloat16 for speed."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """Fixes teacher, data and initial weights, each through a stream of its own."""
    numerics: Annotated[int, Field(ge=1)] = Field(default_factory=current_numerics)
    """Version of what is computed, by default this spectail's; of a stored run, its own."""
