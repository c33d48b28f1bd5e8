"""NVIDIA's compiler without a GPU: machine code from the text of a `.cu` file.

It needs the wheels nvidia-cuda-nvrtc and nvidia-cuda-runtime, which has CUDA's headers.
"""

import ctypes
import functools
from pathlib import Path

ARCHITECTURES = (75, 80, 86, 90, 100, 120)  # Turing, Ampere (twice), Hopper, Blackwell (twice)


@functools.cache
def _found():
    """The folder of headers and the compiler's library; None where there are none."""
    try:
        import nvidia
    except ModuleNotFoundError:
        return None
    for root in map(Path, nvidia.__path__):
        headers = sorted(root.glob("*/include/cuda_fp16.h"))
        libraries = [p for p in sorted(root.glob("*/lib/libnvrtc.so.*")) if "alt" not in p.name]
        if headers and libraries:
            return headers[-1].parent, ctypes.CDLL(str(libraries[-1]))
    return None


def available():
    """Whether the compiler is installed."""
    return _found() is not None


def compile_to_machine_code(text, options, architecture):
    """The bytes of a cubin for sm_<architecture>.

    Raises:
        SyntaxError: the compiler's log.
    """
    headers, nvrtc = _found()
    program, size = ctypes.c_void_p(), ctypes.c_size_t()

    def check(result):
        if result:
            nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(size))
            log = ctypes.create_string_buffer(size.value)
            nvrtc.nvrtcGetProgramLog(program, log)
            raise SyntaxError(f"sm_{architecture}: {log.value.decode()}")

    check(nvrtc.nvrtcCreateProgram(ctypes.byref(program), text.encode(), None, 0, None, None))
    # -ftz=true as CuPy does; warnings are errors
    given = [
        *options,
        f"-arch=sm_{architecture}",
        f"-I{headers}",
        "-ftz=true",
        "-Werror=all-warnings",
    ]
    array = (ctypes.c_char_p * len(given))(*(option.encode() for option in given))
    check(nvrtc.nvrtcCompileProgram(program, len(given), array))
    check(nvrtc.nvrtcGetCUBINSize(program, ctypes.byref(size)))
    code = ctypes.create_string_buffer(size.value)
    check(nvrtc.nvrtcGetCUBIN(program, code))
    nvrtc.nvrtcDestroyProgram(ctypes.byref(program))
    return code.raw
