import json

import pytest

from spectail.analysis import null_cache as cache
from spectail.spectra.nulls import simulate_nulls


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "cache_folder", lambda: tmp_path / "nulls")
    cache._nulls_of_shape.cache_clear()
    yield tmp_path / "nulls"
    cache._nulls_of_shape.cache_clear()


def simulations(monkeypatch):
    calls = []

    def counted(*shape, **options):
        calls.append(shape)
        return simulate_nulls(*shape, **options, draws=20)

    monkeypatch.setattr(cache, "simulate_nulls", counted)
    return calls


def test_a_shape_is_simulated_once_and_found_by_the_next_process(folder, monkeypatch):
    calls = simulations(monkeypatch)
    first = cache.nulls_of_shape(20, 30)
    cache._nulls_of_shape.cache_clear()  # as in another process
    assert cache.nulls_of_shape(30, 20) == first
    assert calls == [(30, 20, 1)]


def test_each_shape_has_a_file_and_normalised_slices_one_of_their_own(folder, monkeypatch):
    calls = simulations(monkeypatch)
    for shape in ((20, 10, 1), (10, 20, 1, True), (7, 7, 9), (7, 7, 9, True)):
        cache.nulls_of_shape(*shape)
    assert len(calls) == 3  # one matrix has the same statistics whatever it is divided by
    assert len(list(folder.iterdir())) == 3
    assert cache.nulls_of_shape(7, 7, 9, normalised=True) != cache.nulls_of_shape(7, 7, 9)


@pytest.mark.parametrize(
    "damage",
    [
        "",
        "{",
        '{"hill": 1}',
        "[]",
        '{"hill": {}, "alpha_ks": 3.0}',
        '{"hill": 1, "alpha_ks": 2, "edge": []}',
        "NaN",
        "\x00\xff",
    ],
)
def test_a_damaged_file_is_simulated_again(folder, monkeypatch, damage):
    calls = simulations(monkeypatch)
    first = cache.nulls_of_shape(20, 10)
    (path,) = folder.iterdir()
    path.write_text(damage, encoding="utf-8")
    cache._nulls_of_shape.cache_clear()
    assert cache.nulls_of_shape(20, 10) == first
    assert len(calls) == 2
    assert json.loads(path.read_text())["edge"]["draws"] == 20  # and it is whole again


def test_a_spread_of_zero_or_nan_in_a_file_is_not_believed(folder, monkeypatch):
    calls = simulations(monkeypatch)
    cache.nulls_of_shape(20, 10)
    (path,) = folder.iterdir()
    content = json.loads(path.read_text())
    for spread in (0.0, float("nan")):
        path.write_text(json.dumps({**content, "edge": {**content["edge"], "spread": spread}}))
        cache._nulls_of_shape.cache_clear()
        assert cache.nulls_of_shape(20, 10).edge.spread > 0
    assert len(calls) == 3


def test_a_folder_that_cannot_be_written_to_costs_only_time(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setattr(cache, "cache_folder", lambda: tmp_path / "file" / "nulls")
    calls = simulations(monkeypatch)
    cache._nulls_of_shape.cache_clear()
    assert cache.nulls_of_shape(20, 10).hill.spread > 0
    cache._nulls_of_shape.cache_clear()
    assert len(calls) == 1
