"""What matters is told: by name, soon, once, and nothing else."""

import re
import warnings

import numpy as np
import pytest
import torch
from torch import nn

from monitor.small_training import go_on, small
from spectail import AlertThresholds, SettingError, SpectralMonitor, analyze_series, at, events, every, load_recording
from spectail.analysis.alerts import AlertWatch, with_alerts
from spectail.recording.layout import Measurement, to_dataset
from spectail.spectra.norms import effective_rank


def train_and_squeeze(watch):
    """Ten layers 128 wide; from step 60 on all but two directions of the fifth fade."""
    torch.manual_seed(0)
    model = nn.Sequential(*(module for _ in range(10) for module in (nn.Linear(128, 128), nn.Tanh())))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    x, y = torch.randn(64, 128), torch.randn(64, 128)
    with watch(model, optimizer) as monitor:
        for step in range(1, 121):
            optimizer.zero_grad()
            nn.functional.mse_loss(model(x), y).backward()
            optimizer.step()
            if step >= 60:
                with torch.no_grad():
                    left, strengths, right = torch.linalg.svd(model[8].weight)
                    strengths[2:] *= 0.75
                    model[8].weight.copy_(left @ torch.diag(strengths) @ right)
    return monitor


def test_a_layer_that_is_squeezed_is_told_within_ten_steps_by_its_name_and_no_other_is(tmp_path):
    alerts = []
    monitor = train_and_squeeze(
        lambda *training: SpectralMonitor(
            *training, when=at([60, 70, 120]), path=tmp_path / "run.nc", on_alert=alerts.append
        )
    )
    assert [(alert.matrix, alert.kind, alert.step) for alert in alerts] == [("8.weight", "alert", 70)]
    assert "effective rank fell from 10" in alerts[0].text
    recording = load_recording(tmp_path / "run.nc")
    assert recording.phase.sel(step=120, matrix="8.weight") == "rank-collapse"
    assert [event for event in events(recording) if event.kind == "alert"] == alerts
    screen = [line.strip() for line in monitor.summary().splitlines()]
    assert str(alerts[0]) in screen[1:3], "an alert is the first thing that is told"
    assert len(screen) <= 24


def test_a_thousand_untrained_matrices_alarm_nobody():
    generator, watch = torch.Generator().manual_seed(0), AlertWatch(AlertThresholds())
    for step in range(10):  # each as the next state of another one
        strengths = torch.linalg.svdvals(torch.randn(1000, 24, 16, generator=generator))
        rows = [row(f"w{i}", float(s[0]), effective_rank(s.square())) for i, s in enumerate(strengths)]
        assert watch.alerts_of(Measurement(step, rows)) == ()


def row(name="a", norm=2.0, rank=20.0, phase="random-like", note=""):
    return {"name": name, "spectral_norm": norm, "effective_rank": rank, "frobenius_norm": norm, "phase": phase,
            "note": note}  # fmt: skip


def told(rows, steps=None, **thresholds):
    watch = AlertWatch(AlertThresholds(**thresholds))
    steps = range(len(rows)) if steps is None else steps
    return [
        f"{alert.text} at {alert.step}"
        for step, one in zip(steps, rows, strict=True)
        for alert in watch.alerts_of(Measurement(step, [one]))
    ]


NAN = float("nan")


@pytest.mark.parametrize(
    ("rows", "options", "expected"),
    [
        ([row(rank=r) for r in (20, 13, 11, 11, 13, 15, 11)], {}, ["effective rank fell from 20 to 11 at 2",
                                                                   "effective rank fell from 20 to 11 at 6"]),
        ([row(rank=r) for r in (5, 20, 11)], {}, ["effective rank fell from 20 to 11 at 2"]),
        ([row(rank=r) for r in (20, 11, 5)], {"effective_rank": 0.3}, ["effective rank fell from 20 to 5 at 2"]),
        ([row(), row(rank=NAN, norm=0.0)], {}, ["effective rank fell from 20 to 0 at 1"]),
        ([row(rank=NAN, norm=0.0), row()], {}, []),
        ([row(norm=n) for n in (2, 19, 21, 30)], {}, ["spectral norm rose from 2 to 21 at 2"]),
        ([row(norm=n) for n in (0.01, 1, 9)], {}, []),
        ([row(norm=n) for n in (2, 9)], {"spectral_norm": 4}, ["spectral norm rose from 2 to 9 at 1"]),
        ([row(), row(NAN, NAN, NAN, "unknown", "weights hold NaN or inf, so they have no spectrum"), row()], {},
         ["weights are NaN or infinite at 1"]),
        ([row(), row(), row()], {"untrained_steps": 1}, ["still as if never trained at 1"]),
        ([row(), row(phase="bulk+spike"), row()], {"untrained_steps": 2}, []),
        ([row(rank=r, norm=n) for r, n in ((20, 1), (1, 99))], {"effective_rank": None, "spectral_norm": None}, []),
    ],
)  # fmt: skip
def test_an_alert_is_given_past_a_threshold_once_and_again_only_after_it_was_well_back(rows, options, expected):
    assert told(rows, **options) == expected


def test_a_layer_that_stays_untrained_is_told_after_a_thousand_steps():
    assert told([row()] * 3, [50, 1049, 1050]) == ["still as if never trained at 1050"]


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("option", "value"),
    [("effective_rank", 0), ("effective_rank", 2), ("effective_rank", True), ("spectral_norm", 1),
     ("spectral_norm", [5]), ("untrained_steps", "k"), ("untrained_steps", 1.5), ("not_finite", "no")],
)  # fmt: skip
def test_a_threshold_that_is_none_is_refused(option, value):
    with pytest.raises(
        SettingError, match=f"{re.escape(f'{option}={value!r}')} is (no threshold|neither True nor False)"
    ):
        AlertThresholds(**{option: value})


@pytest.mark.usefixtures("unchecked")
def test_thresholds_of_numpy_are_those_of_python_in_files_too(tmp_path):
    thresholds = AlertThresholds(np.float32(0.5), np.float64(5), np.int64(7), np.bool_(False))
    assert thresholds == AlertThresholds(0.5, 5.0, 7, False)
    torch.save({"a.weight": torch.ones(3, 2)}, tmp_path / "step-0.pt")
    for out in (tmp_path / "run.nc", tmp_path / "run.nc"):  # the second goes on with what the first has begun
        analyze_series(tmp_path, nulls=False, alerts=thresholds, out=out)


def explode(model):
    with torch.no_grad():
        model[1].weight *= 100


def test_by_default_the_alerts_of_a_measurement_are_one_warning_and_none_can_be_had():
    model, _ = small()
    with SpectralMonitor(model, when=every(1), nulls=False) as monitor:
        monitor.step()
        explode(model)
        with pytest.warns(
            UserWarning, match=r"^1.weight: spectral norm rose from 0.\d+ to \d+.\d at step 2$"
        ) as caught:
            monitor.step()
    assert caught[0].filename == __file__, "it is told at a line of the user's"
    assert [event.matrix for event in monitor.events if event.kind == "alert"] == ["1.weight"]
    with SpectralMonitor(model, when=every(1), nulls=False, alerts=None) as monitor:
        explode(model)
        monitor.step()  # warnings are errors
    assert monitor.events == []


def test_a_receiver_of_alerts_that_fails_is_told_of_and_training_goes_on():
    model, _ = small()

    def fails(alert):
        raise RuntimeError("no network")

    with SpectralMonitor(model, when=every(1), nulls=False, on_alert=fails) as monitor:
        explode(model)
        with pytest.warns(UserWarning, match="fails failed at step 1, training goes on: RuntimeError: no network"):
            monitor.step()
    assert monitor.recording.step.values.tolist() == [0, 1]


def test_a_monitor_that_is_resumed_tells_nothing_twice_and_remembers_how_it_began(tmp_path):
    model, _ = small()
    options = {"when": every(1), "path": tmp_path / "run.nc", "nulls": False}
    alerts = []
    for start in (0, 1):
        with SpectralMonitor(
            model, **options, existing="resume", initial_step=start, on_alert=alerts.append
        ) as monitor:
            if start == 0:
                explode(model)
            monitor.step()
    assert [alert.step for alert in alerts] == [1]


def test_a_series_tells_what_a_monitor_at_the_same_steps_did_in_whatever_order_checkpoints_come(tmp_path):
    model, _ = small()
    (tmp_path / "run").mkdir()

    def save(monitor_step):
        torch.save(model.state_dict(), tmp_path / "run" / f"step-{monitor_step}.pt")

    with SpectralMonitor(model, when=every(1), nulls=False, on_alert=lambda alert: None) as monitor:
        save(0)
        for step in (1, 2, 3):
            if step == 2:
                explode(model)
            monitor.step()
            save(step)
    expected = [event for event in monitor.events if event.kind == "alert"]
    assert [alert.step for alert in expected] == [2]
    out = tmp_path / "run.nc"
    (tmp_path / "run" / "step-0.pt").rename(tmp_path / "first.pt")
    assert events(analyze_series(tmp_path / "run", nulls=False, out=out)) == expected
    (tmp_path / "run" / "step-2.pt").rename(tmp_path / "second.pt")
    (tmp_path / "first.pt").rename(tmp_path / "run" / "step-0.pt")
    assert events(analyze_series(tmp_path / "run", nulls=False, out=out)) == expected
    assert events(load_recording(out)) == expected


def test_alerts_are_those_of_the_order_of_the_steps():
    rows, label = [row(norm=2.0), row(norm=30.0)], {"name": "a", "rows": 30, "cols": 20, "slices": 1}
    measurements = [Measurement(step, [one]) for step, one in enumerate(rows)]
    once = with_alerts(measurements, AlertThresholds())
    assert with_alerts(once, AlertThresholds()) == once
    assert with_alerts(once, None) == measurements
    assert [event.text for event in events(to_dataset("monitor", [label], once))] == ["spectral norm rose from 2 to 30"]


def test_a_monitor_says_what_it_is_and_ends_with_a_screen(capsys, tmp_path):
    model, optimizer = small()
    with SpectralMonitor(model, optimizer, when=every(2), path=tmp_path / "run.nc") as monitor:
        go_on(model, optimizer, 4)
        assert capsys.readouterr().err == ""
    said = "Sequential: 2 matrices measured 3 times, from step 0 to 4, in "
    assert repr(monitor).startswith(f"<SpectralMonitor of {said}")
    assert repr(monitor).endswith(", kept in run.nc>")
    printed = capsys.readouterr().err.splitlines()
    assert printed[0].startswith(said)
    assert len(printed) <= 24
    assert max(map(len, printed)) <= 80
    html = monitor._repr_html_()
    assert said in html
    assert "<td>1.weight</td>" in html
    with SpectralMonitor(model, optimizer, nulls=False, summary=False), warnings.catch_warnings():
        go_on(model, optimizer, 1)
    assert capsys.readouterr().err == ""
