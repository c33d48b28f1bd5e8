"""What the tests of kernels for CuPy's arrays share.

They run on a GPU, or on the CPU where there is g++; elsewhere they skip.
"""

import cuda_on_cpu
import pytest

from minigrad.kernels.cuda import launching


@pytest.fixture(autouse=True)
def runs_kernels(request):
    """Skips a test whose kernels nothing here can run."""
    if not cuda_on_cpu.available() and request.node.get_closest_marker("gpu") is None:
        pytest.skip("CUDA's kernels run on the CPU with g++ 12 or later")


@pytest.fixture
def long_counts(monkeypatch, tmp_path):
    """Kernels count everything in `long long`, as they do with arrays that no test has room for."""
    for file in [*launching.FOLDER.glob("*.cu"), *launching.FOLDER.glob("*.cuh")]:
        (tmp_path / file.name).write_text(file.read_text())
    header = tmp_path / "places.cuh"
    few = "const long long FEW_PLACES = 1ll << 30;"
    assert few in header.read_text()
    header.write_text(header.read_text().replace(few, "const long long FEW_PLACES = 0;"))
    monkeypatch.setattr(launching, "FOLDER", tmp_path)
    monkeypatch.setattr(launching, "OPTIONS", (*launching.OPTIONS[:-1], f"-I{tmp_path}"))
    _forget_kernels()
    yield
    _forget_kernels()


def _forget_kernels():
    launching.module.cache_clear()
    launching.kernel.cache_clear()
