"""How kernels are run: in which order, without which barrier, under AddressSanitizer or not."""

from contextlib import contextmanager
from dataclasses import dataclass, fields

ORDERS = ("forward", "reverse", "shuffled")


@dataclass
class Settings:
    """What holds for the next launches."""

    order: str = "shuffled"  # of threads, warps and blocks: one of ORDERS
    seed: int = 0  # of what is shuffled
    removed: int | None = None  # the number of a barrier that is left out
    sanitize: bool = False  # needs a process with libasan loaded first


settings = Settings()


@contextmanager
def running(**changes):
    """Other settings, for a while."""
    before = {field.name: getattr(settings, field.name) for field in fields(settings)}
    unknown = changes.keys() - before.keys()
    if unknown:
        raise TypeError(f"there are no settings {sorted(unknown)}")
    vars(settings).update(changes)
    try:
        yield settings
    finally:
        vars(settings).update(before)
