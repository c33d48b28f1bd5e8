"""Arrays for tests: seeded, in float64, away from what makes a comparison hard."""

import numpy as np


def normal(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).normal(size=shape)


def positive(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).uniform(0.5, 2.0, shape)


def apart(*shape, offset=0.0, seed=0):
    """Values a quarter or more apart from each other and, for offset 0.125, from those of offset 0;
    none is within 0.05 of a whole number.
    """
    n = int(np.prod(shape))
    steps = np.random.default_rng([seed, *shape]).permutation(n) - n // 2
    return np.asarray(steps.reshape(shape) * 0.25 + 0.06 + offset)


def bits(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).random(shape) < 0.5
