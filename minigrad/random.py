"""Randomness: one seeded generator on the host.

Whatever the device, one seed gives the same weights.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from .arrays import sizes
from .dtypes import checked, default_dtype, is_floating, is_whole
from .errors import DTypeError, ShapeError
from .tensor import Tensor

_generator: np.random.Generator | None = None  # made when it is first used
_KIND = b"PCG64"
_STATE = struct.Struct("<5s16s16sBI")  # kind, state, increment, whether a half is kept, the half


def generator() -> np.random.Generator:
    """The generator that all random tensors come from."""
    global _generator
    if _generator is None:
        _generator = np.random.default_rng(0)
    return _generator


def manual_seed(seed: int) -> None:
    """Start the generator of initial weights, dropout masks, shuffles and random tensors anew.

    Raises:
        TypeError: seed is no integer.
        ValueError: it is negative.
    """
    global _generator
    _generator = np.random.default_rng(_checked_seed(seed))


def seeded(seed: int | Sequence[int] | None) -> np.random.Generator:
    """A generator of its own for a seed, or for several such as [run, epoch]; None: the common one.

    Raises:
        TypeError: seed is neither an integer nor a list of them.
        ValueError: one is negative.
    """
    if seed is None:
        return generator()
    if isinstance(seed, list | tuple) and seed:
        return np.random.default_rng([_checked_seed(each) for each in seed])
    return np.random.default_rng(_checked_seed(seed))


def _checked_seed(seed: Any) -> int:
    if not is_whole(seed):
        raise TypeError(f"the seed was given as {seed!r}: give an integer of 0 or more")
    if seed < 0:
        raise ValueError(f"the seed was given as {seed}: it must be 0 or more")
    return int(seed)


def get_rng_state() -> Tensor:
    """The generator's state for `set_rng_state`, as 42 bytes (uint8) that `mg.save` takes.

    These are the letters PCG64, its state and its increment (O'Neill, "PCG: A Family of Simple Fast
    Space-Efficient Statistically Good Algorithms for Random Number Generation", 2014), and the half
    of a draw that is kept for the next one of 32 bits.
    """
    whole = generator().bit_generator.state
    numbers = [whole["state"][name].to_bytes(16, "little") for name in ("state", "inc")]
    packed = _STATE.pack(_KIND, *numbers, whole["has_uint32"], whole["uinteger"])
    return Tensor(np.frombuffer(packed, np.uint8))


def set_rng_state(state: Tensor | np.ndarray[Any, Any]) -> None:
    """Continue from a state that `get_rng_state` gave, bit for bit.

    Raises:
        DTypeError: something else than a tensor or an array of uint8.
        ShapeError: another number of bytes.
        ValueError: bytes that are no state.  Nothing has changed after any error.
    """
    array = state.numpy() if isinstance(state, Tensor) else state
    wanted = "give what mg.get_rng_state() returned"
    if not isinstance(array, np.ndarray) or array.dtype != np.uint8:
        what = f"{getattr(state, 'dtype', 'a ' + type(state).__name__)}"
        raise DTypeError(f"set_rng_state got {what}: {wanted}, {_STATE.size} bytes of dtype uint8")
    if array.shape != (_STATE.size,):
        raise ShapeError(f"set_rng_state got shape {array.shape}: {wanted}, of ({_STATE.size},)")
    kind, position, increment, has_half, half = _STATE.unpack(array.tobytes())
    numbers = {
        "state": int.from_bytes(position, "little"),
        "inc": int.from_bytes(increment, "little"),
    }
    if kind != _KIND or has_half > 1 or numbers["inc"] % 2 == 0:  # PCG's increments are odd
        raise ValueError(f"set_rng_state got bytes that are no state of this generator: {wanted}")
    generator().bit_generator.state = {
        "bit_generator": "PCG64",
        "state": numbers,
        "has_uint32": has_half,
        "uinteger": half,
    }


@contextmanager
def undrawn() -> Iterator[None]:
    """What is drawn inside from the generator was not drawn."""
    before = get_rng_state()
    try:
        yield
    finally:
        set_rng_state(before)


def draw(
    distribution: str, shape: tuple[int, ...], *parameters: float, dtype: Any = np.float64
) -> np.ndarray[Any, Any]:
    """A host array of draws: "normal" (mean, std) or "uniform" (low, high), high excluded.

    They are drawn in float64 and rounded, so that every dtype sees the same ones.
    """
    values = np.asarray(getattr(generator(), distribution)(*parameters, size=shape), dtype)
    if distribution == "uniform":
        low, high = (values.dtype.type(each) for each in parameters)
        limit = np.nextafter(high, low)  # rounding may have reached high
        values = np.minimum(values, limit, out=values)
    return np.asarray(values)


def _floating(dtype: Any) -> np.dtype[Any]:
    kind = default_dtype() if dtype is None else checked(dtype)
    if not is_floating(kind):
        raise DTypeError(f"dtype was given as {kind}: draw floating numbers, or use randint")
    return kind


def rand(
    *size: Any, dtype: Any = None, device: str | None = None, requires_grad: bool = False
) -> Tensor:
    """Uniform draws from [0, 1).

    Raises:
        DTypeError: dtype is not floating.
    """
    kind = _floating(dtype)
    return Tensor(draw("uniform", sizes(size), 0, 1, dtype=kind), kind, device, requires_grad)


def randn(
    *size: Any, dtype: Any = None, device: str | None = None, requires_grad: bool = False
) -> Tensor:
    """Draws from the standard normal distribution.

    Raises:
        DTypeError: dtype is not floating.
    """
    kind = _floating(dtype)
    return Tensor(draw("normal", sizes(size), 0, 1, dtype=kind), kind, device, requires_grad)


def rand_like(t: Tensor, dtype: Any = None) -> Tensor:
    """Uniform draws from [0, 1) in the shape of t, with its dtype and on its device."""
    return rand(*t.shape, dtype=dtype or t.dtype, device=t.device)


def randn_like(t: Tensor, dtype: Any = None) -> Tensor:
    """Draws from the standard normal distribution in the shape of t, its dtype, on its device."""
    return randn(*t.shape, dtype=dtype or t.dtype, device=t.device)


def randint(
    low: int,
    high: int | tuple[int, ...] | None = None,
    size: Any = (),
    dtype: Any = np.int64,
    device: str | None = None,
) -> Tensor:
    """Integers from [low, high), or from [0, low) if high is not given: `randint(10, (2, 3))`.

    Raises:
        ShapeError: there is no integer from low to high.
    """
    if isinstance(high, tuple | list):
        high, size = None, high
    low, high = (0, low) if high is None else (low, high)
    if not low < high:
        raise ShapeError(f"randint from {low} to {high}, which is excluded: give a larger high")
    return Tensor(generator().integers(low, high, size), dtype, device)


def randperm(n: int, device: str | None = None) -> Tensor:
    """The numbers 0 to n - 1 in random order."""
    return Tensor(generator().permutation(n), np.int64, device)
