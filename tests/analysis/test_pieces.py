"""An analysis divided between workers is the analysis of one process."""

import os

import numpy as np
import pytest
import torch
import xarray as xr
from safetensors.torch import save_file
from torch import nn

from spectail import Quantity, SettingError, SourceError, analyze, compare
from spectail.analysis import null_cache as cache
from spectail.analysis import pieces
from spectail.analysis.pieces import Request
from spectail.running.scheduler import Compute


@pytest.fixture(scope="module", autouse=True)
def own_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        cache._nulls_of_shape.cache_clear()
        yield
    cache._nulls_of_shape.cache_clear()


def state(seed=0):
    generator = torch.Generator().manual_seed(seed)
    weights = {f"blocks.{i}.weight": torch.randn(70 + i, 60, generator=generator) for i in range(5)}
    return weights | {
        "attn.in_proj_weight": torch.randn(90, 30, generator=generator),
        "large.weight": torch.randn(1100, 1030, generator=generator),  # from 1024 on threads change the last bits
        "broken.weight": torch.full((20, 20), float("nan")),
        "conv.weight": torch.randn(12, 10, 3, 3, generator=generator),
        "b": torch.ones(3),
    }


@pytest.fixture
def paths(tmp_path):
    for seed in (0, 1):
        save_file(state(seed), tmp_path / f"{seed}.safetensors")
    return str(tmp_path / "0.safetensors"), str(tmp_path / "1.safetensors")


@pytest.fixture
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def decades(values, rows, cols):
    return float(values[-1] / values[len(values) // 2])


OWN = {Quantity("decades", text="largest over median"): decades}


@pytest.mark.usefixtures("one_thread")
def test_any_number_of_workers_gives_the_bits_of_one_thread(paths):
    alone = analyze(paths[0], measure=OWN)
    for workers in (1, 3):
        told = []
        divided = analyze(paths[0], measure=OWN, workers=workers, progress=lambda _, name, to=told: to.append(name))
        xr.testing.assert_identical(divided.recording, alone.recording)
        assert divided.skipped == alone.skipped
        assert sorted(told) == sorted(alone.frame["name"])


@pytest.mark.usefixtures("one_thread")
def test_a_comparison_is_divided_too_and_shuffled_alike(paths):
    options = {"nulls": "full", "layers": ["blocks.*", "conv.*", "broken.*"]}
    xr.testing.assert_identical(compare(*paths, **options, workers=2).recording, compare(*paths, **options).recording)


@pytest.mark.usefixtures("one_thread")
def test_an_adapter_beside_its_base_is_divided_too(paths, tmp_path):
    generator = torch.Generator().manual_seed(0)
    factors = {"lora_A": (4, 60), "lora_B": (70, 4)}
    save_file(
        {f"blocks.0.{part}.weight": torch.randn(shape, generator=generator) for part, shape in factors.items()},
        tmp_path / "lora.safetensors",
    )
    alone, divided = (analyze(tmp_path / "lora.safetensors", base=paths[0], workers=n) for n in (None, 1))
    xr.testing.assert_identical(divided.recording, alone.recording)
    assert alone.frame["n_intruders"].notna().all()


def test_what_lies_in_memory_cannot_be_sent_and_the_sentence_says_what_can():
    for source in (nn.Linear(20, 20), {"w": torch.ones(20, 20)}):
        with pytest.raises(SettingError, match=r"in memory cannot be sent to workers; expected the path .* or package"):
            analyze(source, workers=2)


def test_a_quantity_that_cannot_be_sent_is_refused_before_anything_is_measured(paths):
    with pytest.raises(SettingError, match=r"measure= cannot be sent to workers: .*define its functions in a module"):
        analyze(paths[0], measure={Quantity("own", text="own"): lambda values, rows, cols: 0.0}, workers=2)


@pytest.mark.parametrize("options", [{"workers": 0}, {"workers": 2, "ray": ""}])
def test_options_that_are_not_valid_are_a_sentence(paths, options):
    with pytest.raises(SettingError, match="workers"):
        analyze(paths[0], **options)


@pytest.fixture
def factories(tmp_path, monkeypatch):
    (tmp_path / "made_here.py").write_text(
        "import torch\nfrom torch import nn\n"
        "def seeded():\n    torch.manual_seed(0)\n    return nn.Linear(30, 20)\n"
        "def unseeded():\n    return nn.Linear(30, 20)\n"
    )
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("factories")
def test_a_factory_must_make_the_same_weights_for_every_worker():
    assert len(analyze("made_here:seeded", workers=1).frame) == 1
    torch.seed()  # a worker has the state of a fresh process
    with pytest.raises(SourceError, match=r"other weights each time that it is made; .* set a seed"):
        analyze("made_here:unseeded", workers=1)


def die_over_large(values, rows, cols):
    if rows == 1100:
        os._exit(9)
    return 0.0


def test_a_matrix_over_which_workers_die_is_a_row_that_says_how_much_it_needs(paths):
    frame = analyze(paths[0], measure={Quantity("own", text="own"): die_over_large}, workers=1).frame
    notes = frame.set_index("name")["note"]
    assert "not measured: its worker died 4 times, perhaps for want of memory; it needs about" in notes["large.weight"]
    assert not notes.drop("large.weight").str.contains("not measured").any()


def test_matrices_that_are_read_together_are_measured_together_and_the_largest_come_first():
    opened = Request("analysis", (state(),), {"conv": "kernel-slices"}).open()
    chunks = pieces._by_cost(opened.pieces(range(len(opened.weights.matrices))))
    names = [[piece.name for piece in chunk] for chunk in chunks]
    assert names[0] == ["large.weight"]
    assert [f"attn.in_proj_weight[{part}]" for part in "qkv"] in names
    assert len({piece.chunk for chunk in chunks for piece in chunk}) == len(chunks)


def test_workers_wait_where_memory_would_not_do_for_two(paths, monkeypatch):
    monkeypatch.setattr(pieces, "available_memory", lambda: 0)
    limits = []

    class Counting(pieces.MemoryLimit):
        def claim(self, piece):
            claimed = super().claim(piece)
            limits.append(len(self._held))
            return claimed

    monkeypatch.setattr(pieces, "MemoryLimit", Counting)
    assert len(analyze(paths[0], workers=3).frame) == 11
    assert max(limits) == 1  # chunk under way


def test_here_pieces_go_in_the_order_of_the_model(paths):
    names = []
    analyze(paths[0], progress=lambda share, name: names.append(name))
    opened = Request("analysis", (paths[0],), {"conv": "kernel-slices"}).open()
    assert names == [matrix.name for matrix in opened.weights.matrices]
    assert Compute().in_this_process


def test_a_nan_has_no_sign_so_that_the_file_of_an_interrupted_call_has_the_same_bytes():
    """What a processor makes of 0/0 has one, what a journal gives back has none."""
    own = {Quantity("mine", text="of my own"): lambda values, rows, cols: -np.nan}
    recording = analyze(state(), measure=own, nulls=False).recording
    assert np.isnan(recording["mine"]).all()
    assert not np.signbit(recording["mine"]).any()
