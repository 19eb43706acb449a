import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spectail.study.verdicts import (
    LEVEL,
    Verdict,
    all_of,
    any_clearly,
    chance_above,
    clearly,
    falls,
    in_every_repeat,
    mean_inside,
    repeats_to_decide,
    rises,
)

NOISE = np.random.default_rng(0).normal(size=(5, 1))


def test_a_paired_trend_is_seen_through_noise_that_repeats_share():
    series = 10 * NOISE + np.array([1.0, 2.0, 3.0]) + 0.01 * np.random.default_rng(1).normal(size=(5, 3))
    assert rises(series) is Verdict.HOLDS
    assert falls(series) is Verdict.DOES_NOT_HOLD


def test_differences_within_their_error_are_undecided():
    series = np.random.default_rng(2).normal(size=(5, 3))
    assert rises(series) is Verdict.UNDECIDED


def test_a_single_repeat_decides_nothing():
    assert rises([[1.0, 2.0]]) is Verdict.UNDECIDED
    assert mean_inside([[1.5]], 1, 2) is Verdict.UNDECIDED


def test_one_step_the_wrong_way_is_enough_against_a_trend():
    series = np.array([1.0, 2.0, 1.5]) + 1e-3 * np.random.default_rng(3).normal(size=(5, 3))
    assert rises(series) is Verdict.DOES_NOT_HOLD


@pytest.mark.parametrize(("mean", "expected"), [(1.5, "holds"), (3.0, "does not hold"), (2.0, "undecided")])
def test_a_mean_is_inside_outside_or_too_close_to_tell(mean, expected):
    assert mean_inside(mean + 0.01 * NOISE, 1, 2) == expected


def test_repeats_that_disagree_are_undecided():
    assert in_every_repeat([True, True]) is Verdict.HOLDS
    assert in_every_repeat([False, False]) is Verdict.DOES_NOT_HOLD
    assert in_every_repeat([True, False]) is Verdict.UNDECIDED


@given(st.lists(st.sampled_from(list(Verdict)), min_size=1, max_size=5))
def test_a_claim_of_parts_holds_only_if_all_do(verdicts):
    whole = all_of(verdicts)
    assert (whole is Verdict.HOLDS) == all(v is Verdict.HOLDS for v in verdicts)
    assert (whole is Verdict.DOES_NOT_HOLD) == (Verdict.DOES_NOT_HOLD in verdicts)


def test_a_run_that_diverged_gives_no_score():
    assert chance_above([1.0, np.nan]) == 1.0
    assert chance_above([2.0, 2.0]) == 0.0
    assert chance_above([-2.0, -2.0]) == 1.0


@pytest.mark.parametrize("repeats", [3, 5])
def test_what_is_clear_comes_by_chance_as_often_as_it_says(repeats):
    draws = np.random.default_rng(4).normal(size=(2000, repeats, 6))
    alone = np.mean([clearly(one[:, 0]) for one in draws])
    several = np.mean([any_clearly(one) for one in draws])
    # 2.5 of 100, one side; 4 standard errors of 2,000 draws. Three standard errors of the mean were 4.8 with 3 repeats
    assert alone == pytest.approx(LEVEL / 2, abs=4 * (0.025 * 0.975 / 2000) ** 0.5)
    assert several < LEVEL / 2 + 4 * (0.025 * 0.975 / 2000) ** 0.5, "Holm's correction holds for all six together"


def test_repeats_that_would_decide_do():
    differences = np.array([1.0, 2.0, 3.5])
    count = repeats_to_decide(differences)
    of_that_mean_and_spread = differences.mean() + differences.std(ddof=1) * np.resize([1.0, -1.0], 2 * (count // 2))
    assert not clearly(differences)
    assert clearly(np.append(of_that_mean_and_spread, differences.mean()))
