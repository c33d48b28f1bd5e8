"""How kernels are run: in which order, without which barrier, under AddressSanitizer or not."""

from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, fields

ORDERS = ("forward", "reverse", "shuffled")


@dataclass
class Settings:
    """What holds for the next launches."""

    order: str = "shuffled"  # of threads, warps and blocks: one of ORDERS
    seed: int = 0  # of what is shuffled
    removed: tuple | None = None  # a program, and the number of its barrier that is left out
    sanitize: bool = False  # needs a process with libasan loaded first


settings = Settings()
launched: Counter[str] = Counter()  # kernels by name, since it was last cleared


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
