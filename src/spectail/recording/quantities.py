"""The table of quantities: what is measured, what it is called and what it means."""

from __future__ import annotations

MONITOR_FORMAT = 1
"""Version of the layout below; a reader refuses a newer one."""

MONITOR_VARIABLES: dict[str, str] = {
    "pl_alpha_hill": "power-law exponent of the upper half of the spectrum (Hill)",
    "pl_alpha_ks": "power-law exponent of the tail with the smallest KS distance",
    "ks_distance": "that distance",
    "xmin": "smallest eigenvalue of that tail",
    "tail_size": "number of eigenvalues in that tail",
    "alpha_stderr": "standard error of pl_alpha_ks, given xmin",
    "z_hill": "standard deviations between pl_alpha_hill and an untrained matrix of the shape; negative: heavier tail",
    "z_ks": "the same of pl_alpha_ks",
    "bulk_edge": "upper edge of the Marchenko-Pastur law fitted to the median",
    "n_spikes": "number of eigenvalues visibly past that edge",
    "spectral_gap": "largest eigenvalue over that edge",
    "stable_rank": "squared Frobenius norm over squared spectral norm",
    "effective_rank": "exponential of the entropy of the singular values' shares",
    "spectral_norm": "largest singular value",
    "frobenius_norm": "root of the sum of squares",
}
"""Variables over step and layer that are numbers, and what they mean. NaN where nothing could be measured."""

WORDS = {"phase": "phase of the spectrum", "note": "what to know before trusting the figures; why some are NaN"}
"""Variables over step and layer that are text."""

STATIC = {
    "kind": "what the layer is",
    "rows": "rows of one matrix",
    "cols": "columns of one matrix",
    "slices": "matrices pooled into one spectrum",
    "null_alpha_hill": "pl_alpha_hill of the Marchenko-Pastur law of the shape",
    "null_alpha_ks": "typical pl_alpha_ks of an untrained matrix of the shape",
    "null_spread_hill": "standard deviation of log(pl_alpha_hill - 1) over untrained matrices of the shape",
    "null_spread_ks": "the same of pl_alpha_ks",
}
"""Variables over layer only."""

CLOCKS = {"measuring_seconds": "time that the measurement took", "training_seconds": "training since attached"}
"""Variables over step only."""

RUN_FORMAT = 2
"""Version of the layout below; a reader refuses a newer one. 2 added the checksum."""

RUN_VARIABLES: dict[str, tuple[type, str]] = {
    "train_loss": (float, "readout loss on the hold-out set, (1/n)‖ȳ − Z̄ᵀâ‖² (eq. 6)"),
    "test_loss": (float, "readout loss on the n_test test points"),
    "test_loss_large": (float, "readout loss on the n_test_large further test points"),
    "objective": (float, "training objective, loss_factor/n ‖y − f(X)‖², before the update"),
    "kta": (float, "kernel–target alignment of the hidden features (eq. 7)"),
    "alignment": (float, "sim(W, β*) = |v₁·β*|, v₁ the top right singular vector of W"),
    "pl_alpha_hill": (float, "power-law exponent of the upper half of the spectrum (Hill)"),
    "pl_alpha_ks": (float, "power-law exponent of the tail with the smallest KS distance"),
    "ks_distance": (float, "that distance"),
    "ks_xmin": (float, "smallest eigenvalue of that tail"),
    "tail_size": (int, "number of eigenvalues in that tail"),
    "bulk_edge": (float, "upper edge λ₊ of the Marchenko–Pastur law fitted to the median"),
    "bulk_variance": (float, "entry variance of that law"),
    "bulk_distance": (float, "KS distance between the spectrum and that law"),
    "n_spikes": (int, "number of eigenvalues visibly past λ₊ (by 3 Tracy–Widom scales)"),
    "spectral_gap": (float, "λ₁/λ₊"),
    "stable_rank": (float, "‖W‖_F²/‖W‖₂²"),
    "update_norm_2": (float, "‖M‖₂ of the update M that led to this step"),
    "update_norm_fro": (float, "‖M‖_F of that update"),
    "update_lr": (float, "learning rate of that update"),
    "phase": (str, "phase of the spectrum"),
    "note": (str, "why figures of this step are NaN; empty where none is"),
}
"""Variables over `step`: their type and meaning."""

OVERLAPS = ("overlap_left", "overlap_right")
"""Columns that a pair of models has beside the others."""

LABELS = {
    "lr": r"learning rate $\eta$",
    "h": "hidden units $h$",
    "d": "input dimension $d$",
    "n": "training points $n$",
    "step": "step $t$",
    "seed": "seed",
    "pl_alpha_hill": "Hill exponent",
    "pl_alpha_ks": "KS exponent",
    "kta": "kernel–target alignment",
    "alignment": r"$\mathrm{sim}(W, \beta_*)$",
    "train_loss": "train loss (readout)",
    "test_loss": "test loss, 200 points",
    "test_loss_large": "test loss",
    "spectral_gap": r"$\lambda_1/\lambda_+$",
    "stable_rank": "stable rank",
    "n_spikes": "eigenvalues past the bulk",
}
