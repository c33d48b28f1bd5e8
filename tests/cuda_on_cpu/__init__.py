"""Runs the kernels of `.cu` files on the CPU, so that they are tested where there is no GPU.

    program = compiled(Path("minigrad/kernels/losses.cu").read_text(), options)
    with running(order="reverse"):
        program.launch("softmax_float32", (4,), (128,), [x, y, np.int64(4), np.int64(10)])

The text is compiled by g++ 12 or later, behind a header with what CUDA adds to C++: `shim/cuda.h`.
A block's threads are fibers that run in an order of choice: forward, reverse or shuffled.  What a
GPU leaves undefined shows: shared memory starts poisoned, a barrier that not all threads reach is
an error, memory around arrays is guarded, or all of it watched by AddressSanitizer
(`settings.sanitize`), and any one barrier can be left out to see whether that is noticed.

What it cannot show: timing, races between blocks, and what NVIDIA's compiler does; that each file
compiles is tested beside.
"""

from .building import available
from .program import Entry, Program, compiled
from .settings import ORDERS, launched, running, settings
