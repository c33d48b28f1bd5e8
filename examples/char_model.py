"""A small transformer learns to write, character by character: copies, reversals and sorted words.

The text is made here, one line for each word and sign: "bade>bade" copies the word, "bade<edab"
reverses it and "bade^abde" sorts its letters.  A tenth of the words occur in no line that it learns
from; the table gives the share of their answers that are right in all letters.  Words and signs are
drawn at random, so that no model can guess them: that is the least number of bits per character.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from common import options_of, parsed, plt
from tqdm import tqdm

import minigrad as mg
from minigrad import nn, optim

LETTERS, LENGTH = "abcdefgh", 4  # words are all that can be made of these: 8⁴
TASKS = {">": "copied", "<": "reversed", "^": "sorted"}
CHARACTERS = "\n" + LETTERS + "".join(TASKS)
LINE = 1 + LENGTH + 1 + LENGTH  # a new line, the word, the sign, the answer
WIDTH, HEADS, BLOCKS = 48, 4, 2
BATCH = 64
LEARNING_RATE, WEIGHT_DECAY, LARGEST_NORM = 5e-3, 0.1, 1.0
REPORT_EVERY = 100


# ---- the text


def answer(word: str, sign: str) -> str:
    """What a line goes on with."""
    return {">": word, "<": word[::-1], "^": "".join(sorted(word))}[sign]


def encoded(texts: list[str]) -> np.ndarray:
    """Texts of one length as numbers of characters (N, length)."""
    return np.array([[CHARACTERS.index(each) for each in text] for text in texts])


def make_lines(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Lines to learn from (N, LINE), and lines of other words (M, LINE), by task in turn."""
    words = ["".join(letters) for letters in itertools.product(LETTERS, repeat=LENGTH)]
    rng.shuffle(words)
    lines = encoded([f"\n{word}{sign}{answer(word, sign)}" for word in words for sign in TASKS])
    held_out = len(words) // 10 * len(TASKS)
    return lines[held_out:], lines[:held_out]


# ---- the model


class Attention(nn.Module):
    """Each place asks all places up to itself: softmax(q kᵀ / √size) v, in several heads."""

    def __init__(self, width: int, heads: int, context: int) -> None:
        self.heads = heads
        self.queries_keys_values = nn.Linear(width, 3 * width)
        self.softmax = nn.Softmax(-1)
        self.out = nn.Linear(width, width)
        later = mg.ones(context, context).triu(1) > 0  # row i may not see columns after i
        self.later = nn.Buffer(later, persistent=False)

    def forward(self, x: mg.Tensor) -> mg.Tensor:
        """(N, length, width) -> the same."""
        n, length, width = x.shape
        qkv = self.queries_keys_values(x).reshape(n, length, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # each (N, heads, length, size)
        scores = q @ k.mT / math.sqrt(width // self.heads)
        scores = scores.masked_fill(self.later[:length, :length], -math.inf)
        mixed = self.softmax(scores) @ v
        return self.out(mixed.swapaxes(1, 2).reshape(n, length, width))


class Block(nn.Module):
    """Attention, then an MLP at each place; each is added to what it got."""

    def __init__(self, width: int, heads: int, context: int) -> None:
        self.norm1 = nn.LayerNorm(width)
        self.attention = Attention(width, heads, context)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width),
            nn.GELU("tanh"),  # as in GPT-2; the exact form takes NumPy much longer
            nn.Linear(4 * width, width),
        )

    def forward(self, x: mg.Tensor) -> mg.Tensor:
        """(N, length, width) -> the same."""
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class CharacterModel(nn.Module):
    """For every place of a text, a logit for each character that may come next."""

    def __init__(self) -> None:
        self.characters = nn.Embedding(len(CHARACTERS), WIDTH)
        self.places = nn.Embedding(LINE, WIDTH)
        self.blocks = nn.Sequential(*(Block(WIDTH, HEADS, LINE) for _ in range(BLOCKS)))
        self.norm = nn.LayerNorm(WIDTH)
        self.out = nn.Linear(WIDTH, len(CHARACTERS))

    def forward(self, text: mg.Tensor) -> mg.Tensor:
        """Numbers of characters (N, length) -> logits (N, length, characters)."""
        places = mg.arange(text.shape[1], device=text.device)
        x = self.characters(text) + self.places(places)
        return self.out(self.norm(self.blocks(x)))


# ---- learning, and what was learned


def train_steps(
    model: nn.Module, lines: np.ndarray, steps: int, rng: np.random.Generator
) -> Iterator[float]:
    """Train on lines drawn at random, yielding the bits per character of every step."""
    device = next(model.parameters()).device
    optimizer = optim.AdamW(
        optim.no_decay_groups(model), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY
    )
    schedule = optim.lr_scheduler.OneCycleLR(optimizer, max_lr=LEARNING_RATE, total_steps=steps)
    criterion = nn.CrossEntropyLoss()
    for _ in range(steps):
        text = mg.tensor(lines[rng.integers(0, len(lines), BATCH)], device=device)
        logits = model(text[:, :-1])
        loss = criterion(logits.reshape(-1, len(CHARACTERS)), text[:, 1:].reshape(-1))
        optimizer.zero_grad()
        loss.backward()
        optim.clip_grad_norm_(model.parameters(), LARGEST_NORM)
        optimizer.step()
        schedule.step()
        yield loss.item() / math.log(2)


def train(
    model: nn.Module,
    learned: np.ndarray,
    held_out: np.ndarray,
    steps: int,
    rng: np.random.Generator,
) -> list[float]:
    """Train to the end, print the table, and give the bits per character by step."""
    bits: list[float] = []
    print("step  bits per character" + "".join(f"{task:>10}" for task in TASKS.values()))
    with tqdm(total=steps, unit="step", leave=False, disable=None) as bar:
        for loss in train_steps(model, learned, steps, rng):
            bits.append(loss)
            bar.update()
            if len(bits) % REPORT_EVERY == 0 or len(bits) == steps:
                shares = "".join(f"{share:>10.3f}" for share in right_answers(model, held_out))
                bar.write(f"{len(bits):>4}{np.mean(bits[-REPORT_EVERY:]):>20.3f}{shares}")
    return bits


def next_probabilities(model: nn.Module, text: np.ndarray) -> np.ndarray:
    """How likely each character is to follow texts (N, length): (N, characters)."""
    device = next(model.parameters()).device
    with mg.no_grad():
        logits = model(mg.tensor(text, device=device))[:, -1]
    return nn.functional.softmax(logits.double(), -1).numpy()


def right_answers(model: nn.Module, lines: np.ndarray) -> np.ndarray:
    """The share of each task's lines whose answer it writes without a mistake."""
    text = lines[:, :-LENGTH]
    for _ in range(LENGTH):
        likeliest = next_probabilities(model, text).argmax(1)
        text = np.column_stack([text, likeliest])
    return (text == lines).all(1).reshape(-1, len(TASKS)).mean(0)


def written(model: nn.Module, count: int, rng: np.random.Generator) -> list[str]:
    """Lines from nothing but a new line, each character drawn by its probability."""
    text = encoded(["\n"] * count)
    while text.shape[1] < LINE:
        chances = next_probabilities(model, text)
        text = np.column_stack([text, [rng.choice(len(CHARACTERS), p=row) for row in chances]])
    return ["".join(CHARACTERS[each] for each in row) for row in text]


def attention_of(model: CharacterModel, line: str) -> np.ndarray:
    """How the last block's heads, on average, look from each place at each: (length, length)."""
    seen: list[mg.Tensor] = []
    softmax = model.blocks[-1].attention.softmax
    with softmax.register_forward_hook(lambda module, inputs, output: seen.append(output)):
        next_probabilities(model, encoded([line]))
    return seen[0].numpy()[0].mean(0)


# ---- the picture


def attention_panel(axis: plt.Axes, model: CharacterModel, line: str, task: str) -> None:
    """At which characters it looked when it wrote each character of the line."""
    text = line.replace("\n", "↵")
    image = axis.imshow(attention_of(model, line[:-1]), cmap="Greys", vmin=0, vmax=1)
    axis.set(
        xticks=range(LINE - 1), xticklabels=text[:-1], xlabel="looks at",
        yticks=range(LINE - 1), yticklabels=text[1:], ylabel="to write",
        title=f"{line[1:]}  ({task})",
    )  # fmt: skip
    axis.axhline(LENGTH + 0.5, color="C1", linewidth=1)  # the answer is below
    axis.figure.colorbar(image, ax=axis, shrink=0.8, label="attention, mean of heads")


def draw(model: CharacterModel, bits: list[float], least: float, path: str) -> None:
    """Loss by step, and an attention map for each task."""
    figure, axes = plt.subplots(2, 2, figsize=(9.5, 8), layout="constrained")
    axes[0, 0].plot(range(1, len(bits) + 1), bits, label="model")
    axes[0, 0].axhline(least, color="black", linestyle="--", label="least: words are random")
    axes[0, 0].set(xlabel="step", ylabel="bits per character", title="Loss of each batch")
    axes[0, 0].legend()
    for axis, (sign, task) in zip(axes.flat[1:], TASKS.items(), strict=True):
        attention_panel(axis, model, f"\nbade{sign}{answer('bade', sign)}", task)
    figure.savefig(path, dpi=100)
    plt.close(figure)


def report_samples(lines: list[str]) -> None:
    """Lines that it made up, and whether they are right."""
    print("\nlines of its own, and whether the answer is right:")
    for line in lines:
        word, sign, rest = line[1 : 1 + LENGTH], line[1 + LENGTH], line[2 + LENGTH :]
        right = sign in TASKS and rest == answer(word, sign)
        print(f"  {line[1:]}   {'right' if right else 'wrong'}")


def main(arguments: list[str] | None = None) -> int:
    """Train, print the table and some lines, draw the picture."""
    parser = options_of(__doc__, "char_model.png", steps=(800, "training steps"))
    parser.add_argument("--model", metavar="FILE", help="save the weights here (safetensors)")
    options = parsed(parser, arguments)
    if options.model and not Path(options.model).absolute().parent.is_dir():
        parser.error(f"--model {options.model}: there is no folder {Path(options.model).parent}")
    mg.manual_seed(options.seed)
    rng = np.random.default_rng(options.seed)
    learned, held_out = make_lines(rng)
    least = math.log2(len(learned)) / (LINE - 1)
    print(f"{len(learned):,} lines to learn from, {len(held_out):,} of other words")
    print(f"at best {least:.3f} bits per character\n")
    model = CharacterModel().to(options.device)
    bits = train(model, learned, held_out, options.steps, rng)
    report_samples(written(model, 8, rng))
    draw(model, bits, least, options.out)
    print(f"\npicture: {options.out}")
    if options.model:
        mg.save(model.state_dict(), options.model)
        print(f"weights: {options.model}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
