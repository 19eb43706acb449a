"""Every block of Python in the documents, and every example, runs."""

import ast
import io
import re
import runpy
import shlex
from contextlib import redirect_stdout
from pathlib import Path

import pytest
import torch
import tyro
from safetensors.torch import save_file

import spectail
from spectail.cli import main
from spectail.recording.quantities import QUANTITIES

TYRO = tyro.cli

ROOT = Path(__file__).parent.parent
WRITTEN = [page for page in sorted((ROOT / "docs").rglob("*.md")) if "generated" not in page.parts]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *WRITTEN]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_the_code_of_a_page_runs_from_top_to_bottom(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = page.read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.S | re.M)
    assert len(blocks) == text.count("```python")
    namespace = {"__name__": "page"}
    for block in blocks:
        for statement in ast.parse(block).body:
            out = io.StringIO()
            with redirect_stdout(out):
                exec(compile(ast.Module([statement], []), str(page), "exec"), namespace)
            _, _, said = block.splitlines()[statement.end_lineno - 1].partition("  # ")
            if out.getvalue():
                assert_printed(said, out.getvalue())


def assert_printed(said, printed):
    """Numbers of a comment behind what prints are those that it prints, to one unit of their last digit."""
    found = [float(number) for number in re.findall(r"-?\d+\.?\d*(?:e[+-]?\d+)?", printed)]
    for number in re.findall(r"-?\d+\.\d+", said):
        unit = 10.0 ** -len(number.partition(".")[2])
        assert any(abs(float(number) - one) <= unit for one in found), f"{number} is said, and printed: {printed}"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_line_begins_with_a_sign_that_the_site_takes_for_a_comment(page):
    assert not re.findall(r"^ *%.*", page.read_text(encoding="utf-8"), re.M), "such as a per cent that was wrapped"


def shown_commands():
    """The words of each command line of spectail in the documents; of a pipe what stands before it."""
    for page in PAGES:
        for block in re.findall(r"^```(?:sh|bash|text)\n(.*?)^```", page.read_text(encoding="utf-8"), re.S | re.M):
            for line in re.findall(r"^(?:exec )?spectail (\w.*)$", block, re.M):
                yield shlex.split(line.partition("|")[0], comments=True)


def test_commands_that_the_documents_show_can_be_given(monkeypatch):
    """They are parsed, and not run: what they name need not be there."""
    asked = []
    monkeypatch.setattr(tyro, "cli", lambda form, **options: asked.append(TYRO(form, **options)) or (lambda: None))
    for words in shown_commands():
        main(words)
    assert len(asked) > 30


def test_commands_on_models_do_what_the_documents_show(tmp_path, monkeypatch, capsys):
    """With matrices of a few rows under the names of the documents, one command after the other in one folder."""
    monkeypatch.chdir(tmp_path)
    noise = torch.Generator().manual_seed(0)
    weights = {"a.weight": torch.randn(40, 30, generator=noise), "b.weight": torch.randn(20, 40, generator=noise)}
    Path("checkpoints").mkdir()
    for name in ("model", "base", "before", "checkpoints/step-0", "tuned", "other", "after", "checkpoints/step-10"):
        save_file(weights, f"{name}.safetensors")
        weights = {key: weight + 0.1 for key, weight in weights.items()}
    once = {tuple(words): words for words in shown_commands() if words[0] in ("analyze", "compare", "series")}
    run = [
        words for words in once.values() if not any(word.isupper() or re.match("hub:|runs/", word) for word in words)
    ]
    assert len(run) > 6
    for words in [*run, ["report", "run.nc"]]:
        main(words)
        if "--out" in words:
            assert Path(words[words.index("--out") + 1]).exists()
    made = ("analysis/analysis.html", "analysis/analysis.csv", "compared/base/analysis.html", "run.html")
    assert all(Path(name).exists() for name in made)
    assert not capsys.readouterr().err


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_to_files_of_the_project_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), target


# that of several processes runs on two, in tests/monitor/test_ranks
EXAMPLES = [one for one in sorted((ROOT / "examples").glob("*.py")) if one.name != "monitor_torchrun.py"]


@pytest.mark.filterwarnings("ignore")  # of the libraries that train
@pytest.mark.parametrize("script", EXAMPLES, ids=lambda p: p.name)
def test_an_example_runs_where_its_library_is_installed(script, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    try:
        runpy.run_path(str(script), run_name="__main__")
    except ModuleNotFoundError as error:
        pytest.skip(f"{error.name} is not installed")
    for path in tmp_path.glob("*.nc"):
        assert spectail.load_recording(path).sizes["step"] > 1


def test_the_reference_has_every_public_name():
    reference = runpy.run_path(str(ROOT / "docs" / "generated_reference.py"))
    assert reference["unlisted"]() == set()
    assert not reference["DEPRECATED"] & {*dir(spectail)}, "they are not offered"
    assert not reference["DEPRECATED"] & {name for names in reference["TOPICS"].values() for name in names.split()}


def test_rows_of_the_tables_of_quantities_have_as_many_cells_as_the_head():
    reference = runpy.run_path(str(ROOT / "docs" / "generated_reference.py"))
    for page in (reference["_quantities_page"](), *map(reference["_quantity_page"], QUANTITIES)):
        rows = [line for line in page.splitlines() if line.startswith(("| ", "|-"))]
        assert len({len(re.findall(r"(?<!\\)\|", row)) for row in rows}) == 1, page


def test_every_page_is_in_the_contents_of_the_site():
    contents = re.findall(r"^(?:.*<)?([\w/-]+)>?$", (ROOT / "docs" / "index.md").read_text(encoding="utf-8"), re.M)
    pages = {page.relative_to(ROOT / "docs").with_suffix("").as_posix() for page in WRITTEN} - {"index"}
    assert pages <= set(contents)
