"""Arguments have PyTorch's names, order and defaults; what is otherwise stands here, with why."""

import inspect

import pytest

from minigrad import nn, optim
from minigrad.nn import functional, init

torch = pytest.importorskip("torch")

# arguments of PyTorch's that are left out everywhere
LEFT_OUT = {
    "size_average": "superseded by `reduction`",
    "reduce": "superseded by `reduction`",
    "generator": "there is one generator, `mg.manual_seed`",
    "foreach": "how PyTorch runs its steps",
    "capturable": "how PyTorch runs its steps",
    "differentiable": "how PyTorch runs its steps",
    "fused": "how PyTorch runs its steps; in a norm here it chooses between its two forms",
    "decoupled_weight_decay": "that is AdamW",
    "_stacklevel": "of PyTorch's own warnings",
}
# arguments of ours that PyTorch has not
ADDED = {
    "fused": "one node, or composed of primitives",
    "relu": "BatchNorm with ReLU in one node",
}
OTHERWISE = {
    "pad": "its value is 0.0 by default, not None that means it",
    "Parameter": "dtype and device are added",
    "Buffer": "dtype and device are added",
    "Module": "it takes no arguments",
    "Sequential": "any modules, or one dict",
    "ModuleList": "any iterable",
    "ModuleDict": "any mapping",
    "Identity": "anything",
    "LRScheduler": "the base of the schedules, which is given what they start from",
}


def parameters(f):
    """Names and defaults in their order, without `self` and what is left out."""
    found = inspect.signature(f).parameters.values()
    return [
        (p.name, None if p.default is p.empty else p.default)
        for p in found
        if p.name not in LEFT_OUT and p.name not in ADDED
        if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    ]


def pairs(ours, theirs, kind):
    """The names that both rooms have as things of this kind."""
    names = [name for name in ours.__all__ if hasattr(theirs, name) and name not in OTHERWISE]
    return [name for name in names if kind(getattr(ours, name)) and kind(getattr(theirs, name))]


@pytest.mark.parametrize("name", pairs(nn, torch.nn, inspect.isclass))
def test_layers_take_torchs_arguments(name):
    ours, theirs = parameters(getattr(nn, name)), parameters(getattr(torch.nn, name))
    assert ours == theirs


@pytest.mark.parametrize("name", pairs(optim, torch.optim, inspect.isclass))
def test_optimisers_take_torchs_arguments(name):
    assert parameters(getattr(optim, name)) == parameters(getattr(torch.optim, name))


@pytest.mark.parametrize(
    "name", pairs(optim.lr_scheduler, torch.optim.lr_scheduler, inspect.isclass)
)
def test_schedules_take_torchs_arguments(name):
    ours, theirs = (getattr(room, name) for room in (optim.lr_scheduler, torch.optim.lr_scheduler))
    assert parameters(ours) == parameters(theirs)


@pytest.mark.parametrize("name", pairs(functional, torch.nn.functional, inspect.isfunction))
def test_functions_take_torchs_arguments_after_x(name):
    (first, _), *ours = parameters(getattr(functional, name))
    room = torch.nn.functional  # where max_pool2d chooses between two functions with a signature
    (theirs_first, _), *theirs = parameters(getattr(room, f"_{name}", getattr(room, name)))
    assert (first, theirs_first) == ("x", "input")
    assert ours == theirs


@pytest.mark.parametrize("name", pairs(init, torch.nn.init, inspect.isfunction))
def test_initialisers_take_torchs_arguments(name):
    assert parameters(getattr(init, name)) == parameters(getattr(torch.nn.init, name))


def test_the_rooms_have_what_is_expected_of_them():
    layers = """Module Parameter Buffer Linear Conv1d Conv2d ConvTranspose2d BatchNorm1d BatchNorm2d
    BatchNorm3d LayerNorm GroupNorm InstanceNorm1d InstanceNorm2d InstanceNorm3d Dropout Embedding
    ReLU LeakyReLU GELU SiLU ELU Softplus Sigmoid Tanh Softmax LogSoftmax MaxPool2d AvgPool2d
    AdaptiveAvgPool2d Flatten Identity Sequential ModuleList ModuleDict MSELoss L1Loss SmoothL1Loss
    CrossEntropyLoss NLLLoss BCEWithLogitsLoss l1_penalty l2_penalty summary"""
    functions = """linear conv1d conv2d conv_transpose2d batch_norm layer_norm group_norm
    instance_norm dropout embedding relu leaky_relu gelu silu elu softplus sigmoid tanh softmax
    log_softmax max_pool2d avg_pool2d adaptive_avg_pool2d pad mse_loss l1_loss smooth_l1_loss
    cross_entropy nll_loss binary_cross_entropy_with_logits"""
    assert set(layers.split()) <= set(nn.__all__)
    assert set(functions.split()) <= set(functional.__all__)
