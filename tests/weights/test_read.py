"""Bad files: one clear line each, nothing run, nothing loaded silently wrong."""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import pickle
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from res2net.data.pickled import read_arrays
from res2net.errors import UserError
from res2net.weights.fetch import check_hash
from res2net.weights.layouts import translate
from res2net.weights.read import read_content

STATE = {
    "conv1.weight": torch.arange(12.0).reshape(3, 4),
    "layer1.0.conv1.weight": torch.ones(2, 2),
}
RAN: list[str] = []


class Evil:
    """Code in a pickle: it would show in RAN."""

    def __reduce__(self):
        return (RAN.append, ("ran",))


class Opaque:
    """An object of somebody's own class."""


def _equal(found: dict[str, object]) -> bool:
    return set(found) == set(STATE) and all(torch.equal(found[k], v) for k, v in STATE.items())


def _mapped(file: Path, tensor: torch.Tensor) -> bool:
    """Whether a tensor is the file's own memory."""
    rows = [row.split() for row in Path("/proc/self/maps").read_text().splitlines()]
    spans = [row[0].split("-") for row in rows if row[5:] == [str(file)]]
    return any(int(a, 16) <= tensor.data_ptr() < int(b, 16) for a, b in spans)


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="asks Linux where memory lies")
def test_a_checkpoint_is_read_without_a_copy_in_memory(tmp_path: Path) -> None:
    file = tmp_path / "a.pth"
    torch.save(STATE, file)
    values = read_content(file).values
    assert _mapped(file, values["conv1.weight"])
    values["conv1.weight"].add_(1)  # changes nothing in the file
    assert _equal(read_content(file).values)


def test_a_compressed_checkpoint_is_read(tmp_path: Path) -> None:
    torch.save(STATE, tmp_path / "a.pth")
    with (
        zipfile.ZipFile(tmp_path / "a.pth") as stored,
        zipfile.ZipFile(tmp_path / "b.pth", "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for name in stored.namelist():
            packed.writestr(name, stored.read(name))
    assert _equal(read_content(tmp_path / "b.pth").values)


@pytest.mark.parametrize("form", ["safetensors", "zip", "old", "pickle"])
def test_what_a_file_is_shows_in_its_bytes(form: str, tmp_path: Path) -> None:
    path = tmp_path / "weights.bin"  # a name that says nothing
    if form == "safetensors":
        save_file(STATE, path)
    elif form == "pickle":
        path.write_bytes(pickle.dumps({k: v.numpy() for k, v in STATE.items()}))
    else:
        torch.save(STATE, path, _use_new_zipfile_serialization=form == "zip")
    content = read_content(path)
    assert content.kind == {"zip": "torch", "old": "torch"}.get(form, form)
    assert _equal(content.values)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("dtype", ["float32", "float16", ">f4", "int64", "bool"])
def test_arrays_of_every_protocol_and_type(protocol: int, dtype: str, tmp_path: Path) -> None:
    path = tmp_path / "f.pdparams"
    array = np.arange(6).reshape(2, 3).astype(dtype)
    values = {
        "a": array,
        "fortran": np.asfortranarray(array),
        "pair": ("name", array),  # how PaddlePaddle writes a single tensor
        "StructuredToParameterName@@": {"a": "linear_0.w_0"},
        "scalar": array[1, 2],
    }
    path.write_bytes(pickle.dumps(values, protocol=protocol))
    if protocol < 2:  # text protocols, which no library writes weights in
        with pytest.raises(UserError):
            read_content(path)
        return
    found = read_arrays(path.read_bytes(), str(path), "a file of weights")
    for key in ("a", "fortran", "pair"):
        assert np.array_equal(found[key], array)
        assert found[key].dtype == array.dtype.newbyteorder("=")
        assert found[key].flags.writeable
    assert found["scalar"] == array[1, 2]


@pytest.mark.parametrize("form", ["zip", "old", "pickle"])
@pytest.mark.parametrize("harm", [Evil, Opaque])
def test_code_and_objects_are_refused(form: str, harm: type, tmp_path: Path) -> None:
    path, values = tmp_path / "f.pth", {"w": harm()}
    if form == "pickle":
        path.write_bytes(pickle.dumps(values))
    else:
        torch.save(values, path, _use_new_zipfile_serialization=form == "zip")
    with pytest.raises(UserError, match="refused"):
        read_content(path)
    assert RAN == []


@pytest.mark.parametrize(
    "name", ["os system", "builtins eval", "numpy.core.multiarray fromfile", "torch load"]
)
def test_a_pickle_may_name_nothing_but_arrays(name: str, tmp_path: Path) -> None:
    module, attribute = name.split()
    path = tmp_path / "f.pdparams"
    call = f"c{module}\n{attribute}\n(S'touch {tmp_path}/ran'\ntR.".encode()
    path.write_bytes(b"\x80\x02" + call)
    with pytest.raises(UserError, match=f"refused.*{module}.{attribute}"):
        read_content(path)
    assert not (tmp_path / "ran").exists()


def test_arrays_of_objects_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "f.pdparams"
    path.write_bytes(pickle.dumps({"a": np.array([Opaque(), 1], dtype=object)}))
    with pytest.raises(UserError, match="refused"):
        read_content(path)


def test_plain_data_of_training_scripts_is_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "f.pth.tar"
    torch.save(
        {
            "state_dict": STATE,
            "args": argparse.Namespace(lr=0.1),
            "best": np.float64(77.1),
            "metric": np.ones(3),
        },
        path,
    )
    assert _equal(translate(read_content(path), "f").state)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty"),
        (b"<!DOCTYPE html><title>404</title>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00", "a Git LFS pointer"),
        (b"\x1f\x8b\x08\x00", "a gzip archive"),
        (b"\x89HDF\r\n", "HDF5"),
        (b"\x89PNG\r\n", "a picture"),
        (b"hello, these are not weights at all", "damaged or not a weight file"),
        (b"\x80\x04", "damaged or not a file of weights"),
        (b"PK\x03\x04 and then nothing", "damaged"),
        (b"\x08\0\0\0\0\0\0\0{}      ", r"no weights \(it holds"),
        (b"\xff\0\0\0\0\0\0\0{", "damaged or not a safetensors file"),
        (pickle.dumps([1, 2]), "holds a list, not weights by name"),
    ],
)
def test_other_files(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "f.pth"
    path.write_bytes(content)
    with pytest.raises(UserError, match=message) as caught:
        translate(read_content(path), str(path))
    assert "\n" not in str(caught.value)
    assert "f.pth" in str(caught.value)


def test_no_file_a_folder_a_torchscript(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        read_content(tmp_path / "none.pth")
    with pytest.raises(UserError, match="is a folder"):
        read_content(tmp_path)


def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    path = tmp_path / "f.pth"
    torch.save(STATE, path)
    path.chmod(0)
    if os.access(path, os.R_OK):
        path = Path("/proc/self/mem")  # root reads everything else
    with pytest.raises(UserError, match="cannot be read"):
        read_content(path)


def test_a_wrong_checksum_in_a_checkpoint_is_seen(tmp_path: Path) -> None:
    """PyTorch itself loads this file without a word."""
    path = tmp_path / "f.pth"
    torch.save(STATE, path)
    data = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        entry = archive.getinfo("f/data/0")
    place = data.index(STATE["conv1.weight"].numpy().tobytes(), entry.header_offset) + 21
    data[place] ^= 0x40
    path.write_bytes(data)
    loaded = torch.load(path, weights_only=True)
    assert not torch.equal(loaded["conv1.weight"], STATE["conv1.weight"])
    with pytest.raises(UserError, match=r"damaged \(wrong checksum of f/data/0"):
        read_content(path)


def test_a_checkpoint_written_without_checksums_is_read(tmp_path: Path) -> None:
    path = tmp_path / "f.pth"
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(STATE, path)
    finally:
        torch.serialization.set_crc32_options(True)
    assert _equal(read_content(path).values)


def _written(form: str, folder: Path) -> Path:
    path = folder / f"f.{form}"
    if form == "safetensors":
        save_file(STATE, path)
    elif form == "pdparams":
        path.write_bytes(pickle.dumps({k: v.numpy() for k, v in STATE.items()}))
    else:
        torch.save(STATE, path, _use_new_zipfile_serialization=form == "pth")
    return path


@pytest.mark.parametrize("form", ["safetensors", "pth", "old", "pdparams"])
@settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_flipped_bytes_never_crash_and_never_pass_a_known_hash(form: str, data) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = _written(form, Path(folder))
        good = path.read_bytes()
        digest = hashlib.sha256(good).hexdigest()
        places = st.lists(st.integers(0, len(good) - 1), min_size=1, max_size=6, unique=True)
        bad = bytearray(good)
        for place in data.draw(places):
            bad[place] ^= data.draw(st.integers(1, 255))
        if data.draw(st.booleans()):
            bad = bad[: data.draw(st.integers(0, len(bad)))]
        path.write_bytes(bad)
        with pytest.raises(UserError, match="its sha256 begins with"):
            check_hash(path, digest[:8], "its name")
        with contextlib.suppress(UserError):  # every other exception fails the test
            translate(read_content(path), str(path))
    assert RAN == []


def test_a_small_file_that_takes_all_memory_is_refused(tmp_path: Path) -> None:
    plain, packed = tmp_path / "plain.pth", tmp_path / "packed.pth"
    torch.save({"w": torch.zeros(20 << 20)}, plain)  # 80 MiB of zeros
    with zipfile.ZipFile(plain) as source, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as to:
        for name in source.namelist():
            to.writestr(name, source.read(name))
    with pytest.raises(UserError, match=r"packed\.pth: refused: .* would unpack to .* bomb"):
        read_content(packed)
    assert read_content(plain).values["w"].numel() == 20 << 20


@pytest.mark.parametrize(
    "value",
    [
        torch.zeros(1).expand(1 << 20, 1 << 20),
        torch.eye(3).to_sparse(),
    ],
    ids=["expanded", "sparse"],
)
def test_tensors_that_are_no_numbers_in_memory_are_refused(
    value: torch.Tensor, tmp_path: Path
) -> None:
    for content in ({"w": value}, {"state_dict": {"w": value}}, {"a": [{"w": value}]}):
        torch.save(content, tmp_path / "f.pth")
        with pytest.raises(UserError, match=r"f\.pth: (refused|holds a sparse)"):
            read_content(tmp_path / "f.pth")


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "f.pth")
    with pytest.raises(UserError, match="a named pipe, not a file"):
        read_content(tmp_path / "f.pth")
