"""The axes of the contract: a test that takes `shape`, `fused` and `device` runs on their product.

`device` stands in tests/conftest.py: the CPU, the stand-in for CuPy, and a GPU where there is one.
"""

import pytest
from batch_norm_cases import FORMS, SHAPES


@pytest.fixture(params=FORMS.values(), ids=FORMS)
def fused(request):
    """Whether BatchNorm is the fused node, or composed of primitives."""
    return request.param


@pytest.fixture(params=SHAPES.values(), ids=SHAPES)
def shape(request):
    """A batch for BatchNorm1d (N, C) and (N, C, L), BatchNorm2d and BatchNorm3d; C is 3."""
    return request.param
