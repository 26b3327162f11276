"""Programs the CPU engine must run as JAX does: name -> (function, *arguments)."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

rng = np.random.default_rng(0)


def f32(*shape):
    return rng.standard_normal(shape).astype(np.float32)


def positive(*shape):
    return (rng.random(shape) + 0.1).astype(np.float32)


def i32(*shape):
    return rng.integers(-50, 50, shape).astype(np.int32)


def u32(*shape):
    return rng.integers(0, 2**32, shape).astype(np.uint32)


CASES: dict[str, tuple] = {}

for n in (
    "abs ceil floor sign neg exp exp2 expm1 sin cos tan tanh sinh asinh atan erf "
    "logistic square is_finite integer_pow cbrt erfc"
).split():
    g = getattr(lax, n) if n != "integer_pow" else (lambda x: lax.integer_pow(x, 5))
    CASES[n] = (g, f32(7, 9))
for n in "log log1p sqrt rsqrt lgamma digamma".split():
    CASES[n] = (getattr(lax, n), positive(7, 9))
for n in "asin acos atanh erf_inv".split():
    CASES[n] = (getattr(lax, n), (positive(7, 9) - 0.6) * 0.9)
CASES["acosh"] = (lax.acosh, positive(7, 9) + 1)
for n in "add sub mul div max min rem pow atan2 nextafter eq ne lt le gt ge".split():
    CASES[n] = (getattr(lax, n), positive(7, 9) * 2, positive(7, 9) * 3)
for n in (
    "add sub mul div max min rem eq ne lt le gt ge bitwise_and bitwise_or "
    "bitwise_xor shift_left shift_right_logical shift_right_arithmetic"
).split():
    CASES[n + "_i"] = (getattr(lax, n), i32(7, 9), np.abs(i32(7, 9)) % 7 + (0 if "div" not in n else 1))
for n in "population_count clz bitwise_not".split():
    CASES[n] = (getattr(lax, n), u32(7, 9))
CASES["round0"] = (lambda x: lax.round(x, lax.RoundingMethod.TO_NEAREST_EVEN), f32(7, 9) * 3)
CASES["round1"] = (lambda x: lax.round(x, lax.RoundingMethod.AWAY_FROM_ZERO), f32(7, 9) * 3)
CASES["clamp"] = (lambda x: lax.clamp(-0.5, x, 0.5), f32(7, 9))
CASES["clamp2"] = (lambda x, a: lax.clamp(a, x, a + 1), f32(7, 9), f32(7, 9))
CASES["complex"] = (lambda x, y: (lax.complex(x, y) * lax.complex(y, x)).real, f32(7, 9), f32(7, 9))
CASES["complex2"] = (
    lambda x, y: jnp.exp(lax.complex(x, y)) + jnp.conj(lax.complex(x, y)) / lax.complex(y, x),
    f32(7, 9),
    f32(7, 9),
)
CASES["cabs"] = (lambda x, y: jnp.abs(lax.complex(x, y)), f32(7, 9), f32(7, 9))
CASES["csum"] = (lambda x, y: (lax.complex(x, y)).sum(0), f32(7, 9), f32(7, 9))
CASES["reduce_precision"] = (lambda x: lax.reduce_precision(x, 5, 10), f32(7, 9))
CASES["bitcast"] = (lambda x: lax.bitcast_convert_type(x, jnp.int32) + 1, f32(7, 9))
CASES["bitcast2"] = (lambda x: lax.bitcast_convert_type(x, jnp.uint8) + 1, f32(7, 9))
CASES["bitcast3"] = (
    lambda x: lax.bitcast_convert_type(x * 1, jnp.uint32) + 1,
    np.arange(28 * 2, dtype=np.uint16).reshape(28, 2),
)
for a in "int8 uint8 int16 uint16 int32 uint32 float16 bfloat16 float32 bool complex64".split():
    for b in "int8 uint8 int32 float16 bfloat16 float32 bool".split():
        if a == "complex64":
            continue
        x = (i32(7, 9)).astype(np.float32) if "u" not in a else np.abs(i32(7, 9)).astype(np.float32)
        CASES[f"cv_{a}_{b}"] = (lambda x, b=b: x.astype(b), jnp.asarray(x).astype(a))
for a in "float16 bfloat16".split():
    CASES["add_" + a] = (lambda x, y: x * y + 1, jnp.asarray(f32(7, 9)).astype(a), jnp.asarray(f32(7, 9)).astype(a))
    CASES["sum_" + a] = (lambda x: x.sum(1), jnp.asarray(f32(7, 9)).astype(a))
    CASES["dot_" + a] = (lambda x, y: x @ y, jnp.asarray(f32(7, 9)).astype(a), jnp.asarray(f32(9, 5)).astype(a))
CASES["dot_i8"] = (
    lambda x, y: lax.dot_general(x, y, (((1,), (0,)), ((), ())), preferred_element_type=jnp.int32),
    i32(7, 9).astype(np.int8),
    i32(9, 5).astype(np.int8),
)
CASES["dot_i32"] = (lambda x, y: x @ y, i32(7, 9), i32(9, 5))
CASES["bmm"] = (lambda x, y: jnp.einsum("bij,bjk->bik", x, y), f32(3, 7, 9), f32(3, 9, 5))
CASES["attn"] = (
    lambda q, k, v: jnp.einsum("bhqk,bkhd->bqhd", jax.nn.softmax(jnp.einsum("bqhd,bkhd->bhqk", q, k) / 3), v),
    f32(2, 8, 4, 6),
    f32(2, 8, 4, 6),
    f32(2, 8, 4, 6),
)
CASES["einsum_odd"] = (lambda x, y: jnp.einsum("abcd,bde->ace", x, y), f32(3, 4, 5, 6), f32(4, 6, 7))
CASES["einsum_T"] = (lambda x, y: jnp.einsum("abc,cab->b", x, y), f32(3, 4, 5), f32(5, 3, 4))
CASES["outer"] = (lambda x, y: jnp.outer(x, y), f32(5), f32(6))
CASES["vecdot"] = (lambda x, y: x @ y, f32(50), f32(50))
CASES["matvec"] = (lambda x, y: x @ y, f32(50, 30), f32(30))
CASES["cdot"] = (lambda x, y: (x + 1j) @ (y * 2j), f32(5, 3), f32(3, 4))
for n in "sum prod max min".split():
    CASES["r_" + n] = (
        lambda x, n=n: (getattr(x, n)(0), getattr(x, n)(1), getattr(x, n)(2), getattr(x, n)((0, 2)), getattr(x, n)()),
        f32(5, 6, 7),
    )
    CASES["ri_" + n] = (lambda x, n=n: (getattr(x, n)(0), getattr(x, n)(1)), i32(5, 6))
CASES["all"] = (lambda x: (jnp.all(x > 0, 0), jnp.any(x > 2, 1)), f32(5, 6))
CASES["argmax2"] = (lambda x: (jnp.argmax(x, 0), jnp.argmin(x, 1)), i32(50, 60))
CASES["cumsum"] = (lambda x: (jnp.cumsum(x, 0), jnp.cumsum(x, 1)), f32(5, 6))
CASES["cumother"] = (
    lambda x: (lax.cumprod(x, 0), lax.cummax(x, 1, reverse=True), lax.cummin(x, 0), lax.cumlogsumexp(x, 1)),
    f32(5, 6),
)
CASES["sort"] = (lambda x: (jnp.sort(x, 0), jnp.argsort(x, 1), jnp.sort(x)[::-1]), f32(5, 6))
CASES["topk"] = (lambda x: lax.top_k(x, 3), f32(5, 6))
CASES["pad_int"] = (lambda x: lax.pad(x, 0.5, ((1, 2, 1), (-1, 3, 2))), f32(5, 6))
CASES["pad_neg"] = (lambda x: lax.pad(x, 0.5, ((-2, 2, 2), (-1, -3, 1))), f32(5, 6))
CASES["concat3"] = (lambda x: jnp.concatenate([x, x * 2, x[:2]], 0), f32(5, 6))
CASES["stack"] = (lambda x, y: jnp.stack([x, y], 1).sum(1), f32(5, 6), f32(5, 6))
CASES["split"] = (lambda x: [a * 2 for a in jnp.split(x, 3, 1)], f32(5, 6))
CASES["tile"] = (lambda x: jnp.tile(x, (2, 3)), f32(5, 6))
CASES["repeat"] = (lambda x: jnp.repeat(x, 3, 1), f32(5, 6))
CASES["roll"] = (lambda x: jnp.roll(x, 2, 1), f32(5, 6))
CASES["flip"] = (lambda x: jnp.flip(x, (0, 1)) * 2, f32(5, 6))
CASES["swap"] = (lambda x: jnp.swapaxes(x, 0, 2).reshape(-1) * 2, f32(5, 6, 7))
CASES["tr_add"] = (lambda x, y: jnp.transpose(x, (2, 0, 1)) + y, f32(5, 6, 7), f32(7, 5, 6))
CASES["bcast"] = (lambda x, y: x[:, None, :] * y[None], f32(5, 7), f32(6, 7))
CASES["bcast2"] = (lambda x, y: (x[:, None] - y[None]) ** 2, f32(50), f32(70))
CASES["pairdist"] = (lambda x, y: ((x[:, None] - y[None]) ** 2).sum(-1), f32(50, 3), f32(70, 3))
CASES["where3"] = (lambda i, a, b, c: lax.select_n(i, a, b, c), np.abs(i32(5, 6)) % 3, f32(5, 6), f32(5, 6), f32(5, 6))
CASES["gather_fill"] = (lambda x, i: jnp.take(x, i, axis=0, mode="fill"), f32(5, 6), np.array([0, 7, -1, 2], np.int32))
CASES["gather_clip"] = (lambda x, i: jnp.take(x, i, axis=1, mode="clip"), f32(5, 6), np.array([0, 7, -1, 2], np.int32))
CASES["take_along"] = (lambda x, i: jnp.take_along_axis(x, i, 1), f32(5, 6), np.abs(i32(5, 3)) % 6)
CASES["adv"] = (lambda x, i, j: x[i, j], f32(5, 6), np.abs(i32(4)) % 5, np.abs(i32(4)) % 6)
CASES["adv2"] = (lambda x, i, j: x[i, :, j], f32(5, 6, 7), np.abs(i32(4)) % 5, np.abs(i32(4)) % 7)
CASES["scatter"] = (lambda x, i, v: x.at[i].set(v), f32(5, 6), np.array([0, 3], np.int32), f32(2, 6))
CASES["scatter_add"] = (lambda x, i, v: x.at[i].add(v), f32(5, 6), np.array([0, 3, 3], np.int32), f32(3, 6))
CASES["scatter_max"] = (lambda x, i, v: x.at[i, 1].max(v), f32(5, 6), np.array([0, 3, 3], np.int32), f32(3))
CASES["scatter_mul"] = (lambda x, i, v: x.at[:, i].mul(v), f32(5, 6), np.array([0, 3, 3, 9], np.int32), f32(5, 4))
CASES["scatter_el"] = (lambda x, i, v: x.at[i].add(v), f32(50), np.abs(i32(300)) % 50, f32(300))
CASES["at_slice"] = (lambda x, v: x.at[1:3].set(v), f32(5, 6), f32(2, 6))
CASES["grad_take"] = (lambda x, i: jax.grad(lambda x: (x[i] ** 2).sum())(x), f32(5, 6), np.array([0, 3, 3], np.int32))
CASES["scan"] = (lambda x: lax.scan(lambda c, x: (c * 0.5 + x, c.sum()), jnp.zeros(6), x), f32(5, 6))
CASES["scan_rev"] = (lambda x: lax.scan(lambda c, x: (c * 0.5 + x, c), jnp.zeros(6), x, reverse=True), f32(5, 6))
CASES["fori"] = (lambda x: lax.fori_loop(0, 5, lambda i, x: x * 2 + i, x), f32(5, 6))
CASES["fori_at"] = (lambda x: lax.fori_loop(0, 5, lambda i, x: x.at[i].set(x[i] * 2 + i), x), f32(5, 6))
CASES["while"] = (lambda x: lax.while_loop(lambda s: s[0] < 7, lambda s: (s[0] + 1, s[1] * 1.5), (0, x)), f32(5, 6))
CASES["cond"] = (lambda x: lax.cond(x.sum() > 0, lambda x: x * 2, lambda x: x - 1, x), f32(5, 6))
CASES["switch"] = (
    lambda i, x: lax.switch(i, [lambda x: x * 2, lambda x: x - 1, lambda x: x], x),
    np.int32(2),
    f32(5, 6),
)
CASES["rnn"] = (
    lambda x, w: jax.grad(
        lambda w: lax.scan(lambda h, x: (lambda y: (y, y))(jnp.tanh(h @ w + x)), jnp.zeros(6), x)[1].sum()
    )(w),
    f32(5, 6),
    f32(6, 6),
)
CASES["swapcarry"] = (lambda x: lax.fori_loop(0, 5, lambda i, s: (s[1], s[0] + 1), (x, x * 2)), f32(5, 6))
CASES["nested"] = (
    lambda x: lax.fori_loop(0, 3, lambda i, x: lax.fori_loop(0, 4, lambda j, x: x * 1.1 + j, x) + i, x),
    f32(5, 6),
)
CASES["scan_none"] = (lambda x: lax.scan(lambda c, _: (c + 1, None), x, None, length=4), f32(3))
CASES["scan_cond"] = (
    lambda x: lax.scan(lambda c, x: (lax.cond(x.sum() > 0, lambda c: c + x, lambda c: c * 2, c), c), jnp.zeros(6), x),
    f32(5, 6),
)
CASES["logsm"] = (lambda x, y: -jnp.mean(jax.nn.log_softmax(x)[jnp.arange(5), y]), f32(5, 6), np.abs(i32(5)) % 6)
CASES["logsm_g"] = (
    lambda x, y: jax.grad(lambda x: -jnp.mean(jax.nn.log_softmax(x)[jnp.arange(5), y]))(x),
    f32(5, 6),
    np.abs(i32(5)) % 6,
)
CASES["ln_g"] = (
    lambda x, g: jax.grad(lambda x, g: (jax.nn.standardize(x) * g).sum() ** 2, argnums=(0, 1))(x, g),
    f32(50, 70),
    f32(70),
)
CASES["gelu_g"] = (lambda x: jax.grad(lambda x: jax.nn.gelu(x).sum())(x), f32(50, 70))
CASES["onehot"] = (lambda i: jax.nn.one_hot(i, 6), np.abs(i32(5)) % 6)
CASES["linspace"] = (lambda x: jnp.linspace(0.0, 1.0, 7) + x, f32(7))
CASES["meshgrid"] = (lambda x, y: jnp.meshgrid(x, y), f32(7), f32(5))
CASES["var"] = (lambda x: (x.var(0), x.std(1), x.var()), f32(50, 70))
CASES["cov"] = (lambda x: jnp.cov(x), f32(5, 70))
CASES["vander"] = (lambda x: jnp.polyval(jnp.array([1.0, 2.0, 3.0]), x), f32(7))
CASES["hist"] = (lambda x: jnp.bincount(x, length=10), np.abs(i32(70)) % 10)
CASES["searchs"] = (lambda x, y: jnp.searchsorted(jnp.sort(x), y), f32(20), f32(5))
CASES["unif"] = (lambda k: jax.random.uniform(k, (7, 5)), jax.random.key(3))
CASES["normal"] = (lambda k: jax.random.normal(k, (7, 5)), jax.random.key(3))
CASES["split"] = (lambda k: jax.random.split(k, 3), jax.random.key(3))
CASES["perm"] = (lambda k: jax.random.permutation(k, 20), jax.random.key(3))
CASES["categorical"] = (lambda k, x: jax.random.categorical(k, x), jax.random.key(3), f32(5, 6))
CASES["vmapkeys"] = (
    lambda k: jax.vmap(lambda k: jax.random.normal(k, (3,)))(jax.random.split(k, 4)),
    jax.random.key(3),
)
CASES["randint"] = (lambda k: jax.random.randint(k, (7,), 0, 10), jax.random.key(3))
CASES["empty"] = (lambda x: (x[:0] * 2, x[:0].sum(0), jnp.concatenate([x[:0], x])), f32(5, 6))
CASES["size1"] = (lambda x: (x.sum(1), x * 2, x.max(0), jnp.argmax(x, 1)), f32(5, 1))
CASES["remat"] = (lambda x: jax.grad(jax.checkpoint(lambda x: jnp.sin(jnp.sin(x)).sum()))(x), f32(5, 6))
CASES["jitin"] = (lambda x: jax.jit(lambda x: jax.jit(jnp.sin)(x) + 1)(x) + jax.jit(jnp.sin)(x), f32(5, 6))
CASES["cjvp"] = (lambda x: jax.grad(lambda x: jax.nn.relu(x).sum() + jax.nn.silu(x).sum())(x), f32(5, 6))
CASES["hess"] = (lambda x: jax.hessian(lambda x: (jnp.sin(x) ** 2).sum() * x[0])(x), f32(6))
CASES["jacrev"] = (lambda x: jax.jacrev(lambda x: jnp.tanh(x @ x.T)[0])(x), f32(4, 4))
CASES["iota_ops"] = (
    lambda x: (
        jnp.arange(6)[::-1] * 2 + x,
        jnp.arange(12).reshape(3, 4).T,
        lax.broadcasted_iota(jnp.int32, (3, 4), 1)[1:, ::2],
    ),
    i32(6),
)
CASES["lots"] = (lambda x: sum(jnp.sin(x * i) * jnp.cos(x + i) for i in range(20)), f32(50, 60))
CASES["multi_red"] = (lambda x: (x.sum(), x.max(), x.min(), (x**2).sum(), x.mean(0), x.mean(1)), f32(50, 60))
CASES["bn"] = (lambda x, g: (x - x.mean((0, 1, 2))) / jnp.sqrt(x.var((0, 1, 2)) + 1e-5) * g, f32(4, 5, 6, 8), f32(8))
CASES["gn"] = (
    lambda x: (lambda y: ((y - y.mean((1, 3), keepdims=True)) / y.std((1, 3), keepdims=True)).reshape(4, 5, 8))(
        x.reshape(4, 5, 2, 4)
    ),
    f32(4, 5, 8),
)
CASES["split_heads"] = (lambda x: (jnp.tanh(x).reshape(2, 8, 4, 6).transpose(0, 2, 1, 3) * 2).sum(-1), f32(2, 8, 24))
CASES["merge_heads"] = (lambda x: jnp.tanh(jnp.tanh(x).transpose(0, 2, 1, 3).reshape(2, 8, 24)), f32(2, 4, 8, 6))
CASES["rope"] = (
    lambda x: (lambda a, b: jnp.concatenate([a * jnp.cos(b) - b * jnp.sin(a), b], -1))(*jnp.split(x * 2, 2, -1)),
    f32(2, 8, 24),
)
CASES["add_"] = (lambda x, y: x + y, f32(5, 7), f32(5, 7))
CASES["chain_"] = (lambda x, y: jnp.tanh(x * 2 + 1) - jnp.exp(y), f32(50, 70), f32(50, 70))
CASES["bias_"] = (lambda x, b: jnp.maximum(x + b, 0), f32(5, 7), f32(7))
CASES["sum_"] = (lambda x: x.sum(), f32(50, 70))
CASES["sum0_"] = (lambda x: x.sum(0), f32(50, 70))
CASES["sum1_"] = (lambda x: (x * x).sum(1), f32(50, 70))
CASES["softmax_"] = (jax.nn.softmax, f32(50, 70))
CASES["softmax0_"] = (lambda x: jax.nn.softmax(x, axis=0), f32(50, 70))
CASES["layernorm_"] = (
    lambda x, g, b: (x - x.mean(-1, keepdims=True)) * jax.lax.rsqrt(x.var(-1, keepdims=True) + 1e-5) * g + b,
    f32(50, 70),
    f32(70),
    f32(70),
)
CASES["matmul_"] = (lambda x, y: x @ y, f32(20, 30), f32(30, 40))
CASES["mlp_"] = (lambda x, w, b: jnp.tanh(x @ w + b).sum(), f32(20, 30), f32(30, 40), f32(40))
CASES["select_"] = (lambda x, y: jnp.where(x > y, x, y * 2).astype(jnp.int32), f32(5, 7), f32(5, 7))
CASES["transpose_"] = (lambda x: x.T + 1, f32(50, 70))
CASES["xxT_"] = (lambda x: x + x.T, f32(50, 50))
CASES["reshape_"] = (lambda x: (x + 1).reshape(5, 10, 70).sum(1), f32(50, 70))
CASES["concat_"] = (lambda x, y: jnp.concatenate([x + 1, y], 1), f32(5, 7), f32(5, 9))
CASES["pad_"] = (lambda x: jnp.pad(x * 2, ((1, 2), (3, 0))), f32(5, 7))
CASES["slice_"] = (lambda x: x[1:4, ::2] * 2, f32(5, 7))
CASES["rev_"] = (lambda x: x[::-1] + x, f32(5, 7))
CASES["iota_"] = (lambda x: x + jnp.arange(7, dtype=jnp.float32), f32(5, 7))
CASES["causal_"] = (lambda x: jnp.where(jnp.arange(7)[:, None] >= jnp.arange(7)[None], x, -1e9), f32(7, 7))
CASES["argmax_"] = (lambda x: (jnp.argmax(x, 1), jnp.argmin(x, 0), jnp.argmax(x)), f32(50, 70))
CASES["big_sum_"] = (lambda x: (x * x).mean(), f32(700, 700))
CASES["big_sum0_"] = (lambda x: x.sum(0) * 2, f32(100000, 10))
CASES["logsumexp_"] = (lambda x: jax.nn.logsumexp(x), f32(700, 70))
CASES["take_"] = (lambda x, i: x[i] * 2, f32(50, 70), np.array([3, 1, 4, 1, 5], np.int32))
CASES["take2_"] = (lambda x, i: x[:, i], f32(50, 70), np.array([3, 1, 4, 1, 5], np.int32))
CASES["dslice_"] = (lambda x, i: jax.lax.dynamic_slice(x, (i, 0), (3, 70)) + 1, f32(50, 70), np.int32(7))
CASES["dus_"] = (lambda x, u, i: jax.lax.dynamic_update_slice(x, u, (i, 0)), f32(50, 70), f32(3, 70), np.int32(7))
CASES["scalar_"] = (lambda x, y: (x * y, x + 1), np.float32(2), np.float32(3))
CASES["dup_outputs_"] = (lambda x: (x, x + 1, x + 1, x.reshape(-1), 3.0), f32(5, 7))

# Loops over values small enough for registers.
CASES["tiny_scan_ys"] = (lambda x: lax.scan(lambda c, x: (c * 0.5 + x, (c.sum(), c * x)), jnp.zeros(3), x), f32(50, 3))
CASES["tiny_scan_rev"] = (lambda x: lax.scan(lambda c, x: (c * 0.5 + x, c), jnp.zeros(3), x, reverse=True), f32(50, 3))
CASES["tiny_scan_rev_grad"] = (
    lambda x: jax.grad(lambda x: lax.scan(lambda c, x: (jnp.tanh(c * 0.5 + x), c), jnp.zeros(3), x)[1].sum())(x),
    f32(50, 3),
)
CASES["tiny_mat"] = (lambda a, x: lax.fori_loop(0, 20, lambda i, x: jnp.tanh(a @ x + i), x), f32(3, 3), f32(3))
CASES["tiny_mm"] = (lambda a, x: lax.fori_loop(0, 20, lambda i, x: a @ x / 2, x), f32(3, 3), f32(3, 3))
CASES["tiny_swap"] = (lambda x: lax.fori_loop(0, 5, lambda i, s: (s[1], s[0] + 1), (x, x * 2)), f32(3))
CASES["tiny_swap2"] = (lambda x: lax.fori_loop(0, 5, lambda i, s: (s[1], s[0]), (x, x * 2)), f32(3))
CASES["tiny_swap3"] = (lambda x: lax.fori_loop(0, 5, lambda i, s: (s[2], s[0], s[1]), (x, x * 2, x + 3)), f32(3))
CASES["tiny_const_carry"] = (lambda x: lax.fori_loop(0, 5, lambda i, s: (s[1], jnp.ones(3)), (x, x * 2)), f32(3))
CASES["tiny_nested"] = (
    lambda x: lax.fori_loop(0, 5, lambda i, x: lax.fori_loop(0, i + 1, lambda j, x: x * 1.1 + j, x) + i, x),
    f32(3),
)
CASES["tiny_collatz"] = (
    lambda n: lax.while_loop(
        lambda s: s[0] != 1, lambda s: (jnp.where(s[0] % 2 == 0, s[0] // 2, 3 * s[0] + 1), s[1] + 1), (n, 0)
    ),
    np.int32(27),
)
CASES["tiny_cond"] = (
    lambda x: lax.fori_loop(0, 20, lambda i, x: lax.cond(x.sum() > 0, lambda x: x - 1.3, lambda x: x + 0.7, x), x),
    f32(3),
)
CASES["tiny_gcd"] = (
    lambda a, b: lax.while_loop(lambda s: s[1] > 0, lambda s: (s[1], lax.rem(s[0], s[1])), (a, b))[0],
    np.int32(1071),
    np.int32(462),
)
CASES["tiny_bool"] = (
    lambda x: lax.while_loop(lambda s: s[1], lambda s: (s[0] * 2, s[0] < 100), (x, True))[0],
    np.float32(1),
)
CASES["tiny_lookup"] = (
    lambda t, i: lax.fori_loop(0, 30, lambda k, i: lax.dynamic_index_in_dim(t, i, keepdims=False), i),
    rng.integers(0, 100, 100).astype(np.int32),
    np.int32(5),
)
CASES["tiny_concat"] = (lambda x: lax.fori_loop(0, 7, lambda i, x: jnp.concatenate([x[1:], x[:1] * 2]), x), f32(4))
CASES["tiny_roll"] = (lambda x: lax.fori_loop(0, 7, lambda i, x: jnp.roll(x, 1, 0).T, x), f32(3, 3))
CASES["tiny_pad"] = (lambda x: lax.fori_loop(0, 7, lambda i, x: x + jnp.pad(x[1:], (0, 1)), x), f32(4))
CASES["tiny_red"] = (
    lambda x: lax.fori_loop(0, 7, lambda i, x: x / x.max(0) + x.min(1, keepdims=True) + x.prod(), x),
    f32(2, 3),
)
CASES["tiny_int"] = (lambda x: lax.fori_loop(0, 70, lambda i, x: (x * 1103515245 + 12345) & 0x7FFFFFFF, x), i32(4))
CASES["tiny_u32"] = (lambda x: lax.fori_loop(0, 70, lambda i, x: x ^ (x << 13) ^ (x >> 7), x), np.uint32([1, 2, 3]))
CASES["tiny_complex"] = (
    lambda c: lax.fori_loop(0, 10, lambda i, z: z * z + c, jnp.zeros_like(c)),
    (f32(4) * 0.3 + 0.2j * f32(4)).astype(np.complex64),
)
CASES["tiny_bf16"] = (
    lambda x: lax.fori_loop(0, 10, lambda i, z: z * jnp.bfloat16(1.1), x),
    jnp.asarray(f32(4)).astype(jnp.bfloat16),
)
CASES["tiny_map"] = (lambda x: lax.map(lambda x: jnp.sin(x).sum(), x), f32(50, 3))
CASES["tiny_len0"] = (lambda x: lax.fori_loop(0, 0, lambda i, x: x * 2, x), f32(3))
CASES["tiny_while0"] = (lambda x: lax.while_loop(lambda x: x[0] > 1e9, lambda x: x * 2, x), f32(3))
CASES["tiny_consts"] = (lambda x, w: lax.scan(lambda c, x: (c * w + x, None), jnp.zeros(3), x)[0], f32(50, 3), f32(3))
CASES["tiny_outer_dep"] = (lambda x, y: lax.fori_loop(0, 9, lambda i, c: c + jnp.sin(y) * i, x) * y, f32(3), f32(3))
CASES["tiny_gather_const"] = (lambda t: lax.fori_loop(0, 9, lambda i, c: c + t[i], jnp.float32(0)), f32(20))
CASES["tiny_set"] = (lambda t: lax.fori_loop(0, 9, lambda i, c: c.at[i].set(c[i] + 1), t), f32(12))
CASES["tiny_seq_scan"] = (lambda x: lax.scan(lambda c, x: (x, c), x[0], x), f32(50, 3))
CASES["tiny_passthru"] = (lambda x: lax.scan(lambda c, x: (c, x), x[0], x), f32(50, 3))
CASES["tiny_const_ys"] = (lambda x: lax.scan(lambda c, x: (c + 1, 3.0), x[0], x), f32(50, 3))
