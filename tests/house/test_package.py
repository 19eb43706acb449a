"""What is installed: a plain install measures and watches, extras are named, and files of versions agree."""

import importlib.util
import re
import runpy
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.version import Version

from forked import execute, finish, start
from spectail import errors

HOME = Path(__file__).parents[2]
PROJECT = tomllib.loads((HOME / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
BY_IMPORT = {"pillow": "PIL", "scikit-learn": "sklearn"}

# What a process is that has none of the extras; what the fork has imported is forgotten.
PLAIN = f"""
import sys
missing = {sorted(errors._EXTRAS)} + ["cftime", "h5netcdf", "accelerate", "safetensors"]
for name in list(sys.modules):
    if name.partition(".")[0] in ("spectail", *missing):
        del sys.modules[name]
sys.modules.update(dict.fromkeys(missing))
"""

WORK = """
import torch
from spectail import *
from spectail import plots, spectra
torch.manual_seed(0)
layer = torch.nn.Linear(40, 30)
torch.save(layer.state_dict(), "model.pt")
analyze(layer).frame[["name", "pl_alpha_hill", "null_alpha_hill", "phase"]].to_csv("table.csv", index=False)
optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
with SpectralMonitor(layer, optimizer, when=every(1), summary=False) as monitor:
    layer(torch.ones(2, 40)).sum().backward()
    optimizer.step()
assert monitor.recording.sizes["step"] == 2
assert simulate(Experiment(n=50, d=30, h=40, steps=1, lr=1)).sizes["step"] == 2
from spectail.cli import main
main(["analyze", "model.pt"])

def refusal(call):
    try:
        call()
    except (SpectailError, SystemExit) as error:
        return str(error)

sentences = [
    refusal(lambda: analyze(layer, out="out")),
    refusal(lambda: SpectralMonitor(layer, path="run.nc")),
    refusal(lambda: plots.evolution),
    refusal(lambda: reproduce("fig1")),
    refusal(lambda: write_page(monitor.recording, "page.html")),
]
print(*sentences, sep="\\n")
assert refusal(lambda: main(["analyze", "model.pt", "--out", "out"])) == "2"
assert refusal(lambda: main(["show", "run.nc"])) == "2"
import os
assert sorted(os.listdir()) == ["model.pt", "table.csv"], "nothing is begun that cannot be ended"
"""


def test_a_plain_install_analyses_and_watches_and_names_the_extra_of_what_it_lacks(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, output = finish(start(tmp_path, execute, PLAIN + WORK))
    assert code == 0, output
    refused = re.findall(
        r"^(?!error: ).* needs (\w+), which is not installed: pip .* 'spectail\[(\w+)\]'$", output, re.M
    )
    assert [" ".join(one) for one in refused] == [
        "netCDF4 files", "netCDF4 files", "matplotlib plots", "matplotlib plots", "jinja2 pages",
    ]  # fmt: skip
    assert output.count("error: ") == 2, "one sentence for each command"


def test_an_error_names_an_extra_that_brings_the_package():
    brought = {
        (BY_IMPORT.get(name, name), extra)
        for extra, lines in EXTRAS.items()
        for name in (Requirement(line).name for line in lines)
    }
    assert set(errors._EXTRAS.items()) - {("markupsafe", "pages")} <= brought  # jinja2 brings that
    assert {package for package, extra in brought if extra in ("files", "plots", "pages")} <= set(errors._EXTRAS)


def test_every_dependency_was_tested_in_a_version_that_is_allowed():
    lines = (HOME / "tested-versions.txt").read_text().splitlines()
    tested = dict(line.lower().replace("_", "-").split("==") for line in lines if not line.startswith("#"))
    for extra, requirements in {"": PROJECT["dependencies"], **EXTRAS}.items():
        for requirement in map(Requirement, requirements):
            if requirement.name != "spectail" and extra not in ("docs", "lightning"):  # of which tests need nothing
                assert requirement.specifier.contains(Version(tested[requirement.name.lower().replace("_", "-")])), (
                    requirement
                )


def test_the_recipe_of_conda_needs_what_pip_installs():
    recipe = yaml.safe_load((HOME / "conda" / "recipe.yaml").read_text())
    wanted = [*PROJECT["dependencies"], *(line for extra in ("files", "plots", "pages") for line in EXTRAS[extra])]
    names = {"torch": "pytorch", "netcdf4": "netcdf4", "matplotlib": "matplotlib-base"}
    wanted = {f"{names.get(r.name.lower(), r.name.lower())} {r.specifier}" for r in map(Requirement, wanted)} | {
        f"python {PROJECT['requires-python']}"
    }
    assert set(recipe["requirements"]["run"]) == wanted
    assert recipe["context"]["version"] == PROJECT["version"]
    assert f"spectail = {PROJECT['scripts']['spectail']}" in recipe["build"]["python"]["entry_points"]


@pytest.mark.skipif(importlib.util.find_spec("rattler_build") is None, reason="needs py-rattler-build")
def test_the_recipe_of_conda_is_one():
    from rattler_build import Stage0Recipe

    assert "spectail" in repr(Stage0Recipe.from_file(str(HOME / "conda" / "recipe.yaml")))


def test_the_workflow_tests_every_python_that_the_package_says_it_knows():
    jobs = yaml.safe_load((HOME / ".github" / "workflows" / "tests.yml").read_text())["jobs"]
    classifiers = re.findall(r"Python :: (3\.\d+)", "\n".join(PROJECT["classifiers"]))
    assert jobs["tests"]["strategy"]["matrix"]["python"] == classifiers
    assert PROJECT["requires-python"] == f">={classifiers[0]}"


def test_links_of_the_readme_lead_somewhere_on_the_package_index_once_the_project_has_a_place():
    pytest.importorskip("hatchling")
    with_base = runpy.run_path(str(HOME / "hatch_build.py"))["with_base"]
    text = (HOME / "README.md").read_text(encoding="utf-8")
    assert with_base(text, "") == text
    links = re.findall(r"!?\[[^]]*\]\(([^)]*)\)", with_base(text, "https://host.example/us"))
    assert links
    assert [link for link in links if not link.startswith(("https://", "#"))] == []
