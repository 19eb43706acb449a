"""Whether faults of letters are found, and how titles, labels and panels fit a narrow figure."""

import shutil
import subprocess
from collections import OrderedDict

import pytest
import torch
from matplotlib.figure import Figure

from plots.letters import faults_of_letters, letters_of
from spectail import SpectralMonitor, every, plots
from spectail.errors import SettingError
from spectail.plots.look import figure_title, in_lines, new_figure, panel_title, plain_numbers, shared_legend
from spectail.plots.picture_files import Pictures, save_figure
from spectail.plots.recording_plot import draw_recording


def faults(figure):
    return faults_of_letters(figure, letters_of(figure))


def test_what_overlaps_leaves_the_canvas_or_is_too_small_is_found():
    figure = Figure(figsize=(3, 2))
    figure.text(0.1, 0.5, "one text", fontsize=8)
    assert faults(figure) == []
    figure.text(0.12, 0.51, "another", fontsize=8)
    figure.text(0.9, 0.9, "beyond the right edge", fontsize=8)
    figure.text(0.1, 0.1, "small", fontsize=6.9)
    found = faults(figure)
    assert len(found) == 3
    slanted = Figure(figsize=(3, 2))
    for x in (0.2, 0.3):
        slanted.text(x, 0.5, "slanted", fontsize=8, rotation=30)
    assert faults(slanted) == []
    slanted.text(0.22, 0.5, "too near", fontsize=8, rotation=30)
    assert len(faults(slanted)) == 1
    assert [any(word in one for one in found) for word in ("overlap", "leaves", "6.9 points")] == [True] * 3


def test_lines_end_between_words_and_formulas_stay_whole():
    text = r"losses of $\eta = 2 \times 10$ and $t$ = 100 after some steps"
    lines = in_lines(text, 1.0, 8.0).split("\n")
    assert len(lines) > 2
    assert " ".join(lines) == text
    assert all(line.count("$") % 2 == 0 and not line.endswith("=") for line in lines)
    assert in_lines(text, 20.0, 8.0) == text


@pytest.mark.parametrize("width", ["column", "page", "talk", 4.5])
def test_panels_with_long_words_fit_every_width(width):
    with plots.style(width):
        figure, axes = new_figure(2, 3, 4.0)
        for index, ax in enumerate(axes):
            panel_title(ax, index, "kernel–target alignment after one step of the optimizer")
            ax.plot([1, 2], label=f"what the curve number {index} is, in words that are long")
            ax.set_xlabel(r"learning rate $\eta$ (at the paper's size)")
        shared_legend(figure, axes)
        figure_title(figure, "A title that says which sizes there were, under which protocol, and at which scale, too")
    assert faults(figure) == []
    rows = {ax.get_subplotspec().rowspan.start for ax in axes}
    assert len(rows) == (3 if width in ("column", 4.5) else 2)  # at most two stand in a row of a column
    assert figure.get_figwidth() == {"column": 3.25, "page": 6.75, "talk": 10.0}.get(width, width)


@pytest.mark.parametrize("ends", [(2.1, 8.0), (5.1, 19.0), (1.1, 30.0), (2.1, 2.9)])
def test_numbers_beside_a_low_logarithmic_axis_are_at_least_two_and_do_not_crowd(ends):
    with plots.style("column"):
        figure, (ax, _) = new_figure(2, 1, 2.6)
        ax.set_yscale("log")
        ax.set_ylim(*ends)
        plain_numbers(ax.yaxis)
    assert faults(figure) == []
    assert sum(ends[0] <= tick <= ends[1] for tick in ax.get_yticks()) > 1


@pytest.fixture(scope="module")
def watched():
    """Three layers over three steps, the last of which has few eigenvalues, all of which grow."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(
        OrderedDict(a=torch.nn.Linear(40, 60), b=torch.nn.Linear(60, 30), c=torch.nn.Linear(30, 9))
    )
    with SpectralMonitor(model, when=every(1), summary=False, alerts=None) as monitor, torch.no_grad():
        for _ in range(2):
            for layer in model:
                layer.weight += 0.3 * torch.outer(*(torch.randn(k) for k in layer.weight.shape))
            monitor.step()
    return monitor.recording


@pytest.mark.parametrize("width", ["column", "talk"])
def test_pictures_of_a_recording_can_be_read_at_every_width(watched, width):
    with plots.style(width):
        found = {name: faults(figure) for name, figure in draw_recording(watched).items()}
    assert found == {"depth": [], "steps": [], "spectra": []}


def test_a_style_has_the_font_that_was_asked_for_and_ends_with_its_block():
    import matplotlib

    before = dict(matplotlib.rcParams)
    with plots.style("column", font="serif"):
        assert matplotlib.rcParams["font.serif"][0] == "STIXGeneral"
        assert matplotlib.rcParams["pdf.fonttype"] == 42
    assert dict(matplotlib.rcParams) == before


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"width": "colum"}, "did you mean 'column'"),
        ({"width": "nan"}, "width=nan is not possible; expected 2 to 30 inches"),
        ({"width": "300"}, "width=300 is not possible"),
        ({"font": "Helvetika Neu"}, "font='Helvetika Neu' is not known"),
        ({"formats": ("jpg",)}, "format='jpg' is not known"),
        ({"formats": ()}, "expected some of png, pdf, svg, pgf"),
    ],
)
def test_pictures_that_cannot_be_made_are_refused_in_a_sentence(wrong, sentence):
    with pytest.raises(SettingError, match=r"^[^\n]+$") as caught:
        Pictures(**wrong).check()
    assert sentence in str(caught.value)


def test_without_latex_what_needs_it_is_refused_in_a_sentence(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    for wrong, word in (({"usetex": True}, "usetex=True needs latex"), ({"formats": ("pgf",)}, "'pgf' needs LaTeX")):
        with pytest.raises(SettingError, match=word):
            Pictures(**wrong).check()


def drawing():
    with plots.style("column", font="serif"):
        figure, (ax,) = new_figure(1, 1, 4.0)
        ax.plot([1, 2])
        ax.pcolormesh([[1, 2], [3, 4]], rasterized=True)
        panel_title(ax, 0, r"η of λ₊, $\lambda$")
        return figure


def test_a_vector_file_is_the_same_twice_and_has_its_fonts(tmp_path):
    for name in ("one", "two"):
        paths = save_figure(drawing(), tmp_path / name, ("svg", "pdf"))
        assert [path.name for path in paths] == [f"{name}.svg", f"{name}.pdf"]
    for ending in ("svg", "pdf"):
        assert (tmp_path / f"one.{ending}").read_bytes() == (tmp_path / f"two.{ending}").read_bytes()
    assert b"/Type3" not in (tmp_path / "one.pdf").read_bytes()  # outlines, which can be searched


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_pgf_has_the_text_and_its_images_beside_it(tmp_path):
    paths = save_figure(drawing(), tmp_path / "one", ("pgf",))
    assert [path.name for path in paths] == ["one-img0.png", "one.pgf"]
    text = paths[1].read_text(encoding="utf-8")
    assert r"\ensuremath{\eta} of \ensuremath{\lambda}\ensuremath{_+}" in text
    assert "{one-img0.png}" in text
    paper = r"\documentclass{article}\usepackage{pgf,amsmath,amssymb}\begin{document}\input{one.pgf}\end{document}"
    (tmp_path / "paper.tex").write_text(paper)
    run = subprocess.run(["pdflatex", "-interaction=nonstopmode", "paper.tex"], cwd=tmp_path, capture_output=True)
    assert run.returncode == 0, run.stdout.decode(errors="replace")[-500:]


@pytest.mark.skipif(not all(map(shutil.which, ("latex", "dvipng"))), reason="latex and dvipng are not installed")
def test_latex_sets_all_letters_that_pictures_have(tmp_path):
    """Titles and legends have Greek letters and signs that LaTeX's own fonts have not."""
    with plots.style("column", usetex=True):
        figure, (ax,) = new_figure(1, 1, 4.0)
        ax.set_xlabel("α β γ ε η κ λ ρ σ φ Δ Σ ‖W‖ √ ∝ × · ± − → ≤ ≥ ≈ ∞ λ₊ λ₁/λ₂ Wᵀ v² – PL_Alpha_Hill")
        figure_title(figure, r"FB-Adam, $\eta$ = 0.2")
        (path,) = save_figure(figure, tmp_path / "tex", ("pdf",))
    assert path.stat().st_size > 5000
