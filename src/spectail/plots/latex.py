"""What LaTeX is told of the letters that our pictures have.

Not here: how a picture looks without it (`look`).
"""

from __future__ import annotations

_SYMBOLS = {
    "α": r"\alpha", "β": r"\beta", "γ": r"\gamma", "ε": r"\varepsilon", "η": r"\eta", "κ": r"\kappa", "λ": r"\lambda",
    "ρ": r"\rho", "σ": r"\sigma", "φ": r"\varphi", "Δ": r"\Delta", "Σ": r"\Sigma", "‖": r"\Vert", "√": r"\surd",
    "∝": r"\propto", "×": r"\times", "·": r"\cdot", "±": r"\pm", "−": "-", "→": r"\rightarrow", "≤": r"\leq",
    "≥": r"\geq", "≈": r"\approx", "∞": r"\infty", "′": r"'", "⁰": "^0", "²": "^2", "ᵀ": r"^\top", "₊": "_+",
    "₀": "_0", "₁": "_1", "₂": "_2", "₅": "_5", "₆": "_6",
}  # fmt: skip

PREAMBLE = r"\usepackage{amsmath,amssymb}" + "".join(
    rf"\DeclareUnicodeCharacter{{{ord(letter):04X}}}{{\ensuremath{{{command}}}}}"
    for letter, command in _SYMBOLS.items()
)
"""For a LaTeX that reads UTF-8 but has no such letters in its fonts."""


def in_commands(text: str) -> str:
    r"""A text for a LaTeX without `PREAMBLE`: with commands for the letters.

    >>> in_commands("λ₁ at η")
    '\\ensuremath{\\lambda}\\ensuremath{_1} at \\ensuremath{\\eta}'
    """
    return text.translate({ord(letter): rf"\ensuremath{{{command}}}" for letter, command in _SYMBOLS.items()})
