# %% [markdown]
# # Engine: the chain rule from nothing
#
# An autograd engine is a small program. This notebook writes one in about forty lines, to any order
# of derivative, and then finds the same parts in minigrad: what a node is, what the sweep does, why
# the order in which values were made is the order to go back in, and why rules are written with
# operators.
#
# In a clone of minigrad, `pip install -e ".[examples]"` brings all that this needs; then it runs
# from any folder.

# %%
import itertools
import math
from collections import Counter, deque
from heapq import heappop, heappush

import matplotlib.pyplot as plt
import numpy as np

import minigrad as mg

plt.rcParams["figure.dpi"] = 80

# %% [markdown]
# ## The chain rule is a walk
#
# A program computes a value step by step, and each step is something simple. Take y = a·b with
# a = sin x and b = cos a:
#
# ```text
# x ──→ a ──→ y          y = a · b
#       └─→ b ─┘         b = cos a,  a = sin x
# ```
#
# Each arrow has a slope of its own: how much its end moves when its beginning does. The chain rule
# says that slopes along a path multiply, and that paths add. From x to y there are two paths:

# %%
x = 0.7
a = math.sin(x)
b = math.cos(a)
a_to_y, b_to_y, a_to_b, x_to_a = b, a, -math.sin(a), math.cos(x)

both_paths = x_to_a * a_to_y + x_to_a * a_to_b * b_to_y


def f(x):
    return math.sin(x) * math.cos(math.sin(x))


h = 1e-6
print("both paths  ", both_paths)
print("a difference", (f(x + h) - f(x - h)) / (2 * h))

# %% [markdown]
# To list the paths would be right, and hopeless: each time a value is used twice their number
# doubles. But they share their beginnings, seen from y. So we go back from y, once over each arrow,
# and at each value add up what comes in before going on: x_to_a · (a_to_y + a_to_b · b_to_y). What
# has arrived at a value when all has arrived is the slope of y with respect to it: its gradient.
#
# ## A node
#
# For that a value must know where it came from: the values that it was made of, and for each a rule
# that takes the gradient g of this value to what flows back to that one. That is a node. The number
# of each node comes from a clock, which will be of use soon.


# %%
class Node:
    """A number, and where it came from: pairs of a node and the rule that leads back to it."""

    clock = itertools.count()

    def __init__(self, number, *origins):
        self.number, self.origins, self.id = number, origins, next(Node.clock)

    def __add__(self, other):
        a, b = self, node(other)
        return Node(a.number + b.number, (a, lambda g: g), (b, lambda g: g))

    def __mul__(self, other):
        a, b = self, node(other)
        return Node(a.number * b.number, (a, lambda g: g * b), (b, lambda g: g * a))

    __radd__, __rmul__ = __add__, __mul__

    def __sub__(self, other):
        return self + node(other) * -1


def node(value):
    return value if isinstance(value, Node) else Node(value)


def sin(x):
    return Node(math.sin(x.number), (x, lambda g: g * cos(x)))


def cos(x):
    return Node(math.cos(x.number), (x, lambda g: g * sin(x) * -1))


# %% [markdown]
# ## The sweep
#
# The sweep starts at y with a gradient of 1, and always goes on with the youngest node that has got
# something.


# %%
def grad(y, x):
    """dy/dx, as a node."""
    got, waiting = {y: Node(1.0)}, [(-y.id, y)]
    while waiting:
        youngest = heappop(waiting)[1]
        for origin, rule in youngest.origins:
            g = rule(got[youngest])
            if origin in got:
                got[origin] = got[origin] + g
            else:
                got[origin] = g
                heappush(waiting, (-origin.id, origin))
    return got.get(x, Node(0.0))


x = Node(0.7)
a = sin(x)
y = a * cos(a)
print(y.number, grad(y, x).number)
assert math.isclose(grad(y, x).number, both_paths)

# %% [markdown]
# That is the engine. All else is comfort, speed, and more ops.
#
# ## Why the youngest
#
# A node may pass its gradient on only when all of it is there, so all that was made *of* a value
# must come before it. Such an order is called topological, and one usually sorts for it. Here it is
# free: a value can only be made of values that exist, so whatever was made of it is younger. Going
# back from the youngest to the oldest, nothing can arrive late.
#
# Here is the same sweep with a queue in place of the heap: first come, first served. In the example
# y hands something to a and to b; a goes on at once, and what b had to say to a comes too late.


# %%
def grad_first_come(y, x):
    """As grad, but in the order of arrival: wrong."""
    got, waiting = {y: Node(1.0)}, deque([y])
    while waiting:
        first = waiting.popleft()
        for origin, rule in first.origins:
            g = rule(got[first])
            if origin in got:
                got[origin] = got[origin] + g
            else:
                got[origin] = g
                waiting.append(origin)
    return got.get(x, Node(0.0))


print("youngest first     ", grad(y, x).number)
print("first come         ", grad_first_come(y, x).number)
print("one of the paths is", x_to_a * a_to_y)

# %% [markdown]
# ## Why once
#
# The other way to be right is to follow every path to its end, by a function that calls itself.
# It needs no order at all, but no patience suffices for it. Sixteen steps, each of which uses a
# value twice:


# %%
def paths(y):
    """How many ways lead from y back to where it began."""
    return sum(paths(origin) for origin, _ in y.origins) if y.origins else 1


def steps(y):
    """How many arrows there are."""
    seen, waiting = {y}, [y]
    while waiting:
        found = [origin for origin, _ in waiting.pop().origins if origin not in seen]
        seen.update(found)
        waiting.extend(found)
    return sum(len(each.origins) for each in seen)


x = Node(1.0)
y = x
for doubling in range(1, 17):
    y = y + y
    if doubling % 4 == 0:
        print(f"{doubling:>2} steps: {steps(y):>3} arrows, {paths(y):>6,} paths")
assert grad(y, x).number == 2**16

# %% [markdown]
# ## Why operators
#
# Look at the rule of a product: `lambda g: g * b`. Both g and b are nodes, so the `*` is the one
# that makes nodes. What `grad` gives is therefore a result like any other, with a history, and
# `grad` can go back through it. Nothing more is needed for second derivatives, or for tenth ones:

# %%
x = Node(0.7)
derivative = sin(x)
for order in range(7):
    exact = math.sin(0.7 + order * math.pi / 2)
    print(f"order {order}: {derivative.number:+.15f}   exactly {exact:+.15f}")
    derivative = grad(derivative, x)

# %% [markdown]
# Now a rule that is written with numbers. Its number is right, so the first derivative is right.
# But b depends on x, and a bare number does not know it: the second derivative lacks a term, and
# nothing warns.


# %%
def product_with_numbers(a, b):
    return Node(
        a.number * b.number,
        (a, lambda g: g * b.number),  # the number, not the node
        (b, lambda g: g * a.number),
    )


x = Node(3.0)
for name, square in (("nodes", x * x), ("numbers", product_with_numbers(x, x))):
    first = grad(square, x)
    second = grad(first, x)
    print(f"rules with {name:<8}  x²' = {first.number}  x²'' = {second.number}")

# %% [markdown]
# This is no contrived mistake. A layer's backward that someone wrote by hand for speed, from a mean
# and a deviation that the forward had put aside as plain arrays, makes just this one.
# [02_batch_norm](02_batch_norm.ipynb) shows it, and what minigrad does instead.
#
# Second derivatives are of use: Newton's method goes where the slope of the slope says that the
# slope ends. In a few steps it finds where x⁴ - 3x³ + 2 is least, at 9/4.

# %%
x = Node(3.0)
for step in range(6):
    y = x * x * x * x - 3 * x * x * x + 2
    slope = grad(y, x)
    curvature = grad(slope, x)
    print(f"step {step}: x = {x.number:.12f}, slope {slope.number:+.1e}")
    x = Node(x.number - slope.number / curvature.number)

# %% [markdown]
# ## minigrad
#
# minigrad is the same engine, with arrays in the place of numbers. What one holds is a Tensor: an
# array, and the node that it came from. A node knows the nodes before it, when it was made, and
# what its rules asked for. A product keeps either factor for the other's sake; a sum keeps nothing.

# %%
x = mg.tensor(0.7, dtype=mg.float64, requires_grad=True)
a = x.sin()
y = a * a.cos()
for name, tensor in (("x", x), ("a", a), ("y", y)):
    n = tensor.node
    made_of = [parent.op or "the leaf" for parent in n.parents]
    keeps = [each.item() for each in n.saved]
    print(f"{name}: op {n.op}, made of {made_of}, keeps {keeps}")
assert x.node.id < a.node.id < y.node.id

# %% [markdown]
# `backward` sweeps, and leaves the gradients in `.grad` of the leaves, where optimisers look for
# them:

# %%
y.backward()
print(x.grad)
assert math.isclose(x.grad.item(), both_paths)

# %% [markdown]
# The sweep gave back the memory of what it passed: after a training step nobody wants it. To ask
# twice is an error that says so.

# %%
try:
    y.backward()
except mg.GraphError as error:
    print(error)

# %% [markdown]
# `mg.draw` shows a graph. Each box is an op, with its shape and the bytes that it keeps.

# %%
x = mg.tensor([0.7, 1.4, 2.1], dtype=mg.float64, requires_grad=True)


def g(x):
    a = x.sin()
    return (a * a.cos()).sum()


mg.draw(g(x), names={"x": x})

# %% [markdown]
# `mg.grad` gives gradients without touching any `.grad`. With `create_graph=True` the rules get
# Tensors instead of bare arrays, so what they compute is recorded, and can be differentiated.
# Without it they get arrays, and nothing is recorded that nobody asked for. One rule serves both.
# The derivative's graph begins at the same x, and goes through what the first one made:

# %%
(slope,) = mg.grad(g(x), x, create_graph=True)
mg.draw(slope, names={"x": x}, title="the derivative of the graph above")

# %% [markdown]
# A rule of one's own can look at what it gets:

# %%
from minigrad.op import op


def rule(g, x):
    print("the rule got g and x as", type(g).__name__, "and", type(x).__name__)
    return 2 * g * x


@op(rule, method=False)
def square(xp, x):
    """x².        dx² = 2x dx"""
    return x * x


(first,) = mg.grad(square(x).sum(), x)
(first,) = mg.grad(square(x).sum(), x, create_graph=True)
(second,) = mg.grad(first.sum(), x)
print("x²'' =", second)

# %% [markdown]
# ## Any order
#
# The derivatives of tanh, which no one would like to derive by hand to the fourth order. The sum
# is a device: each element of the result depends on its own element of x only, so the gradient of
# the sum is all the slopes at once. Below it `check_grads` compares with differences, order by
# order; it says something only where it disagrees.

# %%
x = mg.tensor(np.linspace(-3, 3, 301), requires_grad=True)
figure, axis = plt.subplots(figsize=(7.5, 3.6), layout="constrained")
LOOKS = [("-", "#222222"), ("--", "#c04a00"), ("-.", "#5b87b0"), (":", "#222222"), ("-", "#9ab4cf")]
derivative = x.tanh()
for order, (line, colour) in enumerate(LOOKS):
    label = "tanh x" if order == 0 else "derivative of order " + str(order)
    axis.plot(x.numpy(), derivative.numpy(), line, color=colour, label=label, linewidth=1.6)
    (derivative,) = mg.grad(derivative.sum(), x, create_graph=True)
axis.set(xlabel="x", ylim=(-4.5, 4.5))
axis.grid(alpha=0.3)
axis.legend(fontsize=9)
plt.show()

mg.testing.check_grads(mg.tanh, x[::50].detach(), order=4)

# %% [markdown]
# Orders are not free. The graph of a derivative holds what the rules made of the graph before, so
# each is larger than the last. Counted from the result back, each node once:


# %%
def ops_behind(tensor):
    """How many nodes of each op there are."""
    seen, waiting = {tensor.node}, [tensor.node]
    while waiting:
        found = {n for n in waiting.pop().parents if n is not None} - seen
        seen |= found
        waiting.extend(found)
    return Counter(str(n.op) for n in seen if n.op is not None)


derivative = x.tanh()
for order in range(6):
    counts = ops_behind(derivative)
    print(f"order {order}: {counts.total():>4} nodes, most of all {counts.most_common(1)[0][0]}")
    (derivative,) = mg.grad(derivative.sum(), x, create_graph=True)

# %% [markdown]
# ## What else an engine of arrays has to do
#
# **Undo broadcasting.** A row that was added to each of a thousand rows was used a thousand times,
# and its gradients add up. The sweep does that for every op alike, so no rule has to think of it:

# %%
row = mg.zeros(3, requires_grad=True)
(mg.ones(1000, 3) * 2 + row).sum().backward()
print(row.grad)

# %% [markdown]
# **Go deep.** A sweep that called itself would end at Python's limit of about a thousand calls. A
# loop with a heap does not mind a chain of a hundred thousand ops:

# %%
x = mg.tensor(1.0, dtype=mg.float64, requires_grad=True)
y = x
for _ in range(100_000):
    y = y * 1.00001
y.backward()
print(f"{x.grad.item():.4f}, and 1.00001^100000 = {1.00001**100_000:.4f}")

# %% [markdown]
# **Notice when what it kept was overwritten.** The clock that orders the nodes counts writes too: a
# write that is younger than a node, into memory that the node keeps, would make its gradient wrong.

# %%
x = mg.tensor([1.0, 2.0], requires_grad=True)
weight = mg.tensor([3.0, 4.0])
y = (x * weight).sum()
weight.zero_()
try:
    y.backward()
except mg.GraphError as error:
    print(error)

# %% [markdown]
# **Be quick.** For small arrays the time goes into Python, not into arithmetic. So the call of each
# op is generated from its rules, and does nothing that this op does not need. This is all that
# happens when one multiplies:

# %%
print(mg.mul.op.source)

# %% [markdown]
# ## What next
#
# - Add `exp` and division to the forty lines. Which rule would you write for a/b so that it has
#   every order, and does it need a itself, or is y = a/b enough?
# - In minigrad read `graph.py` (the node and the clock), then `sweep.py`: with this notebook in
#   mind they hold no surprise.
# - [02_batch_norm](02_batch_norm.ipynb): a layer whose backward is worth deriving by hand, and how
#   it keeps every order.
# - [04_write_an_op](04_write_an_op.ipynb): ops of your own.
