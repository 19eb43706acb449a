"""Whatever holds numbers is taken for a tensor, and what does not is refused in a sentence."""

import math

import numpy as np
import pytest
import torch
import xarray as xr

from spectail import spectra
from spectail.errors import SpectailError
from spectail.spectra.precision import as_tensor, check_device

W = torch.tensor([[3.0, 1.0, 0.5], [0.25, 2.0, 0.125]], dtype=torch.float64)
SPECTRUM = torch.linspace(0.5, 1.5, 20, dtype=torch.float64).square()
LAW = spectra.MarchenkoPastur(30, 20, 0.01)
ORTHONORMAL = torch.eye(4, dtype=torch.float64)[:, :2]
OF_A_MATRIX = {
    spectra.eigenvalues: (W,),
    spectra.singular_values: (W,),
    spectra.eigenvalues_and_top_direction: (W,),
    spectra.gram_matrix: (W,),
    spectra.spectral_norm: (W,),
    spectra.frobenius_norm: (W,),
    spectra.singular_vectors: (W,),
    spectra.hill: (W,),
    spectra.classify: (W,),
}
OF_A_SPECTRUM = {
    spectra.effective_rank: (SPECTRUM,),
    spectra.stable_rank: (SPECTRUM,),
    spectra.histogram: (SPECTRUM,),
    spectra.count_modes: (SPECTRUM,),
    spectra.fit_marchenko_pastur: (SPECTRUM, 30, 20),
    spectra.count_spikes: (SPECTRUM, LAW),
    spectra.fit_bulk: (SPECTRUM, 30, 20),
    spectra.sphericity: (SPECTRUM, 30, 20),
    spectra.spike_values: (SPECTRUM, LAW),
    spectra.spectral_gap: (SPECTRUM, LAW),
    spectra.hill: (SPECTRUM,),
    spectra.hill_fit: (SPECTRUM,),
    spectra.ks_fit: (SPECTRUM,),
    spectra.likelihood_ratios: (SPECTRUM, 10.0),
    spectra.tail_kind: (SPECTRUM, 30, 20),
    spectra.classify: (SPECTRUM, 30, 20),
    LAW.density: (SPECTRUM,),
    LAW.cdf: (SPECTRUM,),
    LAW.quantile: (SPECTRUM / 3,),
    LAW.distance: (SPECTRUM,),
}
OF_OTHERS = {
    spectra.eigenvalues_of_slices: (torch.stack([W, 2 * W]),),
    spectra.homogeneous: (torch.stack([W, 2 * W]),),
    spectra.shuffled_nulls: (W,),
    spectra.squared_overlaps: (ORTHONORMAL, ORTHONORMAL.flip(1)),
    spectra.singular_overlaps: (W, W.flip(1)),
    spectra.intruder_dimensions: (W, W.flip(1)),
    spectra.spectral_distances: (SPECTRUM, 2 * SPECTRUM),
    spectra.truncated_power_law_fit: (SPECTRUM,),
    spectra.windowed_eigenvalues: (W,),
    spectra.farms_hill: (W,),
    spectra.vector_localisation: (W,),
    spectra.subspace_overlap: (ORTHONORMAL, ORTHONORMAL.flip(1)),
    spectra.participation_ratio: (W,),
    spectra.overlap_entropy: (W,),
    spectra.window_overlap: (W,),
    spectra.leading_overlap: (W, 2),
    spectra.sum_law: (SPECTRUM.sqrt(), 30, 20),
    spectra.principal_angles: (ORTHONORMAL, ORTHONORMAL.flip(0)),
    spectra.hill_penalty: (W,),
}
CALLS = [*OF_A_MATRIX.items(), *OF_A_SPECTRUM.items(), *OF_OTHERS.items()]
KINDS = {
    "array": lambda values: values.numpy(),
    "list": lambda values: values.tolist(),
    "read only": lambda values: np.broadcast_to(values.numpy(), values.shape),
    "turned around": lambda values: values.flip(0).numpy()[::-1],
    "of another byte order": lambda values: values.numpy().astype(values.numpy().dtype.newbyteorder()),
    "labelled": lambda values: xr.DataArray(values.numpy()),
}


def parts(answer):
    """What an answer holds, to be compared: NaN equals NaN, and a tensor its list."""
    if isinstance(answer, torch.Tensor):
        return answer.tolist()
    if isinstance(answer, tuple):
        return [parts(part) for part in answer]
    return repr(answer)


def detached(answer):
    return answer.detach() if isinstance(answer, torch.Tensor) else answer


def test_every_function_of_the_room_that_takes_numbers_is_called_here():
    heads = (
        "MarchenkoPastur ExponentNull StatisticNull Nulls GoodnessOfFit PowerLawFit Phase PhaseEvidence "
        "SingularVectors LikelihoodRatio TailKind "
        "Inhomogeneity IntruderDimensions SpectralDistances TruncatedPowerLawFit "
        "Localisation OverlapNull Overlaps ShuffledNull SumLaw"
    )
    of_scalars = "critical_strength spike_eigenvalue spike_overlap_left spike_overlap_right visible_edge standard_error"
    of_scalars += " alignment_null largest_overlap_null overlap_entropy_null overlap_null participation_ratio_null"
    of_scalars += " simulate_principal_angles leading_overlap_null"
    no_numbers = "gaussian_spectrum simulate_nulls pl_alpha_hill bootstrap_p_value"
    others = set(f"{heads} {of_scalars} {no_numbers}".split())
    assert {function.__name__ for function, _ in CALLS} >= set(spectra.__all__) - others


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("function", "arguments"), CALLS, ids=lambda value: getattr(value, "__name__", ""))
def test_arrays_and_lists_say_what_tensors_do(function, arguments, kind):
    if function is spectra.gram_matrix and kind in ("list", "labelled"):
        pytest.skip("the parts of a Gram matrix come in a list")
    other = [KINDS[kind](value) if isinstance(value, torch.Tensor) else value for value in arguments]
    assert parts(function(*other)) == parts(function(*arguments))


def test_integers_are_numbers_and_floats_keep_their_precision():
    assert spectra.eigenvalues([[3, 0], [0, 1]]).tolist() == [1.0, 9.0]
    assert spectra.ks_fit(torch.arange(1, 30)) == spectra.ks_fit(np.arange(1.0, 30.0))
    assert as_tensor(np.ones(3, np.float32)).dtype == torch.float32
    assert as_tensor(np.ones(3, np.longdouble)).dtype == torch.float64


def test_keywords_are_taken_as_positions_are():
    by_keyword = spectra.classify(cols=20, spectrum=SPECTRUM.numpy(), rows=30)
    assert by_keyword == spectra.classify(SPECTRUM, 30, 20)


def test_an_array_is_not_changed():
    array = SPECTRUM.numpy()[::-1].copy()
    before = array.copy()
    for function, (_, *others) in OF_A_SPECTRUM.items():
        if function != LAW.quantile:
            function(array, *others)
    np.testing.assert_array_equal(array, before)


NO_NUMBERS = {
    "rows of several lengths": ([[1.0, 2.0], [3.0]], "rows of one length"),
    "words": (["one", "two"], "real numbers"),
    "complex numbers": (np.ones((2, 2)) * 1j, "real numbers"),
    "a complex tensor": (torch.ones(2, 2) * 1j, "real numbers"),
    "nothing": (None, "expected a tensor, an array or a list, got None"),
    "a word": ("one", "expected a tensor, an array or a list, got 'one'"),
    "a dictionary": ({"W": 1.0}, "expected a tensor, an array or a list, got {'W': 1.0}"),
    "a tensor without numbers": (torch.ones(2, 2, device="meta"), "meta device"),
}


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(("function", "arguments"), CALLS, ids=lambda value: getattr(value, "__name__", ""))
def test_what_holds_no_numbers_is_refused_in_a_sentence(function, arguments):
    """As each of the tensors that a function takes, with the others as they should be."""
    for at in (at for at, one in enumerate(arguments) if isinstance(one, torch.Tensor)):
        for what, sentence in NO_NUMBERS.values():
            if function is not spectra.gram_matrix or not isinstance(what, list):  # of parts
                with pytest.raises(SpectailError, match=sentence):
                    function(*arguments[:at], what, *arguments[at + 1 :])


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(("function", "arguments"), CALLS, ids=lambda value: getattr(value, "__name__", ""))
def test_sparse_tensors_and_gradients_change_nothing(function, arguments):
    for kind in (torch.Tensor.to_sparse, torch.nn.Parameter):
        others = [kind(one) if isinstance(one, torch.Tensor) else one for one in arguments]
        assert parts(detached(function(*others))) == parts(function(*arguments))


@pytest.mark.usefixtures("unchecked")
def test_one_number_is_no_matrix_and_no_spectrum_but_has_a_density():
    for function in (spectra.eigenvalues, spectra.ks_fit, spectra.stable_rank):
        with pytest.raises(SpectailError, match=r"got shape \(\)"):
            function(3.0)
    assert LAW.cdf(1.0).item() == LAW.cdf([1.0]).item()


UNCHECKED = (spectra.stable_rank, LAW.density, LAW.cdf, LAW.quantile)
CHECKED_SPECTRUM = [function for function in OF_A_SPECTRUM if function not in UNCHECKED]  # a set has no order


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("function", CHECKED_SPECTRUM, ids=lambda function: function.__name__)
def test_no_eigenvalues_and_eigenvalues_in_a_table_are_refused_in_a_sentence(function):
    others = OF_A_SPECTRUM[function][1:]
    with pytest.raises(SpectailError, match="at least one eigenvalue, got none"):
        function([], *others)
    if function is not spectra.hill:  # of a matrix
        with pytest.raises(SpectailError, match=r"one dimension, got shape \(2, 3\)"):
            function(W, *others)


OTHERS = spectra.gram_matrix, spectra.frobenius_norm, spectra.hill, spectra.classify
CHECKED_MATRIX = [function for function in OF_A_MATRIX if function not in OTHERS]  # in one order in every worker


@pytest.mark.parametrize("function", CHECKED_MATRIX, ids=lambda function: function.__name__)
@pytest.mark.parametrize("values", [[], [[]], [1.0, 2.0], np.ones((2, 3, 4))], ids=["none", "empty", "1-d", "3-d"])
def test_what_is_no_matrix_is_refused_in_a_sentence(function, values):
    with pytest.raises(SpectailError, match="must be a matrix that is not empty, got shape"):
        function(values)


def test_a_missing_argument_is_a_mistake_of_the_caller():
    with pytest.raises(TypeError):
        spectra.eigenvalues()


def test_a_device_that_is_not_here_is_refused_in_a_sentence():
    assert check_device("cpu") == torch.device("cpu")
    with pytest.raises(SpectailError, match="device='abacus' is not available here"):
        check_device("abacus")


def test_nan_stays_nan_where_a_number_is_the_answer():
    for function in (spectra.hill, spectra.effective_rank):
        assert math.isnan(function([1.0, math.nan, 3.0]))


def test_storing_moves_the_smallest_eigenvalue_of_a_square_matrix_as_the_page_says():
    """docs/analyze.md: in float32 by about a millionth, in bfloat16 by several per cent and more."""
    stream = torch.Generator().manual_seed(0)
    moved = {torch.float32: [], torch.bfloat16: []}
    for _ in range(15):
        weights = torch.randn(128, 128, generator=stream, dtype=torch.float64)
        exact = spectra.eigenvalues(weights)[0]
        for dtype, shares in moved.items():
            shares.append(float((spectra.eigenvalues(weights.to(dtype).double())[0] / exact - 1).abs()))
    assert 1e-7 < np.median(moved[torch.float32]) < 5e-6
    assert np.median(moved[torch.bfloat16]) > 0.01
