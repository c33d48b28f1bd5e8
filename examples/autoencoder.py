"""A convolutional autoencoder: 64 pixels through a code of 8 numbers, and back.

Strided convolutions with BatchNorm lead down to the code and transposed ones up again; the loss is
the mean squared error of a pixel (0 to 1).  The table compares it on unseen digits with two
predictions that need no network: the mean image (0.073), and the best linear code of as many
numbers, principal components by NumPy's SVD (0.024).  The autoencoder has half that (0.012).  The
picture shows unseen digits, what comes back and what is lost, and the way from one digit to
another: by mixing their codes, and by mixing their pixels.
"""

from __future__ import annotations

import numpy as np
from common import options_of, parsed, plt
from tqdm import tqdm

import minigrad as mg
from minigrad import nn, optim
from minigrad.nn import functional as F

CODE = 8  # numbers for each image
BATCH = 64
LEARNING_RATE = 1e-2
SHOWN = 10  # digits in a row of the picture
FROM, TO = 3, 6  # the digits between which it mixes
LINEAR = f"{CODE} principal components"
LOST = "lost (black)\nor added (white)"


class Autoencoder(nn.Module):
    """Images (N, 1, 8, 8) to codes (N, CODE), and back."""

    def __init__(self) -> None:
        self.down = nn.Sequential(
            nn.Conv2d(1, 32, 3, stride=2, padding=1, bias=False),  # (32, 4, 4)
            nn.BatchNorm2d(32),
            nn.ReLU(),
            nn.Conv2d(32, 64, 3, stride=2, padding=1, bias=False),  # (64, 2, 2)
            nn.BatchNorm2d(64),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(256, CODE),
        )
        self.spread = nn.Linear(CODE, 256)
        self.up = nn.Sequential(
            nn.BatchNorm2d(64),
            nn.ReLU(),
            nn.ConvTranspose2d(64, 32, 4, stride=2, padding=1, bias=False),  # (32, 4, 4)
            nn.BatchNorm2d(32),
            nn.ReLU(),
            nn.ConvTranspose2d(32, 1, 4, stride=2, padding=1),  # (1, 8, 8)
        )

    def encode(self, images: mg.Tensor) -> mg.Tensor:
        """(N, 1, 8, 8) to (N, CODE)."""
        return self.down(images)

    def decode(self, codes: mg.Tensor) -> mg.Tensor:
        """(N, CODE) to (N, 1, 8, 8)."""
        return self.up(self.spread(codes).reshape(-1, 64, 2, 2))

    def forward(self, images: mg.Tensor) -> mg.Tensor:
        """There and back."""
        return self.decode(self.encode(images))


def principal_components(learned: np.ndarray, images: np.ndarray) -> np.ndarray:
    """Images (N, 1, 8, 8) rebuilt from the mean and CODE principal components of `learned`."""
    mean = learned.mean(0)
    _, _, components = np.linalg.svd((learned - mean).reshape(-1, 64), full_matrices=False)
    best = components[:CODE]
    return mean + ((images - mean).reshape(-1, 64) @ best.T @ best).reshape(-1, 1, 8, 8)


def error(rebuilt: np.ndarray, images: np.ndarray) -> float:
    """The mean squared error of a pixel."""
    return float(np.mean((rebuilt - images) ** 2))


def rebuild(model: Autoencoder, images: mg.Tensor) -> np.ndarray:
    """What the model, in evaluation mode, makes of images."""
    model.eval()
    with mg.no_grad():
        return model(images).numpy()


def train(model: Autoencoder, x: mg.Tensor, unseen: mg.Tensor, options) -> None:
    """Learn, with a line of the table at every tenth of the epochs."""
    per_epoch = len(x) // BATCH
    total = options.epochs * per_epoch
    optimizer = optim.AdamW(model.parameters(), lr=LEARNING_RATE)
    schedule = optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=total)
    print(f"{'epoch':>5}{'train loss':>13}{'test loss':>13}")
    with tqdm(total=total, unit="step", leave=False, disable=None) as bar:
        for epoch in range(1, options.epochs + 1):
            model.train()
            losses = []
            seed = [options.seed, epoch]
            for images in mg.data.batches(x, batch_size=BATCH, seed=seed, drop_last=True):
                loss = F.mse_loss(model(images), images)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
                losses.append(loss.item())
                bar.update()
            if epoch % max(1, options.epochs // 10) == 0:
                tested = error(rebuild(model, unseen), unseen.numpy())
                bar.write(f"{epoch:>5}{np.mean(losses):>13.4f}{tested:>13.4f}")


def mixed(model: Autoencoder, pair: mg.Tensor) -> list[np.ndarray]:
    """From the first image of (2, 1, 8, 8) to the second: decoded mixtures of codes, and pixels."""
    share = mg.linspace(0, 1, SHOWN, device=pair.device).reshape(-1, 1)
    with mg.no_grad():
        start, end = model.encode(pair)
        codes = model.decode((1 - share) * start + share * end)
    share = share.reshape(-1, 1, 1, 1)
    return [codes.numpy(), ((1 - share) * pair[0] + share * pair[1]).numpy()]


def draw(rows: dict[str, np.ndarray], title: str, path: str) -> None:
    """A row of SHOWN images for each name, white to black from 0 to 1; what is lost, around 0."""
    figure, axes = plt.subplots(len(rows), SHOWN, figsize=(11, 6.6), layout="constrained")
    for (name, images), row in zip(rows.items(), axes, strict=True):
        most = np.abs(images).max() if name == LOST else 1
        for axis, image in zip(row, images, strict=True):
            axis.imshow(image[0], cmap="gray_r", vmin=-most if name == LOST else 0, vmax=most)
            axis.set(xticks=[], yticks=[])
        row[0].set_ylabel(name, rotation=0, ha="right", va="center", fontsize=12)
    figure.suptitle(title)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main(arguments: list[str] | None = None) -> int:
    """Train, compare, draw."""
    counts = {"epochs": (60, "passes over the data")}
    options = parsed(options_of(__doc__, "autoencoder.png", **counts), arguments)
    images, labels = mg.data.load_digits()
    x, unseen, _, unseen_labels = mg.data.train_test_split(images, labels, seed=0)
    mg.manual_seed(options.seed)
    model = Autoencoder().to(options.device)
    seen = mg.tensor(x, device=options.device)
    test = mg.tensor(unseen, device=options.device)
    train(model, seen, test, options)
    rebuilt, linear = rebuild(model, test), principal_components(x, unseen)
    print("\nerror on unseen digits")
    for name, guess in (("mean image", x.mean(0)), (LINEAR, linear), ("autoencoder", rebuilt)):
        print(f"{name:<24}{error(guess, unseen):.4f}")
    shown = [int(np.flatnonzero(unseen_labels == digit)[0]) for digit in range(SHOWN)]
    by_code, by_pixel = mixed(model, test[[shown[FROM], shown[TO]]])
    rows = {
        "unseen digits": unseen[shown],
        "autoencoder": rebuilt[shown],
        LOST: (unseen - rebuilt)[shown],
        LINEAR: linear[shown],
        "codes mixed": by_code,
        "pixels mixed": by_pixel,
    }
    draw(rows, f"Each unseen digit by {CODE} numbers, and the way from {FROM} to {TO}", options.out)
    print(f"\npicture: {options.out}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
