import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ttest_1samp

from spectail.study.verdicts import (
    LEAST_REPEATS,
    LEVEL,
    UNTESTED,
    Verdict,
    all_of,
    as_a_family,
    chance_above,
    clear,
    clearly,
    each_clear,
    falls,
    in_every_repeat,
    mean_inside,
    repeats_to_decide,
    rises,
)

NOISE = np.random.default_rng(0).normal(size=(5, 1))


def test_a_paired_trend_is_seen_through_noise_that_repeats_share():
    series = 10 * NOISE + np.array([1.0, 2.0, 3.0]) + 0.01 * np.random.default_rng(1).normal(size=(5, 3))
    assert rises(series).verdict is Verdict.HOLDS
    assert falls(series).verdict is Verdict.DOES_NOT_HOLD


def test_differences_within_their_error_are_undecided():
    series = np.random.default_rng(2).normal(size=(5, 3))
    assert rises(series).verdict is Verdict.UNDECIDED


def test_a_single_repeat_decides_nothing():
    assert rises([[1.0, 2.0]]).verdict is Verdict.UNDECIDED
    assert mean_inside([[1.5]], 1, 2).verdict is Verdict.UNDECIDED


def test_one_step_the_wrong_way_is_enough_against_a_trend():
    series = np.array([1.0, 2.0, 1.5]) + 1e-3 * np.random.default_rng(3).normal(size=(5, 3))
    assert rises(series).verdict is Verdict.DOES_NOT_HOLD


@pytest.mark.parametrize(("mean", "expected"), [(1.5, "holds"), (3.0, "does not hold"), (2.0, "undecided")])
def test_a_mean_is_inside_outside_or_too_close_to_tell(mean, expected):
    assert mean_inside(mean + 0.01 * NOISE, 1, 2).verdict == expected


def test_what_is_yes_or_no_must_be_so_in_each_of_three_repeats():
    assert in_every_repeat([True] * 3).verdict is Verdict.HOLDS
    assert in_every_repeat([False] * 3).verdict is Verdict.DOES_NOT_HOLD
    assert in_every_repeat([True, True, False]).verdict is Verdict.UNDECIDED
    assert in_every_repeat([True] * 2).verdict is Verdict.UNDECIDED
    assert in_every_repeat([True] * 2, least=1).verdict is Verdict.HOLDS


@given(st.lists(st.sampled_from(list(Verdict)), min_size=1, max_size=5))
def test_a_claim_of_parts_holds_only_if_all_do(verdicts):
    whole = all_of([UNTESTED[v] for v in verdicts]).verdict
    assert (whole is Verdict.HOLDS) == all(v is Verdict.HOLDS for v in verdicts)
    assert (whole is Verdict.DOES_NOT_HOLD) == (Verdict.DOES_NOT_HOLD in verdicts)


def test_the_margin_that_decides_has_the_interval_of_its_t_test():
    margins = [1.0, 2.0, 1.5, 1.1]
    mean, low, high = clear(margins).margin
    wanted = ttest_1samp(margins, 0).confidence_interval(1 - LEVEL)
    np.testing.assert_allclose([mean, low, high], [1.4, wanted.low, wanted.high], rtol=1e-12)  # rounding
    narrow = clear([0.2, 0.4, 0.5, -0.1])
    assert all_of([clear(margins), narrow, UNTESTED[Verdict.HOLDS]]).margin == narrow.margin, (
        "of several the least clear"
    )
    assert all_of([UNTESTED[Verdict.HOLDS]]).margin is None


@given(st.lists(st.floats(-10, 10), min_size=2, max_size=6))
def test_a_single_claim_holds_where_its_interval_is_above_zero(margins):
    finding = clear(margins)
    if np.std(margins) > 1e-6 * np.abs(margins).max():  # else rounding decides on which side of zero an end is
        assert (finding.verdict is Verdict.HOLDS) == (finding.margin[1] > 0)
        assert (finding.verdict is Verdict.DOES_NOT_HOLD) == (finding.margin[2] < 0)


def test_holm_corrects_for_the_claims_about_one_figure_and_leaves_what_was_not_tested():
    findings = [clear([1.0, 2.0, 1.5]), UNTESTED[Verdict.HOLDS], clear([-1.0, -2.0, -1.2]), clear([1.0, -1.0, 0.5])]
    corrected = as_a_family(findings)
    assert [f.verdict for f in findings] == ["holds", "holds", "does not hold", "undecided"]
    assert [f.verdict for f in corrected] == ["undecided", "holds", "undecided", "undecided"]
    # p-values times 3, 2 and 1 in their order, none smaller than that before (Holm, 1979)
    assert corrected[0].claimed == pytest.approx(3 * findings[0].claimed)
    assert corrected[2].contrary == pytest.approx(max(2 * findings[2].contrary, corrected[0].claimed))
    assert corrected[1] is findings[1]
    assert corrected[3].claimed == pytest.approx(max(findings[3].claimed, corrected[2].contrary))


def test_an_equivalence_needs_both_sides():
    near = np.array([0.01, -0.01, 0.02])
    assert mean_inside(near[:, None], -0.1, 0.1).verdict is Verdict.HOLDS
    assert mean_inside(near[:, None], -0.02, 0.1).verdict is Verdict.UNDECIDED, "no difference seen is no equivalence"


def test_a_run_that_diverged_gives_no_score():
    assert chance_above([1.0, np.nan]) == 1.0
    assert chance_above([2.0, 2.0]) == 0.0
    assert chance_above([-2.0, -2.0]) == 1.0


@pytest.mark.parametrize("repeats", [3, 5])
def test_what_is_clear_comes_by_chance_as_often_as_it_says(repeats):
    draws = np.random.default_rng(4).normal(size=(2000, repeats, 6))
    alone = np.mean([clearly(one[:, 0]) for one in draws])
    several = np.mean([each_clear(-one).verdict is Verdict.DOES_NOT_HOLD for one in draws])
    # 2.5 of 100, one side; 4 standard errors of 2,000 draws. Three standard errors of the mean were 4.8 with 3 repeats
    assert alone == pytest.approx(LEVEL / 2, abs=4 * (0.025 * 0.975 / 2000) ** 0.5)
    assert several < LEVEL / 2 + 4 * (0.025 * 0.975 / 2000) ** 0.5, "Holm's correction holds for all six together"


@pytest.mark.parametrize("comparisons", [1, 4])
def test_repeats_that_would_decide_do(comparisons):
    effect = 0.8
    count = repeats_to_decide(effect, comparisons)

    def of_that_effect(repeats):
        spread = np.resize([1.0, -1.0], repeats)
        values = spread - spread.mean()
        return effect + values / values.std(ddof=1)

    assert chance_above(of_that_effect(count)) * comparisons < LEVEL / 2
    assert chance_above(of_that_effect(count - 1)) * comparisons > LEVEL / 2
    assert clear(of_that_effect(3)).needed == repeats_to_decide(effect)


def test_too_few_repeats_that_agree_say_how_many_would_decide_and_those_that_do_not_agree_say_none():
    """Of one repeat there is no p-value; a table without a number would read as if none could ever decide."""
    assert clear([0.3]).needed == in_every_repeat([True, True]).needed == LEAST_REPEATS
    assert all_of([clear([0.3]), in_every_repeat([True])]).needed == LEAST_REPEATS
    assert in_every_repeat([True, False]).needed is None
    assert clear([np.nan]).needed is None
