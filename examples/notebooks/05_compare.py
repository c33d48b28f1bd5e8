# %% [markdown]
# # Compare: BatchNorm composed and fused
#
# minigrad has BatchNorm twice: composed of primitive ops, which one can read, and fused into one
# hand-written node. They are the same function. This notebook measures, on the machine where it
# runs, what the difference is: the graph, the time, the memory, and the accuracy where it is hard.
#
# In a clone of minigrad, `pip install -e ".[examples]"` brings all that this needs; then it runs
# from any folder. With the extra `fast` there is a third form, the fused node with compiled
# kernels.

# %%
import importlib.util
import math
import os
import platform
import time

import matplotlib.pyplot as plt
import numpy as np

import minigrad as mg
from minigrad import nn

mg.manual_seed(0)
plt.rcParams["figure.dpi"] = 80
numba = importlib.util.find_spec("numba") is not None
print(
    f"{os.cpu_count()} CPUs, Python {platform.python_version()}, NumPy {np.__version__},", end=" "
)
print("with Numba" if numba else "without Numba: no kernels")

# %% [markdown]
# ## The same function
#
# Outputs agree, gradients, and gradients of gradients, to what rounding allows: `assert_close` says
# so by its silence.


# %%
def two_orders(fused):
    """The output, the gradient of a loss, and the gradient of the length of that."""
    layer = nn.BatchNorm1d(3, dtype=mg.float64, fused=fused)
    x = mg.tensor(data, requires_grad=True)
    y = layer(x)
    (first,) = mg.grad((y**3).sum(), x, create_graph=True)
    (second,) = mg.grad((first * first).sum(), x)
    return y, first, second


data = np.random.default_rng(0).normal(size=(8, 3))
with mg.kernels(False):  # which would be compiled, for this alone, in float64
    for ours, meant in zip(two_orders(fused=True), two_orders(fused=False), strict=True):
        mg.testing.assert_close(ours, meant)

# %% [markdown]
# ## The graph
#
# Each box is an op, with its shape and the bytes that it keeps for the backward pass.

# %%
SHAPE = (64, 32, 8, 8)  # images, channels, height, width


def drawn(shape, fused):
    """The graph of one BatchNorm in training."""
    kind = nn.BatchNorm1d if len(shape) == 2 else nn.BatchNorm2d
    layer, x = kind(shape[1], fused=fused), mg.randn(*shape, requires_grad=True)
    title = "fused" if fused else "composed"
    return mg.draw(lambda: layer(x), layer, names={"x": x}, title=title)


drawn(SHAPE, fused=False).beside(drawn(SHAPE, fused=True))

# %% [markdown]
# ## Memory
#
# What a graph keeps lives until the backward pass, and all layers keep theirs at once: it decides
# how large a batch may be. In units of x itself, which lives anyway:

# %%
SHAPES = [(256, 512), (64, 64, 16, 16), (128, 256, 8, 8)]

print(f"{'':<20}{'composed':>10}{'fused':>10}")
for shape in SHAPES:
    size = 4 * math.prod(shape)
    kept = [drawn(shape, fused).kept / size for fused in (False, True)]
    print(f"{'×'.join(map(str, shape)):<20}{kept[0]:>10.3f}{kept[1]:>10.3f}")

# %% [markdown]
# The composed form keeps what each of its ops needs. The fused one keeps a mean and a deviation for
# each channel, and computes the rest from x again, which costs less than to fetch it from memory.
#
# ## Time
#
# Forward and backward of one layer, as in training. A machine has moods, so the forms take turns,
# and the median of many rounds counts; the thin lines reach from the first quartile to the third.


# %%
def trainer(shape, fused, kernels):
    """A function that goes forward and backward, and gives the seconds of the second time."""
    kind = nn.BatchNorm1d if len(shape) == 2 else nn.BatchNorm2d
    layer, x, dy = (
        kind(shape[1], fused=fused),
        mg.randn(*shape, requires_grad=True),
        mg.randn(*shape),
    )

    def step():
        with mg.kernels(kernels):
            for _ in range(2):  # the first finds the processor's caches full of other things
                x.grad = None
                start = time.perf_counter()
                layer(x).backward(dy)
            return time.perf_counter() - start

    return step


FORMS = {"composed": (False, False), "fused": (True, False)}
if numba:
    FORMS["fused, kernels"] = (True, True)


def milliseconds(shape, rounds=31):
    """(forms, 3): first quartile, median and third quartile."""
    steps = [trainer(shape, *form) for form in FORMS.values()]
    for step in steps:
        step()  # the first compiles, and fetches memory
    times = np.array([[step() for step in steps] for _ in range(rounds)])
    return 1e3 * np.percentile(times, (25, 50, 75), axis=0).T


measured = {shape: milliseconds(shape) for shape in SHAPES}

# %%
LOOKS = [("#b9c7d6", "//"), ("#5b87b0", ""), ("#0b3c6f", "")]  # light to dark, also in greyscale
figure, axes = plt.subplots(1, len(SHAPES), figsize=(9.5, 2.2), layout="constrained")
for axis, (shape, times) in zip(axes, measured.items(), strict=True):
    low, middle, high = times.T
    for i, (colour, hatch) in enumerate(LOOKS[: len(FORMS)]):
        axis.barh(i, middle[i], color=colour, hatch=hatch, edgecolor="white")
        axis.plot([low[i], high[i]], [i, i], color="black", linewidth=1)
        axis.text(high[i], i, f"  {middle[i]:.2g}", va="center", fontsize=9)
    axis.set(title="×".join(map(str, shape)), xlabel="ms", xlim=(0, 1.25 * high.max()))
    axis.set_yticks(range(len(FORMS)), FORMS if axis is axes[0] else [""] * len(FORMS))
    axis.invert_yaxis()
    axis.spines[["top", "right"]].set_visible(False)
plt.show()

# %% [markdown]
# The arithmetic is the same; what is saved is the way to memory and back, once for each array that
# is not made. With small layers the interpreter sets the pace, and fewer ops are faster ops.
# Kernels use all CPUs: where other programs keep these busy, the threads wait for each other, the
# thin lines grow long, and small layers gain nothing.
#
# ## Accuracy
#
# A channel may have a mean of 10,000 and a deviation of 1. Of float32's seven digits four or five
# are then the mean's, and a formula that is careless with the rest normalises by noise. Two that
# are often seen, in float32, beside the two forms, all against float64:


# %%
def one_pass(x):
    """Var x = E[x²] - E[x]²: both are huge, and their difference is what rounding left."""
    mean = x.mean(axis=0)
    variance = (x * x).mean(axis=0) - mean * mean
    return (x - mean) / np.sqrt(np.maximum(variance, 0) + np.float32(1e-5))


def two_passes(x):
    """The mean first, then the squares of what remains: only the mean's own rounding is left."""
    rest = x - x.mean(axis=0)
    return rest / np.sqrt((rest * rest).mean(axis=0) + np.float32(1e-5))


def layer_of(fused):
    """minigrad's, in training mode, as a function of arrays."""
    return lambda x: nn.BatchNorm1d(x.shape[1], fused=fused)(mg.tensor(x)).numpy()


def error(normalise, x):
    """The largest absolute error, where the result should have a deviation of 1."""
    wide = x.astype(np.float64)
    exact = (wide - wide.mean(axis=0)) / np.sqrt(wide.var(axis=0) + 1e-5)
    return np.abs(normalise(x) - exact).max()


METHODS = {
    "one pass": (one_pass, {"color": "#e07b00", "linestyle": ":", "marker": "s"}),
    "two passes": (two_passes, {"color": "#8c8c8c", "linestyle": "--", "marker": "^"}),
    "composed": (layer_of(False), {"color": "#5b87b0", "linestyle": "-.", "marker": "D"}),
    "fused": (layer_of(True), {"color": "#0b3c6f", "linestyle": "-", "marker": "o"}),
}
means = 10.0 ** np.arange(7)
noise = np.random.default_rng(0).normal(size=(1024, 64))
batches = [(noise + mean).astype(np.float32) for mean in means]  # rounded here, for all alike

figure, axis = plt.subplots(figsize=(7.5, 3.8), layout="constrained")
for name, (normalise, look) in METHODS.items():
    errors = [error(normalise, x) for x in batches]
    axis.loglog(means, errors, label=name, markersize=4, **look)
    print(f"mean 10,000: {name:<12} is wrong by up to {errors[4]:.1e}")
axis.axhline(1, color="#555555", linewidth=0.8)
axis.text(means[0], 1.3, "as large as the result", fontsize=8, color="#555555")
axis.set(xlabel="mean of the channel (its deviation is 1)", ylabel="largest error")
axis.legend(loc="center right", bbox_to_anchor=(1, 0.34))
plt.show()

# %% [markdown]
# One pass reads the data once, which is why it is used; its error grows with the square of the
# mean, until nothing is left of the variance. With two passes it grows with the mean: this is
# rounded, and so all values are off by the same little. Both forms here take out that little too:
# it is the mean of what remains, which should be 0.
#
# ## What next
#
# - [02_batch_norm](02_batch_norm.ipynb) derives what was measured here.
# - `./run bench batch_norm` measures with more care, beside other libraries where they are
#   installed; `./run bench memory` and `./run bench accuracy` do what their names say.
# - `nn.BatchNorm2d(channels, relu=True)` takes the ReLU into the node too.
