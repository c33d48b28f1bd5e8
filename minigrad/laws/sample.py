"""A sample call of an op, as the laws use it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..errors import DeviceError, DTypeError, GraphError, ShapeError
from ..gradient import grad
from ..op import Op
from ..samples import Draw
from ..tensor import Tensor
from ..testing import assert_close

# what a call may raise
OURS = (ShapeError, DTypeError, DeviceError, GraphError, np.linalg.LinAlgError)


@dataclass
class Sample:
    """A call of an op: array inputs in float64, static arguments; and what a law may still draw."""

    op: Op
    arrays: tuple[Any, ...]
    statics: dict[str, Any]
    draw: Draw
    device: str = "cpu"

    @classmethod
    def of(cls, op: Op, draw: Draw, device: str = "cpu") -> Sample:
        """A sample that the op's own sampler draws."""
        if op.samples is None:
            raise AssertionError(
                f"op {op.name} gives no samples: write samples=... (see minigrad/samples.py), "
                "so that the laws can try it"
            )
        arrays, statics = op.samples(draw)
        assert op.variadic or len(arrays) == len(op.inputs), (
            f"the samples of op {op.name} drew {len(arrays)} arrays for its inputs {op.inputs}"
        )
        return cls(op, tuple(arrays), statics, draw, device)

    @property
    def floating(self) -> list[int]:
        """Positions of the inputs that can carry a gradient."""
        every = self.op.variadic and bool(self.op.differentiable)
        names = self.op.inputs * (len(self.arrays) if self.op.variadic else 1)
        tracked = [i for i, n in enumerate(names) if every or n in self.op.differentiable]
        return [i for i in tracked if self.arrays[i].dtype.kind == "f"]

    def some(self) -> list[int]:
        """One or more of the floating inputs, never all: there must be two."""
        order = self.draw.order(len(self.floating))
        return [self.floating[k] for k in order[: self.draw.integer(1, len(order) - 1)]]

    def at_zero(self) -> Sample:
        """The same call with 0 for every floating number: at kinks, ties and singular matrices."""
        zeros = [a * 0.0 if a.dtype.kind == "f" else a for a in self.arrays]
        return replace(self, arrays=tuple([np.asarray(a) for a in zeros]))

    @property
    def home(self) -> str:
        """Where the results belong: with the inputs, unless the op is there to move them."""
        return str(self.statics.get("device", self.device))

    @property
    def size(self) -> int:
        """No result sums over more products than this."""
        return max(sum(a.size for a in self.arrays), 1)

    def tensors(self, dtype: Any = None, only: Sequence[int] | None = None) -> list[Tensor]:
        """Leaves on the device for the inputs that can carry a gradient, constants for others."""
        wanted = self.floating if only is None else only
        return [
            Tensor(
                a,
                dtype=dtype if a.dtype.kind == "f" else None,
                device=self.device,
                requires_grad=i in wanted,
            )
            for i, a in enumerate(self.arrays)
        ]

    def call(self, *values: Any) -> Any:
        """The op's public function on tensors or on arrays."""
        op, statics = self.op, dict(self.statics)
        if op.variadic:
            if op.star:
                return op.call(*[statics.pop(name) for name in op.order[:-1]], *values, **statics)
            return op.call(list(values), **statics)
        if op.star:
            starred = statics.pop(op.star)
            return op.call(*values, *starred, **statics)
        return op.call(**dict(zip(op.inputs, values, strict=True)), **statics)

    def outputs(self, *values: Any) -> list[Any]:
        """The outputs that may carry a gradient."""
        return [y for i, y in enumerate(listed(self.call(*values))) if i not in self.op.constant]

    def gradients(self, tensors: list[Tensor], **options: Any) -> list[Tensor | None]:
        """Gradients of weighted outputs with respect to the floating inputs."""
        ys = [y for y in self.outputs(*tensors) if y.requires_grad]
        xs = [t for t in tensors if isinstance(t, Tensor) and t.requires_grad]
        if not ys or not xs:
            return [None] * len(xs)
        return list(grad(ys, xs, [weights(y) for y in ys], allow_unused=True, **options))


def listed(y: Any) -> list[Any]:
    """One output or several, as a list."""
    return list(y) if isinstance(y, tuple) else [y]


def weights(y: Tensor, seed: int = 0) -> Tensor:
    """A fixed cotangent of y's shape, dtype and device, none of whose entries is near zero."""
    rng = np.random.default_rng([seed, y.size])
    values = rng.uniform(0.5, 1.5, y.shape) * rng.choice([-1.0, 1.0], y.shape)
    return Tensor(values, dtype=y.dtype, device=y.device)


def close(
    actual: Sequence[Any], expected: Sequence[Any], size: int, what: str, dtype: Any = None
) -> None:
    """Assert that tensors are equal up to rounding, on one scale.

    One scale for all, and at least 1, because a derivative may vanish up to rounding.
    """
    assert len(actual) == len(expected), f"{what}: {len(actual)} results, not {len(expected)}"
    pairs = [(_host(a), _host(b)) for a, b in zip(actual, expected, strict=True)]
    finite = [np.abs(b[np.isfinite(b)]) for _, b in pairs]
    scale = max([float(f.max()) for f in finite if f.size] + [1.0])
    for a, b in pairs:
        assert a.shape == b.shape, f"{what}: shape {a.shape} is not {b.shape}"
        end = np.array([scale])
        assert_close(np.append(a, end.astype(a.dtype)), np.append(b, end.astype(b.dtype)),
                     size=size, what=what, dtype=dtype)  # fmt: skip


def _host(value: Any) -> Any:
    if value is None:
        return np.zeros(())
    return np.asarray(value.numpy() if isinstance(value, Tensor) else value)
