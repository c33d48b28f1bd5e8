"""How exactly CuPy lets cuBLAS multiply: what was said is kept, and changes no product here."""

import os
import threading
from types import ModuleType

_modes = threading.local()  # CuPy has a handle for each thread


def make_cublas():
    """`cupy.cuda.cublas`, of which a handle is a thread's number."""
    module = ModuleType("cupy.cuda.cublas")
    module.CUBLAS_DEFAULT_MATH = 0
    module.getMathMode = lambda handle: getattr(_modes, "mode", 0)
    module.setMathMode = lambda handle, mode: setattr(_modes, "mode", mode)
    return module


def make_core():
    """`cupy._core`: by dtype how plain matrices are multiplied; 0 is not known yet."""
    module, linalg = ModuleType("cupy._core"), ModuleType("cupy._core._routines_linalg")
    linalg.COMPUTE_TYPE_DEFAULT, linalg.COMPUTE_TYPE_TF32 = 1, 7
    types = {}

    def get_compute_type(dtype):
        asked = int(os.environ.get("CUPY_TF32", "0")) > 0
        return types.setdefault(dtype, 7 if asked and dtype == "float32" else 1)

    module._routines_linalg = linalg
    module.get_compute_type, module.set_compute_type = get_compute_type, types.__setitem__
    return module
