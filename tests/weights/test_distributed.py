"""Folders of torch.distributed.checkpoint: what PyTorch itself makes of them, without unpickling."""

import pytest
import torch
import torch.distributed.checkpoint as dcp
from torch import nn
from torch.distributed.checkpoint.format_utils import dcp_to_torch_save

from spectail.errors import SourceError
from spectail.weights.distributed import _joined
from spectail.weights.opening import open_weights
from spectail.weights.stored import local_file


@pytest.fixture
def folder(tmp_path):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(20, 30), nn.ReLU(), nn.Linear(30, 8).bfloat16())
    state = {"model": model.state_dict(), "optim": {"state": {"0": torch.ones(20, 30)}}, "epoch": 3}
    dcp.save(state, checkpoint_id=tmp_path / "step", no_dist=True)
    return tmp_path / "step"


@pytest.mark.filterwarnings("ignore")
def test_tensors_are_what_pytorch_converts_to(folder, tmp_path):
    dcp_to_torch_save(folder, tmp_path / "whole.pt")
    expected = torch.load(tmp_path / "whole.pt", weights_only=True)["model"]
    matrices = open_weights(folder).matrices
    assert [matrix.name for matrix in matrices] == ["0.weight", "2.weight"]
    for matrix in matrices:
        assert torch.equal(matrix.load()[0], expected[matrix.name])
        assert matrix.dtype == str(expected[matrix.name].dtype).removeprefix("torch.")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", [".metadata", "__0_0.distcp"])
def test_a_folder_cut_off_anywhere_is_refused(tmp_path, name):
    dcp.save({"model": {"a": torch.ones(9, 8), "b": torch.ones(7, 6)}}, checkpoint_id=tmp_path, no_dist=True)
    content = (tmp_path / name).read_bytes()
    for cut in range(0, len(content), len(content) // 50):
        (tmp_path / name).write_bytes(content[:cut])
        with pytest.raises(SourceError):
            open_weights(tmp_path)


def test_pieces_are_put_where_they_belong(tmp_path):
    whole = torch.arange(35.0).reshape(5, 7)
    for name, values in (("a", whole[:3]), ("b", whole[3:])):
        torch.save(values.clone(), tmp_path / name)
    pieces = [((3, 0), (2, 7), local_file(tmp_path / "b")), ((0, 0), (3, 7), local_file(tmp_path / "a"))]
    assert torch.equal(_joined("w", (5, 7), torch.float32, pieces), whole)
    with pytest.raises(SourceError, match="is not what it should be"):
        _joined("w", (5, 7), torch.float32, [((0, 0), (2, 7), pieces[1][2])])


@pytest.mark.filterwarnings("ignore")
def test_a_key_asks_for_one_of_several_state_dicts(tmp_path):
    models = {name: nn.Linear(5, 4).state_dict() for name in ("model", "ema")}
    dcp.save({**models, "epoch": 3}, checkpoint_id=tmp_path, no_dist=True)
    for key, name in ((None, "model"), ("ema", "ema")):
        weights = open_weights(tmp_path, key=key)
        assert [matrix.name for matrix in weights.matrices] == ["weight"]
        assert torch.equal(weights.matrices[0].load()[0], models[name]["weight"])
    assert 'key="ema" asks for it' in {one.name: one.reason for one in open_weights(tmp_path).skipped}["ema"]
    with pytest.raises(SourceError, match="there are model, ema"):
        open_weights(tmp_path, key="optim")
