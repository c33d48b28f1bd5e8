"""Saving and loading: bit for bit, all or nothing, whatever happens in between."""

import builtins
import io
import json
import os
import pickle
import re
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

import minigrad as mg
from minigrad import files, nn
from minigrad.errors import DeviceError, DTypeError

safetensors = pytest.importorskip("safetensors.numpy")

DTYPES = ["?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"]
OLD = {"old": mg.ones(3)}


@pytest.fixture
def path(tmp_path):
    """A file that was saved before, alone in its folder."""
    files.save(OLD, tmp_path / "a.safetensors")
    return tmp_path / "a.safetensors"


def same_bits(found, expected):
    expected = np.asarray(expected)
    found = found.numpy()
    native = expected.dtype.newbyteorder("=")
    assert (found.dtype, found.shape) == (native, expected.shape)
    assert found.tobytes() == expected.astype(native).tobytes()


def is_untouched(path):
    assert os.listdir(path.parent) == [path.name]
    assert files.load(path)["old"].tolist() == [1, 1, 1]


# ---- round trips

arrays = st.sampled_from(DTYPES).flatmap(
    lambda dtype: npst.arrays(
        dtype,
        npst.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
        elements=st.booleans() if dtype == "?" else npst.from_dtype(np.dtype(dtype)),
    )
)
names = st.text(st.characters(exclude_categories=["Cs"]), max_size=8).filter(
    lambda name: name != "__metadata__"
)


@given(st.dictionaries(names, arrays, max_size=5), st.booleans())
def test_every_state_comes_back_bit_for_bit(tmp_path_factory, state, as_tensors):
    path = tmp_path_factory.getbasetemp() / "drawn.safetensors"
    files.save({n: mg.tensor(a) if as_tensors else a for n, a in state.items()}, path)
    found = files.load(path)
    assert found.keys() == state.keys()
    for name, array in state.items():
        same_bits(found[name], array)
    for theirs in (safetensors.load_file(path), safetensors.load(path.read_bytes())):
        assert theirs.keys() == state.keys()
        assert all(theirs[n].tobytes() == a.tobytes() for n, a in state.items())
    files.save(found, path)  # once more gives the same
    assert all(same_bits(t, state[n]) is None for n, t in files.load(path).items())


@given(st.dictionaries(names, arrays, max_size=5))
def test_what_safetensors_writes_is_read(tmp_path_factory, state):
    path = tmp_path_factory.getbasetemp() / "theirs.safetensors"
    safetensors.save_file(state, path, metadata={"format": "np"})
    found = files.load(path)
    assert found.keys() == state.keys()
    for name, array in state.items():
        same_bits(found[name], array)


NANS = np.array([0x7FC00001, 0xFFC12345, 0x7F800001, 0x80000000], np.uint32).view(np.float32)
AWKWARD = {
    "payloads of NaN, and -0": NANS,
    "transposed": np.arange(6.0).reshape(2, 3).T,
    "strided": np.arange(20)[::3],
    "backwards": np.arange(5, dtype="f2")[::-1],
    "broadcast": np.broadcast_to(np.float32(3), (2, 3)),
    "big-endian": np.arange(3, dtype=">i4"),
    "Fortran": np.asfortranarray(np.arange(6).reshape(2, 3)),
    "0-d": np.array(5, "u2"),
    "empty": np.zeros((0, 3), np.float16),
    "scalar": np.float64(0.1),
    "boolean scalar": np.bool_(True),
}


@pytest.mark.parametrize("name", AWKWARD)
def test_layouts_of_all_kinds_are_saved_as_they_read(path, name):
    array = np.asarray(AWKWARD[name])
    files.save({"x": array, "y": AWKWARD[name]}, path)
    found = files.load(path)
    same_bits(found["x"], array)
    same_bits(found["y"], array)


def test_numbers_become_arrays_without_axes(path):
    files.save({"int": 3, "float": 0.1, "bool": True, "big": 2**63 - 1}, path)
    found = files.load(path)
    assert {name: t.item() for name, t in found.items()} == {
        "int": 3,
        "float": 0.1,
        "bool": True,
        "big": 2**63 - 1,
    }
    assert [found[n].dtype for n in ("int", "float", "bool")] == [mg.int64, mg.float64, mg.bool]


def test_tensors_on_any_device_and_views_of_one_memory(path, device):
    x = mg.arange(12, dtype=mg.float32, device=device).reshape(3, 4).requires_grad_()
    files.save({"x": x, "t": x.T, "row": x[1], "again": x, "bare": x.data}, path)
    found = files.load(path)
    assert all(t.device == "cpu" for t in found.values())
    assert found["t"].tolist() == found["x"].T.tolist() == x.detach().T.tolist()
    assert found["row"].tolist() == [4, 5, 6, 7]
    assert found["again"].tolist() == found["bare"].tolist() == x.tolist()


def test_it_loads_to_a_device(path, device):
    found = files.load(path, device=device)["old"]
    assert found.device == mg.zeros(1, device=device).device
    assert found.tolist() == [1, 1, 1]
    with pytest.raises(DeviceError, match="there is no device 'tpu'"):
        files.load(path, device="tpu")


def test_what_is_loaded_has_memory_of_its_own(path):
    files.save({"a": mg.ones(3), "b": mg.ones(3), "c": 1}, path)
    found = files.load(path)
    with mg.no_grad():
        found["a"] += 1
    assert found["b"].tolist() == [1, 1, 1]
    found["b"].requires_grad_().sum().backward()
    assert all(t.data.flags.writeable and t.data.flags.aligned for t in found.values())
    assert files.load(path)["a"].tolist() == [1, 1, 1]


def test_the_order_is_the_files(path):
    state = {name: np.zeros(n) for n, name in enumerate("dbace")}
    safetensors.save_file(state, path)
    content = path.read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    assert list(files.load(path)) == list(header)
    assert list(header) == sorted(state)


def test_one_state_gives_the_same_bytes(path):
    state = model_of(1).state_dict()
    contents = set()
    for given_state in (state, dict(reversed(state.items())), files.load(path) and state):
        files.save(given_state, path)
        contents.add(path.read_bytes())
    assert len(contents) == 1


def test_a_model_an_optimiser_and_the_generator_come_back(path):
    model = model_of(0)
    optimizer = mg.optim.Adam(model.parameters(), lr=0.1)
    model(mg.randn(5, 3)).sum().backward()
    optimizer.step()
    state = {f"model.{n}": t for n, t in model.state_dict().items()}
    state |= {f"optimizer.{n}": t for n, t in optimizer.state_dict().items()}
    files.save({**state, "rng": mg.get_rng_state(), "epoch": 3}, path)
    expected = mg.randn(3).tolist()
    found = files.load(path)
    mg.set_rng_state(found.pop("rng"))
    assert mg.randn(3).tolist() == expected
    assert found.pop("epoch").item() == 3
    assert found.keys() == state.keys()
    for name, value in state.items():
        same_bits(found[name], value.numpy() if isinstance(value, mg.Tensor) else value)


# ---- beside PyTorch


def test_pytorch_reads_what_we_write_and_we_what_it_writes(path):
    torch = pytest.importorskip("torch")
    from safetensors import torch as theirs

    state = {"x": mg.randn(2, 3), "half": mg.ones(2).half(), "n": mg.tensor(3), "b": mg.ones(2) > 0}
    files.save(state, path)
    for name, t in theirs.load_file(path).items():
        same_bits(state[name], t.numpy())
    bits = torch.arange(0, 65536, dtype=torch.int32).to(torch.uint16)
    brain = bits.view(torch.bfloat16)
    theirs.save_file({"brain": brain, "x": torch.ones(2, 3), "0-d": torch.tensor(True)}, path)
    found = files.load(path)
    assert found["brain"].dtype == mg.float32
    assert (found["brain"].numpy().view(np.uint32) == bits.numpy().astype(np.uint32) << 16).all()
    assert np.array_equal(found["brain"].numpy(), brain.float().numpy(), equal_nan=True)
    assert found["x"].tolist() == [[1, 1, 1], [1, 1, 1]]
    assert found["0-d"].item() is True


@pytest.mark.parametrize("dtype", ["float8_e4m3fn", "float8_e5m2", "complex64"])
def test_dtypes_that_minigrad_lacks_are_told_by_name(path, dtype):
    torch = pytest.importorskip("torch")
    from safetensors import torch as theirs

    theirs.save_file(
        {"fine": torch.ones(2), "layer.w": torch.ones(2).to(getattr(torch, dtype))}, path
    )
    with pytest.raises(DTypeError, match=r"'layer\.w' in .*a\.safetensors is [FC]\w+, which"):
        files.load(path)


# ---- what cannot be saved


class Secret:
    """Anything else."""


@pytest.mark.parametrize(
    ("state", "kind", "told"),
    [
        ([mg.ones(2)], TypeError, "got a list: give a dict of tensors by name"),
        (nn.Linear(2, 2), TypeError, r"got a Linear: give its \.state_dict\(\)"),
        (mg.ones(2), TypeError, "got a Tensor: give a dict"),
        ({1: mg.ones(2)}, TypeError, "the name 1: names are text, such as '1'"),
        ({"__metadata__": mg.ones(2)}, ValueError, "'__metadata__', which the format keeps"),
        ({"a": {"b": 1}}, TypeError, r"'a' is a dict.*flatten.*names such as 'a\.b'"),
        ({"a": {}}, TypeError, "'a' is a dict"),
        ({"a": "x"}, TypeError, "'a' is a str"),
        ({"a": None}, TypeError, "'a' is a NoneType.*leave it out"),
        ({"a": [1, 2]}, TypeError, r"'a' is a list.*mg\.tensor\(value\)"),
        ({"a": Secret()}, TypeError, "'a' is a Secret"),
        ({"a": 1j}, TypeError, "'a' is a complex"),
        ({"a": np.array(["x"])}, DTypeError, "'a' cannot be saved: .* cannot hold <U1"),
        ({"a": np.array([None])}, DTypeError, "'a' cannot be saved: .* cannot hold object"),
        ({"a": np.ones(2, complex)}, DTypeError, "'a' cannot be saved: .*complex128"),
        ({"a": np.array("2020", "M8[Y]")}, DTypeError, "'a' cannot be saved"),
        ({"a": 2**70}, DTypeError, "'a' cannot be saved"),
        ({"\ud800": mg.ones(1)}, UnicodeEncodeError, "surrogates"),
    ],
)
def test_what_cannot_be_saved_is_told_before_anything_is_written(path, state, kind, told):
    if isinstance(state, dict):
        state = {"fine": mg.ones(2), **state}
    with pytest.raises(kind, match=told):
        files.save(state, path)
    is_untouched(path)


def test_pytorchs_tensors_are_told_how_to_become_arrays(path):
    torch = pytest.importorskip("torch")
    with pytest.raises(TypeError, match=r"'w' is a Tensor.*value\.detach\(\)\.numpy\(\)"):
        files.save({"w": torch.ones(2)}, path)
    is_untouched(path)


def test_without_safetensors_it_says_what_to_type(path, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors", None)
    for call in (lambda: files.save(OLD, path), lambda: files.load(path)):
        with pytest.raises(ImportError, match=r'pip install safetensors .*"minigrad\[files\]"'):
            call()


def test_importing_it_imports_numpy_and_the_standard_library_alone():
    script = "import sys; from minigrad import files; print('safetensors' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"


# ---- a file is never half written


class Fails:
    """A file that is full after some bytes."""

    def __init__(self, file, room, error):
        self.file, self.room, self.error = file, room, error

    def __getattr__(self, name):
        return getattr(self.file, name)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()

    def write(self, content):
        self.file.write(content[: self.room])
        raise self.error


ERRORS = [OSError(28, "No space left on device"), KeyboardInterrupt(), MemoryError()]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("where", ["replace", "fsync", "write"])
@pytest.mark.parametrize("fresh", [False, True])
def test_an_interrupted_write_leaves_the_old_file_and_nothing_else(
    path, monkeypatch, where, error, fresh
):
    def fail(*_):
        raise error

    target = path.with_name("new") if fresh else path
    if where == "write":
        opened = builtins.open
        monkeypatch.setattr(
            builtins,
            "open",
            lambda name, mode="r": (
                Fails(opened(name, mode), 7, error)
                if "b" in mode and mode != "rb"
                else opened(name, mode)
            ),
        )
    else:
        monkeypatch.setattr(os, where, fail)
    with pytest.raises(type(error)):
        files.save({"new": mg.zeros(99)}, target)
    monkeypatch.undo()
    is_untouched(path)


def test_the_file_is_on_the_disk_before_it_gets_its_name(path, monkeypatch):
    steps = []
    fsync, replace = os.fsync, os.replace

    def noted_fsync(number):
        steps.append(("fsync", os.fstat(number).st_size))
        fsync(number)

    def noted_replace(source, target):
        assert os.path.dirname(source) == os.path.dirname(target)
        steps.append(("replace", os.path.getsize(source)))
        replace(source, target)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(os, "replace", noted_replace)
    files.save({"x": mg.zeros(9)}, path)
    size = path.stat().st_size
    assert steps == [("fsync", size), ("replace", size)]


def test_a_process_killed_at_any_moment_leaves_a_whole_file(tmp_path):
    script = """
import os, sys, numpy as np
from minigrad import files
step, path = int(sys.argv[1]), sys.argv[2]
names = [("os", "fsync"), ("os", "chmod"), ("os", "replace")]
def die(*_): os._exit(9)
setattr(os, names[step][1], die)
files.save({"x": np.ones(1000)}, path)
"""
    target = tmp_path / "a"
    files.save(OLD, target)
    for step in range(3):
        run = subprocess.run([sys.executable, "-c", script, str(step), str(target)])
        assert run.returncode == 9
        assert files.load(target)["old"].tolist() == [1, 1, 1]
    files.save(OLD, target)  # what was left behind is in nobody's way


# ---- permissions, links, paths


def mode_of(path):
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_a_new_file_has_the_permissions_of_any_new_file(tmp_path, mask):
    before = os.umask(mask)
    try:
        files.save(OLD, tmp_path / "ours")
        (tmp_path / "plain").write_bytes(b"")
    finally:
        os.umask(before)
    assert mode_of(tmp_path / "ours") == mode_of(tmp_path / "plain") == 0o666 & ~mask


def test_a_replaced_file_hands_on_its_permissions(path):
    path.chmod(0o640)
    files.save({"new": 1}, path)
    assert mode_of(path) == 0o640


@pytest.mark.skipif(getattr(os, "geteuid", lambda: 0)() == 0, reason="the superuser may write")
def test_a_write_protected_file_stays_as_it_is(path):
    path.chmod(0o444)
    with pytest.raises(PermissionError, match=r"a\.safetensors is write-protected"):
        files.save({"new": 1}, path)
    is_untouched(path)


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "folder").mkdir()
    link, target = tmp_path / "latest", tmp_path / "folder" / "epoch3"
    link.symlink_to(target)
    for n in (1, 2):  # dangling at first
        files.save({"n": n}, link)
        assert link.is_symlink()
        assert not target.is_symlink()
        assert files.load(target)["n"].item() == files.load(link)["n"].item() == n
    assert sorted(os.listdir(tmp_path)) == ["folder", "latest"]


@pytest.mark.parametrize("form", [str, Path, os.fsencode])
def test_paths_of_every_kind(tmp_path, monkeypatch, form):
    files.save(OLD, form(tmp_path / "x"))
    assert files.load(form(tmp_path / "x"))["old"].tolist() == [1, 1, 1]
    monkeypatch.chdir(tmp_path)
    files.save(OLD, form("a name with spaces, é"))
    files.save(OLD, "n" * 255)
    assert set(os.listdir(tmp_path)) == {"x", "a name with spaces, é", "n" * 255}


def test_targets_that_are_no_files_are_told(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no folder .*missing: make it first"):
        files.save(OLD, tmp_path / "missing" / "x")
    with pytest.raises(IsADirectoryError, match="is a folder: give the name of a file"):
        files.save(OLD, tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="pipe is no ordinary file"):
        files.save(OLD, tmp_path / "pipe")
    with pytest.raises(FileNotFoundError):
        files.load(tmp_path / "missing")
    with pytest.raises(IsADirectoryError):
        files.load(tmp_path)
    assert os.listdir(tmp_path) == ["pipe"]


# ---- a file is never half believed


class Net(nn.Module):
    """Several tensors of one shape, a counter of integers, and a buffer of booleans."""

    def __init__(self):
        self.net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 4))
        self.last = nn.Linear(4, 4)
        self.table = nn.Parameter(mg.randn(10, 3))
        self.mask = nn.Buffer(mg.tensor([True, False]))
        self.none = nn.Parameter(mg.zeros(0, 1))

    def forward(self, x):
        return self.last(self.net(x))


def model_of(seed):
    mg.manual_seed(seed)
    model = Net()
    for _ in range(seed + 1):
        model(mg.randn(5, 3))
    return model


def bits(model):
    return {name: (t.dtype, t.shape, t.numpy().tobytes()) for name, t in model.state_dict().items()}


def test_a_file_cut_at_any_byte_is_told(path):
    files.save(model_of(0).state_dict(), path)
    content = path.read_bytes()
    for end in reversed(range(len(content))):
        os.truncate(path, end)
        with pytest.raises(ValueError, match=r"a\.safetensors is no whole safetensors file"):
            files.load(path)
    for tail in (b"\0", b" ", content):
        path.write_bytes(content + tail)
        with pytest.raises(ValueError, match="no whole safetensors file"):
            files.load(path)


def damaged(path):
    """Yields while each byte of the file's header is another: every bit, and what JSON may take."""
    content = path.read_bytes()
    with open(path, "r+b", buffering=0) as file:  # rewriting the whole would be slow
        for i in range(8 + int.from_bytes(content[:8], "little")):
            others = {content[i] ^ 1 << bit for bit in range(8)}
            others |= set(b'09 ",:]}FIU\\') | {0, 255, content[i - 1], content[i + 1]}
            for other in sorted(others - {content[i]}):
                os.pwrite(file.fileno(), bytes([other]), i)
                yield
            os.pwrite(file.fileno(), content[i : i + 1], i)


def test_a_damaged_header_raises_or_does_no_harm(path):
    files.save(model_of(0).state_dict(), path)
    right = bits(model_of(0))
    model, before = model_of(1), model_of(1).state_dict()
    wrong = bits(model)
    assert all(wrong[name] != right[name] for name in right if name.startswith("net.0"))
    broken = refused = accepted = 0
    for _ in damaged(path):
        try:
            state = files.load(path)
        except (ValueError, DTypeError):
            broken += 1
            continue
        try:
            model.load_state_dict(state)
        except RuntimeError:
            refused += 1
            assert bits(model) == wrong
        else:
            accepted += 1
            assert bits(model) == right
            model.load_state_dict(before)
    assert broken > refused > accepted


def test_two_tensors_of_one_name_are_told(path):
    entry = '"a":{"dtype":"F32","shape":[2],"data_offsets":[%d,%d]}'
    header = f"{{{entry % (0, 8)},{entry % (8, 16)}}}".encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + b"\0" * 16)
    with pytest.raises(ValueError, match="cut off or broken"):
        files.load(path)


def test_a_boolean_that_is_neither_is_told(path):
    files.save({"mask": mg.tensor([True, False])}, path)
    path.write_bytes(path.read_bytes()[:-1] + b"\2")
    with pytest.raises(ValueError, match=r"'mask' in .* is broken: a boolean is neither 0 nor 1"):
        files.load(path)


def zipped():
    torch = pytest.importorskip("torch")
    content = io.BytesIO()
    torch.save({"x": torch.ones(2)}, content)
    return content.getvalue()


def npz():
    content = io.BytesIO()
    np.savez(content, x=np.ones(2))
    return content.getvalue()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (lambda: b"", "cut off or broken"),
        (lambda: b"\x10", "cut off or broken"),
        (zipped, "but a zip archive, as PyTorch's .pt and NumPy's .npz are: load what PyTorch"),
        (npz, "but a zip archive"),
        (lambda: pickle.dumps({"x": np.ones(2)}), "but a pickle, as older PyTorch files are"),
        (lambda: b"hello world, this is text", "but a file that starts with b'hello wo'"),
        (lambda: b"<html>Not found</html>", "but HTML or XML"),
        (lambda: b"\xff" * 99, "but a file that starts with"),
        (lambda: b"\0" * 99, "but a file that starts with"),
    ],
)
def test_other_files_are_told(path, content, told):
    path.write_bytes(content())
    with pytest.raises(ValueError, match=r"a\.safetensors is no whole.*" + re.escape(told)):
        files.load(path)
