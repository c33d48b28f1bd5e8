"""A run that is stopped at any step and goes on from its checkpoint ends bit for bit the same."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg
from minigrad import nn, optim

EPOCHS, BATCH = 3, 8
ROWS = 5 * BATCH + 3
STEPS = EPOCHS * 6


class Run:
    """A model and all that has a state beside it."""

    def __init__(self, kind, seed):
        mg.manual_seed(seed)
        self.model = nn.Sequential(
            nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 3)
        )
        groups = optim.no_decay_groups(self.model)
        self.optimizer = OPTIMISERS[kind](groups)
        self.schedule = optim.lr_scheduler.CosineAnnealingLR(self.optimizer, STEPS)
        self.averages = optim.EMA(self.model, decay=0.9)
        self.epoch = self.position = 0

    def parts(self):
        return {
            "model": self.model,
            "optimizer": self.optimizer,
            "schedule": self.schedule,
            "averages": self.averages,
        }

    def save(self, path):
        state = {
            f"{part}.{name}": value
            for part, each in self.parts().items()
            for name, value in each.state_dict().items()
        }
        numbers = {"epoch": self.epoch, "position": self.position}
        mg.save({**state, **numbers, "generator": mg.get_rng_state()}, path)

    def load(self, path):
        state = mg.load(path)
        for part, each in self.parts().items():
            start = f"{part}."
            each.load_state_dict(
                {n.removeprefix(start): v for n, v in state.items() if n.startswith(start)}
            )
        self.epoch, self.position = state["epoch"].item(), state["position"].item()
        mg.set_rng_state(state["generator"])

    def train(self, x, y, steps):
        """So many steps from where it stands."""
        while steps and self.epoch < EPOCHS:
            options = {"batch_size": BATCH, "seed": self.epoch, "start": self.position}
            for rows, labels in mg.data.batches(x, y, **options):
                self.step(rows, labels)
                steps -= 1
                if steps == 0:
                    break
            if self.position == len(mg.data.batches(x, y, batch_size=BATCH)):
                self.epoch, self.position = self.epoch + 1, 0

    def step(self, rows, labels):
        loss = nn.CrossEntropyLoss()(self.model(rows), labels)
        self.optimizer.zero_grad()
        loss.backward()
        optim.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.schedule.step()
        self.averages.update()
        self.position += 1

    def result(self):
        return {
            f"{part}.{name}": value.numpy()
            for part, each in self.parts().items()
            for name, value in each.state_dict().items()
        } | {"generator": mg.get_rng_state().numpy()}


OPTIMISERS = {
    "SGD": lambda groups: optim.SGD(groups, lr=0.1, momentum=0.9, weight_decay=0.01),
    "Adam": lambda groups: optim.Adam(groups, lr=0.01, amsgrad=True),
    "AdamW": lambda groups: optim.AdamW(groups, lr=0.01),
    "RMSprop": lambda groups: optim.RMSprop(groups, lr=0.01, momentum=0.5, centered=True),
    "Adagrad": lambda groups: optim.Adagrad(groups, lr=0.1, lr_decay=0.01),
}


def data():
    rng = np.random.default_rng(0)
    return rng.normal(size=(ROWS, 4)).astype(np.float32), rng.integers(0, 3, ROWS)


@pytest.mark.parametrize("kind", OPTIMISERS)
def test_a_resumed_run_ends_bit_for_bit_as_one_that_was_not_stopped(kind, tmp_path):
    whole = Run(kind, seed=1)
    whole.train(*data(), STEPS)
    expected = whole.result()

    @settings(max_examples=6)
    @given(stop=st.integers(0, STEPS))
    def resumed(stop):
        first = Run(kind, seed=1)
        first.train(*data(), stop)
        first.save(tmp_path / "run.safetensors")
        second = Run(kind, seed=99)  # other weights, and another state of the generator
        second.load(tmp_path / "run.safetensors")
        second.train(*data(), STEPS - stop)
        found = second.result()
        assert found.keys() == expected.keys()
        for name, value in found.items():
            np.testing.assert_array_equal(value, expected[name], err_msg=name, strict=True)

    resumed()


def test_what_is_not_restored_shows(tmp_path):
    """The same without the optimiser's state: the test above can fail."""
    whole = Run("Adam", seed=1)
    whole.train(*data(), STEPS)
    first = Run("Adam", seed=1)
    first.train(*data(), 7)
    first.save(tmp_path / "run.safetensors")
    second = Run("Adam", seed=99)
    kept = second.optimizer.state_dict()
    second.load(tmp_path / "run.safetensors")
    second.optimizer.load_state_dict(kept)
    second.train(*data(), STEPS - 7)
    assert not np.array_equal(second.result()["model.0.weight"], whole.result()["model.0.weight"])
