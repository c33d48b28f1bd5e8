"""`python -m minigrad.ops` prints every op: signature, formula, example, rules as source.

`python -m minigrad.ops NAME ...` prints these.
"""

import contextlib
import sys

from ..op import registry
from .catalogue import book, page

if unknown := [name for name in sys.argv[1:] if name not in registry]:
    sys.exit(f"there is no op {', '.join(unknown)}; there are: {', '.join(sorted(registry))}")
with contextlib.suppress(BrokenPipeError):  # `| head` has seen enough
    print("\n".join(page(registry[name]) for name in sys.argv[1:]) or book(), flush=True)
