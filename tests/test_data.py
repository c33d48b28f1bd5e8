"""Minibatches, splits, the digits and IDX files."""

import gzip
import struct
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad import data
from minigrad.errors import ShapeError

sizes = st.integers(0, 40)
X = np.arange(10)
SEEDS = st.one_of(st.integers(0, 9), st.lists(st.integers(0, 9), min_size=1, max_size=2))


def rows(loader):
    return [batch.tolist() for batch in loader]


# ---- batches


@given(n=sizes, size=st.integers(1, 50), seed=SEEDS, shuffle=st.booleans(), drop=st.booleans())
def test_a_pass_gives_every_row_once_in_batches_of_the_size(n, size, seed, shuffle, drop):
    loader = data.batches(np.arange(n), batch_size=size, shuffle=shuffle, seed=seed, drop_last=drop)
    found = rows(loader)
    assert len(found) == len(loader) == (n // size if drop else -(-n // size))
    assert all(len(batch) == size for batch in found[:-1])
    seen = [row for batch in found for row in batch]
    assert len(set(seen)) == len(seen) == (n // size * size if drop else n)
    assert set(seen) <= set(range(n))
    if not shuffle:
        assert seen == list(range(len(seen)))


@given(st.data(), st.integers(1, 40), st.integers(1, 9), st.booleans(), st.one_of(st.none(), SEEDS))
def test_start_leaves_out_batches_and_changes_none_of_the_rest(draw, n, size, drop, seed):
    options = {"batch_size": size, "drop_last": drop, "seed": seed}
    state = mg.get_rng_state()
    whole = rows(data.batches(np.arange(n), **options))
    after = mg.get_rng_state().tolist()
    start = draw.draw(st.integers(0, len(whole)))
    mg.set_rng_state(state)
    rest = data.batches(np.arange(n), **options, start=start)
    assert len(rest) == len(whole) - start
    assert rows(rest) == whole[start:]
    assert mg.get_rng_state().tolist() == after


def test_arrays_keep_in_step():
    x, names = np.arange(20.0).reshape(10, 2), [str(i) for i in range(10)]
    for a, b, c in data.batches(x, names, mg.arange(10), batch_size=3):
        assert a.tolist() == [[2.0 * i, 2.0 * i + 1] for i in c.tolist()]
        assert b == [str(i) for i in c.tolist()]


def test_without_a_seed_the_order_is_minigrads_and_with_one_it_is_not():
    mg.manual_seed(3)
    loader = data.batches(np.arange(30), batch_size=30)
    first, second = rows(loader), rows(loader)
    assert first != second
    mg.manual_seed(3)
    assert [rows(loader), rows(loader)] == [first, second]
    state = mg.get_rng_state().tolist()
    rows(data.batches(np.arange(30), batch_size=30, seed=0))
    rows(data.batches(np.arange(30), batch_size=30, shuffle=False))
    assert mg.get_rng_state().tolist() == state


def test_a_seed_gives_one_sequence_of_epochs():
    def epochs(seed):
        loader = data.batches(np.arange(30), batch_size=8, seed=seed)
        return [rows(loader), rows(loader)]

    assert epochs(5) == epochs(5)
    assert epochs(5)[0] != epochs(5)[1]
    assert epochs(5) != epochs(6)
    assert epochs([5, 0]) != epochs([5, 1])


def test_the_order_is_drawn_when_a_pass_begins_and_not_before():
    before = mg.get_rng_state().tolist()
    loader = data.batches(np.arange(9), batch_size=2)
    assert mg.get_rng_state().tolist() == before
    running = iter(loader)
    drawn = mg.get_rng_state().tolist()
    assert drawn != before
    list(running)
    assert mg.get_rng_state().tolist() == drawn


def test_two_passes_at_once_do_not_meet():
    loader = data.batches(np.arange(9), batch_size=2, seed=1)
    both = zip(loader, loader, strict=True)
    first, second = zip(*[(a.tolist(), b.tolist()) for a, b in both], strict=True)
    again = data.batches(np.arange(9), batch_size=2, seed=1)
    assert [list(first), list(second)] == [rows(again), rows(again)]


def trained(seeded, stop=None, resume=None):
    """Losses of noisy training over two epochs; `stop` leaves it there with what resumes it."""
    x, losses = mg.arange(20, dtype=mg.float64), []
    first_epoch, first_batch, at_beginning, at_moment = resume or (0, 0, None, None)
    for epoch in range(first_epoch, 2):
        start = first_batch if epoch == first_epoch else 0
        if at_beginning is not None and epoch == first_epoch:
            mg.set_rng_state(at_beginning)
        beginning = mg.get_rng_state()
        seed = [1, epoch] if seeded else None
        loader = iter(data.batches(x, batch_size=3, seed=seed, start=start))
        if at_moment is not None and epoch == first_epoch:
            mg.set_rng_state(at_moment)
        for i, batch in enumerate(loader, start):
            if (epoch, i) == stop:
                return losses, (epoch, i, None if seeded else beginning, mg.get_rng_state())
            losses.append((batch * mg.rand(*batch.shape)).sum().item())
    return losses, None


@pytest.mark.parametrize("seeded", [True, False])
@pytest.mark.parametrize("stop", [(0, 0), (0, 4), (1, 6)])
def test_a_run_stopped_in_an_epoch_goes_on_bit_for_bit(seeded, stop):
    mg.manual_seed(2)
    whole, _ = trained(seeded)
    mg.manual_seed(2)
    begun, resume = trained(seeded, stop)
    mg.manual_seed(77)
    ended, _ = trained(seeded, resume=resume)
    assert begun + ended == whole


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "i8", "u1", "?", ">f4"])
def test_arrays_of_numbers_become_tensors_of_their_dtype(dtype):
    x = np.ones((5, 2), dtype)
    (batch,) = data.batches(x, batch_size=9)
    assert isinstance(batch, mg.Tensor)
    assert batch.dtype == np.dtype(dtype).newbyteorder("=")
    assert batch.shape == (5, 2)


@pytest.mark.parametrize("shuffle", [True, False])
def test_batches_have_memory_of_their_own(shuffle):
    x = np.zeros((4, 3))
    for batch in data.batches(x, batch_size=4, shuffle=shuffle):
        batch.fill_(1)
    assert not x.any()


def test_tensors_stay_on_their_device_and_carry_gradients(device):
    x = mg.arange(6, dtype=mg.float64, device=device).requires_grad_()
    for batch, label in data.batches(x, np.arange(6), batch_size=4, seed=0):
        assert batch.device == x.device
        assert batch.tolist() == label.tolist()
        (batch * mg.tensor(label, device=device)).sum().backward()
    assert x.grad.tolist() == [0, 1, 2, 3, 4, 5]


def test_bare_arrays_of_a_gpu_stay_there(cuda):
    x = mg.arange(6, device=cuda)
    for batch in data.batches(x.data, batch_size=4):
        assert batch.device == x.device
    train, test = data.train_test_split(x.data, test_size=2)
    assert type(train) is type(test) is type(x.data)
    assert sorted([*train.tolist(), *test.tolist()]) == [0, 1, 2, 3, 4, 5]
    assert len(test) == 2


class Rows:
    """Has a length and takes one number, as data sets for PyTorch do."""

    def __init__(self, items):
        self.items = items

    def __len__(self):
        return len(self.items)

    def __getitem__(self, i):
        assert type(i) is int
        return self.items[i]


class InFile(Rows):
    """Takes increasing numbers only, as h5py's data sets do."""

    dtype, shape = np.dtype("f4"), (50, 2)

    def __getitem__(self, i):
        if not (np.diff(i) > 0).all():
            raise TypeError("Indexing elements must be in increasing order")
        return self.items[i]


@pytest.mark.parametrize("kind", [list, tuple, Rows, InFile, np.asarray, mg.tensor])
def test_every_kind_of_container_gives_the_same_batches(kind, tmp_path):
    x = np.arange(100, dtype="f4").reshape(50, 2)
    loader = data.batches(kind(x), batch_size=8, seed=4)
    expected = [batch.tolist() for batch in data.batches(x, batch_size=8, seed=4)]
    assert [batch.tolist() for batch in loader] == expected


def test_memory_maps_are_read_by_rows(tmp_path):
    x = np.memmap(tmp_path / "x", np.float32, "w+", shape=(9, 2))
    x[:] = np.arange(18).reshape(9, 2)
    for a, b in data.batches(x, range(9), batch_size=4):
        assert isinstance(a, mg.Tensor)
        assert a[:, 0].tolist() == [2 * i for i in b.tolist()]


class Column(Rows):
    """Takes labels by its index and positions by `iloc`, as pandas does."""

    def __getitem__(self, i):
        raise KeyError("that looks for labels")

    @property
    def iloc(self):
        return self.items


def test_pandas_is_taken_by_position():
    for a, b in data.batches(Column(X * 2.0), X, batch_size=4):
        assert isinstance(a, mg.Tensor)
        assert a.tolist() == (2 * b).tolist()
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame({"a": [0.0, 1.0, 2.0], "b": [3, 4, 5]}, index=[2, 0, 1])
    for a, b, c in data.batches(table, table["b"], range(3), batch_size=2):
        assert a.dtype == mg.float64
        assert a.tolist() == [[i, i + 3] for i in c.tolist()]
        assert b.tolist() == [i + 3 for i in c.tolist()]


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        ([1, 2], mg.tensor([1, 2])),
        ([1.5, 2], mg.tensor([1.5, 2.0])),
        ([np.float64(1), np.float64(2)], mg.tensor(np.ones(2) * [1, 2])),
        ([[1, 2], [3, 4]], mg.tensor([[1, 2], [3, 4]])),
        ([mg.ones(2), mg.zeros(2)], mg.tensor([[1.0, 1.0], [0.0, 0.0]])),
        ([mg.ones(2), mg.zeros(3)], None),
        ([[1], [1, 2]], None),
        (["a", "b"], None),
        ([None, {}], None),
    ],
)
def test_items_are_stacked_where_they_can_be(items, expected):
    (batch,) = data.batches(items, batch_size=2, shuffle=False)
    if expected is None:
        assert type(batch) is list
        assert all(a is b for a, b in zip(batch, items, strict=True))
    else:
        assert isinstance(batch, mg.Tensor)
        assert (batch.dtype, batch.tolist()) == (expected.dtype, expected.tolist())


def test_arrays_that_no_tensor_holds_stay_arrays():
    for x in (np.array(["a", "b"]), np.array([1j, 2j]), np.array([None, {}])):
        (batch,) = data.batches(x, batch_size=2, shuffle=False)
        assert type(batch) is np.ndarray
        assert batch.tolist() == x.tolist()


@pytest.mark.parametrize(
    ("arrays", "options", "kind", "told"),
    [
        ((), {}, TypeError, "got no arrays"),
        ((X, X[:9]), {}, ShapeError, r"lengths \[10, 9\]"),
        ((X, np.array(3)), {}, TypeError, "array 1 without rows, a ndarray"),
        ((mg.tensor(3),), {}, TypeError, "array 0 without rows, a Tensor"),
        ((iter([1]),), {}, TypeError, "got a list_iterator as array 0: give something with rows"),
        (((i for i in X), X), {}, TypeError, "got a generator as array 0: make a list of it"),
        (({"x": X},), {}, TypeError, "got a dict as array 0: give its values one by one"),
        (("text",), {}, TypeError, "got a str"),
        ((X, 3), {}, TypeError, "got a int as array 1"),
        ((X,), {"batch_size": 0}, ValueError, "batch_size was given as 0: it must be at least 1"),
        ((X,), {"batch_size": -1}, ValueError, "at least 1"),
        ((X,), {"batch_size": 2.0}, TypeError, "batch_size was given as 2.0: give an integer"),
        ((X,), {"batch_size": True}, TypeError, "batch_size was given as True"),
        ((X,), {"start": -1}, ValueError, "start was given as -1"),
        ((X,), {"start": 6}, ValueError, "start was given as 6: there are 5 batches"),
        ((X,), {"start": 1.0}, TypeError, "start"),
        ((X,), {"seed": True}, TypeError, "seed was given as True"),
        ((X,), {"seed": -1}, ValueError, "seed was given as -1"),
        ((X,), {"seed": 0.5}, TypeError, "seed was given as 0.5"),
    ],
)
def test_what_cannot_be_batched_is_told(arrays, options, kind, told):
    with pytest.raises(kind, match=told):
        data.batches(*arrays, **{"batch_size": 2, **options})


def test_a_second_pass_from_the_middle_is_an_error():
    loader = data.batches(X, batch_size=3, start=2)
    assert len(rows(loader)) == 2
    with pytest.raises(ValueError, match=r"start=2 is for one pass.*make new ones with start=0"):
        iter(loader)


def test_fewer_rows_than_a_batch_are_one_batch_or_none():
    assert rows(data.batches(X, batch_size=99, shuffle=False)) == [X.tolist()]
    assert rows(data.batches(X, batch_size=99, drop_last=True)) == []
    assert rows(data.batches(X[:0], batch_size=3)) == []
    assert repr(data.batches(X, batch_size=3)) == "<4 batches of 3 from 10 rows>"


def test_a_data_set_of_pairs_gives_inputs_and_labels():
    class Pairs:
        def __len__(self):
            return 5

        def __getitem__(self, i):
            return np.full(2, i, np.float32), i

    ((x, y),) = data.batches(Pairs(), batch_size=9, shuffle=False)
    assert x.tolist() == [[i, i] for i in range(5)]
    assert (x.dtype, y.dtype, y.tolist()) == (np.float32, np.int64, list(range(5)))


def test_a_list_of_numbers_has_one_dtype():
    kinds = [b.dtype for b in data.batches([1, 2, 3.5, 4], batch_size=2, shuffle=False)]
    assert kinds == [np.float32, np.float32]


@pytest.mark.parametrize("option", ["shuffle", "drop_last"])
def test_a_flag_is_true_or_false(option):
    with pytest.raises(TypeError, match=f"{option} was given as 'no': give True or False"):
        data.batches(X, batch_size=2, **{option: "no"})


# ---- a split


@pytest.mark.parametrize("labels", [np.eye(3)[[0, 1, 2, 0]], np.zeros((4, 1))])
def test_a_split_by_labels_of_two_axes_is_refused(labels):
    with pytest.raises(mg.ShapeError, match=r"give one label a row, such as labels.argmax"):
        data.train_test_split(np.arange(4), stratify=labels)


@given(n=st.integers(2, 60), seed=SEEDS, share=st.floats(0.01, 0.99), labels=st.integers(0, 4))
def test_a_split_gives_every_row_to_one_part(n, seed, share, labels):
    count = int(np.ceil(n * share))
    stratify = np.arange(n) % labels if labels else None
    options = {"test_size": share, "seed": seed, "stratify": stratify}
    if count == n:
        with pytest.raises(ValueError, match="leaves 0 to learn from"):
            data.train_test_split(np.arange(n), **options)
        return
    parts = data.train_test_split(np.arange(n), list(range(n)), mg.arange(n), **options)
    assert [type(part) for part in parts[::2]] == [np.ndarray, list, mg.Tensor]
    train, test = parts[:2]
    assert len(test) == count
    assert sorted([*train, *test]) == list(range(n))
    for part in range(2):
        assert len({tuple(np.asarray(each).tolist()) for each in parts[part::2]}) == 1
    again = data.train_test_split(np.arange(n), **options)
    assert [part.tolist() for part in again] == [train.tolist(), test.tolist()]
    if labels:
        for label in range(labels):
            rows_of_label = (stratify == label).sum()
            assert abs((stratify[test] == label).sum() - rows_of_label * count / n) < 1


def test_every_row_is_as_likely_to_be_tested_on():
    labels = np.array([0] * 7 + [1] * 3)
    for stratify in (None, labels):
        counts = np.zeros(10)
        for seed in range(600):
            _, test = data.train_test_split(
                np.arange(10), test_size=5, seed=seed, stratify=stratify
            )
            counts[test] += 1
        for label in range(2):  # stratified, a label's rows are alike
            own = counts[labels == label]
            assert abs(own - own.mean()).max() < 6 * np.sqrt(600 / 4)
    first = [data.train_test_split(np.arange(10), seed=s)[1][0] for s in range(100)]
    assert len(set(first)) == 10


def test_stratified_parts_do_not_lie_by_label():
    labels = np.arange(100) // 50
    for part in data.train_test_split(labels, test_size=0.5, stratify=labels):
        assert (np.diff(part) < 0).any()


def test_the_split_is_the_same_for_every_manual_seed_unless_seed_is_none():
    def split(manual_seed, **options):
        mg.manual_seed(manual_seed)
        return data.train_test_split(np.arange(50), **options)[1].tolist()

    assert split(1) == split(2)
    assert split(1, seed=None) != split(2, seed=None)
    assert split(1, seed=None) == split(1, seed=None)


@pytest.mark.parametrize(
    ("options", "kind", "told"),
    [
        ({"test_size": 0}, ValueError, "leaves 10 to learn from and 0 to test on"),
        ({"test_size": 10}, ValueError, "leaves 0 to learn from"),
        ({"test_size": 11}, ValueError, "both parts need at least one"),
        ({"test_size": 1.0}, ValueError, "test_size was given as 1.0: give a share between 0 and"),
        ({"test_size": 0.0}, ValueError, "give a share"),
        ({"test_size": float("nan")}, ValueError, "give a share"),
        ({"test_size": True}, ValueError, "give a share"),
        ({"test_size": "a"}, ValueError, "give a share"),
        ({"seed": True}, TypeError, "seed"),
        ({"stratify": X[:3]}, ShapeError, r"lengths \[10, 3\]"),
    ],
)
def test_what_cannot_be_split_is_told(options, kind, told):
    with pytest.raises(kind, match=told):
        data.train_test_split(X, **options)


def test_the_order_of_parts_is_scikit_learns():
    model_selection = pytest.importorskip("sklearn.model_selection")
    ours = data.train_test_split(X, X, test_size=3)
    theirs = model_selection.train_test_split(X, X, test_size=3)
    assert [len(part) for part in ours] == [len(part) for part in theirs]
    for share in (0.1, 0.25, 0.33):
        theirs = model_selection.train_test_split(X, test_size=share)
        assert [len(p) for p in data.train_test_split(X, test_size=share)] == [*map(len, theirs)]


# ---- digits


def test_the_digits_are_scikit_learns():
    datasets = pytest.importorskip("sklearn.datasets")
    images, labels = data.load_digits()
    assert (images.shape, images.dtype) == ((1797, 1, 8, 8), np.float32)
    assert (labels.shape, labels.dtype) == ((1797,), np.int64)
    assert (images.min(), images.max()) == (0, 1)
    theirs = datasets.load_digits()
    assert (images[:, 0] * 16 == theirs.images).all()
    assert (labels == theirs.target).all()


def test_without_scikit_learn_it_says_what_to_type(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(ImportError, match=r'pip install scikit-learn .*"minigrad\[examples\]"'):
        data.load_digits()


# ---- IDX files

CODES = {8: ">u1", 9: ">i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}
ARRAY = np.arange(6, dtype=">i2").reshape(2, 3)


def zipped(content):
    """Without the time, which would be in a test's name: that must be one in all processes."""
    return gzip.compress(content, mtime=0)


def idx(array):
    code = next(code for code, dtype in CODES.items() if np.dtype(dtype) == array.dtype)
    header = bytes([0, 0, code, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.tobytes()


def written(folder, content, name="file"):
    path = folder / name
    path.write_bytes(content)
    return path


@given(
    st.sampled_from(list(CODES.values())),
    st.lists(st.integers(0, 4), max_size=5),
    st.booleans(),
    st.integers(0, 99),
)
def test_every_idx_file_comes_back_bit_for_bit(tmp_path_factory, dtype, shape, packed, seed):
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    array = np.frombuffer(np.random.default_rng(seed).bytes(size), dtype).reshape(shape)
    content = zipped(idx(array)) if packed else idx(array)
    found = data.read_idx(written(tmp_path_factory.getbasetemp(), content))
    assert (found.shape, found.dtype) == (array.shape, array.dtype.newbyteorder("="))
    assert found.dtype.isnative
    assert found.astype(dtype).tobytes() == array.tobytes()
    assert found.flags.writeable


@pytest.mark.parametrize("packed", [False, True])
def test_a_file_cut_at_any_byte_is_told(tmp_path, packed):
    content = zipped(idx(ARRAY)) if packed else idx(ARRAY)
    for end in range(len(content)):
        path = written(tmp_path, content[:end])
        with pytest.raises(ValueError, match="file "):
            data.read_idx(path)


@pytest.mark.parametrize("packed", [False, True])
def test_bytes_beyond_the_end_are_told(tmp_path, packed):
    content = idx(ARRAY) + b"\0"
    path = written(tmp_path, zipped(content) if packed else content)
    with pytest.raises(ValueError, match=r"int16 of shape \(2, 3\), 12 bytes, but more came"):
        data.read_idx(path)


def test_the_end_is_looked_at_where_a_piece_ends_too(tmp_path, monkeypatch):
    monkeypatch.setattr(data.idx, "CHUNK", 4)
    for packed in (bytes, zipped):
        assert data.read_idx(written(tmp_path, packed(idx(ARRAY)))).tolist() == ARRAY.tolist()
        with pytest.raises(ValueError, match="more came"):
            data.read_idx(written(tmp_path, packed(idx(ARRAY) + b"\0")))
    content = bytearray(zipped(idx(ARRAY)))
    content[-8] ^= 1  # the checksum
    with pytest.raises(ValueError, match="compressed by gzip and broken"):
        data.read_idx(written(tmp_path, content))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "no IDX file but an empty file"),
        (b"\0\0", "no IDX file but"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 20, "but a PNG image"),
        (b"\n  <!DOCTYPE html><html>Not found", "but HTML or XML, as a failed download leaves"),
        (b"PK\x03\x04" + b"\0" * 20, "but a zip archive"),
        (b"\0\0\x0a\x01" + b"\0" * 20, "but a file that starts with b'.*8, 9, 11, 12, 13 or 14"),
        (b"\0\0\x08\xff" + b"\0" * 2000, "but a file that starts with"),
        (b"\1\0\x08\x01" + b"\0" * 20, "but a file that starts with"),
        (b"\0\0\x08\x03\0\0\0\1", "ends in its header, which announces 3 axes"),
        (b"\0\0\x08\x02" + struct.pack(">II", 2**20, 2**20), "1099511627776 bytes, but 0 came"),
        (idx(ARRAY)[:-1], r"int16 of shape \(2, 3\), 12 bytes, but 11 came"),
        (zipped(b"<html>"), "but HTML"),
        (zipped(idx(ARRAY))[:-3], "compressed by gzip and broken"),
        (zipped(idx(ARRAY))[:20], "compressed by gzip and broken"),
        (zipped(idx(ARRAY)) + b"trailing", "compressed by gzip and broken"),
        (b"\x1f\x8b\x08" + b"\xff" * 30, "compressed by gzip and broken"),
    ],
)
def test_what_is_no_idx_file_is_told_with_its_name(tmp_path, content, told):
    path = written(tmp_path, content, "name-of-it")
    with pytest.raises(ValueError, match=f"name-of-it .*{told}"):
        data.read_idx(path)


def test_a_broken_byte_in_a_compressed_file_is_told(tmp_path):
    content = bytearray(zipped(idx(ARRAY)))
    whole, wrong = ARRAY.tolist(), 0
    for i in range(10, len(content)):
        content[i] ^= 16
        try:
            assert data.read_idx(written(tmp_path, content)).tolist() == whole
        except ValueError:
            wrong += 1
        content[i] ^= 16
    assert wrong > 20


@pytest.mark.parametrize("packed", [False, True])
def test_memory_follows_what_there_is_and_not_what_a_header_claims(tmp_path, packed):
    content = b"\0\0\x0e\x03" + struct.pack(">III", 2**13, 2**13, 2**14) + b"\0" * 100
    path = written(tmp_path, zipped(content) if packed else content)
    tracemalloc.start()
    with pytest.raises(ValueError, match="8796093022208 bytes, but 100 came"):
        data.read_idx(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4e6


def mnist(folder, form="{}-{}-idx{}-ubyte", packed=False, **changed):
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(0)
    arrays = {}
    for part, n in (("train", 5), ("t10k", 3)):
        arrays[part, "images"] = rng.integers(0, 256, (n, 4, 6)).astype(">u1")
        arrays[part, "labels"] = rng.integers(0, 10, n).astype(">u1")
    for (part, kind), array in arrays.items():
        array = changed.get(f"{part}_{kind}", array)
        name = form.format(part, kind, array.ndim if kind == "images" else 1)
        written(folder, zipped(idx(array)) if packed else idx(array), name)
    return list(arrays.values())


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    "form",
    ["{}-{}-idx{}-ubyte", "{}-{}.idx{}-ubyte", "{}-{}-idx{}-ubyte.gz", "{}-{}.idx{}-ubyte.gz"],
)
def test_a_folder_gives_four_arrays_in_the_form_of_the_digits(tmp_path, form, packed):
    expected = mnist(tmp_path, form, packed)
    found = data.load_idx(str(tmp_path))
    for array, raw in zip(found[::2], expected[::2], strict=True):
        assert (array.dtype, array.shape) == (np.float32, (len(raw), 1, 4, 6))
        assert (array[:, 0] == raw.astype(np.float32) / np.float32(255)).all()
    for array, raw in zip(found[1::2], expected[1::2], strict=True):
        assert array.dtype == np.int64
        assert (array == raw).all()


def test_a_folder_that_lacks_files_is_told_which(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no folder .*nowhere"):
        data.load_idx(tmp_path / "nowhere")
    mnist(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte").unlink()
    (tmp_path / "train-images-idx3-ubyte").unlink()
    with pytest.raises(FileNotFoundError, match="lacks train-images, t10k-labels: put the four"):
        data.load_idx(tmp_path)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"train_labels": np.zeros(4, ">u1")}, "holds 5 images, but .* 4 labels"),
        ({"t10k_labels": np.zeros((3, 1), ">u1")}, r"uint8 of shape \(3, 1\): labels are unsigned"),
        ({"t10k_labels": np.zeros(3, ">i4")}, "holds int32"),
        ({"train_images": np.zeros((5, 4, 6), ">f4")}, "holds float32 .*images are .* 3 axes"),
    ],
)
def test_files_that_do_not_fit_are_told(tmp_path, changed, told):
    mnist(tmp_path, **changed)
    with pytest.raises(ValueError, match=told):
        data.load_idx(tmp_path)


def test_nothing_opens_a_connection():
    script = (
        "import sys; import minigrad.data; "
        "print({'socket', 'urllib.request', 'http.client', 'sklearn'} & set(sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "set()"
