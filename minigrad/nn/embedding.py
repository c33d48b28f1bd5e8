"""A table of vectors, looked up by number."""

from __future__ import annotations

from typing import Any, TypeVar

from ..create import empty
from ..errors import ShapeError
from ..modes import no_grad
from ..tensor import Tensor
from . import functional as F
from . import init
from .checks import check_count, check_floating
from .functional.embedding import check_dense, padding_row
from .module import Module
from .options import unusual
from .parameter import Parameter

Self = TypeVar("Self", bound="Embedding")
USUAL = {"padding_idx": None, "max_norm": None, "norm_type": 2.0, "scale_grad_by_freq": False}


class Embedding(Module):
    """weight[x]: one vector for each of num_embeddings numbers.

    weight is (num_embeddings, embedding_dim), initially N(0, 1); the row of padding_idx is 0.

    Args:
        num_embeddings: how many rows; x holds integers below.
        embedding_dim: the length of a row.
        padding_idx: the row that stays as it is; it may count from the end.
        max_norm, norm_type, scale_grad_by_freq, sparse: as for `F.embedding`.
        _weight: the table, taken over as it is.
        _freeze: whether it is learned.

    Raises:
        OutOfRangeError: a padding_idx that is not there.
        ShapeError: a _weight of another shape.
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
        _weight: Any = None,
        _freeze: bool = False,
        device: str | None = None,
        dtype: Any = None,
    ) -> None:
        check_count("num_embeddings", num_embeddings)
        check_count("embedding_dim", embedding_dim)
        check_dense(sparse)
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self.padding_idx = padding_row(padding_idx, num_embeddings)
        self.max_norm, self.norm_type = max_norm, norm_type
        self.scale_grad_by_freq, self.sparse = scale_grad_by_freq, sparse
        shape = (num_embeddings, embedding_dim)
        values = empty(*shape, dtype=dtype, device=device) if _weight is None else _weight
        self.weight = Parameter(values, not _freeze, dtype, device)
        if self.weight.shape != shape:
            raise ShapeError(f"_weight has shape {self.weight.shape}: it must be {shape}")
        if _weight is None:
            self.reset_parameters()

    @classmethod
    def from_pretrained(
        cls: type[Self],
        embeddings: Any,
        freeze: bool = True,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
    ) -> Self:
        """A layer with a given table (num_embeddings, embedding_dim), which is copied.

        Args:
            embeddings: floating numbers: a tensor, an array or nested lists.
            freeze: whether the table is left out of the learning.
            padding_idx, max_norm, norm_type, scale_grad_by_freq, sparse: as for the layer; the
                row of padding_idx is not set to 0.

        Raises:
            ShapeError: not a matrix.
        """
        table = embeddings if isinstance(embeddings, Tensor) else Tensor(embeddings)
        check_floating("from_pretrained", table)
        if table.ndim != 2:
            raise ShapeError(
                f"from_pretrained got embeddings of shape {table.shape}: they must be "
                "(num_embeddings, embedding_dim)"
            )
        rows, length = table.shape
        return cls(
            rows, length, padding_idx, max_norm, norm_type, scale_grad_by_freq, sparse,
            table, freeze,
        )  # fmt: skip

    def reset_parameters(self) -> None:
        """Draw the table anew."""
        init.normal_(self.weight)
        if self.padding_idx is not None:
            with no_grad():
                self.weight[self.padding_idx] = 0.0

    def forward(self, x: Any) -> Tensor:
        """Integers (…) -> (…, embedding_dim)."""
        return F.embedding(
            x, self.weight, self.padding_idx, self.max_norm, self.norm_type,
            self.scale_grad_by_freq, self.sparse,
        )  # fmt: skip

    def extra_repr(self) -> str:
        """Sizes, and the options that differ from their defaults."""
        sizes = f"{self.num_embeddings}, {self.embedding_dim}"
        return ", ".join([sizes, *unusual(self, USUAL)])
