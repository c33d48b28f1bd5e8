"""IDX files, the format of MNIST and its relatives: a small header, then numbers, big end first.

The header is two zero bytes, a byte for the type of the numbers, one for the number of axes, and
the length of each axis as four bytes (LeCun, Cortes and Burges, "The MNIST database of handwritten
digits").
"""

from __future__ import annotations

import gzip
import math
import os
import struct
import zlib
from pathlib import Path
from typing import IO, Any

import numpy as np

from ..file_kinds import kind_of

Array = np.ndarray[Any, Any]

DTYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
MOST_AXES = 32  # what every NumPy can hold
CHUNK = 1 << 20  # bytes at a time: memory follows what there is, not what a header claims
PARTS = ("train", "t10k")
RANKS = {"images": 3, "labels": 1}


def load_idx(folder: str | os.PathLike[str]) -> tuple[Array, Array, Array, Array]:
    """The four files of MNIST, Fashion-MNIST or another data set in their format, from a folder.

    They have their usual names, train-images-idx3-ubyte or train-images.idx3-ubyte, with .gz or
    without; whether a file is compressed is seen from its bytes.

    Returns:
        train_images, train_labels, test_images, test_labels, as `load_digits` gives them: images
        float32 in [0, 1] of shape (N, 1, height, width), labels int64 of shape (N,).  `read_idx`
        gives the bytes as they are.

    Raises:
        FileNotFoundError: no such folder, or not all four files; it lists the missing ones.
        ValueError: a file that `read_idx` refuses or that holds no images or labels in bytes, or
            another number of labels than of images.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder {folder}: give the one that holds the files")
    found = {(part, kind): _files(folder, part, kind) for part in PARTS for kind in RANKS}
    missing = [f"{part}-{kind}" for (part, kind), files in found.items() if not files]
    if missing:
        raise FileNotFoundError(
            f"{folder} lacks {', '.join(missing)}: put the four files of MNIST or Fashion-MNIST "
            "there, as their authors and most collections of data sets offer them (nothing is "
            "downloaded here)"
        )
    train, test = ([found[part, kind][0] for kind in RANKS] for part in PARTS)
    return (*_pair(*train), *_pair(*test))


def _files(folder: Path, part: str, kind: str) -> list[Path]:
    """The files of one kind, under any of its usual names."""
    stem, ending = f"{part}-{kind}", f"idx{RANKS[kind]}-ubyte"
    names = [f"{stem}{dot}{ending}{packed}" for packed in ("", ".gz") for dot in "-."]
    return [folder / name for name in names if (folder / name).is_file()]


def _pair(images_path: Path, labels_path: Path) -> tuple[Array, Array]:
    """Images and their labels, which must be as many."""
    images, labels = _bytes(images_path, "images"), _bytes(labels_path, "labels")
    if len(images) != len(labels):
        raise ValueError(
            f"{images_path} holds {len(images)} images, but {labels_path} {len(labels)} labels: "
            "take both from one data set"
        )
    return np.divide(images[:, None], 255, dtype=np.float32), labels.astype(np.int64)


def _bytes(path: Path, kind: str) -> Array:
    array = read_idx(path)
    if array.dtype != np.uint8 or array.ndim != RANKS[kind]:
        raise ValueError(
            f"{path} holds {array.dtype} of shape {array.shape}: {kind} are unsigned bytes with "
            f"{RANKS[kind]} axes"
        )
    return array


def read_idx(path: str | os.PathLike[str]) -> Array:
    """The array in an IDX file, compressed by gzip or not, in its own dtype and shape.

    Raises:
        ValueError: a file of another format, with a broken header, cut off or too long, or a broken
            gzip stream.
        OSError: it cannot be opened.
    """
    with open(path, "rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        try:
            return _read(gzip.open(file) if packed else file)
        except _BrokenError as error:
            raise ValueError(f"{os.fspath(path)} {error}") from None
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise ValueError(
                f"{os.fspath(path)} is compressed by gzip and broken ({error}): fetch it again"
            ) from error


class _BrokenError(Exception):
    """What is wrong with a file, to be said after its name."""


def _read(file: IO[bytes] | gzip.GzipFile) -> Array:
    dtype, shape = _header(file)
    wanted = math.prod(shape) * dtype.itemsize
    content = bytearray()
    while len(content) <= wanted and (chunk := file.read(CHUNK)):
        content += chunk
    if len(content) != wanted:
        found = f"{len(content)} came" if len(content) < wanted else "more came"
        raise _BrokenError(
            f"announces {dtype.name} of shape {shape}, {wanted} bytes, but {found}: fetch it again"
        )
    array: Array = np.frombuffer(content, dtype).reshape(shape)
    return array.astype(dtype.newbyteorder("="), copy=False)


def _header(file: IO[bytes] | gzip.GzipFile) -> tuple[np.dtype[Any], tuple[int, ...]]:
    start = file.read(4)
    if len(start) < 4 or start[:2] != b"\0\0" or start[2] not in DTYPES or start[3] > MOST_AXES:
        raise _BrokenError(
            f"is no IDX file but {kind_of(start)}: an IDX file starts with two zero bytes, the "
            "code of a type (8, 9, 11, 12, 13 or 14) and the number of axes"
        )
    axes = start[3]
    lengths = file.read(4 * axes)
    if len(lengths) < 4 * axes:
        raise _BrokenError(f"ends in its header, which announces {axes} axes: fetch it again")
    return np.dtype(DTYPES[start[2]]), struct.unpack(f">{axes}I", lengths)
