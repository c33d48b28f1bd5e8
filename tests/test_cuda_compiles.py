"""NVIDIA's compiler makes machine code of every `.cu` file, for each generation of GPUs."""

import pytest
from cuda_calls import FILES, nvrtc

from minigrad.kernels.cuda.launching import OPTIONS

pytestmark = pytest.mark.skipif(
    not nvrtc.available(), reason="needs nvidia-cuda-nvrtc and nvidia-cuda-runtime"
)


@pytest.mark.parametrize("architecture", nvrtc.ARCHITECTURES)
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_file_compiles(file, architecture):
    code = nvrtc.compile_to_machine_code(file.read_text(), OPTIONS, architecture)
    assert code.startswith(b"\x7fELF")


def test_what_is_wrong_is_told():
    for text in ("__global__ void f() { wrong; }", "__global__ void f() { int unused = 1; }"):
        with pytest.raises(SyntaxError, match=r"wrong|unused"):
            nvrtc.compile_to_machine_code(text, OPTIONS, 90)
