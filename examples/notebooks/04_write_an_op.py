# %% [markdown]
# # Write an op: a rule, a fused op, the laws, a kernel
#
# An op is one paragraph: a forward on arrays, and a rule for each input that says how a gradient
# goes back through it. This notebook writes one, has it checked, then writes another twice,
# composed and fused, and gives it a faster body.
#
# In a clone of minigrad, `pip install -e ".[examples]"` brings all that this needs; then it runs
# from any folder.

# %%
import statistics
import time

import numpy as np

import minigrad as mg
from minigrad.op import Hint, fused, op
from minigrad.samples import anything, elementwise, nonzero

mg.manual_seed(0)
x = mg.randn(4, 3, dtype=mg.float64)

# %% [markdown]
# ## An op
#
# log cosh x is like x²/2 near 0 and like |x| far away: a loss that large errors do not dominate.
# Written as it stands it overflows, since cosh 1000 is no float; with e^(-2|x|), which is at most
# 1, it cannot.
#
# The forward sees arrays and their namespace `xp`, which is NumPy or CuPy. The rule sees the
# gradient `g` of the output, and what its parameters name: here the input, x. Nothing else is kept
# for the backward pass. Rules are written with operators and ops, so a gradient can be
# differentiated again.


# %%
@op(lambda g, x: g * mg.tanh(x), samples=elementwise(anything))
def log_cosh(xp, x):
    """log cosh x, without overflow.        d log cosh x = tanh x dx

    >>> mg.log_cosh(mg.tensor([0.0, 1.0])).round(decimals=4)
    tensor([0.    , 0.4338])
    >>> mg.log_cosh(mg.tensor([-1000.0]))
    tensor([999.3068])
    """
    size = xp.abs(x)
    return size + xp.log1p(xp.exp(-2 * size)) - np.log(2)


print(mg.log_cosh(x).shape, x.log_cosh().shape)  # a function of mg, and a method
mg.draw(mg.log_cosh(x.detach().requires_grad_()).mean())

# %% [markdown]
# Is the rule right? `check_grads` compares it with differences along random directions, here to the
# third order. It is silent, so it is:

# %%
mg.testing.check_grads(log_cosh, x, order=3)

# %% [markdown]
# And would it notice? Here is the same op with a rule that is wrong by one part in a hundred:


# %%
@op(lambda g, x: 0.99 * g * mg.tanh(x), method=False)
def nearly_log_cosh(xp, x):
    """As log_cosh, with a wrong rule."""
    return log_cosh.forward(xp, x)


try:
    mg.testing.check_grads(nearly_log_cosh, x)
except AssertionError as error:
    print(error)

# %% [markdown]
# ## The laws
#
# A right derivative is not all that is wanted of an op. The laws of `minigrad/laws` hold of every
# one: it keeps dtypes, takes any layout in memory, writes to no input, keeps nothing that no rule
# asks for, refuses what makes no sense. `samples` above said which calls to try it with: any
# values, elementwise.

# %%
print(len(mg.laws.LAWS), "laws, such as:")
for name in list(mg.laws.LAWS)[:6]:
    print(" ", name.replace("_", " "))

try:
    mg.laws.check_op(log_cosh)
except AssertionError as error:
    print(f"\n{error}\n{error.__notes__[0]}")

# %% [markdown]
# So there is a mistake, which no derivative showed: `np.log(2)` is a float64 of NumPy's, and makes
# everything that it meets float64. A network in float32 would have become slower from there on, and
# nobody had seen it. A Python number takes the dtype of what it meets:

# %%
LOG_2 = float(np.log(2))


@op(lambda g, x: g * mg.tanh(x), samples=elementwise(anything))
def log_cosh(xp, x):
    """log cosh x, without overflow.        d log cosh x = tanh x dx

    >>> mg.log_cosh(mg.tensor([0.0, 1.0])).round(decimals=4)
    tensor([0.    , 0.4338])
    >>> mg.log_cosh(mg.tensor([-1000.0]))
    tensor([999.3068])
    """
    size = xp.abs(x)
    return size + xp.log1p(xp.exp(-2 * size)) - LOG_2


mg.laws.check_op(log_cosh)
print("every law holds of", log_cosh.op)

# %% [markdown]
# ## A fused op
#
# To divide vectors by their length, x / √(Σ x² + eps), takes five ops. Each makes an array, and
# each is a node in the graph. A fused op does it in one. Its *reference*, made of ops, says what it
# means, and remains the measure of all that follows.


# %%
def unit_reference(x, *, eps):
    return x * mg.rsqrt((x * x).sum(-1, keepdims=True) + eps)


def vectors(draw):
    """Calls to try: vectors of two or three numbers, in up to two more axes."""
    shape = (*draw.shape(most=2), draw.integer(2, 3))
    return (nonzero(draw, shape),), {"eps": draw.one_of(0.01, 0.1)}


@fused(reference=unit_reference, samples=vectors, floating=True, method=True)  # of integers, floats
def unit(xp, x, *, eps=1e-12):
    """y = r x with r = 1 / √(Σ x² + eps) along the last axis.        dx = r (dy - y Σ y dy)

    >>> mg.unit(mg.tensor([3.0, 4.0]))
    tensor([0.6, 0.8])
    """
    r = 1 / xp.sqrt((x * x).sum(-1, keepdims=True) + eps)
    return x * r, Hint(r)


# %% [markdown]
# That would do: without a rule, a fused op is differentiated through its reference. With one it is
# faster. The hint, r, saves work: the backward need not compute it again. But r depends on x, and
# as an array it does not know that. A rule that computed with it would be right at the first order
# and silently wrong at the second. So while derivatives are recorded, a hint is sealed:


# %%
@fused(reference=unit_reference)
def unit_with_the_hint_opened(xp, x, *, eps=1e-12):
    """As unit."""
    return unit.forward(xp, x, eps=eps)


@unit_with_the_hint_opened.vjp
def _(g, x, eps, hint):
    (r,) = hint
    y = x * r
    return (r * (g - y * (y * g).sum(-1, keepdims=True)),)


try:
    mg.testing.check_grads(unit_with_the_hint_opened, x, order=2)
except mg.GraphError as error:
    print(error)

# %% [markdown]
# The rule is therefore one more fused op, with a reference of its own. It gets x, whose history is
# known, and the hint, which its forward may open, since a forward only computes numbers.


# %%
def unit_grad_reference(x, dy, *, eps):
    r = mg.rsqrt((x * x).sum(-1, keepdims=True) + eps)
    y = x * r
    return r * (dy - y * (y * dy).sum(-1, keepdims=True))


@fused(reference=unit_grad_reference)
def unit_grad(xp, x, dy, *, eps, hint=None):
    """dx = r (dy - y Σ y dy), the derivative of unit."""
    (r,) = hint or unit.forward(xp, x, eps=eps)[1]
    y = x * r
    return r * (dy - y * (y * dy).sum(-1, keepdims=True))


@unit.vjp
def _(g, x, eps, hint):
    return (unit_grad(x, g, eps=eps, hint=hint),)


mg.testing.check_grads(unit, x, order=4)
mg.laws.check_op(unit)  # one of the laws: it is its reference, at orders 0 to 3
print("every law holds of", unit.op)

# %% [markdown]
# `mg.unfused()` runs the reference instead. Both graphs, from x to the result:

# %%
t = mg.randn(64, 128, requires_grad=True)
with mg.unfused():
    composed = mg.draw(unit(t), names={"x": t}, title="composed")
composed.beside(mg.draw(unit(t), names={"x": t}, title="fused"))

# %% [markdown]
# ## A kernel
#
# A kernel is a faster body for an op that exists: the same signature, the same meaning, the same
# hint. It says `NotImplemented` to what it does not serve, and the forward, or another kernel,
# takes over. This one for the CPU sums the squares without an array of them, and works in place.


# %%
@unit.kernel("cpu")
def unit_in_place(xp, x, *, eps):
    if x.dtype not in (np.float32, np.float64):
        return NotImplemented
    r = np.einsum("...i,...i->...", x, x)[..., None]
    r += eps
    np.sqrt(r, out=r)
    np.reciprocal(r, out=r)
    return x * r, Hint(r)


with mg.kernels(True):
    mg.laws.check_op(unit)
    fast = unit(t)
with mg.kernels(False):
    mg.testing.assert_close(fast, unit(t))

# %% [markdown]
# Was it worth its lines? On this machine, medians of rounds in which all three take turns, so that
# whatever else the machine does hits all alike:

# %%
big = mg.randn(4096, 256, requires_grad=True)
down = mg.randn(4096, 256)


def milliseconds(way, backward):
    """One run: the reference, the fused op, or the fused op with its kernel."""
    with mg.kernels(way == "kernel"):
        start = time.perf_counter()
        y = unit_reference(big, eps=1e-12) if way == "composed" else unit(big)
        if backward:
            y.backward(down)
        return 1e3 * (time.perf_counter() - start)


runs = [(way, backward) for way in ("composed", "fused", "kernel") for backward in (False, True)]
rounds = [[milliseconds(*run) for run in runs] for _ in range(31)]
medians = dict(zip(runs, map(statistics.median, zip(*rounds, strict=True)), strict=True))
print("ms          forward   and backward")
for way in ("composed", "fused", "kernel"):
    print(f"{way:<10}{medians[way, False]:>9.2f}{medians[way, True]:>15.2f}")

# %% [markdown]
# A kernel that is not clearly faster than its forward is not worth having; this one serves the
# forward alone, and `unit_grad` could have one as well. Those of minigrad are
# compiled, by Numba for the CPU and as CUDA C++ for the GPU; `@unit.kernel("cpu", needs="numba")`
# leaves one out where Numba is not installed.
#
# ## What next
#
# - `CONTRIBUTING.md`: where an op goes that minigrad shall have, and how kernels are written.
# - `print(mg.mul.op.source)`: all that a call does. `python -m minigrad.ops`: every op with its
#   formula and its rules.
# - `minigrad/ops/batch_norm.py`: the same pattern at full size. What it gains is measured in
#   [05_compare](05_compare.ipynb).
