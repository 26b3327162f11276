"""Steps of random programs: arithmetic, reductions, shapes, indices, products."""

import numpy as np
from random_base import Skip, anything, axis_of, floats, is_float, scalar_float, size, step

# -- elementwise

UNARY = [
    lambda L, x: L.np.sin(x), lambda L, x: L.np.cos(2 * x), lambda L, x: L.np.tanh(x), lambda L, x: L.np.exp(-x * x),
    lambda L, x: L.nn.sigmoid(x), lambda L, x: L.nn.relu(x), lambda L, x: abs(x), lambda L, x: L.np.sqrt(1 + x**2),
    lambda L, x: L.np.log1p(x * x), lambda L, x: 0.2 * x**3, lambda L, x: 1 / (1.5 + L.np.tanh(x)),
    lambda L, x: L.np.square(x) * 0.3, lambda L, x: L.np.arctan(x), lambda L, x: L.lax.erf(x),
    lambda L, x: L.nn.softplus(x), lambda L, x: L.np.expm1(L.np.tanh(x)), lambda L, x: -x, lambda L, x: x * 1.0,
    lambda L, x: L.nn.silu(x), lambda L, x: L.np.arcsinh(x), lambda L, x: L.lax.rsqrt(1.0 + x * x),
    lambda L, x: L.np.clip(x, -0.7, 0.8), lambda L, x: L.np.floor(x * 3), lambda L, x: L.np.sign(x) * x,
    lambda L, x: L.lax.stop_gradient(x) * x, lambda L, x: L.np.sinc(x), lambda L, x: L.nn.leaky_relu(x),
    lambda L, x: L.nn.elu(x), lambda L, x: L.nn.relu6(3 * x), lambda L, x: L.np.where(x > 0, x, 2.0),
    lambda L, x: L.np.nan_to_num(x), lambda L, x: L.np.exp2(-abs(x)), lambda L, x: L.lax.integer_pow(x, 2),
    lambda L, x: L.np.cbrt(1.5 + x * x), lambda L, x: L.np.power(1.2 + x * x, 1.5), lambda L, x: L.nn.log_sigmoid(x),
    lambda L, x: L.np.arctan2(x, 1.3), lambda L, x: L.np.hypot(x, 0.7), lambda L, x: L.np.logaddexp(x, 0.3),
    lambda L, x: L.lax.lgamma(2.0 + x * x), lambda L, x: L.lax.digamma(2.0 + x * x), lambda L, x: L.np.round(x * 2),
    lambda L, x: L.lax.reduce_precision(x, 8, 10), lambda L, x: L.np.copysign(x, -1.0), lambda L, x: L.np.trunc(x),
    lambda L, x: L.nn.gelu(x), lambda L, x: L.np.remainder(x, 0.7), lambda L, x: L.np.fmod(x, 0.7),
    lambda L, x: L.np.cosh(L.np.tanh(x)), lambda L, x: L.np.arctanh(0.5 * L.np.tanh(x)), lambda L, x: L.np.deg2rad(x),
]  # fmt: skip


@step(6)
def unary(L, d, values, rules):
    return d.of(UNARY)(L, floats(d, values))


BINARY = [
    lambda L, x, y: x + y, lambda L, x, y: x - y, lambda L, x, y: x * y, lambda L, x, y: x / (2.0 + y * y),
    lambda L, x, y: L.np.maximum(x, y), lambda L, x, y: L.np.minimum(x, y), lambda L, x, y: L.np.where(x > y, x, y),
    lambda L, x, y: L.np.arctan2(x, 1.5 + y * y), lambda L, x, y: L.np.hypot(x, y + 3.0),
    lambda L, x, y: L.np.logaddexp(x, y), lambda L, x, y: L.np.power(1.3 + x * x, L.np.tanh(y)),
    lambda L, x, y: L.np.where(L.np.logical_or(x > 0, y > 0), x * y, y), lambda L, x, y: (x > y) * x,
    lambda L, x, y: L.np.heaviside(x, 0.5) * y, lambda L, x, y: L.np.fmax(x, y), lambda L, x, y: L.np.add(x, y) * 0.5,
    lambda L, x, y: L.np.select([x > 0.5, y > 0.0], [x, y], 0.1), lambda L, x, y: L.np.multiply(x, y),
]  # fmt: skip


def fitting(d, values, x):
    """A value that broadcasts with ``x``, a Python number or a constant."""
    fit = [y for y in values if is_float(y) and broadcasts(x.shape, y.shape)]
    kind = d.below(6)
    if kind == 0:
        return d.of([2.0, -0.5, 0.25, 1, -1])
    if kind == 1:
        return d.constant(x.shape[1:] if x.shape and d.chance(0.5) else x.shape)
    if kind == 2:
        return np.float32(d.constant(()))
    return d.of(fit) if fit else 0.5


def broadcasts(a, b) -> bool:
    return all(m == n or 1 in (m, n) for m, n in zip(a[::-1], b[::-1], strict=False))


@step(6)
def binary(L, d, values, rules):
    x = floats(d, values)
    y = fitting(d, values, x)
    if d.chance(0.3):
        x, y = L.np.asarray(y), x
    return d.of(BINARY)(L, x, L.np.asarray(y) if d.chance(0.5) else y)


@step(1.5)
def integers(L, d, values, rules):
    fit = [x for x in values if np.dtype(x.dtype).kind == "i"]
    x = d.of(fit) if fit else L.np.floor(floats(d, values) * 3).astype("int32")
    return d.of([
        lambda: x + 1, lambda: x * x, lambda: x // 2, lambda: x % 3, lambda: x & 5, lambda: x << 1, lambda: abs(x),
        lambda: L.np.clip(x, -2, 2), lambda: -x, lambda: x ^ 3, lambda: x > 0, lambda: L.np.maximum(x, 1),
        lambda: x.astype("float32") * 0.3, lambda: x / 4, lambda: x * 0.5, lambda: L.lax.population_count(x),
        lambda: L.np.cumsum(x), lambda: x.sum(), lambda: L.np.sort(x.ravel()), lambda: L.np.sign(x), lambda: x == 1,
        lambda: L.np.where(x > 0, x, 0), lambda: L.np.float_power(1.1, x % 4), lambda: x**2, lambda: 2.0 ** (x % 3),
    ])()  # fmt: skip


@step(1)
def booleans(L, d, values, rules):
    x = floats(d, values)
    b = x > 0.2
    return d.of([
        lambda: ~b, lambda: b & (x < 1), lambda: b | (x < -1), lambda: b.any(), lambda: L.np.all(b, axis=0) if b.shape
        else b, lambda: b.astype("int32"), lambda: b.sum(), lambda: L.np.where(b, x, -x), lambda: b * 1.5,
        lambda: L.np.isfinite(x), lambda: L.np.argmax(b) if b.shape else b, lambda: b ^ (x < 0.5),
        lambda: L.np.count_nonzero(b), lambda: L.np.cumsum(b),
    ])()  # fmt: skip


@step(1.5)
def conversions(L, d, values, rules):
    x = floats(d, values)
    return d.of([
        lambda: x.astype("float16"), lambda: x.astype("float16").astype("float32"), lambda: x.astype(L.np.bfloat16),
        lambda: L.lax.convert_element_type(x, "int32"), lambda: x.astype("float32"), lambda: x.astype(bool),
        lambda: L.np.asarray(x, dtype="float32"), lambda: (x * 20).astype("int8"), lambda: abs(x * 20).astype("uint8"),
    ])()  # fmt: skip


@step(1.2)
def complexes(L, d, values, rules):
    fit = [z for z in values if np.dtype(z.dtype).kind == "c"]
    if fit and d.chance(0.8):
        z = d.of(fit)
    else:
        x = floats(d, values)
        z = L.lax.complex(x.astype("float32"), L.np.cos(x).astype("float32"))
    return d.of([
        lambda: z * z, lambda: L.np.conj(z), lambda: L.np.real(z), lambda: L.np.imag(z), lambda: L.np.exp(0.3j * z),
        lambda: abs(z + 2), lambda: z * 1j, lambda: z / (3 + 0.5j), lambda: L.np.sin(z * 0.3), lambda: z + 1.0,
        lambda: L.np.angle(z + 3), lambda: L.np.sum(z), lambda: L.np.sqrt(z + 4), lambda: L.np.tanh(0.2 * z),
        lambda: (z * L.np.conj(z)).real, lambda: z - z.real, lambda: L.np.log(z + 4), lambda: z**2,
    ])()  # fmt: skip


# -- reductions, scans, sorts


@step(4)
def reductions(L, d, values, rules):
    x = floats(d, values, 1)
    if size(x) == 0:
        raise Skip
    axis = d.of([None, axis_of(d, x), (0,), tuple(range(len(x.shape)))])
    keep = d.chance(0.3)
    name = d.of("sum mean max min var std logsumexp prod median any argmax argmin ptp nansum norm softmax".split())
    one = axis[0] if isinstance(axis, tuple) else axis
    if name == "logsumexp":
        return L.nn.logsumexp(x, axis=axis, keepdims=keep)
    if name == "softmax":
        return L.nn.softmax(x, axis=one if one is not None else -1)
    if name == "prod":
        return L.np.prod(1.0 + 0.3 * L.np.tanh(x), axis=axis, keepdims=keep)
    if name == "std":
        return L.np.sqrt(L.np.var(x, axis=axis, keepdims=keep) + 0.1)
    if name == "norm":
        return L.np.sqrt(L.np.sum(x * x, axis=axis, keepdims=keep) + 0.01)
    if name in ("argmax", "argmin"):
        return getattr(L.np, name)(x, axis=one, keepdims=keep)
    if name == "sum" and d.chance(0.4):
        return L.np.sum(x, axis=axis, keepdims=keep, where=x > 0)
    if name == "max" and d.chance(0.3):
        return L.np.max(x, axis=axis, initial=0.1)
    if name == "median":
        return L.np.median(x, axis=axis, keepdims=keep)
    if name == "any":
        return L.np.any(x > 0.5, axis=axis, keepdims=keep)
    return getattr(L.np, name)(x, axis=axis, keepdims=keep)


@step(2)
def cumulative(L, d, values, rules):
    x = floats(d, values, 1)
    axis = d.below(len(x.shape))
    return d.of([
        lambda: L.np.cumsum(x, axis=axis), lambda: L.np.cumprod(1 + 0.2 * L.np.tanh(x), axis=axis),
        lambda: L.lax.cummax(x, axis=axis), lambda: L.lax.cummin(x, axis=axis, reverse=True),
        lambda: L.lax.cumlogsumexp(x, axis=axis), lambda: L.lax.cumsum(x, axis=axis, reverse=True),
        lambda: L.np.diff(x, axis=axis),
        lambda: L.lax.associative_scan(lambda a, b: a * 0.5 + b, x, axis=axis),
        lambda: L.lax.associative_scan(L.np.add, x, axis=axis, reverse=True),
    ])()  # fmt: skip


@step(2)
def sorting(L, d, values, rules):
    x = floats(d, values, 1)
    axis = d.below(len(x.shape))
    key = d.constant(x.shape)
    return d.of([
        lambda: L.np.sort(x, axis=axis), lambda: L.np.argsort(x, axis=axis), lambda: L.lax.top_k(x, 1),
        lambda: L.lax.sort((x, L.np.sin(x)), dimension=axis, num_keys=1),
        lambda: L.lax.sort((L.np.asarray(key), x), dimension=axis, num_keys=1)[1],
        lambda: L.np.take_along_axis(x, L.np.argsort(key, axis=axis), axis=axis),
        lambda: L.np.sort(x, axis=axis, descending=True),
    ])()  # fmt: skip


# -- shapes


@step(4)
def shapes(L, d, values, rules):
    x = anything(d, values, 1)
    n = x.shape[0]
    axis = d.below(len(x.shape))
    return d.of([
        lambda: x.ravel(), lambda: x.T, lambda: x[None], lambda: x[..., None], lambda: L.np.flip(x, axis),
        lambda: L.np.roll(x, 1, axis), lambda: L.np.concatenate([x, x], axis), lambda: L.np.stack([x, x], axis),
        lambda: L.np.tile(x, 2), lambda: L.np.repeat(x, 2, axis=axis), lambda: L.np.broadcast_to(x, (2, *x.shape)),
        lambda: L.np.moveaxis(x, 0, -1), lambda: L.np.squeeze(x[:1], 0) if n else x, lambda: L.np.expand_dims(x, axis),
        lambda: x.reshape((-1, n)) if size(x) else x, lambda: L.np.split(x, [1], axis=axis)[-1], lambda: x[::-1],
        lambda: x[1:], lambda: x[:, None], lambda: x[::2], lambda: L.np.swapaxes(x, 0, -1),
        lambda: L.np.triu(x) if len(x.shape) > 1 else x, lambda: L.np.diag(x) if len(x.shape) < 3 else x,
        lambda: L.lax.rev(x, (axis,)), lambda: L.np.array_split(x, 2)[0], lambda: L.np.vstack([x, x]),
        lambda: L.lax.pad(x, L.np.zeros((), x.dtype), [(1, 0, 1), *[(0, 0, 0)] * (len(x.shape) - 1)]),
        lambda: L.lax.pad(x, L.np.ones((), x.dtype), [(-1, 1, 0), *[(0, 0, 0)] * (len(x.shape) - 1)]) if n else x,
        lambda: L.np.trace(x) if len(x.shape) > 1 else x, lambda: L.np.unstack(x)[0] if n else x,
    ])()  # fmt: skip


def rows(L, d, values, x):
    """``(i, first, table)``: an index array, in bounds or not; its first element; three rows that ``x`` has."""
    n = x.shape[0]
    if size(x) == 0:
        raise Skip
    ints = [v for v in values if v.dtype == "int32" and size(v) <= 4]
    i = d.of(ints) if ints else L.np.asarray(d.of([0, 1, -1, n, 7, -9]), "int32")
    return i, i.ravel()[0] if size(i) else 0, np.asarray(d.rng.integers(0, n, 3), "int32")


@step(3)
def reading(L, d, values, rules):
    x = anything(d, values, 1)
    n = x.shape[0]
    i, first, table = rows(L, d, values, x)
    inside = L.np.clip(i, -n, n - 1)  # outside, JAX's forward mode has the slope of the last row, its reverse mode none
    return d.of([
        lambda: x[inside], lambda: x[0], lambda: x[-1], lambda: x[table], lambda: L.np.take(x, i, axis=0),
        lambda: L.np.take(x, table, axis=-1) if x.shape[-1] >= n else x, lambda: L.np.take(x, i, mode="clip"),
        lambda: L.np.take(x, i, mode="wrap"), lambda: x[..., 0], lambda: x[inside, ...], lambda: x.at[i].get(mode="fill"),
        lambda: L.lax.dynamic_slice_in_dim(x, first, 1, 0),
        lambda: L.lax.dynamic_index_in_dim(x, first, 0, keepdims=False),
        lambda: x[table[:, None], 0] if len(x.shape) > 1 else x[table], lambda: x[table % n][1:],
        lambda: x[None, inside], lambda: x[np.array([k % 2 == 0 for k in range(n)])],
        lambda: x.at[n + 3].get(mode="fill", fill_value=2), lambda: x.at[i].get(mode="clip"),
        lambda: L.np.choose(0, [x, x], mode="clip"),
    ])()  # fmt: skip


@step(3)
def writing(L, d, values, rules):
    x = floats(d, values, 1)
    n = x.shape[0]
    i, first, table = rows(L, d, values, x)
    v = scalar_float(L, d, values).astype(x.dtype)
    return d.of([
        lambda: x.at[i].set(v), lambda: x.at[i].add(v), lambda: x.at[0].mul(v), lambda: x.at[table].add(v),
        lambda: x.at[table].min(v), lambda: x.at[table].max(v), lambda: x.at[-1].set(0.5), lambda: x.at[1:].set(v),
        lambda: x.at[::2].add(x[::2]), lambda: x.at[table].mul(v), lambda: x.at[i].set(x[0]),
        lambda: x.at[x > 0].set(v), lambda: x.at[..., 0].add(v), lambda: x.at[table].add(x[table]),
        lambda: L.lax.dynamic_update_slice_in_dim(x, x[:1] * 2, first, 0),
        lambda: L.lax.dynamic_update_index_in_dim(x, x[0] * v, first, 0),
        lambda: x.at[i].add(v, mode="drop"), lambda: x.at[n + 2].set(v, mode="clip"), lambda: x.at[i].divide(v + 3),
        lambda: x.at[0].apply(L.np.sin), lambda: x.at[i].power(2),
    ])()  # fmt: skip


# -- products and linear algebra


@step(3)
def products(L, d, values, rules):
    x = floats(d, values, 1)
    n = x.shape[-1]
    w, v = d.constant((n, 3)), d.constant((n,))
    return d.of([
        lambda: x @ w, lambda: x @ v, lambda: L.np.dot(x, v), lambda: L.np.outer(x[..., :2], v[:3]),
        lambda: L.np.einsum("...i,ij->...j", x, w), lambda: L.np.matmul(x, x.T) if len(x.shape) == 2 else x,
        lambda: L.np.tensordot(x, w, 1), lambda: L.np.einsum("...i,...i->...", x, x), lambda: L.np.vdot(x, x),
        lambda: L.np.inner(x, v), lambda: L.np.kron(v[:2], x[..., :2]) if len(x.shape) == 1 else x,
        lambda: L.np.einsum("ij,kj->ik", x, x) if len(x.shape) == 2 else L.np.einsum("...i->...", x),
        lambda: L.lax.dot_general(x, x, (((), ()), ((0,), (0,)))), lambda: L.np.vecdot(x, v),
        lambda: L.lax.batch_matmul(x, L.np.swapaxes(x, -1, -2)) if len(x.shape) == 3 else x,
    ])()  # fmt: skip


@step(0.7)
def linear_algebra(L, d, values, rules):
    x = floats(d, values, 2, 30).astype("float32")
    s = L.np.matmul(x, L.np.swapaxes(x, -1, -2)) + 2 * np.eye(x.shape[-2], dtype="float32")
    if size(s) > 30 or s.shape[-1] == 0:
        raise Skip
    b = L.np.ones((*s.shape[:-1], 1), "float32")
    lin = L.lax.linalg
    return d.of([
        lambda: lin.cholesky(s), lambda: lin.triangular_solve(lin.cholesky(s), b, left_side=True, lower=True),
        lambda: lin.eigh(s)[1], lambda: lin.svd(s, compute_uv=False), lambda: abs(lin.qr(s)[1]),
    ])()  # fmt: skip


@step(0.8)
def windows(L, d, values, rules):
    x = floats(d, values, 1)
    if x.dtype != "float32" or size(x) == 0 or size(x) > 30:
        raise Skip
    dims = (2, *[1] * (len(x.shape) - 1))
    kernel = d.constant((2, 1, 2))
    flat = x.reshape((1, 1, -1))
    return d.of([
        lambda: L.lax.reduce_window(x, 0.0, L.lax.add, dims, (1,) * len(dims), "VALID"),
        lambda: L.lax.reduce_window(x, -np.inf, L.lax.max, dims, dims, "SAME"),
        lambda: L.lax.conv_general_dilated(flat, kernel, (1,), "SAME", rhs_dilation=(1,)) if kernel.shape[1] == 1
        else x, lambda: L.lax.conv(flat, kernel[:, :, :], (2,), "SAME"),
        lambda: L.lax.conv_general_dilated(flat, kernel, (1,), [(1, 2)], lhs_dilation=(2,)),
    ])()  # fmt: skip


@step(1)
def creation(L, d, values, rules):
    x = anything(d, values)
    n = x.shape[0] if x.shape else 3
    return d.of([
        lambda: L.np.arange(n), lambda: L.np.arange(n) * 0.5, lambda: L.np.ones_like(x), lambda: L.np.zeros(n),
        lambda: L.np.full((n, 2), 0.3), lambda: L.np.eye(n), lambda: L.np.linspace(0, 1, n), lambda: L.np.asarray(2.5),
        lambda: L.lax.iota("float32", n), lambda: d.constant((n,)), lambda: L.np.array([1.0, 2.0]), lambda: 3.0,
        lambda: L.np.full_like(x, 1), lambda: L.np.zeros_like(x), lambda: L.np.array([x.ravel()[0], 1]) if size(x)
        else x, lambda: L.np.stack([L.np.asarray(0.5), L.np.asarray(1)]),
    ])()  # fmt: skip
