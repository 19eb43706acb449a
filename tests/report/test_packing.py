"""Numbers and spectra of a page, read back as its script reads them."""

import json

import numpy as np
import pytest

from report.unpacking import unpacked
from spectail.report.pages.packing import PackedArrays, PackedSpectra


def test_whole_numbers_come_back_as_they_were_and_others_to_five_digits():
    arrays = PackedArrays()
    whole = [[0, 255], [0, 256], [0, 70_000], [-3, 400], [-40_000, 1], []]
    places = [arrays.add(np.array(one, dtype=np.int64)) for one in whole]
    numbers = np.array([0.0, -1.5, 3.14159265, 6.02e23, 1e-30, np.nan, np.inf, -np.inf])
    fractions = arrays.add(numbers)
    assert [unpacked(arrays.text(), place).tolist() for place in places] == whole
    back = unpacked(arrays.text(), fractions)
    np.testing.assert_allclose(back[:5], numbers[:5], rtol=2**-16)  # 15 bits of the fraction, rounded
    assert np.isnan(back[5:]).all()


def test_many_alike_objects_come_back_as_they_were_in_less_room():
    runs = [{"label": f"run {at} η=0.1", "series": {"kta": [round(at / 7, 4), None]}} for at in range(1000)]
    arrays = PackedArrays()
    place = arrays.add_json(runs)
    assert json.loads(unpacked(arrays.text(), place).tobytes()) == runs
    assert len(arrays.text()) < len(json.dumps(runs)) / 3  # where each holds a number of its own


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_spectrum_is_counted_where_it_lies(dtype):
    generator = np.random.default_rng(0)
    spectra = np.sort(generator.lognormal(0, 3, (5, 200)), axis=1).astype(dtype)
    spectra[1, :50] = np.nan  # a shorter one
    spectra[2] = 0.0
    spectra[3, -1] = np.inf
    packed, arrays = PackedSpectra(40), PackedArrays()
    assert packed.add(spectra, np.array([3.0, np.nan, 0.0, 1.0, 500.0])).tolist() == [0, 1, -1, -1, 2]
    parts = {
        name: unpacked(arrays.text(), place) if isinstance(place, dict) else place
        for name, place in packed.packed(arrays).items()
    }
    assert parts["sizes"].tolist() == [200, 150, 200]
    assert parts["tops"].tolist() == [3, 1, 40]
    starts = np.concatenate([[0], np.cumsum(parts["lengths"].astype(int))])
    for at, values in enumerate((spectra[0], spectra[1, 50:], spectra[4])):
        counts = parts["counts"][starts[at] : starts[at + 1]]
        cells = np.floor(np.log10(values.astype(float)) * 40).astype(int) - parts["first"][at]
        wanted = np.bincount(cells[cells >= 0], minlength=len(counts))
        assert np.abs(counts.astype(int) - wanted).sum() <= 2  # one may lie on a bound to rounding
    np.testing.assert_allclose(parts["largest"][:3], np.log10(spectra[0, -3:].astype(float)), rtol=2**-15)


def test_what_is_ten_decades_below_the_largest_is_zero_to_rounding():
    packed, arrays = PackedSpectra(40), PackedArrays()
    packed.add(np.array([[1e-14, 1e-3, 1.0]]))
    parts = packed.packed(arrays)
    assert unpacked(arrays.text(), parts["counts"]).sum() == 2
    assert unpacked(arrays.text(), parts["sizes"]).tolist() == [3]
