"""Values that are not those that were written: told by the checksum of their archive, and the rest is measured."""

import io
import json
import zipfile

import numpy as np
import pytest
import torch
import torch.distributed.checkpoint as dcp

from spectail import SourceError, analyze, analyze_series, events
from spectail.weights.opening import open_weights

STATE = {
    "a.weight": torch.arange(600.0).reshape(30, 20).sin(),
    "attn.in_proj_weight": torch.arange(1200.0).reshape(60, 20).cos(),  # its parts are read row by row
    "attn.out_proj.weight": torch.arange(400.0).reshape(20, 20).sqrt(),
}


def as_keras(path):
    h5py, file = pytest.importorskip("h5py"), io.BytesIO()
    with h5py.File(file, "w") as content:
        for name, value in STATE.items():
            content[f"layers/{name}/kernel"] = value.numpy()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", json.dumps({"class_name": "Sequential", "config": {"layers": []}}))
        archive.writestr("model.weights.h5", file.getvalue())


ARRAYS = {name: value.numpy() for name, value in STATE.items()}

WRITERS = {
    "x.pt": lambda path: torch.save(STATE, path),
    "x.ckpt": lambda path: torch.save({"state_dict": STATE, "global_step": 7}, path),
    "x.npz": lambda path: np.savez(path, **ARRAYS),
}


def damage(path, name):
    """Set 64 bytes of a tensor to zero, as a disk does that loses a block."""
    content = bytearray(path.read_bytes())
    at = content.index(STATE[name].numpy().tobytes()) + 500
    content[at : at + 64] = bytes(64)
    path.write_bytes(content)


@pytest.mark.parametrize("name", ["a.weight", "attn.in_proj_weight"])
@pytest.mark.parametrize("file", WRITERS)
def test_a_damaged_tensor_is_told_and_the_others_are_measured(file, name, tmp_path):
    WRITERS[file](tmp_path / file)
    whole = analyze(tmp_path / file, nulls=False).frame.set_index("name")
    damage(tmp_path / file, name)
    frame = analyze(tmp_path / file, nulls=False).frame.set_index("name")
    assert list(frame.index) == list(whole.index)
    for matrix, row in frame.iterrows():
        if matrix.startswith(name):
            assert "not measured" in row["note"]
            assert "is not what was written (CRC-32)" in row["note"]
            assert np.isnan(row["spectral_norm"])
        else:
            assert row["spectral_norm"] == whole.loc[matrix, "spectral_norm"]


@pytest.mark.filterwarnings("ignore:torch.distributed is disabled")
def test_a_piece_of_a_distributed_checkpoint_is_checked(tmp_path):
    dcp.save({"model": STATE}, checkpoint_id=tmp_path, no_dist=True)
    damage(next(tmp_path.glob("*.distcp")), "a.weight")
    with pytest.raises(SourceError, match="CRC-32"):
        {one.name: one for one in open_weights(tmp_path).matrices}["a.weight"].load()


def test_an_archive_of_keras_is_checked(tmp_path):
    as_keras(tmp_path / "x.keras")
    assert analyze(tmp_path / "x.keras", nulls=False).frame["spectral_norm"].notna().all()
    damage(tmp_path / "x.keras", "a.weight")
    assert analyze(tmp_path / "x.keras", nulls=False).frame["note"].str.contains("CRC-32").all()


def test_deflated_arrays_are_checked(tmp_path):
    np.savez_compressed(tmp_path / "x.npz", **ARRAYS)
    content = bytearray((tmp_path / "x.npz").read_bytes())
    with zipfile.ZipFile(tmp_path / "x.npz") as archive:
        crc = archive.getinfo("a.weight.npy").CRC.to_bytes(4, "little")
    assert content.count(crc) == 2  # in front of the entry, and in the directory
    at = content.rindex(crc)
    content[at] ^= 1
    (tmp_path / "x.npz").write_bytes(content)
    with pytest.raises(SourceError, match="CRC-32"):
        open_weights(tmp_path / "x.npz").matrices[0].load()


def test_files_that_torch_saved_without_checksums_are_read(tmp_path):
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(STATE, tmp_path / "x.pt")
    finally:
        torch.serialization.set_crc32_options(True)
    assert torch.equal(open_weights(tmp_path / "x.pt").matrices[0].load()[0], STATE["a.weight"])


def test_files_that_are_filled_in_after_torch_saved_them_are_read(tmp_path):
    with torch.serialization.skip_data():
        torch.save(STATE, tmp_path / "x.pt")
    assert open_weights(tmp_path / "x.pt").matrices[0].load().shape == (1, 30, 20)


def test_a_pickle_that_is_not_what_was_written_is_refused(tmp_path):
    torch.save(STATE, tmp_path / "x.pt")
    content = (tmp_path / "x.pt").read_bytes()
    (tmp_path / "x.pt").write_bytes(content.replace(b"a.weight", b"b.weight"))
    with pytest.raises(SourceError, match=r"data\.pkl in it is not what was written"):
        open_weights(tmp_path / "x.pt")


def test_a_damaged_tensor_of_a_series_is_told_once_and_is_no_layer_that_came_or_went(tmp_path):
    for step in (1, 2, 3):
        torch.save(STATE, tmp_path / f"step-{step}.pt")
    damage(tmp_path / "step-2.pt", "a.weight")
    with pytest.warns(UserWarning, match="of step-2.pt 1 of 5 matrices were not measured: .* \\(CRC-32\\)"):
        recording = analyze_series(tmp_path, nulls=False)
    assert np.isnan(recording.spectral_norm.sel(matrix="a.weight")).values.tolist() == [False, True, False]
    assert events(recording) == [], "nor one whose phase changed"
    assert "step-2.pt" in recording.attrs["left_out"]
