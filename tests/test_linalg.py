"""Linear algebra: against NumPy and PyTorch, at singular matrices, and what is refused."""

import numpy as np
import pytest
from numpy.linalg import LinAlgError

import minigrad as mg
from minigrad.errors import DTypeError, ShapeError
from minigrad.testing import assert_close, check_grads


def normal(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).normal(size=shape)


def singular(n, nullity, small=0.0, seed=0):
    """A matrix with singular values near 1, and `nullity` of them small."""
    u, v = (np.linalg.qr(normal(n, n, seed=seed + i))[0] for i in (0, 1))
    values = np.linspace(0.5, 2.0, n)
    values[n - nullity :] = small
    return (u * values) @ v


def spd(*lead, n, seed=0):
    x = normal(*lead, n, n, seed=seed)
    return x @ x.swapaxes(-1, -2) + np.eye(n)


# ---- products ------------------------------------------------------------------------------------


def test_dot_and_outer_of_vectors():
    a, b = mg.tensor([1.0, 2.0]), mg.tensor([3.0, 4.0])
    assert a.dot(b).item() == 11.0
    assert a.outer(mg.tensor([1.0, 0.0, 2.0])).tolist() == [[1.0, 0.0, 2.0], [2.0, 0.0, 4.0]]
    assert mg.dot(mg.zeros(0), mg.zeros(0)).item() == 0.0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mg.dot(mg.ones(2, 2), mg.ones(2)), "one axis, not 2 and 1.*matmul"),
        (lambda: mg.dot(mg.ones(1), mg.ones(3)), "1 and 3"),
        (lambda: mg.dot(mg.ones(2), 2.0), "one axis, not 1 and 0"),
        (lambda: mg.outer(mg.ones(2, 2), mg.ones(2)), "one axis, not 2 and 1"),
        (lambda: mg.matmul(mg.ones(2), 2.0), "use \\* for a number"),
        (lambda: mg.ones(2) @ mg.tensor(2.0), "use \\* for a number"),
    ],
)
def test_products_of_other_ranks_say_what_to_use(call, message):
    with pytest.raises(ShapeError, match=message):
        call()


# ---- triangles and diagonals ---------------------------------------------------------------------


@pytest.mark.parametrize("diagonal", range(-4, 5))
@pytest.mark.parametrize("shape", [(3,), (2, 3), (3, 2), (0,), (0, 3), (3, 0)])
def test_diag_like_numpy(shape, diagonal):
    x = normal(*shape)
    found = mg.diag(mg.tensor(x), diagonal)
    np.testing.assert_array_equal(found.numpy(), np.diag(x, diagonal), strict=True)
    assert not np.shares_memory(found.array, x)
    check_grads(lambda x: mg.diag(x, diagonal), [x], order=2)


@pytest.mark.parametrize("diagonal", [-3, -1, 0, 1, 3])
@pytest.mark.parametrize("shape", [(2, 3), (3, 2), (2, 2, 3), (0, 2)])
def test_triangles_like_numpy(shape, diagonal):
    x = normal(*shape)
    for name in ("tril", "triu"):
        found = getattr(mg.tensor(x), name)(diagonal)
        np.testing.assert_array_equal(found.numpy(), getattr(np, name)(x, diagonal), strict=True)


def test_triangles_leave_no_nan_of_what_they_drop():
    x = mg.tensor([[1.0, np.nan], [2.0, np.inf]], requires_grad=True)
    y = mg.tril(x, -1)
    assert y.tolist() == [[0.0, 0.0], [2.0, 0.0]]
    assert mg.grad(y.sum(), x)[0].tolist() == [[0.0, 0.0], [1.0, 0.0]]


def test_triangles_and_diagonals_that_are_not_there():
    for f in (mg.tril, mg.triu):
        with pytest.raises(ShapeError, match="needs a matrix"):
            f(mg.ones(3))
        with pytest.raises(DTypeError, match="whole number"):
            f(mg.ones(3, 3), 1.5)
    with pytest.raises(ShapeError, match=r"einsum\('\.\.\.ii->\.\.\.i'"):
        mg.diag(mg.ones(2, 2, 2))


# ---- inv, solve, cholesky ------------------------------------------------------------------------


def same_at_two_orders(ours, theirs, arrays):
    """Values and two orders of derivatives are PyTorch's."""
    torch = pytest.importorskip("torch")
    xs = [mg.tensor(a, requires_grad=True) for a in arrays]
    ts = [torch.tensor(a, requires_grad=True) for a in arrays]
    y, t = ours(*xs), theirs(torch)(*ts)
    firsts = mg.grad((y * y).sum(), xs, create_graph=True)
    first = torch.autograd.grad((t * t).sum(), ts, create_graph=True)
    ours = sum(((g + x) ** 2).sum() for g, x in zip(firsts, xs, strict=True))
    second = sum(((g + x) ** 2).sum() for g, x in zip(first, ts, strict=True))
    seconds, second = mg.grad(ours, xs), torch.autograd.grad(second, ts)
    for a, b in zip((y, *firsts, *seconds), (t, *first, *second), strict=True):
        np.testing.assert_allclose(a.numpy(), b.detach().numpy(), rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("n", [0, 1, 2, 5])
def test_linear_algebra_is_pytorchs(n):
    a = singular(n, 0) if n else np.zeros((0, 0))
    b = np.stack([a, -a])
    same_at_two_orders(mg.inv, lambda torch: torch.linalg.inv, [b])
    same_at_two_orders(mg.cholesky, lambda torch: torch.linalg.cholesky, [spd(2, n=n)])
    same_at_two_orders(mg.det, lambda torch: torch.linalg.det, [b])
    for left, right in [
        (a, (n,)),
        (b, (n,)),
        (b, (2, n)),
        (b, (n, 3)),
        (a, (2, n, 3)),
        (b, (2, n, 1)),
    ]:
        same_at_two_orders(mg.solve, lambda torch: torch.linalg.solve, [left, normal(*right)])


def test_solve_of_batches_that_broadcast():
    a, b = normal(3, 1, 2, 2) + 3 * np.eye(2), normal(2, 2, 4)
    x = mg.solve(mg.tensor(a), mg.tensor(b))
    assert x.shape == (3, 2, 2, 4)
    assert_close(mg.tensor(a) @ x, np.broadcast_to(b, x.shape), size=4)


@pytest.mark.parametrize("shape", [(0, 2, 2), (2, 0, 0), (0, 0)])
def test_empty_batches_and_empty_matrices(shape):
    x = mg.zeros(*shape, requires_grad=True)
    assert mg.inv(x).shape == mg.cholesky(x).shape == mg.solve(x, x).shape == shape
    assert mg.det(x).tolist() == np.ones(shape[:-2]).tolist()
    for f in (mg.inv, mg.cholesky, mg.det):
        assert mg.grad(f(x).sum(), x)[0].shape == shape


def test_the_matrix_that_is_singular_is_named():
    batch = mg.stack([mg.eye(2), mg.ones(2, 2)])
    with pytest.raises(LinAlgError, match=r"inv\(float32 \(2, 2\)\): the matrix is singular"):
        mg.inv(mg.ones(2, 2))
    with pytest.raises(LinAlgError, match=r"inv.*at \[1\] of the batch is singular"):
        mg.inv(batch)
    with pytest.raises(LinAlgError, match=r"solve.*at \[0, 1\] of the batch is singular"):
        mg.solve(batch.unsqueeze(0), mg.ones(2, 1))
    with pytest.raises(LinAlgError, match=r"cholesky.*at \[1\] of the batch is not positive def"):
        mg.cholesky(mg.stack([mg.eye(2), -mg.eye(2)]))


@pytest.mark.parametrize("shape", [(2, 3), (3,), ()])
def test_matrices_must_be_square(shape):
    for f in (mg.inv, mg.cholesky, mg.det, lambda x: mg.solve(x, mg.ones(2))):
        with pytest.raises(ShapeError, match="square matrices"):
            f(mg.ones(*shape))


@pytest.mark.parametrize("shape", [(3,), (), (3, 2)])
def test_solve_with_another_length(shape):
    with pytest.raises(ShapeError, match=r"solve.*b must be \(2,\)"):
        mg.solve(mg.eye(2), mg.ones(*shape))


def test_cholesky_is_of_the_symmetric_part_with_a_symmetric_gradient():
    a = mg.tensor([[4.0, 1.0], [3.0, 5.0]], requires_grad=True)
    y = mg.cholesky(a)
    assert y.tolist() == [[2.0, 0.0], [1.0, 2.0]]
    (g,) = mg.grad((y * y * y).sum(), a)
    np.testing.assert_array_equal(g.numpy(), g.numpy().T)
    check_grads(mg.cholesky, [np.array([[4.0, 1.0], [3.0, 5.0]])], order=3)


def test_integers_and_half_precision():
    m = mg.tensor([[2, 0], [0, 4]])
    assert mg.inv(m).dtype == np.float32
    assert mg.det(m).item() == 8.0
    assert mg.cholesky(m).dtype == np.float32
    assert mg.solve(m, mg.tensor([2, 4])).tolist() == [1.0, 1.0]
    half = mg.tensor([[2.0, 1.0], [0.0, 4.0]], requires_grad=True).half()
    for f in (mg.inv, mg.det, lambda x: mg.solve(x, x), lambda x: mg.cholesky(x @ x.mT)):
        assert f(half).dtype == np.float16


# ---- determinants --------------------------------------------------------------------------------


@pytest.mark.parametrize("n", range(1, 8))
def test_derivatives_of_the_determinant_at_matrices_of_every_rank(n):
    for nullity in range(n + 1):
        check_grads(mg.det, [singular(n, nullity)], order=3)


def test_the_determinant_of_nothing_but_zeros_is_a_polynomial_too():
    check_grads(mg.det, [mg.zeros(4, 4, dtype=mg.float64)], order=4)


@pytest.mark.parametrize("small", [1e-2, 1e-4, 1e-8, 1e-12, 1e-16])
def test_derivatives_of_the_determinant_near_singular_matrices(small):
    check_grads(mg.det, [singular(6, 2, small)], order=3)


@pytest.mark.parametrize("scale", [2.0**-30, 2.0**30])
def test_what_is_near_singular_does_not_depend_on_the_scale(scale):
    a = singular(6, 2, 1e-8)

    def second(values):
        x = mg.tensor(values, requires_grad=True)
        (g,) = mg.grad(mg.det(x), x, create_graph=True)
        return g.numpy(), mg.grad((g * normal(6, 6)).sum(), x)[0].numpy()

    for k, (large, own) in enumerate(zip(second(a * scale), second(a), strict=True)):
        np.testing.assert_allclose(large / scale ** (5 - k), own, rtol=1e-10, atol=1e-20)


def test_determinants_of_a_batch_of_all_ranks():
    batch = np.stack([singular(5, r, seed=r) for r in range(6)]).reshape(2, 3, 5, 5)
    check_grads(mg.det, [batch], order=3)
    x = mg.tensor(batch, requires_grad=True)
    (among_all,) = mg.grad(mg.det(x).sum(), x)
    for place in np.ndindex(2, 3):
        alone = mg.tensor(batch[place], requires_grad=True)
        np.testing.assert_allclose(
            mg.grad(mg.det(alone), alone)[0].numpy(), among_all.numpy()[place], atol=1e-14
        )


def cofactors(x):
    n = len(x)
    minors = [
        [np.linalg.det(np.delete(np.delete(x, i, 0), j, 1)) for j in range(n)] for i in range(n)
    ]
    return np.array(minors) * (-1.0) ** np.add.outer(range(n), range(n))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n", [2, 3, 4, 6])
def test_the_gradient_of_the_determinant_is_the_matrix_of_cofactors(n, dtype):
    for nullity in (0, 1):
        a = singular(n, nullity).astype(dtype)
        x = mg.tensor(a, requires_grad=True)
        assert_close(mg.grad(mg.det(x), x)[0], cofactors(a.astype(float)), size=n**3)


def test_the_determinant_as_one_and_as_composed():
    for x in (singular(5, 0), singular(5, 2), normal(2, 2)):
        with mg.unfused():
            composed = mg.det(mg.tensor(x))
        np.testing.assert_allclose(mg.det(mg.tensor(x)).numpy(), composed.numpy(), atol=1e-14)


def test_a_nan_stays_one_in_the_determinant_and_its_gradient():
    for n in (2, 5):
        x = mg.full((n, n), np.nan, requires_grad=True)
        y = mg.det(x)
        assert np.isnan(y.item())
        assert np.isnan(mg.grad(y, x)[0].numpy()).all()
