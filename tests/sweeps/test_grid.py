import math
import os
import textwrap
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spectail.experiments.experiment import Experiment
from spectail.sweeps.grid import Grid, GridError

EXAMPLE = """
[fixed]
n = 2000
protocol = "published"

[axes]
optimizer = ["gd", "adam"]
lr = { log = [0.001, 1000], points = 13 }
seed = [0, 1, 2, 3, 4]

[[only_if]]          # drop combinations that make no sense
optimizer = "gd"
lr = { min = 1 }
"""


def write(tmp_path, text):
    path = tmp_path / "grid.toml"
    path.write_text(textwrap.dedent(text), encoding="utf-8")
    return path


@pytest.mark.parametrize("fields", [{"axes": {"lr": []}}, {"axes": {"lrr": [1]}}, {"repeats": 0}, {"fixed": 3}])
def test_a_grid_that_is_made_of_fields_tells_the_same_sentences(fields):
    with pytest.raises(GridError, match=r"is not valid|is not known") as error:
        Grid(**fields)
    assert "\n" not in str(error.value)


def test_a_grid_is_the_product_of_its_axes_less_what_the_rules_drop(tmp_path):
    experiments = Grid.read(write(tmp_path, EXAMPLE)).experiments()
    assert len(experiments) == 5 * (13 + 7)  # Adam's 13 learning rates, and GD's 7 from 1 on
    assert min(e.lr for e in experiments if e.optimizer == "gd") == 1.0
    assert {e.lr for e in experiments if e.optimizer == "adam"} >= {0.001, 0.01, 0.1, 1.0, 10.0, 100.0, 1000.0}
    assert {e.protocol for e in experiments} == {"published"}


def test_a_dictionary_says_the_same_as_the_file(tmp_path):
    grid = {
        "fixed": {"n": 2000, "protocol": "published"},
        "axes": {"optimizer": ["gd", "adam"], "lr": {"log": [0.001, 1000], "points": 13}},
        "repeats": 5,
        "only_if": [{"optimizer": "gd", "lr": {"min": 1}}],
    }
    assert set(Grid.read(grid).experiments()) == set(Grid.read(write(tmp_path, EXAMPLE)).experiments())


def test_fields_of_a_zip_go_in_step_and_proportions_follow():
    grid = Grid.read(
        {
            "fixed": {"n": {"times": 2, "of": "d"}, "n_test": 5},
            "zip": [{"d": [20, 40], "h": [30, 50]}],
            "cases": [
                {"optimizer": "gd", "lr": {"times": [0.5, 1, 2], "of": "d"}},
                {"optimizer": "adam", "lr": {"log": [0.01, 1], "points": 2}},
            ],
        }
    ).experiments()
    found = {(e.n, e.d, e.h, e.optimizer, e.lr) for e in grid}
    gd = {(2 * d, d, h, "gd", f * d) for d, h in ((20, 30), (40, 50)) for f in (0.5, 1, 2)}
    adam = {(2 * d, d, h, "adam", lr) for d, h in ((20, 30), (40, 50)) for lr in (0.01, 1.0)}
    assert found == gd | adam


def test_a_proportion_may_have_a_power_and_hang_on_another():
    (e,) = Grid.read(
        {"fixed": {"h": 16, "d": {"times": 2, "of": "h"}, "lr": {"times": 3, "of": "d", "power": 0.5}, "n": 10}}
    ).experiments()
    assert (e.d, e.lr) == (32, pytest.approx(3 * math.sqrt(32), rel=1e-11))


def test_a_rule_of_one_field_always_holds_and_a_list_means_any_of_them():
    grid = {"axes": {"lr": [0.1, 1.0, 10.0], "optimizer": ["gd", "adam", "sign"]}}
    one = Grid.read({**grid, "only_if": [{"optimizer": "adam"}]}).experiments()
    assert {e.optimizer for e in one} == {"adam"}
    many = Grid.read({**grid, "only_if": [{"optimizer": ["gd", "sign"], "lr": {"min": 1, "max": 5}}]}).experiments()
    assert {(e.optimizer, e.lr) for e in many} == {
        ("gd", 1.0), ("sign", 1.0), ("adam", 0.1), ("adam", 1.0), ("adam", 10.0)
    }  # fmt: skip


@given(st.floats(1e-6, 1e6), st.floats(1.5, 1e6), st.integers(2, 40))
def test_a_log_range_has_both_ends_and_one_ratio(first, factor, points):
    grid = Grid.read({"axes": {"lr": {"log": [first, first * factor], "points": points}}})
    values = [e.lr for e in grid.experiments()]
    assert len(values) == points
    ratios = [b / a for a, b in pairwise(values)]
    # values have twelve digits
    assert values[0] == pytest.approx(first, rel=1e-11)
    assert values[-1] == pytest.approx(first * factor, rel=1e-11)
    assert ratios == pytest.approx([factor ** (1 / (points - 1))] * (points - 1), rel=1e-10)


def test_equal_experiments_are_run_once():
    assert len(Grid.read({"axes": {"lr": [1, 1.0, 1]}}).experiments()) == 1


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[axes]\nlr = { log = [0, 1], points = 3 }", "line 2: lr=0 in its log is not valid; input should be greater"),
        ("[axes]\nlr = { log = [0.1, 1] }", "line 2: lr=.* in its points is not valid; field required"),
        (
            "[axes]\nlr = { linear = [0, 1], points = 4, power = 1e3 }",
            "line 2: lr has 'power' beside its linear; expected linear and points alone",
        ),
        ("\n[axes]\nlrr = [1]", "line 3: field='lrr' is not known; did you mean 'lr'"),
        ("[axess]\nlr = [1]", "line 1: section='axess' is not known; did you mean 'axes'"),
        ("[axes]\nlr = 3", "line 2: lr=3 is not valid; expected a list of values"),
        ("[axes]\nseed = [1]\nlr = [1, -3]", "line 3: lr=-3 is not valid; input should be greater than 0"),
        ("[axes]\nlr = []", "line 2: lr=.. is not valid"),
        ("[axes]\nteacher = ['tanh', 'sofplus']", "line 2: teacher='sofplus' is not known; did you mean 'softplus'"),
        ("[fixed]\nlr = [1, 2]", "line 2: lr has several values here; expected them under .axes."),
        ("[fixed]\nsteps = 3\n[axes]\nrecord = [[1], [5]]", "line 4: record asks for step 5"),
        ("[[zip]]\nd = [20, 40]\nn = [30]", "line 1: the fields of a zip must have equally many values"),
        ("[fixed]\nd = { times = 2, of = 'n' }\nn = { times = 2, of = 'd' }", "line 2: d and n are in proportion"),
        ("[fixed]\nd = { times = 2, of = 'lr' }", "line 2: d='lr' in its of is not valid"),
        ("[[only_if]]\nlr = { min = 10 }", "line 1: no combination is left"),
        ("[[only_if]]\nlr = { mim = 10 }", "line 2: lr=10 is not valid; extra inputs"),
        ("[[only_if]]\nlr = 1\n\n[[only_if]]\nlrx = 3", "line 5: field='lrx' is not known"),
        ("[fixed]\nlr = 1\n[axes]\nlr = [2]", "line 4: lr is set twice"),
        ("repeats = 0", "line 1: repeats=0 is not valid"),
        ("repeats = true", "line 1: repeats=True is not valid; a yes or no is no number"),
        ("[axes]\nlr = { linear = [true, 2], points = 3 }", "line 2: lr=True .* a yes or no is no number"),
        ("[fixed]\nlearning_rate = 1", "line 2: field='learning_rate' is not known; did you mean 'lr'"),
        ("[fixed]\nd = { times = 2, of = 'd' }", "line 2: d is in proportion to itself"),
        ("[[only_if]]\noptimizer = { min = 1 }", "line 2: optimizer='adam' is no number; expected values, not min"),
        ("[[only_if]]\nlr = 1\nbatch = { min = 1 }", "line 3: batch=None is no number; expected values, not min"),
        ("repeats = 3\n[axes]\nseed = [1]", "line 1: repeats and seed are both given"),
        ("[axes]\nlr = = 1", "line 2: "),
        (
            "[axes]\nseed = { linear = [0, 1e6], points = 1001 }\nn = { linear = [1, 1e3], points = 1000 }",
            "line 1: the grid has 1,001,000 combinations",
        ),
    ],
)
def test_what_is_wrong_is_one_sentence_with_line_and_field(tmp_path, text, sentence):
    path = write(tmp_path, text)
    with pytest.raises(ValueError, match=sentence) as error:
        Grid.read(path)
    assert str(error.value).startswith(str(path))
    assert "\n" not in str(error.value)


DEEP: dict = {}
for _ in range(5_000):
    DEEP = {"a": DEEP}


@pytest.mark.parametrize(
    ("grid", "sentence"),
    [
        ({"axes": {"d": [float("inf")]}}, r"^d=inf is not valid; input should be a finite number$"),
        ({"axes": {"d": [10**30]}}, "^d=1000.* is not valid; input should be less than or equal to 1000000000$"),
        ({"axes": {"lr": {"log": [1, 2], "points": 10**9}}}, r"^lr=1000000000 in its points is not valid; .*1000000$"),
        ({"axes": {"lr": {"times": 2, "of": "d", "power": 1e3}}}, r"^2 times d=1000 to the power 1000 is not a number"),
        ({"fixed": {"optimizer_options": DEEP}}, "^fixed has tables within tables, more than 20 deep"),
        ({"only_if": [DEEP]}, "^only_if has tables within tables, more than 20 deep"),
        ({"fixed": {"protocol": ["equations"]}}, "^protocol has several values here"),
        ({"axes": {"protocol": [["equations"]]}}, r"^protocol=\['equations'\] is not known; did you mean 'equations'"),
        ({"axes": {"seed": range(10**9)}}, "^axes has a list of 1,000,000,000 values; expected at most 1,000,000$"),
        ({"repeats": 10**9}, "^repeats=1000000000 is not valid"),
        ({"axes": {"teacher": ["tanh", lambda x: x]}}, "^teacher=<lambda> cannot be stored, as no module has it"),
    ],
    ids=range(11),
)  # fmt: skip
def test_a_grid_beyond_reason_is_one_sentence_before_any_memory_is_taken(grid, sentence):
    with pytest.raises(ValueError, match=sentence) as error:
        Grid.read(grid).experiments()
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 200


def test_a_file_that_is_not_there_or_not_text_is_one_sentence(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.toml does not exist; expected a grid in TOML"):
        Grid.read(tmp_path / "none.toml")
    with pytest.raises(ValueError, match=r"has tables within tables without end; expected plain values$"):
        Grid.read(write(tmp_path, "a = " + "{a = " * 5000 + "1" + "}" * 5000))
    for name, content, sentence in (
        ("bytes", b"\xff\xfe\x00", "bytes.toml is not text in UTF-8; expected a grid in TOML$"),
        ("utf16", "repeats = 2".encode("utf-16"), "utf16.toml is not text in UTF-8"),
        ("zeros", bytes(10), "zeros.toml, line 1: "),
        ("large", b"#" * 17_000_000, "large.toml has 17 MB; expected a grid in TOML, of at most 16 MB$"),
    ):
        (tmp_path / f"{name}.toml").write_bytes(content)
        with pytest.raises(ValueError, match=sentence):
            Grid.read(tmp_path / f"{name}.toml")
    with pytest.raises(ValueError, match=r" is a folder; expected a grid in TOML$"):
        Grid.read(tmp_path)


def test_a_mark_of_utf_8_before_the_text_is_passed_over(tmp_path):
    (tmp_path / "marked.toml").write_bytes(b"\xef\xbb\xbf[axes]\r\nlr = [1, 2]\r\n")
    assert len(Grid.read(tmp_path / "marked.toml").experiments()) == 2


@pytest.mark.skipif(os.name != "posix", reason="links and pipes of POSIX")
def test_a_loop_of_links_and_a_pipe_are_one_sentence_and_not_waited_for(tmp_path):
    (tmp_path / "loop.toml").symlink_to("loop.toml")
    with pytest.raises(ValueError, match=r"loop\.toml cannot be read: Too many levels of symbolic links"):
        Grid.read(tmp_path / "loop.toml")
    os.mkfifo(tmp_path / "pipe.toml")
    with pytest.raises(ValueError, match=r"pipe\.toml is no plain file; expected a grid in TOML"):
        Grid.read(tmp_path / "pipe.toml")


def test_every_field_of_an_experiment_can_be_an_axis():
    values = {
        "optimizer_options": [{"betas": [0.8, 0.9]}, {}], "schedule": ["StepLR"], "record": [[0, 2], "log"],
        "schedule_options": [{"step_size": 1}], "overlaps": [[[1, 0]], []], "weight_normalization": [True, False],
    }  # fmt: skip
    assert len(Grid.read({"fixed": {"steps": 2}, "axes": values}).experiments()) == 16
    defaults = {name: [getattr(Experiment(), name)] for name in Experiment.model_fields if name not in values}
    assert Grid.read({"axes": defaults}).experiments() == [Experiment()]
