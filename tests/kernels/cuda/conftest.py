"""What the tests of kernels for CuPy's arrays share."""

import pytest

from minigrad.kernels.cuda import launching


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
