# ruff: noqa: E501  (faults are quoted whole)
"""The faults of mutate.py that are not counted, and why.

Those of ONCE_MORE and NARROW change digits, but fewer than the tolerance of the laws allows: the
tests of batch norm's numerics are there for these.  The others change no value at all, or none that
the CPU computes.
"""

HINT = "a hint makes its backward faster; without one it is computed anew"
SWAP = "the two arguments mean the same in either order"
ONCE_MORE = "two means are taken out, one after the other, and either alone leaves rounding only"
NARROW = "float16 is computed in float32 for digits that a result in float16 does not show"
NOTHING = "it divides what has no elements: a sum over nothing has no values to send a gradient to"
ZERO = "it changes a sign, a factor or the dtype of zeros, which the sweep gives the tensor's dtype"
ELSEWHERE = "on the CPU there is nothing to do; other devices have tests of their own"
SAME = "for the shapes and axes that the op takes, both are the same"
TRUTH = "True and False count as 1 and 0 in arithmetic, and the sweep sees to the dtype"
WORK = "it does work that changes nothing, or spares work that did"
CHOICE = "it takes another of the ways to a result, which are all right"
EXTRA = "it adds axes of length 1, which the sweep sums away"
NONE = "the gradient that it takes away is none already"
TWICE = "the fault is made twice, and cancels"

BY_REASON = {
    HINT: [
        ("batch_norm.vjp", "batch_norm_grad(x, gamma, g, axes=axes, eps=eps, hint=hint) → batch_norm_grad(x, gamma, g, axes=axes, eps=eps)"),
        ("batch_norm.vjp", "batch_norm_sums(x, g, axes=axes, eps=eps, hint=hint) → batch_norm_sums(x, g, axes=axes, eps=eps)"),
        ("layer_norm.vjp", "layer_norm_grad(x, gamma, g, axes=axes, along=along, eps=eps, hint=hint) → layer_norm_grad(x, gamma, g, axes=axes, along=along, eps=eps)"),
        ("loss._through_grad", "cross_entropy_grad(x, g, labels, **options, hint=hint) → cross_entropy_grad(x, g, labels, **options)"),
    ],
    SWAP: [
        ("linear.mT", "transpose(x, -1, -2) → transpose(x, -2, -1)"),
        ("transpose.dx", "transpose(g, axis0, axis1) → transpose(g, axis1, axis0)"),
        ("swapaxes.dx", "transpose(g, axis0, axis1) → transpose(g, axis1, axis0)"),
        ("det._bases", "xp.swapaxes(vt, -1, -2) → xp.swapaxes(vt, -2, -1)"),
        ("linalg._cholesky_rule", "mT(p) → p"),  # the result is made symmetric
    ],
    ONCE_MORE: [
        ("batch_norm.moments", "c - d → c"),
        ("batch_norm.moments", "c - d → c + d"),
        ("batch_norm.moments", "m + d → m"),
        ("batch_norm.moments", "m + d → m - d"),
        ("var.reference", "c - mean(c, axes, keepdims=True) → c"),
        ("var.reference", "c - mean(c, axes, keepdims=True) → c + mean(c, axes, keepdims=True)"),
        ("var.reference", "c - mean(c, axes, keepdims=True) → mean(c, axes, keepdims=True) - c"),
        ("var.reference", "mean(c, axes, keepdims=True) → mean(c, keepdims=True)"),
    ],
    NARROW: [
        ("gelu_grad.reference", "wide(x) → x"),
        ("silu_grad.reference", "wide(x) → x"),
        ("activation._softplus_slope", "wide(x) → x"),
        ("smooth_abs.dx", "wide(x) → x"),
        ("loss.reduced_by", "wide(shares) → shares"),
        ("loss.reduced_by", "wide(losses) → losses"),
        ("batch_norm_eval.reference", "wide(x) → x"),
        ("cumprod.reference", "cast(x, dtype=_wide(x.dtype)) → x"),
        ("cumprod.reference", "_wide(x.dtype) → x.dtype"),
        ("prod.reference", "cast(x, dtype=_wide(x.dtype)) → x"),
        ("prod.reference", "_wide(x.dtype) → x.dtype"),
    ],
    NOTHING: [
        ("reduce._spread_mean", "count(shape, axes_of(axis, len(shape))) or 1 → count(shape, axes_of(axis, len(shape)))"),
        ("reduce._spread_mean", "count(shape, axes_of(axis, len(shape))) or 1 → count(shape, axes_of(axis, len(shape))) or 2"),
        ("reduce._spread_mean", "count(shape, axes_of(axis, len(shape))) or 1 → count(shape, axes_of(axis, len(shape))) or 0"),
        *((f"{name}_grad.reference", f"count(x.shape, axes) or 1 → count(x.shape, axes){other}")
          for name in ("batch_norm", "layer_norm") for other in ("", " or 2", " or 0")),
    ],
    ZERO: [
        ("piecewise._zero", "return where(False, g, 0) → return -where(False, g, 0)"),
        ("piecewise._zero", "where(False, g, 0) → where(g, False, 0)"),
        ("piecewise._zero", "where(False, g, 0) → where(False, 2 * g, 0)"),
        ("elementwise._pow_base", "where(False, g, 0) → where(g, False, 0)"),
        ("norm._slope", "return where(False, broadcast_to(g, x.shape), 0) → return -where(False, broadcast_to(g, x.shape), 0)"),
        ("norm._slope", "where(False, broadcast_to(g, x.shape), 0) → where(broadcast_to(g, x.shape), False, 0)"),
        ("norm._slope", "broadcast_to(g, x.shape) → broadcast_to(2 * g, x.shape)"),
        ("elementwise._pow_base", "where(False, g, 0) → where(False, 2 * g, 0)"),
        ("norm._slope", "p > 0 → p >= 0"),  # 0 has returned
        ("norm._slope", "p > 0 → p > 1"),
        ("elementwise._through_pole", "g == 0 → 2 * g == 0"),
    ],
    ELSEWHERE: [
        ("move.dx", "move(g, device=home, home=device) → g"),
        ("loss.label_losses", "_checked(losses, logp, labels, ignore_index) → losses"),
        ("loss.label_losses", "_checked(losses, logp, labels, ignore_index) → _checked(losses, labels, logp, ignore_index)"),
        ("gather._bare", "_checked(getattr(index, 'array', index), getattr(x, 'array', x)) → getattr(index, 'array', index)"),
        ("gather._untaken", "_bare(index, g) → _bare(index, 2 * g)"),  # asked for its device only
        ("det._bases", "home.to_numpy(few) → few"),
        ("det._far_from_singular", "home.to_numpy(squares[0] * squares[1]) → squares[0] * squares[1]"),
    ],
    SAME: [
        ("det.reference", "a.shape[-1] → a.shape[-2]"),
        ("det._split_det", "a.shape[-1] → a.shape[-2]"),
        ("det._division_free_det", "a.shape[-1] → a.shape[-2]"),
        ("det._division_free_det", "sum(f * eye, -2) → sum(f * eye, -1)"),  # of diagonal matrices
        ("det._division_free_det", "unsqueeze(further, -1) → unsqueeze(further, -2)"),  # what it scales is diagonal
        ("det._split_det", "a.shape[-1] → a.shape[1]"),
        ("cross_entropy.reference", "log_softmax(x, 1) → log_softmax(x)"),
        ("cross_entropy_grad.reference", "softmax(x, 1) → softmax(x)"),
        ("linear._matmul_b", "unsqueeze(a, -1) → unsqueeze(a, 1)"),  # of a vector, one axis after its only one is the last
    ],
    TRUTH: [
        ("loss.label_losses", "cast(counted, dtype=logp.dtype) → counted"),
        ("cross_entropy_grad.reference", "cast(label_column(labels, ignore_index) == classes, dtype=x.dtype) → label_column(labels, ignore_index) == classes"),
        ("order.shared", "cast(reshape(g, shape) / ties, dtype=g.dtype) → reshape(g, shape) / ties"),
        ("order.shared", "where(hit, 1.0, 0.0) → hit"),
        ("order.shared", "where(hit, 1.0, 0.0) → where(1.0, hit, 0.0)"),
        ("order.shared", "g.dtype → (2 * g).dtype"),
        ("index._last_written", "place.xp.zeros(shape, int) → place.xp.zeros(shape)"),
    ],
    WORK: [
        ("batch_norm.vjp", "if needs[0]: → if True:"),
        ("batch_norm_relu.vjp", "if needs[0]: → if True:"),
        ("einsum._pulled", "if onto != real: → if True:"),
        ("linear._rows", "reshape(x, (math.prod(x.shape[:-1]), x.shape[-1])) if x.ndim != 2 else x → reshape(x, (math.prod(x.shape[:-1]), x.shape[-1]))"),
        ("index._last_written", "if _may_repeat(key): → if True:"),
        ("gather._scattered", "read if read.shape == in_shapes[2] else unindex(read, shape=in_shapes[2], key=_corner(read.shape)) → unindex(read, shape=in_shapes[2], key=_corner(read.shape))"),
        ("order.shared", "broadcast_to(each, hit.shape) → each"),
        ("cumprod.reference", "n - 1 → n"),  # one round more multiplies by ones
        ("cumprod.reference", "n - 1 → n + 1"),
        ("cumprod.reference", "n - 1 → n - 0"),
        ("cumprod.reference", "max(n - 1, 0) → max(n - 1, 1)"),
        ("cumprod.reference", "max(n - 1, 0) → n - 1"),
        ("det.reference", "if _far_from_singular(a): → if False:"),
        ("det.reference", "sorted(set(few.tolist())) → set(few.tolist())"),
    ],
    CHOICE: [
        ("det.reference", "if n <= SMALL or not matrices: → if True:"),
        ("det.reference", "if n <= SMALL or not matrices: → if False:"),
        ("det.reference", "n <= SMALL or not matrices → n <= SMALL"),
        ("det.reference", "n <= SMALL or not matrices → not matrices"),
        ("det.reference", "n <= SMALL or not matrices → n <= SMALL and (not matrices)"),
        ("det.reference", "n <= SMALL or not matrices → n <= SMALL or matrices"),
        ("det._far_from_singular", "(-2, -1) → (-3, -1)"),  # an inverse that is large is so by columns too
        ("det._far_from_singular", "(-2, -1) → (-2, -0)"),
        ("det._far_from_singular", "small ** (-2) → small ** (-1)"),  # more matrices count as near
        ("det.reference", "n <= SMALL → n < SMALL"),
        ("det.reference", "_constant(np.flatnonzero(few == r), a, np.intp) → np.flatnonzero(few == r)"),
        ("det.reference", "a if every else getitem(a, key=rows) → getitem(a, key=rows)"),
        ("det.reference", "part if every else unindex(part, shape=few.shape, key=rows) → unindex(part, shape=few.shape, key=rows)"),
        ("det._bases", "(..., 0) → (..., 1)"),
        ("det._bases", "xp.sign(xp.linalg.det(u) * xp.linalg.det(vt)) → xp.linalg.det(u) * xp.linalg.det(vt)"),
        ("det._bases", "small * s[..., :1] → small"),
        ("det._bases", "small * s[..., :1] → s[..., :1]"),
        ("det._bases", "-1 → 1"),
        ("det._split_det", "a.shape[-1] - r → -r"),
        ("det._split_det", "if not r: → if False:"),
        ("det._split_det", "_division_free_det(p) if k <= SMALL else regular_det(p) → _division_free_det(p)"),
        ("det._split_det", "_division_free_det(p) if k <= SMALL else regular_det(p) → regular_det(p)"),
        ("det._split_det", "k <= SMALL → k < SMALL"),
        ("det._parts", "a.array if isinstance(a, Tensor) else a → a.array"),
        ("det._parts", "return (a, backend.of(a), float(np.finfo(a.dtype).eps) ** 0.25) → return (-a, backend.of(a), float(np.finfo(a.dtype).eps) ** 0.25)"),
        ("det._parts", "float(np.finfo(a.dtype).eps) ** 0.25 → 0.25"),
        ("det._parts", "float(np.finfo(a.dtype).eps) ** 0.25 → 0.25 ** float(np.finfo(a.dtype).eps)"),
        ("det._constant", "like.array if isinstance(like, Tensor) else like → like.array"),
        ("det._far_from_singular", "return bool((home.to_numpy(squares[0] * squares[1]) < small ** (-2)).all()) → return -bool((home.to_numpy(squares[0] * squares[1]) < small ** (-2)).all())"),
        ("det._far_from_singular", "home.to_numpy(squares[0] * squares[1]) < small ** (-2) → home.to_numpy(squares[0] * squares[1]) <= small ** (-2)"),
        ("det._far_from_singular", "squares[0] * squares[1] → squares[1]"),
        ("det._far_from_singular", "squares[0] → squares[1]"),
        ("det._far_from_singular", "small ** (-2) → small"),
        ("det._far_from_singular", "small ** (-2) → -2"),
        ("det._far_from_singular", "small ** (-2) → (-2) ** small"),
        ("det._far_from_singular", "small ** (-2) → small ** 2"),
        ("norm._slope", "where(flat, 1, y) → where(flat, 2, y)"),  # whose g is 0
        ("norm._slope", "where(zero, 1, x) → where(zero, 2, x)"),
        ("std.reference", "where(flat, 1, v) → where(flat, 2, v)"),  # whose root is not chosen, and gets no gradient
        ("std.reference", "where(flat, 1, v) → where(flat, 0, v)"),
        ("elementwise._pow_base", "if isinstance(b, int | float): → if False:"),
        ("elementwise._pow_base", "where(flat, 1, a) → where(flat, 2, a)"),  # times b, which is 0
    ],
    EXTRA: [
        ("repeat._untile", "len(reps) - len(in_shapes[0]) → len(reps)"),
        ("repeat._untile", "len(reps) - len(in_shapes[0]) → len(reps) + len(in_shapes[0])"),
        ("index._last_written", "(1,) * (len(v_shape) - len(written.shape)) → (1,)"),
        ("index._last_written", "len(v_shape) - len(written.shape) → len(v_shape)"),
        ("index._last_written", "len(v_shape) - len(written.shape) → len(v_shape) + len(written.shape)"),
    ],
    NONE: [
        *(("linear.vjp", f"return {gs} → return [None if i == {i} else each for i, each in enumerate({gs})]")
          for i, gs in enumerate(("(None, dw, db if of_b else None)", "(matmul(g, w) if of_x else None, None, g if of_b else None)"))),
        ("batch_norm.vjp", "return wanted(needs, None, *batch_norm_sums(x, g, axes=axes, eps=eps, hint=hint)) → return [None if i == 0 else each for i, each in enumerate(wanted(needs, None, *batch_norm_sums(x, g, axes=axes, eps=eps, hint=hint)))]"),
        ("batch_norm_relu.vjp", "return wanted(needs, None, *batch_norm_sums(x, where(y[0] <= 0, 0, g), **options)) → return [None if i == 0 else each for i, each in enumerate(wanted(needs, None, *batch_norm_sums(x, where(y[0] <= 0, 0, g), **options)))]"),
    ],
    TWICE: [
        ("det._bases", "u[..., 0] *= xp.sign(xp.linalg.det(u) * xp.linalg.det(vt))[..., None] → u[..., 0] /= xp.sign(xp.linalg.det(u) * xp.linalg.det(vt))[..., None]"),  # by ±1
        ("det._bases", "xp.linalg.det(u) * xp.linalg.det(vt) → xp.linalg.det(u) / xp.linalg.det(vt)"),
    ],
}  # fmt: skip
EQUIVALENT = {fault: why for why, faults in BY_REASON.items() for fault in faults}
