"""The page of models side by side, which is text and pictures."""

import base64
import re
import struct

import pytest
import torch
from torch import nn

from spectail import compare
from spectail.report.pages.models import save_models


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    torch.manual_seed(0)
    models = {
        "small": nn.Sequential(nn.Linear(40, 30), nn.Linear(30, 20)),
        "wide": nn.Sequential(nn.Linear(40, 60)),
    }
    return save_models(compare(models), tmp_path_factory.mktemp("page"))


def test_models_stand_below_each_other_in_each_matrix_so_that_the_table_is_as_narrow_for_ten(written):
    page = written[0].read_text(encoding="utf-8")
    assert page.count("<main>") == 1
    matrices = page[page.index("<h2>Matrices") :]
    assert matrices.count('<th scope="col">') == 12
    groups = [re.findall("<t[dh][^>]*>(.*?)</t[dh]>", group) for group in matrices.split("<tbody>")[1:]]
    assert [[*group[:3], *group[12:14]] for group in groups] == [
        ["0.weight", "linear", "small", "wide", "60"],
        ["1.weight", "linear", "small", "wide", "–"],
    ]


def test_a_phone_has_pictures_of_its_own_whose_letters_are_not_made_small(written):
    page = written[0].read_text(encoding="utf-8")
    pictures = re.findall(
        r'max-width: 40rem\)" srcset="data:image/png;base64,([^"]+)"><img src="data:[^,]+,([^"]+)"', page
    )
    assert len(pictures) == 3  # effect, z, stable rank
    for narrow, wide in pictures:
        inches = [struct.unpack(">I", base64.b64decode(one)[16:20])[0] / 200 for one in (narrow, wide)]
        assert inches == pytest.approx([3.25, 6.75], abs=0.01)  # of a phone's 358 pixels 7 points are 11
