# %% [markdown]
# # Train: digits, from arrays to a picture of filters and mistakes
#
# A small convolutional network learns to read handwritten digits, in seconds, on a laptop. On the
# way: minibatches, a model, a training loop, a look inside while it learns, and at the end what it
# learned and where it is wrong.
#
# In a clone of minigrad, `pip install -e ".[examples]"` brings all that this needs; then it runs
# from any folder.

# %%
import matplotlib.pyplot as plt
import numpy as np

import minigrad as mg
from minigrad import nn, optim

mg.manual_seed(0)  # of all that is random: weights and the order of the images
plt.rcParams["figure.dpi"] = 80

# %% [markdown]
# ## The data
#
# 1,797 digits come with scikit-learn, so nothing is downloaded. They are NumPy arrays: images
# (N, channels, height, width) from 0 to 1, and labels (N,). A fifth is put aside before anything
# else: what a network has seen says nothing about what it can do.

# %%
images, labels = mg.data.load_digits()
train_x, test_x, train_y, test_y = mg.data.train_test_split(images, labels, test_size=0.2)
print("to learn from", train_x.shape, "to test on", test_x.shape)


# %%
def show(images, titles, columns=10, **options):
    """Images (N, height, width) in rows."""
    rows = -(-len(images) // columns)
    size = (columns, 1.25 * rows)  # inches
    _, axes = plt.subplots(rows, columns, figsize=size, layout="constrained")
    for axis in axes.flat:
        axis.axis("off")
    for axis, image, title in zip(axes.flat, images, titles, strict=False):
        axis.imshow(image, cmap="gray_r", **options)
        axis.set_title(title, fontsize=9)
    plt.show()


first = [np.flatnonzero(train_y == digit)[0] for digit in range(10)]
show(train_x[first, 0], train_y[first])

# %% [markdown]
# `mg.data.batches` gives the rows in a new order each time one goes through it, as tensors, so many
# at a time. BatchNorm cannot learn from a last batch of one row, so `drop_last` leaves it out.

# %%
batches = mg.data.batches(train_x, train_y, batch_size=64, drop_last=True)
x, y = next(iter(batches))
print(batches)
print("images", x.shape, x.dtype, "labels", y.shape, y.dtype)

# %% [markdown]
# ## The model
#
# Two blocks of convolution, BatchNorm, ReLU and pooling, and one linear layer: ten numbers for each
# image, the largest of which is the answer. The first convolution has filters of 5×5, large enough
# to look at later. BatchNorm shifts by itself, so the convolutions before it need no bias. It also
# divides their scale away, so the filters may begin small; small ones turn faster, and less of the
# noise that they begin as is left in the end.

# %%
model = nn.Sequential(
    nn.Conv2d(1, 16, 5, padding=2, bias=False),
    nn.BatchNorm2d(16),
    nn.ReLU(),
    nn.MaxPool2d(2),  # 8×8 to 4×4
    nn.Conv2d(16, 32, 3, padding=1, bias=False),
    nn.BatchNorm2d(32),
    nn.ReLU(),
    nn.MaxPool2d(2),  # 4×4 to 2×2
    nn.Flatten(),
    nn.Linear(32 * 2 * 2, 10),
)
nn.init.normal_(model[0].weight, std=0.01)
nn.summary(model, (64, 1, 8, 8))

# %% [markdown]
# The last column is the memory that the graph keeps for the backward pass. Here is that graph, from
# the images at the top to the loss at the bottom:

# %%
criterion = nn.CrossEntropyLoss()
mg.draw(lambda: criterion(model(x), y), model, depth=1)

# %% [markdown]
# Before any training the network knows nothing, and the loss should be near that of ten equal
# chances, ln 10. Much more would mean that it starts out sure of wrong answers.

# %%
with mg.no_grad():
    before = criterion(model(x), y)
print(f"loss {before.item():.2f}, ln 10 = {np.log(10):.2f}")

# %% [markdown]
# ## Learning
#
# The loop is five lines: predict, compare, forget the old gradients, compute the new ones, step.
# `mg.record` looks on: every fifth step it notes what each layer gives and how long the gradients
# are. It changes nothing, to the last bit. After each epoch the network reads the images put aside;
# `eval()` makes BatchNorm use the averages that it collected, instead of those of the batch.


# %%
def predicted(x):
    """The probability of each digit, (N, 10)."""
    model.eval()
    with mg.no_grad():
        probabilities = model(mg.tensor(x)).softmax(axis=1)
    model.train()
    return probabilities.numpy()


def accuracy(x, y):
    """The share of images that are read rightly."""
    return np.mean(predicted(x).argmax(axis=1) == y)


untrained = model[0].weight.numpy().copy()
optimizer = optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
with mg.record(model, every=5) as recorder:
    for epoch in range(1, 9):
        losses = []
        for x, y in batches:
            loss = criterion(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            recorder.step(loss=loss)
            losses.append(loss.item())
        print(f"epoch {epoch}: loss {np.mean(losses):.3f}, right {accuracy(test_x, test_y):.1%}")

# %% [markdown]
# ## What happened inside
#
# When a network does not learn, this is the picture to look at. A layer whose output has a
# deviation near zero is dead, gradients that shrink from layer to layer do not arrive, and
# percentiles that run off mean a learning rate that is too large. Here the gradients become short
# because there is ever less to correct.

# %%
recorder.plot(layer="4")
plt.show()

# %% [markdown]
# ## The filters
#
# Each filter of the first layer answers where the image looks like it: dark weights are positive,
# light ones negative. They begin as noise (first row); training makes strokes, edges and spots of
# them (second). The third row is what they make of the image at its left: dark where they answer.

# %%
learned = model[0].weight.numpy()
for filters, when in ((untrained, "before"), (learned, "after")):
    bound = np.abs(filters).max(axis=(1, 2, 3), keepdims=True)  # the middle grey is 0
    titles = [when] + [""] * 8
    show([-np.ones((5, 5)), *(filters / bound)[:8, 0]], titles, columns=9, vmin=-1, vmax=1)

model.eval()
with mg.no_grad():
    answers = model[:3](mg.tensor(test_x[:1])).numpy()[0]  # convolution, BatchNorm, ReLU
show([test_x[0, 0], *(answers[:8] / answers[:8].max())], ["image"] + [""] * 8, columns=9)

# %% [markdown]
# ## The mistakes
#
# The confusion matrix counts, for each digit that was meant (row), what it was read as (column).
# All on the diagonal would be perfect.

# %%
probabilities = predicted(test_x)
read = probabilities.argmax(axis=1)
confusion = np.zeros((10, 10), int)
np.add.at(confusion, (test_y, read), 1)

figure, axis = plt.subplots(figsize=(5, 5), layout="constrained")
axis.imshow(confusion, cmap="Blues")
for meant, as_what in np.argwhere(confusion):
    count = confusion[meant, as_what]
    colour = "white" if count > confusion.max() / 2 else "black"
    axis.text(as_what, meant, count, ha="center", va="center", color=colour, fontsize=9)
axis.set(xlabel="read as", ylabel="meant", xticks=range(10), yticks=range(10))
axis.set_title(f"{np.trace(confusion)} of {confusion.sum()} digits read rightly")
plt.show()

# %% [markdown]
# These are the ten digits for whose right answer it had the least to say: its mistakes first, and
# then, where these are few, what it read rightly but not surely. Above each: what was meant, what
# was read, and how probable the network thought that. Some would be hard for anybody.

# %%
certainty = probabilities[np.arange(len(test_y)), test_y]  # of the right answer
hardest = np.argsort(certainty, kind="stable")[:10]
titles = [f"{test_y[i]} as {read[i]}\n{probabilities[i].max():.0%}" for i in hardest]
show(test_x[hardest, 0], titles, columns=10)

# %% [markdown]
# ## What next
#
# - Leave out both BatchNorms (the convolutions then need `bias=True`), and run all again: what does
#   the picture of the inside look like at a learning rate of 0.5?
# - `mg.save(model.state_dict(), "digits.safetensors")` keeps the weights, and
#   `model.load_state_dict(mg.load("digits.safetensors"))` brings them back.
# - `examples/digits.py` does this with three seeds, with BatchNorm and without, and draws the
#   difference. `examples/experiments` measures what papers say about it.
# - [04_write_an_op](04_write_an_op.ipynb): an op of your own, proven right.
