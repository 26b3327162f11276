"""Steps of random programs for what is used less often: special functions, random numbers, decompositions, callbacks."""

import numpy as np
from random_base import Skip, anything, floats, size, step

SPECIAL = [
    lambda L, x: L.np.arcsin(0.9 * L.np.tanh(x)), lambda L, x: L.np.arccos(0.9 * L.np.tanh(x)),
    lambda L, x: L.np.arccosh(1.5 + x * x), lambda L, x: L.np.tan(L.np.tanh(x)),
    lambda L, x: L.lax.erf_inv(0.7 * L.np.tanh(x)),
    lambda L, x: L.lax.erfc(x), lambda L, x: L.lax.bessel_i0e(x), lambda L, x: L.lax.bessel_i1e(x),
    lambda L, x: L.lax.igamma(np.float32(1.5), 0.3 + x * x), lambda L, x: L.lax.igammac(np.float32(2.5), 0.3 + x * x),
    lambda L, x: L.lax.betainc(np.float32(1.5), np.float32(2.5), 0.5 + 0.4 * L.np.tanh(x)),
    lambda L, x: L.lax.zeta(np.float32(2.5), 1.0 + x * x), lambda L, x: L.lax.polygamma(np.float32(1), 1.5 + x * x),
    lambda L, x: L.np.nextafter(L.lax.stop_gradient(x), np.float32(3)),
    lambda L, x: L.lax.random_gamma_grad(np.float32(1.5), L.lax.stop_gradient(0.2 + x * x)),
    lambda L, x: L.np.exp(L.lax.log1p(x * x)), lambda L, x: L.lax.sinh(L.np.tanh(x)),
    lambda L, x: L.lax.optimization_barrier(x), lambda L, x: L.np.copy(x), lambda L, x: L.np.frexp(x)[0],
    lambda L, x: L.np.modf(x)[0], lambda L, x: L.np.ldexp(x, 2),
    lambda L, x: L.np.interp(x, np.float32([-1, 0, 1]), np.float32([0, 2, 1])),
    lambda L, x: L.np.polyval(np.float32([0.1, -0.3, 0.7]), x), lambda L, x: L.np.i0(L.np.tanh(x)),
    lambda L, x: L.nn.tanh(x),
    lambda L, x: L.nn.mish(x), lambda L, x: L.nn.selu(x), lambda L, x: L.nn.hard_tanh(2 * x),
    lambda L, x: L.nn.log_softmax(x) if x.ndim else x,
    lambda L, x: L.nn.standardize(x) if x.ndim and size(x) > 2 else x,
    lambda L, x: L.nn.glu(x) if x.ndim and x.shape[-1] % 2 == 0 else x,
]  # fmt: skip


@step(2)
def special(L, d, values, rules):
    x = floats(d, values).astype("float32")
    f = d.of(SPECIAL)
    return f(L, x)


@step(0.7)
def bits(L, d, values, rules):
    fit = [x for x in values if x.dtype == "int32"]
    x = d.of(fit) if fit else L.np.floor(floats(d, values) * 9).astype("int32")
    lax = L.lax
    return d.of([
        lambda: lax.clz(x), lambda: lax.shift_right_arithmetic(x, np.int32(1)),
        lambda: lax.shift_right_logical(x, np.int32(3)),
        lambda: ~x, lambda: x | 8, lambda: lax.bitcast_convert_type(x, "uint32") % 7, lambda: x.astype("int8"),
        lambda: lax.reduce(x, np.int32(0), lax.bitwise_xor, tuple(range(x.ndim))), lambda: x.astype("uint8") // 3,
        lambda: lax.reduce(x, np.int32(-1), lax.bitwise_and, (0,)) if x.ndim else x, lambda: L.np.bitwise_count(x),
        lambda: lax.rem(x, np.int32(4)), lambda: lax.div(x, np.int32(-3)), lambda: L.np.divmod(x, 5)[1], lambda: x >> 1,
        lambda: L.np.unpackbits(x.astype("uint8")) if size(x) < 7 else x,
        lambda: L.np.bincount(abs(x.ravel()) % 5, length=5),
    ])()  # fmt: skip


@step(0.8)
def random_numbers(L, d, values, rules):
    jr = L.m.random
    key, shape = jr.key(d.below(100)), d.of([(), (3,), (2, 3)])
    return d.of([
        lambda: jr.normal(key, shape), lambda: jr.uniform(key, shape, minval=-1),
        lambda: jr.normal(jr.split(key)[1], shape),
        lambda: jr.bernoulli(jr.fold_in(key, 7), 0.4, shape), lambda: jr.randint(key, shape, -5, 9),
        lambda: jr.permutation(key, 4),
        lambda: jr.exponential(key, shape), lambda: jr.categorical(key, floats(d, values, 1)) * 1.0,
        lambda: jr.bits(key, shape) >> 28,
        lambda: floats(d, values, 1, 20) * jr.uniform(jr.split(key, 3)[2]),
        lambda: jr.truncated_normal(key, -1.0, 1.0, shape),
        lambda: L.m.vmap(lambda k: jr.normal(k))(jr.split(key, 3)), lambda: jr.laplace(key, shape),
        lambda: jr.gumbel(key, shape),
        lambda: jr.key_data(key) >> np.uint32(20),
        lambda: jr.gamma(key, L.lax.stop_gradient(1.5 + floats(d, values, 0, 3) ** 2)),
    ])()  # fmt: skip


@step(0.8)
def spectra(L, d, values, rules):
    x = floats(d, values, 1, 24).astype("float32")
    if size(x) == 0:
        raise Skip
    x = x + d.constant(x.shape)  # or equal numbers give zeros with rounding errors, which fall on both sides of a jump
    n = L.np.fft
    return d.of([
        lambda: n.fft(x), lambda: n.rfft(x), lambda: n.irfft(x + 0j, 5), lambda: n.ifft(x),
        lambda: abs(n.fft(x, axis=0) + 0.5),
        lambda: n.fft2(x) if x.ndim > 1 else n.hfft(x + 0j, 4), lambda: n.rfft(x, 3).real, lambda: n.fftshift(x),
    ])()  # fmt: skip


@step(1)
def decompositions(L, d, values, rules):
    x = floats(d, values, 2, 12).astype("float32")
    n = x.shape[-2]
    if x.ndim != 2 or size(x) == 0 or n > 3:
        raise Skip
    s = L.np.matmul(x, x.T) * 0.3 + np.diag(np.float32([1, 2.2, 3.7][:n]))
    b = x[:, :1] + 1
    la, lin, stopped = L.np.linalg, L.lax.linalg, L.lax.stop_gradient(s)
    return d.of([
        lambda: la.solve(s + 0.1 * np.tri(n, dtype="f"), b), lambda: la.solve(s, b[:, 0]), lambda: la.inv(s),
        lambda: la.det(s),
        lambda: la.slogdet(s)[1], lambda: lin.lu(s)[0], lambda: la.norm(x), lambda: la.eigvalsh(s), lambda: la.pinv(s),
        lambda: la.matrix_power(s * 0.4, 3), lambda: lin.tridiagonal_solve(
            *(L.np.asarray(v) for v in (np.float32([0, 1, 1][:n]), np.float32([4, 5, 6][:n]), np.float32([1, 1, 0][:n]))), b)
        if n == 3 else x, lambda: L.m.scipy.linalg.expm(0.2 * s), lambda: la.cholesky(s), lambda: abs(la.qr(s)[1]),
        lambda: L.m.scipy.linalg.cho_solve(L.m.scipy.linalg.cho_factor(s), b),
        lambda: lin.symmetric_product(x, s * 0.1),
        lambda: L.m.scipy.linalg.solve_triangular(s, b, lower=True), lambda: la.lstsq(s, b)[0],
        lambda: la.matrix_rank(s) * 1.0,
        lambda: lin.cholesky_update(lin.cholesky(stopped).T, stopped[0] * 0.1),
        lambda: abs(L.np.trace(lin.schur(stopped, compute_schur_vectors=False)[0])),
    ])()  # fmt: skip


@step(0.8)
def folds(L, d, values, rules):
    """Reductions by a program of their own, and over windows."""
    x = floats(d, values, 1, 30).astype("float32")
    if size(x) == 0:
        raise Skip
    lax, ones = L.lax, (1,) * x.ndim
    dims = (min(2, x.shape[0]), *ones[1:])
    return d.of([
        lambda: lax.reduce(x, np.float32(0), lambda a, b: a + b, (0,)),
        lambda: lax.reduce(x, np.float32(-1), lax.max, (0,)),
        lambda: lax.reduce(x, np.float32(0), lambda a, b: a + b + a * b, (x.ndim - 1,)),
        lambda: lax.reduce_window(x, np.inf, lax.min, dims, ones, "VALID"),
        lambda: lax.reduce_window(x, 0.0, lax.add, dims, ones, "SAME"),
        lambda: lax.reduce_window(x, 1.0, lax.mul, dims, dims, "VALID"),
        lambda: L.np.convolve(x[(0,) * (x.ndim - 1)], np.float32([1, -2]), "same"),
        lambda: lax.cummax(x, 0), lambda: lax.cummin(x, x.ndim - 1, reverse=True), lambda: lax.cumlogsumexp(x, 0),
        lambda: lax.approx_max_k(x, 1)[0], lambda: L.np.trapezoid(x),
        lambda: L.np.gradient(x, axis=0) if x.shape[0] > 1 else x,
        lambda: L.np.histogram(x, 3, (-1.0, 1.0))[0], lambda: L.np.quantile(x, 0.4, axis=0),
        lambda: L.np.searchsorted(np.float32([-1, 0, 1]), x),
        lambda: L.np.digitize(x, np.float32([-0.5, 0.5])), lambda: L.np.cov(x) if x.ndim == 2 and x.shape[1] > 1 else x,
        lambda: L.np.ediff1d(x),
        lambda: L.np.piecewise(x, [x < 0, x > 1], [lambda v: v * 2, lambda v: v - 1, 0.5]),
        lambda: L.np.select([x > 0, x < -1], [x, x * x], 0.0),
    ])()  # fmt: skip


@step(0.5)
def callbacks(L, d, values, rules):
    x = anything(d, values)
    kind = d.below(3)
    if kind == 0:
        if L.calls_back:
            L.m.debug.callback(lambda v: None, x)
        return x
    method = d.of(["sequential", "expand_dims", "broadcast_all"])

    def on_host(fun, v):
        if not L.calls_back:
            return L.np.asarray(fun(v), v.dtype)
        spec = L.m.ShapeDtypeStruct(v.shape, v.dtype)
        return L.m.pure_callback(lambda v: fun(np.asarray(v)), spec, v, vmap_method=method)

    if kind == 1:  # without a derivative in either library
        return on_host(lambda v: v + np.asarray(1).astype(v.dtype), L.lax.stop_gradient(x))
    f = L.m.custom_jvp(lambda v: on_host(lambda v: v, v))
    f.defjvp(lambda p, t: (f(*p), t[0]))
    return f(x)
