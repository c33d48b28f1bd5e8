# %% [markdown]
# # BatchNorm: the maths, the two forms, and where it goes wrong
#
# Batch normalisation (Ioffe and Szegedy, 2015, arXiv 1502.03167) takes a page to explain and is
# often got wrong: in its backward, in its running statistics, in what its words mean. Here its
# gradient is derived once, minigrad's two forms of it are compared, and each thing that one reads
# or gets wrong is a small computation that shows it.
#
# In a clone of minigrad, `pip install -e ".[examples]"` brings all that this needs; then it runs
# from any folder.

# %%
import matplotlib.pyplot as plt
import numpy as np

import minigrad as mg
from minigrad import nn, optim

mg.manual_seed(0)
rng = np.random.default_rng(0)
plt.rcParams["figure.dpi"] = 80
EPS = 1e-5

# %% [markdown]
# ## Forward
#
# Each channel is treated by itself. Let $x_1 \dots x_n$ be the values that a batch has in it: n is
# the size of the batch, or for images batch × height × width.
#
# $$\mu = \frac1n \sum_i x_i \qquad v = \frac1n \sum_i (x_i - \mu)^2 \qquad
# r = \frac{1}{\sqrt{v + \varepsilon}} \qquad \hat x_i = r\,(x_i - \mu) \qquad
# y_i = \gamma\,\hat x_i + \beta$$
#
# γ and β are learned, one number each for a channel. In minigrad, as in PyTorch, they are called
# weight and bias.


# %%
def forward(x, gamma, beta, eps=EPS):
    """y and x̂, for x (n, channels) and NumPy arrays."""
    mean, var = x.mean(axis=0), x.var(axis=0)
    xhat = (x - mean) / np.sqrt(var + eps)
    return gamma * xhat + beta, xhat


x = rng.normal(3.0, 2.0, size=(8, 3))
gamma, beta = np.array([1.0, 2.0, -0.5]), np.array([0.0, 4.0, 1.0])
y, xhat = forward(x, gamma, beta)
layer = nn.BatchNorm1d(3, dtype=mg.float64)
with mg.no_grad():
    layer.weight.copy_(mg.tensor(gamma))
    layer.bias.copy_(mg.tensor(beta))
mg.testing.assert_close(layer(mg.tensor(x)), y)  # silent, so they agree
image = rng.normal(size=(4, 3, 5, 5))  # images: N, height and width are one axis to a channel
rows = np.moveaxis(image, 1, -1).reshape(-1, 3)
given = np.moveaxis(nn.BatchNorm2d(3, dtype=mg.float64)(mg.tensor(image)).detach().numpy(), 1, -1)
mg.testing.assert_close(given.reshape(-1, 3), forward(rows, 1, 0)[0])

print("x:  mean", x.mean(0).round(3), "deviation", x.std(0).round(3))
print("x̂:  mean", abs(xhat.mean(0)).round(3), "deviation", xhat.std(0).round(3))
print("y:  mean", y.mean(0).round(3), "deviation", y.std(0).round(3))

# %% [markdown]
# ## Backward
#
# Given is $g_i = \partial L / \partial y_i$. Two of the gradients can be read off the forward:
#
# $$\frac{\partial L}{\partial \beta} = \sum_i g_i \qquad
# \frac{\partial L}{\partial \gamma} = \sum_i g_i\,\hat x_i$$
#
# The third takes care, since each $x_i$ moves the mean and the variance, and through them every
# output. Let all $x_j$ move by $dx_j$. Then, since $\sum_j (x_j - \mu) = 0$,
#
# $$d\mu = \frac1n \sum_j dx_j \qquad
# dv = \frac2n \sum_j (x_j - \mu)(dx_j - d\mu) = \frac2n \sum_j (x_j - \mu)\,dx_j \qquad
# dr = -\frac{r^3}{2}\,dv = -\frac{r^2}{n} \sum_j \hat x_j\,dx_j$$
#
# and with these
#
# $$d\hat x_i = r\,(dx_i - d\mu) + (x_i - \mu)\,dr
# = r\,\Big(dx_i - \frac1n \sum_j dx_j - \hat x_i\,\frac1n \sum_j \hat x_j\,dx_j\Big).$$
#
# So the Jacobian of x̂ is $J = r\,(I - \frac1n \mathbf 1 \mathbf 1^\top - \frac1n \hat x \hat
# x^\top)$. It is symmetric, so going back is multiplying with the same matrix, and
#
# $$\frac{\partial L}{\partial x_i} = \gamma\,r\,\Big(g_i - \frac1n \sum_j g_j - \hat x_i\,
# \frac1n \sum_j g_j\,\hat x_j\Big).$$
#
# The two sums are what β and γ get anyway.


# %%
def backward(x, gamma, g, eps=EPS):
    """dx, dgamma and dbeta."""
    r = 1 / np.sqrt(x.var(axis=0) + eps)
    xhat = (x - x.mean(axis=0)) * r
    dgamma, dbeta = (g * xhat).sum(axis=0), g.sum(axis=0)
    return gamma * r * (g - dbeta / len(x) - xhat * dgamma / len(x)), dgamma, dbeta


def differences(x, gamma, g, h=1e-5):
    """dx once more, from differences alone."""
    dx = np.empty_like(x)
    for i in np.ndindex(x.shape):
        apart = np.zeros_like(x)
        apart[i] = h
        more, less = forward(x + apart, gamma, 0)[0], forward(x - apart, gamma, 0)[0]
        dx[i] = (g * (more - less)).sum() / (2 * h)
    return dx


g = rng.normal(size=x.shape)
dx, dgamma, dbeta = backward(x, gamma, g)
t = mg.tensor(x, requires_grad=True)
layer(t).backward(mg.tensor(g))
print(f"derived less minigrad's: {abs(dx - t.grad.numpy()).max():.0e}")
print(f"derived less differences: {abs(dx - differences(x, gamma, g)).max():.0e}")
mg.testing.assert_close(t.grad, dx)
mg.testing.assert_close(layer.weight.grad, dgamma)
mg.testing.assert_close(layer.bias.grad, dbeta)

# %% [markdown]
# F. Fleuret's lecture (AMMI, 2018, fleuret.org/ammi-2018, 6.4) gives it in three steps, through the
# gradients of v and μ. It is the same:

# %%
c, r = x - x.mean(0), 1 / np.sqrt(x.var(0) + EPS)
dz = gamma * g
dv = -0.5 * r**3 * (dz * c).sum(0)
dm = -r * dz.sum(0)
print(f"in three steps less in one: {abs(dz * r + 2 / 8 * dv * c + 1 / 8 * dm - dx).max():.0e}")

# %% [markdown]
# ## What the Jacobian takes away
#
# J/r removes from a gradient its mean and its part along x̂. Its eigenvalues say how much: 0 for the
# direction in which all $x_i$ move alike; ε/(v+ε) for x̂ itself, nearly 0; and 1 for the n - 2
# directions that remain. That is no flaw. y does not change when x is shifted or scaled, so no loss
# can tell such a change, and no gradient points there.

# %%
one = mg.tensor(x[:, :1])
norm = nn.BatchNorm1d(1, affine=False, eps=0.1, dtype=mg.float64)  # large, to be seen
jacobian = mg.func.jacobian(norm)(one).numpy().reshape(8, 8)
v = x[:, 0].var()
print("J is its transpose:", np.allclose(jacobian, jacobian.T))
print("eigenvalues of J/r:", np.linalg.eigvalsh(jacobian * np.sqrt(v + 0.1)).round(4) + 0.0)
print("eps / (v + eps)   :", round(0.1 / (v + 0.1), 4))

# %% [markdown]
# ## Checks that prove nothing
#
# What is always 0 checks nothing. With L = Σ y all $g_i$ are 1, and dx is 0; with L = Σ y²/2, γ = 1
# and β = 0, g is x̂, and dx is 0 but for ε; with two values in a channel no direction remains, and
# dx is 0 for every loss. A backward that returns zeros passes all three. Here are four wrong
# backwards, among them one from a public library that divides by the number of channels instead of
# n, and which check finds them:


# %%
def variant(mean_term=1.0, variance_term=1.0, factor=1.0):
    """A backward with its two terms weighted."""

    def dx(x, g):
        r = 1 / np.sqrt(x.var(axis=0) + EPS)
        xhat = (x - x.mean(axis=0)) * r
        without = mean_term * g.mean(axis=0) + variance_term * xhat * (g * xhat).mean(axis=0)
        return factor * r * (g - without)

    return dx


backwards = {
    "right": variant(),
    "without the mean's term": variant(mean_term=0),
    "without the variance's": variant(variance_term=0),
    "over channels, not n": variant(8 / 3, 8 / 3),
    "always 0": variant(factor=0),
}
checks = {
    "Σ y": (x, lambda y: np.ones_like(y)),
    "Σ y²/2": (x, lambda y: y),
    "n = 2": (x[:2], lambda y: g[:2]),
    "random g": (x, lambda y: g),
}
print(f"{'':<26}" + "".join(f"{name:>10}" for name in checks))
for name, dx_of in backwards.items():
    line = f"{name:<26}"
    for values, g_of in checks.values():
        upstream = g_of(forward(values, 1.0, 0.0)[0])
        exact = differences(values, 1.0, upstream)
        wrong = abs(dx_of(values, upstream) - exact).max() > 1e-4
        line += f"{'found' if wrong else 'passes':>10}"
    print(line)

# %% [markdown]
# Only random g, three values or more, finds all. That is what `mg.testing.check_grads` uses.
#
# ## Two forms
#
# The composed form is the forward, written in ops; the engine finds the rest. The fused form is
# one node with the closed form above. They agree to rounding at every order: here each order
# differentiates the squared length of the gradient before it.


# %%
def orders(fused, dtype=mg.float64, highest=4):
    """A loss, and the gradients of orders one to `highest`."""
    norm = nn.BatchNorm1d(3, dtype=dtype, fused=fused)
    t = mg.tensor(x, dtype=dtype, requires_grad=True)
    found = [(norm(t) ** 3).sum()]
    for _ in range(highest):
        (slope,) = mg.grad((found[-1] * found[-1]).sum(), t, create_graph=True)
        found.append(slope)
    return found


for order, (one, other) in enumerate(zip(orders(True), orders(False), strict=True)):
    apart = mg.abs(one - other).max().item() / mg.abs(other).max().item()
    print(f"order {order}: fused less composed {apart:.0e} of the largest")
    mg.testing.assert_close(one, other, size=x.size)  # sums of so many numbers

# %% [markdown]
# Their graphs, for 64 images of 32 channels. The composed form's ops keep more for the backward
# than the input is large; the fused node keeps a few numbers for each channel. (The second
# mean is of what the first subtraction left: it should be 0, and is the rounding of the first.)


# %%
def drawn(fused):
    norm, images = nn.BatchNorm2d(32, fused=fused), mg.randn(64, 32, 8, 8, requires_grad=True)
    title = "fused" if fused else "composed"
    return mg.draw(lambda: norm(images), norm, names={"x": images}, title=title)


drawn(fused=False).beside(drawn(fused=True))

# %% [markdown]
# ## Why the fused rule gets x, and not x̂
#
# The tempting way is to save x̂ and r in the forward, and to use them in the backward. The first
# derivative is then right. But saved arrays are constants to a second derivative, and x̂ is not
# constant. It is wrong, and nothing warns:


# %%
from minigrad.op import op


def from_saved(g, x):
    """The closed form with x̂ and r that do not know where they came from."""
    x = x.numpy() if isinstance(x, mg.Tensor) else x
    r = 1 / np.sqrt(x.var(0) + EPS)
    xhat = (x - x.mean(0)) * r
    return r * (g - mg.mean(g, 0) - xhat * mg.mean(g * xhat, 0))


@op(from_saved, method=False)
def normalised(xp, x):
    """x̂, with the rule that one should not write."""
    return (x - x.mean(0)) / xp.sqrt(x.var(0) + EPS)


for order in (1, 2):
    for name, f in (("saved", normalised), ("minigrad", nn.BatchNorm1d(3, dtype=mg.float64))):
        try:
            mg.testing.check_grads(f, mg.tensor(x), order=order)
            print(f"order {order}, {name}: right")
        except AssertionError:
            print(f"order {order}, {name}: WRONG")

# %% [markdown]
# minigrad hands the tracked x to a rule. What the forward saved travels beside it as a hint, which
# is sealed while derivatives are recorded: [04_write_an_op](04_write_an_op.ipynb) shows how.
#
# ## Running statistics
#
# In evaluation there may be one image, and its result should not depend on its company. So training
# collects averages:
#
# $$\text{running} \leftarrow (1 - m)\,\text{running} + m\,\text{batch}$$
#
# with m = 0.1, `momentum`, the weight of the **new** batch. The variance that normalises is the
# biased one (over n), and the one that is stored the unbiased one (over n - 1). By hand, from the
# initial 0 and 1:

# %%
norm = nn.BatchNorm1d(3, dtype=mg.float64)
norm(mg.tensor(x))
mg.testing.assert_close(norm.running_mean, 0.1 * x.mean(0))
mg.testing.assert_close(norm.running_var, 0.9 * 1 + 0.1 * x.var(0, ddof=1))
print("running mean    ", norm.running_mean.numpy().round(4))
print("running variance", norm.running_var.numpy().round(4))

# %% [markdown]
# Why unbiased? A batch's mean lies in the middle of its own values, so they seem less spread than
# they are: on average by (n - 1)/n. With batches of two this is a half. To normalise the batch
# itself one wants what it is, and in evaluation what the data are:

# %%
for n in (2, 4, 16):
    batches = rng.normal(size=(20_000, n))
    biased, unbiased = batches.var(axis=1).mean(), batches.var(axis=1, ddof=1).mean()
    print(f"n = {n:>2}: biased {biased:.3f}, (n-1)/n = {(n - 1) / n:.3f}; unbiased {unbiased:.3f}")

# %% [markdown]
# And how the average moves. The data have mean 1; batches have 4 rows. With 0.1 of the new batch it
# takes some tens of steps to arrive and then stays near; with 0.9 it is hardly more than the last
# batch. `momentum=None` is the plain average of all batches.

# %%
STEPS = 80
rows = mg.tensor(rng.normal(1.0, 1.0, size=(STEPS, 4, 1)))
looks = {0.9: ("#d98e4a", ":"), 0.1: ("#0b3c6f", "-"), None: ("#222222", "--")}
figure, axis = plt.subplots(figsize=(7.5, 3.2), layout="constrained")
for momentum, (colour, line) in looks.items():
    norm, path = nn.BatchNorm1d(1, momentum=momentum, dtype=mg.float64), [0.0]
    for batch in rows:
        norm(batch)
        path.append(norm.running_mean.item())
    axis.plot(path, line, color=colour, label=f"momentum={momentum}", linewidth=1.5)
axis.axhline(1, color="#888888", linewidth=0.8)
axis.set(xlabel="step", ylabel="running mean")
axis.legend(fontsize=9)
plt.show()

# %% [markdown]
# Whatever the momentum, running averages are of what the layer got while the weights were still
# moving. `nn.recompute_stats(model, batches)` goes through the data once more and takes the
# statistics of all of it, for the weights as they are.
#
# ## What the words mean elsewhere
#
# The formula above is PyTorch's. Others mean the weight of the **old** value by the same word, so
# that a momentum of theirs is 1 - m here, and some store the biased variance. This is from the
# documentation of `minigrad.nn.batch_norm`, which has the numbered notes too:

# %%
import inspect

import minigrad.nn.batch_norm as module

table = inspect.getdoc(module).partition("What others compute")[2].partition('"alone"')[0]
print("What others compute" + table.rstrip())

# %% [markdown]
# One step of four of them on the same batch, from the same 0 and 1. Loading weights from one into
# another is right only if these are translated; training shows no trace of it.

# %%
values = np.array([1.0, 2.0, 3.0, 6.0])
print(f"{'':<14}{'mean':>8}{'variance':>10}")
for name, new, ddof in (
    ("minigrad", 0.1, 1),
    ("PyTorch", 0.1, 1),
    ("flax", 1 - 0.99, 0),
    ("darknet, CUDA", 0.01, 0),
    ("numpy-ml", 1 - 0.9, 0),
):
    mean, var = new * values.mean(), (1 - new) * 1 + new * values.var(ddof=ddof)
    print(f"{name:<14}{mean:>8.3f}{var:>10.3f}")
norm = nn.BatchNorm1d(1, dtype=mg.float64)
norm(mg.tensor(values[:, None]))
print(f"{'measured here':<14}{norm.running_mean.item():>8.3f}{norm.running_var.item():>10.3f}")

# %% [markdown]
# ## What introductions print
#
# Two of them print what they measured, so it can be measured again. The first feeds numbers from 0
# to 1, and prints a mean near 0 and a deviation of 0.99994. Why not 1? Because of ε: such numbers
# have a variance of 1/12, and what comes out has √(v/(v + ε)).

# %%
out = nn.BatchNorm2d(64)(mg.rand(32, 64, 68, 68)).detach()
print(out.shape, f"mean {out.mean().item():.0e}, deviation {out.std().item():.5f}")
print(f"√(v/(v + ε)) = {np.sqrt(1 / 12 / (1 / 12 + EPS)):.5f}")
assert round(out.std().item(), 5) == 0.99994

# %% [markdown]
# The second, Fleuret's lecture, sets β to (2, 4, 8) and γ to (1, 2, 3), and prints deviations of
# (1.0005, 2.0010, 3.0015). Why more than γ? It normalised by the biased variance, and `std` divides
# by n - 1: a factor of √(1000/999).

# %%
values = mg.randn(1000, 3) * mg.tensor([2.0, 5.0, 10.0]) + mg.tensor([-10.0, 25.0, 3.0])
bn = nn.BatchNorm1d(3)
with mg.no_grad():
    bn.bias.copy_(mg.tensor([2.0, 4.0, 8.0]))
    bn.weight.copy_(mg.tensor([1.0, 2.0, 3.0]))
out = bn(values).detach()
print("mean     ", out.mean(0).numpy().round(4))
print("deviation", out.std(0).numpy().round(4))
print("predicted", (np.sqrt(1000 / 999) * np.array([1, 2, 3])).round(4))
np.testing.assert_allclose(out.std(0).numpy(), [1.0005, 2.0010, 3.0015], atol=6e-5)

# %% [markdown]
# ## Where introductions err
#
# Five introductions were read for this; here is what some of them say, and what is so.
#
# **running = momentum · running + (1 - momentum) · sample, with a momentum of 0.1.** This keeps
# 10 % of the past. PyTorch, which is explained there, keeps 90 %. Training does not depend on it,
# to the last bit, so here two networks learn digits from batches of four, with the same weights all
# the way, and are asked in evaluation: ten times each, for what the formula gives is noise.

# %%
images, labels = mg.data.load_digits()
images = images.reshape(len(images), -1)
train_x, test_x, train_y, test_y = mg.data.train_test_split(images, labels, test_size=0.2, seed=0)


def trained(weight_of_new, steps=600):
    """The mean accuracy of ten evaluations in the last hundred steps, and the last weights."""
    mg.manual_seed(1)
    model = nn.Sequential(
        nn.Linear(64, 64, bias=False),
        nn.BatchNorm1d(64, momentum=weight_of_new),
        nn.ReLU(),
        nn.Linear(64, 10),
    )
    optimizer, right, step = optim.SGD(model.parameters(), lr=0.05), [], 0
    while step < steps:
        for rows, meant in mg.data.batches(train_x, train_y, batch_size=4, drop_last=True):
            loss = nn.CrossEntropyLoss()(model(rows), meant)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            step += 1
            if step > steps - 100 and step % 10 == 0:
                model.eval()
                with mg.no_grad():
                    read = model(mg.tensor(test_x)).numpy().argmax(axis=1)
                model.train()
                right.append(np.mean(read == test_y))
            if step == steps:
                break
    return np.mean(right), model[0].weight.numpy()


(ours, weights), (theirs, same) = trained(0.1), trained(0.9)
print(f"10 % of the new batch: {ours:.3f} read rightly")
print(f"90 % of the new batch: {theirs:.3f}, by the same weights: {np.array_equal(weights, same)}")
assert ours - theirs > 0.03

# %% [markdown]
# **ε is there for computing running_mean and running_var.** It is not in them. Two layers that
# differ in ε only get the same statistics, bit for bit, and give different outputs:

# %%
one, other = nn.BatchNorm1d(3, eps=1e-5), nn.BatchNorm1d(3, eps=1.0)
apart = mg.abs(one(values) - other(values)).max().item()
print("running means equal:    ", (one.running_mean == other.running_mean).all().item())
print("running variances equal:", (one.running_var == other.running_var).all().item())
print(f"outputs differ by up to {apart:.2f}")
assert (one.running_var == other.running_var).all()

# %% [markdown]
# **x - μ̂ is divided by σ̂, and σ̂ is the mean of (x - μ̂)², plus ε.** That is the variance; what
# divides is its root. Over the variance, the result has deviation 1/σ, and so depends on the unit
# that x is measured in:

# %%
column = values.numpy()
wrong = (column - column.mean(0)) / (column.var(0) + EPS)
print("deviation of x:         ", column.std(0).round(2))
print("over the variance:      ", wrong.std(0).round(2))
print("over its root, as meant:", forward(column, 1, 0)[0].std(0).round(2))

# %% [markdown]
# **γ and β have the same shape as x.** They have one value for each channel, whatever the size of
# the image. Otherwise a layer would know one size of image, and have thousands of times as many
# parameters:

# %%
bn = nn.BatchNorm2d(64)
print("weight", bn.weight.shape, "bias", bn.bias.shape)
print(f"{sum(p.size for p in bn.parameters())} parameters, not {2 * 64 * 68 * 68:,}")

# %% [markdown]
# **In a batch of 1 every hidden node is 0.** x̂ is. The output is β, and
# dx is 0, so nothing before the layer learns; β does. minigrad, like PyTorch, refuses such a batch
# in training, since the unbiased variance of one value is 0/0. By the formula:

# %%
single = rng.normal(size=(1, 3))
print("y  =", forward(single, gamma, beta)[0][0], "and β =", beta)
print("dx =", abs(backward(single, gamma, rng.normal(size=(1, 3)))[0][0]))
try:
    nn.BatchNorm1d(3)(mg.tensor(single))
except ValueError as error:
    print(error)

# %% [markdown]
# **With γ = σ̂ and β = μ̂ the network can undo the normalisation.** True of one batch, with √(v + ε)
# for σ̂. Of the next batch it is not, for γ and β stay while the statistics change:

# %%
first, second = rng.normal(3, 2, size=(2, 8, 3))
undo = np.sqrt(first.var(0) + EPS), first.mean(0)
print(f"this batch: y - x is up to {abs(forward(first, *undo)[0] - first).max():.0e}")
print(f"the next:   y - x is up to {abs(forward(second, *undo)[0] - second).max():.2f}")

# %% [markdown]
# **The variance may underflow, and give infinite values.** True, and this is what ε is for. In
# float32 the square of 1e-25 is 0. A constant channel without ε is 0/0. With ε both are tame:

# %%
tiny = np.array([[1e-25], [-1e-25]], dtype=np.float32)
with np.errstate(divide="ignore"):
    print("without ε:", forward(tiny, 1, 0, eps=np.float32(0))[0].ravel())
print("with ε:   ", forward(tiny, 1, 0, eps=np.float32(EPS))[0].ravel())
constant = nn.BatchNorm1d(1)(mg.full((4, 1), 1234.5)).detach()
print("a constant channel in minigrad:", constant.numpy().ravel())

# %% [markdown]
# ## Pitfalls
#
# **A batch of two** becomes ±1 for whatever it was: the layer hands on which is the larger, and
# nothing else. And dx is 0, but for ε.

# %%
two = mg.tensor([[1.0, 10.0, -3.0], [2.0, 1000.0, -7.0]], dtype=mg.float64, requires_grad=True)
out = nn.BatchNorm1d(3, dtype=mg.float64)(two)
out.backward(mg.randn(2, 3, dtype=mg.float64))
print(out.detach().numpy().round(3))
print(f"the largest |dx| is {mg.abs(two.grad).max().item():.0e}")

# %% [markdown]
# **ε stands inside the root.** √(v + ε) and √v + ε differ where the deviation is small, say 1e-4,
# and the forward and backward must have the same one:

# %%
small = 1e-4 * rng.normal(size=(1000, 1))
out = nn.BatchNorm1d(1, dtype=mg.float64)(mg.tensor(small)).detach().numpy()
outside = (small - small.mean()) / (small.std() + EPS)
print(f"√(v + ε): deviation {forward(small, 1, 0)[0].std():.4f}, minigrad {out.std():.4f}")
print(f"√v + ε:   deviation {outside.std():.4f}")

# %% [markdown]
# **A bias before BatchNorm does nothing.** The mean takes it out again, so its gradient is 0 to
# rounding. It costs memory and time, and weight decay will move it: `bias=False`.

# %%
model = nn.Sequential(nn.Linear(6, 4, dtype=mg.float64), nn.BatchNorm1d(4, dtype=mg.float64))
rows = mg.tensor(rng.normal(size=(32, 6)))
(model(rows) ** 3).mean().backward()
for name in ("weight", "bias"):
    print(f"{name:<7} gradient up to {mg.abs(getattr(model[0], name).grad).max().item():.0e}")

# %% [markdown]
# **Weights before it have no scale.** Ten times the weights give the same output, and a tenth of
# the gradient; a gradient is at right angles to its weights. So weights before a BatchNorm grow by
# training, and what decay does to them is to change the learning rate.

# %%
slopes = []
for scale in (1, 10):
    linear = nn.Linear(6, 4, bias=False, dtype=mg.float64)
    with mg.no_grad():
        linear.weight.copy_(scale * model[0].weight.detach())
    loss = (nn.BatchNorm1d(4, dtype=mg.float64)(linear(rows)) ** 3).mean()
    (slope,) = mg.grad(loss, linear.weight)
    slopes.append(slope)
    along = (linear.weight.detach() * slope).sum().item()
    length = (slope * slope).sum().item() ** 0.5
    print(f"{scale:>2} W: loss {loss.item():.5f}, |dW| {length:.5f}, W·dW {along:.0e}")

# %% [markdown]
# **Far from zero digits are lost.** A channel with mean 10,000 and deviation 1, in float32: the
# formula E[x²] - E[x]² subtracts two numbers near 10⁸, of which float32 has seven digits. The
# result is no variance, and may be negative.

# %%
far = rng.normal(1e4, 1.0, size=(4096, 1)).astype(np.float32)
exact = far.astype(np.float64)
print(
    "variance in one pass:", (far * far).mean() - far.mean() ** 2, "exactly", exact.var().round(4)
)
truth = forward(exact, 1, 0)[0]
two_passes = forward(far, 1, 0, np.float32(EPS))[0]
for name, out in (("two passes", two_passes), ("minigrad", nn.BatchNorm1d(1)(mg.tensor(far)))):
    print(f"{name:<10} wrong by up to {abs(np.asarray(out) - truth).max():.0e}")

# %% [markdown]
# [05_compare](05_compare.ipynb) draws this over seven orders of magnitude.
#
# **Rows depend on each other.** In training a change of the first row changes the others' outputs;
# in evaluation it does not:

# %%
changed = x.copy()
changed[0] += 5
for mode in (True, False):
    norm = nn.BatchNorm1d(3, dtype=mg.float64).train(mode)
    moved = mg.abs(norm(mg.tensor(changed)) - norm(mg.tensor(x)))[1:].max().item()
    print(f"{'training' if mode else 'evaluation':<11} other rows move by up to {moved:.2f}")

# %% [markdown]
# **Computing twice counts twice.** A forward in training mode moves the statistics, also under
# `no_grad`, also if it only recomputes something: two of them move by 1 - 0.9² = 0.19.
# `nn.frozen_stats` stops that.

# %%
for passes, frozen in ((1, False), (2, False), (2, True)):
    norm = nn.BatchNorm1d(3, dtype=mg.float64)
    norm(mg.tensor(x))
    for _ in range(passes - 1):
        with nn.frozen_stats(norm) if frozen else mg.no_grad():
            norm(mg.tensor(x))
    share = norm.running_mean.numpy()[0] / x.mean(0)[0]
    print(f"passes {passes}, the second frozen: {frozen!s:<5}  moved by {share:.2f} of the way")

# %% [markdown]
# ## At the end: merged
#
# In evaluation the mean m and the variance s are fixed numbers, and BatchNorm, $y = \gamma\,(x -
# m)/\sqrt{s + \varepsilon} + \beta$, is an affine map. A linear layer before it is one too. So both
# together are one linear layer, and for inference the BatchNorm can go:

# %%
with mg.no_grad():
    folded = nn.fold_batch_norm(model.eval())
    print(folded)
    print(f"differs by up to {mg.abs(folded(rows) - model(rows)).max().item():.0e}")

# %% [markdown]
# ## What next
#
# - `minigrad/ops/batch_norm.py`: both forms, as they are; the formulas are those above.
# - Set `eps` in "What the Jacobian takes away" to 0 and to 10: what do the eigenvalues do?
# - [03_train](03_train.ipynb) trains with it, [05_compare](05_compare.ipynb) measures it.
# - `examples/experiments`: whether BatchNorm does what papers say it does, on digits.
