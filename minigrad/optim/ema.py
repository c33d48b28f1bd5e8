"""Averages of a model's weights over its training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from .. import backend, dtypes, graph
from ..backend import Array
from ..backend.several import placed
from ..tensor import Tensor, handle
from .checks import check_number
from .state import Reader, as_tensor

if TYPE_CHECKING:
    from ..nn.module import Module


class EMA:
    """a ← decay·a + (1 - decay)·p after each step: an exponential moving average of the weights.

    It starts at the weights as they are when it is made, so nothing needs to be freed of a bias.
    Buffers (BatchNorm's statistics) are copied as they are.  Averages of float16 are kept in
    float32, where steps of 1 - decay are not lost.  (Polyak and Juditsky, 1992, SIAM J. Control
    Optim. 30; its exponential form: Tarvainen and Valpola, 2017, arXiv 1703.01780.)

        ema = optim.EMA(model)
        for x, y in batches:
            ...
            optimizer.step()
            ema.update()
        with ema.average_parameters():
            evaluate(model)

    Args:
        model: its parameters and buffers are found once, now: move and convert it before.
        decay: how much of the average an update keeps, in [0, 1].
        warmup: keep min(decay, (1 + n) / (10 + n)) at the n-th update, counted from 1, so that a
            short run forgets its first weights.

    Raises:
        ValueError: decay outside [0, 1].
    """

    def __init__(self, model: Module, decay: float = 0.999, warmup: bool = False) -> None:
        check_number("EMA", "decay", decay, 1)
        self.model, self.decay, self.warmup = model, float(decay), warmup
        self.num_updates = 0
        self._lent = False
        self.averages = {
            name: t.detach().to(_wide(t.dtype)).clone() for name, t in _tensors(model).items()
        }

    def update(self) -> None:
        """Move the averages towards the model's weights as they are now.

        Raises:
            RuntimeError: the model's tensors are no longer those that it was made with, or it
                holds the averages now.
        """
        if self._lent:
            raise RuntimeError(
                "EMA.update inside average_parameters(), where the model holds the averages: "
                "update outside"
            )
        own = self._fitting(self.model, "update", exact=True)
        n = self.num_updates = self.num_updates + 1
        decay = min(self.decay, (1 + n) / (10 + n)) if self.warmup else self.decay
        learned = {name for name, _ in self.model.named_parameters()}
        for name, t in own.items():
            average = self.averages[name].array
            _move(average, t.array, decay if name in learned else None)
            graph.wrote("EMA.update", average)

    @contextmanager
    def average_parameters(self) -> Iterator[None]:
        """Inside, the model holds the averages; then its own weights again, come what may.

        What is written into its parameters and buffers inside is lost with the averages' copies.
        """
        own = self._fitting(self.model, "average_parameters", exact=True)
        before = {name: t.array for name, t in own.items()}
        self._lent = True
        try:
            for name, t in own.items():
                t.rebind(self._average_for(name, t))
            yield
        finally:
            self._lent = False
            for name, t in own.items():
                t.rebind(before[name])

    def copy_to(self, model: Module) -> None:
        """Write the averages into a model of the same architecture, such as this one.

        Raises:
            RuntimeError: lists every name and shape that does not fit; nothing has changed then.
        """
        own = self._fitting(model, "copy_to", exact=False)
        learned = {name for name, _ in model.named_parameters()}
        for name, t in own.items():
            average = self._average_for(name, t)
            if name in learned:
                _move(t.array, average, None)
                graph.wrote("EMA.copy_to", t.array)
            else:  # statistics are rebound, as everywhere
                t.rebind(average)

    def state_dict(self) -> dict[str, Tensor]:
        """The averages ("averages.0.weight") and the number of updates, as copies by name."""
        averages = {f"averages.{name}": t.clone() for name, t in self.averages.items()}
        return {"num_updates": as_tensor(self.num_updates), **averages}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over what `state_dict()` gave.  All or nothing; decay and warmup stay as they are.

        Raises:
            RuntimeError: lists every missing, unexpected and unfit entry at once; nothing has
                changed then.
        """
        reader = Reader(state_dict)
        count = reader.count("num_updates")
        found = {}
        for name, t in self.averages.items():
            kinds = "f" if dtypes.is_floating(t.dtype) else "biu"
            value = reader.take(f"averages.{name}", t.shape, kinds)
            if value is not None:
                place = backend.of(t.array)
                found[name] = handle(place.asarray(value, t.dtype, t.device, copy=True))
        reader.finish("EMA", "Give the state of an EMA of the same architecture.")
        self.num_updates, self.averages = count, found

    def _average_for(self, name: str, t: Tensor) -> Any:
        """A copy of an average, of the dtype and on the device of the tensor that it is for."""
        return self.averages[name].to(dtype=t.dtype, device=t.device).clone().array

    def _fitting(self, model: Module, what: str, exact: bool) -> dict[str, Tensor]:
        """A model's tensors by name, once they are found to fit the averages.

        exact: dtypes and devices must be the same, too.
        """
        own = _tensors(model)
        problems = [f"{name}: missing" for name in self.averages if name not in own]
        problems += [f"{name}: unexpected" for name in own if name not in self.averages]
        for name, average in self.averages.items():
            if name in own:
                given = _kind(own[name], exact)
                wanted = _kind(average, exact)
                if given != wanted:
                    problems.append(f"{name}: {given} given, {wanted} wanted")
        if problems:
            raise RuntimeError(
                "\n  ".join([f"EMA.{what}: the model does not fit the averages:", *problems])
                + "\nMake the EMA of a model that is moved, converted and complete."
            )
        return own


@placed
def _move(average: Array, value: Array, decay: float | None) -> None:
    """Keep so much of an average and take the rest of a value; None: become the value."""
    if decay is None:
        average[...] = value
    else:
        average += (1 - decay) * (value - average)


def _tensors(model: Module) -> dict[str, Tensor]:
    """All parameters and buffers, each once."""
    if not hasattr(model, "named_parameters"):
        raise TypeError(f"EMA got a {type(model).__name__}: give the model itself")
    return {**dict(model.named_parameters()), **dict(model.named_buffers())}


def _wide(dtype: Any) -> Any:
    """The dtype of an average: float16 would round its small steps away."""
    return dtypes.float32 if dtype == dtypes.float16 else dtype


def _kind(t: Tensor, exact: bool) -> str:
    return f"{_wide(t.dtype)} {t.shape} on {t.device}" if exact else f"shape {t.shape}"
