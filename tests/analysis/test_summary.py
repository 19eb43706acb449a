"""What is said of many matrices at once."""

import pytest
import torch
from torch import nn

from spectail import analyze, compare, load_recording
from spectail.analysis.summary import LIGHTER, summarize
from spectail.errors import SettingError
from spectail.recording.netcdf import save_recording


def test_matrices_are_rolled_up_by_layer_and_by_kind():
    torch.manual_seed(0)
    names = [f"model.layers.{at}.mlp.experts.{e}.up_proj.weight" for at in range(3) for e in range(2)]
    state = {"embed.weight": torch.randn(50, 20), **{name: torch.randn(40, 20) for name in names}}
    analysis = analyze(state, nulls=False)
    layers = analysis.roll_up("layer")
    assert layers["layer"].tolist() == ["(in no layer)", *(f"model.layers.{at}" for at in range(3))]
    assert layers["weights"].tolist() == [1000, 1600, 1600, 1600]
    inside = analysis.frame[analysis.frame["name"].str.startswith("model.layers.1.")]
    assert layers["pl_alpha_hill"][2] == inside["pl_alpha_hill"].median()
    kinds = analysis.roll_up("kind")
    assert kinds["kind"].tolist() == ["embed.weight", "model.layers.*.mlp.experts.*.up_proj.weight"]
    assert kinds["matrices"].sum() == len(analysis.frame)
    with pytest.raises(SettingError, match="by='depth' is not known"):
        analysis.roll_up("depth")


def gaussian(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def trained(seed, rows, cols, strength=0.9):
    """Correlated entries, whose rows and columns have about one norm."""
    rotation = torch.linalg.qr(gaussian(seed + 1, cols, cols)).Q
    return 0.02 * gaussian(seed, rows, cols) @ rotation * torch.linspace(-strength, strength, cols).exp() @ rotation.T


def bert():
    """A small BERT that was trained, but for its pooler, which is as it was initialised."""
    state = {
        "embeddings.word_embeddings.weight": trained(0, 200, 64, 1.0),
        "embeddings.LayerNorm.weight": torch.ones(64),
    }
    for i in range(3):
        for at, name in enumerate(("attention.self.query", "attention.self.key", "attention.output.dense")):
            state[f"encoder.layer.{i}.{name}.weight"] = trained(10 * i + at, 64, 64, 0.8 + 0.1 * i)
            state[f"encoder.layer.{i}.{name}.bias"] = torch.zeros(64)
        state[f"encoder.layer.{i}.intermediate.dense.weight"] = trained(10 * i + 7, 128, 64)
    state["encoder.layer.0.scaled.weight"] = 0.02 * torch.linspace(0.3, 2.0, 64)[:, None] * gaussian(90, 64, 64)
    state["pooler.dense.weight"] = 0.02 * gaussian(99, 64, 64)
    return state


@pytest.fixture(scope="module")
def of_bert():
    return analyze(bert())


def test_the_layer_that_training_never_reached_is_named_and_one_of_unequal_norms_is_not_taken_for_trained(of_bert):
    said = {group.answer: group.names for group in summarize(of_bert.recording).groups}
    assert said["untrained"] == ("pooler.dense.weight",)
    assert said["norms"] == ("encoder.layer.0.scaled.weight",)
    assert of_bert.frame.set_index("name")["effect"]["encoder.layer.0.scaled.weight"] > 1.1  # norms make it look so
    ranking = next(one for one in summarize(of_bert.recording).rankings if one.kind == "linear")
    effects = dict(ranking.least)
    assert effects["pooler.dense.weight"] < 1.05  # half a percent is a standard deviation at 64 × 64
    most = dict(ranking.most)
    assert "encoder.layer.0.scaled.weight" not in most
    assert not {name for name, _ in ranking.most} & {name for name, _ in ranking.least}


def test_every_matrix_is_in_one_group_and_the_file_says_the_same(of_bert, tmp_path):
    summary = summarize(of_bert.recording)
    names = [name for group in summary.groups for name in group.names]
    assert sorted(names) == sorted(of_bert.frame["name"])
    path = save_recording(of_bert.recording, tmp_path / "spectra.nc")
    assert str(summarize(load_recording(path))) == of_bert.summary() == str(summary)


def test_a_hundred_matrices_of_two_kinds_are_one_screen_of_names_that_can_be_told_apart():
    state = {
        f"transformer.encoder.blocks.{i}.attention.{name}.weight": trained(i, 24, 20, 0.2 + i / 40)
        for i in range(24)
        for name in ("query_projection", "key_projection", "value_projection", "output_projection")
    }
    state |= {
        f"embeddings.{name}.weight": trained(at, 40, 20) for at, name in enumerate(("word", "place", "kind", "x"))
    }
    summary = summarize(analyze(state).recording)
    lines = summary.lines(80)
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 80
    shown = [line for line in lines if "…" in line]
    assert len(set(shown)) == len(shown) > 0
    assert sum(len(ranking.most) for ranking in summary.rankings) >= 5


def test_lighter_than_untrained_has_a_reading():
    singular = torch.linspace(0.5, 1.5, 80)
    alike = torch.linalg.qr(gaussian(0, 120, 80)).Q * singular @ torch.linalg.qr(gaussian(1, 80, 80)).Q
    state = {"alike.weight": alike, "noise.weight": gaussian(2, 120, 80)}
    summary = summarize(analyze(state).recording)
    assert [line.startswith("lighter than untrained: alike.weight z +") for line in summary.lighter] == [True]
    assert summary.lighter[0].endswith(LIGHTER[0])


def test_a_change_is_told_as_a_change():
    before = {"a.weight": gaussian(0, 60, 40), "b.weight": gaussian(1, 60, 40), "c.weight": gaussian(2, 60, 40)}
    after = {
        "a.weight": before["a.weight"],
        "b.weight": before["b.weight"] + 0.1 * gaussian(3, 60, 40),
        "c.weight": before["c.weight"] + torch.outer(gaussian(4, 60), gaussian(5, 40)),
    }
    summary = summarize(compare(before, after).recording)
    said = {group.answer: group.names for group in summary.groups if group.names}
    assert said == {"unchanged": ("a.weight",), "untrained": ("b.weight",), "collapsed": ("c.weight",)}
    assert "never trained" not in str(summary)
    assert "none" not in str(summarize(compare({"c.weight": before["c.weight"]}, after).recording))


def test_a_layer_without_weights_has_vanished():
    weights = {"a.weight": torch.zeros(30, 20), "b.weight": gaussian(0, 30, 20)}
    summary = summarize(analyze(weights, nulls=False).recording)
    said = {group.answer: group.names for group in summary.groups if group.names}
    assert said == {"vanished": ("a.weight",), "untrained": ("b.weight",)}


def test_without_nulls_it_says_what_the_phases_rest_on():
    text = analyze(nn.Linear(30, 20), nulls=False).summary()
    assert "made without nulls" in text
    assert "effect" not in text
    narrow = {"a": torch.eye(60)[:4], "b": torch.outer(torch.ones(60), torch.arange(40.0))}  # too few, collapsed
    assert "made without nulls" not in analyze(narrow).summary()


@pytest.mark.parametrize(("cause", "answer"), [("", "untrained"), ("norms", "norms"), ("spikes", "unknown")])
def test_a_row_that_contradicts_itself_has_no_answer(cause, answer):
    """As a file from elsewhere may: what is random-like has no spikes that it departs by."""
    recording = analyze({"a.weight": gaussian(0, 30, 20)}).recording
    recording["cause"] = recording["cause"].astype(object).where(False, cause)
    said = {group.answer: group.names for group in summarize(recording).groups if group.names}
    assert said == {answer: ("a.weight",)}
