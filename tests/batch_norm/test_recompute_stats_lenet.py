"""B47b on real data: weights that running averages judge wrong, and population statistics right."""

import statistics

import pytest

import minigrad as mg
from minigrad import nn, optim

pytest.importorskip("sklearn")

SEEDS = 3  # each for the split, the weights and the order of the batches
EPOCHS = 10


def lenet():
    """LeNet with BatchNorm and sigmoids, for 8×8 pixels; Xavier's weights, no biases yet."""
    model = nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.BatchNorm2d(6), nn.Sigmoid(), nn.AvgPool2d(2),
        nn.Conv2d(6, 16, 5, padding=2), nn.BatchNorm2d(16), nn.Sigmoid(), nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(64, 120), nn.BatchNorm1d(120), nn.Sigmoid(),
        nn.Linear(120, 84), nn.BatchNorm1d(84), nn.Sigmoid(),
        nn.Linear(84, 10),
    )  # fmt: skip
    for module in model:
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.xavier_normal_(module.weight)
            nn.init.zeros_(module.bias)
    return model


def accuracy(model, x, labels):
    model.eval()
    with mg.no_grad():
        right = model(x).argmax(1) == labels
    model.train()
    return right.numpy().mean()


def accuracies(seed):
    """By running averages, the mean over the last epoch's steps; in the end by the population's.

    The first jumps by tenths from one step to the next, so that one step says little.
    """
    parts = mg.data.train_test_split(*mg.data.load_digits(), test_size=450, seed=seed)
    x, test_x, labels, test_labels = map(mg.tensor, parts)
    mg.manual_seed(seed)
    model, criterion = lenet(), nn.CrossEntropyLoss()
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    running = []
    for epoch in range(EPOCHS):
        for images, digits in mg.data.batches(x, labels, batch_size=64, drop_last=True):
            loss = criterion(model(images), digits)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if epoch == EPOCHS - 1:
                running.append(accuracy(model, test_x, test_labels))
    nn.recompute_stats(model, mg.data.batches(x, batch_size=256))
    return statistics.fmean(running), accuracy(model, test_x, test_labels)


def test_B47b_population_statistics_judge_an_early_lenet_better_than_running_averages():
    found = [accuracies(seed) for seed in range(SEEDS)]
    assert statistics.median(population for _, population in found) > 0.93
    assert statistics.median(population - running for running, population in found) > 0.05
