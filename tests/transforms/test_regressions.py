"""Programs that once went wrong, each as small as it could be made: values, dtypes and weak types against JAX."""

import numpy as np
import pytest
from comparison import ADDAX, JAX, assert_agree, results

import addax
from addax import lax, numpy as jnp

X = np.arange(9, dtype="float32").reshape(3, 3) / 4
V = np.float32([0.3, -1.2, 0.8])
EMPTY = np.zeros(0, "float32")


def scan_from_what_it_reads(L, x):
    b = L.np.sin(x)
    return L.lax.scan(lambda c, _: (b * 0.3 + c * 0.5, None), b, None, length=3)[0]


def two_carries_from_one_value(L, x):
    b = L.np.sin(x)
    return L.lax.scan(lambda c, _: ((c[0] * 0.5, b * 0.3 + c[1] * 0.5), None), (b, b), None, length=3)[0]


def while_from_what_it_reads(L, x):
    b = L.np.sin(x)
    return L.lax.while_loop(lambda c: c.sum() < 20, lambda c: c + b + 0.5, b)


def third_derivative_of_softmax(L, x):
    def f(x):
        return L.nn.softmax(x)

    for _ in range(3):
        f = (lambda f: lambda x: L.m.linearize(f, x)[1](L.np.cos(x)))(f)
    return f(x)


def cond_whose_derivative_has_no_results(L, x):
    def body(c, i):
        L.lax.cond(i > 0, lambda y: -y, lambda y: y * 2, c)
        return c * 0.5, None

    return L.m.jacfwd(lambda x: L.lax.scan(body, x, np.arange(3))[0])(x)


def unused_argument_of_unused_equations(L, x, y):
    L.np.sin(y)
    return x * 2


def power_at_an_index(L, x):
    return L.m.jacfwd(lambda x: x.at[0].power(2))(x)


def derivative_of_sort_of_nothing(L, x):
    return L.m.jvp(L.np.sort, (x,), (x,)), L.m.grad(lambda x: L.np.sort(x).sum())(x)


def derivative_of_writing_nothing(L, x):
    return L.m.jacfwd(L.np.diag)(x), L.m.grad(lambda x: L.np.diag(x).sum())(x)


def convolution_over_no_channels(L, x):
    return L.lax.conv(np.zeros((1, 0, 4, 4), "float32"), np.zeros((2, 0, 3, 3), "float32"), (1, 1), "SAME")


def weak_gradients(L, x):
    m = L.m
    return [
        m.grad(lambda x: x**2)(x), m.grad(L.np.sin)(x), m.value_and_grad(lambda x: x * 2)(x), m.jvp(L.np.cos, (x,), (x,)),
        m.grad(lambda x: L.np.sum(x * V))(x), m.grad(lambda x: L.np.asarray(x, "float32"))(x), m.hessian(lambda x: x**3)(x),
        m.grad(lambda x, y: x * y, (0, 1))(x, np.float32(2)), m.jacrev(lambda x: x * V)(x), m.jacfwd(lambda x: x * V)(x),
        m.grad(lambda x: L.lax.scan(lambda c, _: (c * x, c), 1.0, None, 3)[0])(x), m.vjp(lambda x: 3.0, x)[1](x),
        m.grad(lambda x: L.np.stack([x, x * 2]).sum())(x), m.grad(L.nn.relu)(x), m.linearize(lambda x: x * 2, x)[1](x),
        m.jvp(lambda x: L.lax.scan(lambda c, y: (c * x * y, c), x, V)[0], (x,), (x,)), m.jit(m.grad(lambda x: x))(x),
    ]  # fmt: skip


def weak_types_of_control_flow(L, x):
    two = L.np.float32(2)
    return [
        L.lax.scan(lambda c, _: (c * two, c), 1.0, None, 3), L.lax.scan(lambda c, _: (c * two, c), 1, None, 3),
        L.lax.scan(lambda c, _: (c + 1.5, c), 0, None, 3), L.lax.while_loop(lambda c: c < 5, lambda c: c + 1.5, 0),
        L.lax.fori_loop(0, 3, lambda i, c: c + 1.5, 0), L.lax.scan(lambda c, _: (c + 1.5, c), 0.5, None, 3),
        L.lax.while_loop(lambda c: c < 5, lambda c: c * two, 1.0), L.lax.fori_loop(0, 3, lambda i, c: c + i, 0),
        L.lax.cond(x > 0, lambda x: x, lambda x: 2.0, two), L.lax.cond(x > 0, lambda: 1.0, lambda: two),
        L.lax.switch(1, [lambda x: x, lambda x: x * two], x), L.m.vmap(lambda y: 1.0)(V),
    ]  # fmt: skip


def maximum_of_narrow_floats(L, x):
    e = L.np.sin(x) * x
    return e == e.max(), L.np.argmax(e), L.m.grad(lambda x: L.np.max(L.np.sin(x) * x))(x)


def jacobians_with_integers(L, x):
    return (
        L.m.jacfwd(lambda x: (x > 0).astype(int))(x), L.m.jacrev(lambda x, i: x[0] * i, (0, 1), allow_int=True)(x, 3),
        L.m.jacfwd(lambda x: x[:0])(x), L.m.jacrev(lambda x: x**2)(x[:0]),
    )  # fmt: skip


def mantissas(L, x):
    def f(x):
        return L.np.frexp(x)[0]

    return L.np.frexp(x), L.m.jvp(f, (x,), (x,)), L.m.grad(lambda x: f(x).sum())(x), L.m.hessian(f)(x), L.m.vmap(f)(x)


def custom_jvp_with_an_integer_result(L, x):
    f = L.m.custom_jvp(lambda x: (x * 2.5, L.np.asarray(x * 3, "int32")))
    f.defjvp(lambda p, t: (f(*p), (t[0] * p[0] * f(*p)[1], np.zeros(p[0].shape, L.m.dtypes.float0))))
    return L.m.hessian(lambda x: f(x)[0])(x), L.m.jacfwd(L.m.jacfwd(lambda x: f(x)[0]))(x)


def sum_of_nothing_in_a_loop(L, x):
    return L.lax.while_loop(lambda s: s[0] < 3, lambda s: (s[0] + 1, s[1] * 2 + s[1][3:].sum()), (0, x))[1]


def tangents_of_mapped_mantissas(L, x):
    """Seed 10003539: the exponent's tangent, which holds nothing, was taken for one."""
    f = L.m.vmap(lambda x: L.np.frexp(x * x)[0])
    return L.m.jacfwd(L.m.jacrev(f))(x), L.m.vmap(L.m.hessian(lambda x: L.np.frexp(x)[0] * x))(x)


def loop_that_continues_another(L, x):
    """Seed 10018813: the memory of the first loop's carry, which it trades with another, became that of the result."""
    halves = lambda c: L.np.tanh(c) * 0.5 + c * 0.5  # noqa: E731
    first, _ = L.lax.scan(lambda c, x: (L.np.tanh(x) * 0.5 + c * 0.5, None), 0.5, x, unroll=2)
    return L.lax.fori_loop(0, 3, lambda i, c: halves(c), first)


def weak_types_of_sums_by_subscripts(L, x):
    """Seed 10010977."""
    ones = L.np.arange(4).reshape(2, 2) * x
    return [L.np.einsum(s, ones) for s in ("ij->", "...i->...", "ii->", "ij->i")], L.np.einsum("ij,j->", ones, ones[0])


def weak_cotangents_of_slices(L, x):
    """Seed 1000832: zeros around a weakly typed cotangent made it strong."""

    def jacobians(x):
        return L.m.jacrev(lambda x: (x * x * V, x * x))(x)

    return (
        L.m.jacrev(jacobians)(x),
        L.m.jvp(jacobians, (x,), (x,)),
        L.m.grad(lambda x: L.m.tree.leaves(jacobians(x))[1])(x),
    )


CASES = [
    (scan_from_what_it_reads, X), (two_carries_from_one_value, X), (while_from_what_it_reads, X),
    (third_derivative_of_softmax, V), (cond_whose_derivative_has_no_results, V),
    (unused_argument_of_unused_equations, V, X), (power_at_an_index, X), (derivative_of_sort_of_nothing, EMPTY),
    (derivative_of_writing_nothing, EMPTY), (convolution_over_no_channels, V),
    (maximum_of_narrow_floats, V.astype("float16")), (weak_gradients, 0.5), (mantissas, V), (sum_of_nothing_in_a_loop, V),
    (custom_jvp_with_an_integer_result, V), (weak_types_of_control_flow, 0.5),
    (jacobians_with_integers, V), (weak_cotangents_of_slices, 0.5), (tangents_of_mapped_mantissas, V),
    (loop_that_continues_another, V), (weak_types_of_sums_by_subscripts, 0.5),
]  # fmt: skip


@pytest.mark.parametrize(("program", "args"), [(f, args) for f, *args in CASES], ids=[f.__name__ for f, *_ in CASES])
def test_agrees_with_jax(program, args):
    want = results(JAX, program, args, jit=True)
    assert_agree(results(ADDAX, program, args, jit=False), want)
    assert_agree(results(ADDAX, program, args, jit=True), want)


def test_rules_run_where_the_axes_of_their_batch_are_named():
    """JAX calls the backward rule outside of the vmap, where the name is unbound."""

    @addax.custom_vjp
    def counted(x):
        return x * addax.lax.psum(1, "i")

    counted.defvjp(lambda x: (counted(x), None), lambda _, ct: (ct * addax.lax.psum(1, "i"),))
    for f in (counted, addax.jit(counted)):
        for n in (3, 4):
            total = lambda x, f=f: addax.vmap(f, axis_name="i")(x).sum()  # noqa: E731
            np.testing.assert_array_equal(addax.grad(total)(np.ones(n, np.float32)), np.full(n, n))


def test_jacobians_keep_no_matrix_of_constants():
    program = addax.make_jaxpr(addax.jacrev(lambda x: x**2))(V)
    assert not program.consts


def test_values_that_hold_nothing_are_moved_about():
    """Tangents of integers are float0: no bytes per element, for which there is no kernel."""
    nothing = np.zeros((3,), addax.dtypes.float0)

    @addax.jit
    def run(x):
        gradient = addax.grad(lambda n, y: y * n, (0, 1), allow_int=True)
        stacked = lax.map(lambda n: gradient(n, 2.0), jnp.arange(3))
        return lax.broadcast(x, (2,)), x[1:], lax.concatenate([x, x], 0), *stacked

    *moved, slopes = run(nothing)
    assert [x.shape for x in moved] == [(2, 3), (2,), (6,), (3,)]
    assert all(x.dtype == addax.dtypes.float0 for x in moved) and slopes.tolist() == [0.0, 1.0, 2.0]


def test_what_nothing_reads_needs_no_derivative():
    """JAX refuses these, and not the program of seed 10013405, where a jitted function's dead equation was refused here."""

    @addax.jit
    def f(x):
        x.at[np.array([0, 0])].multiply(x[:2])
        return x * 2

    np.testing.assert_array_equal(addax.grad(lambda x: f(x).sum())(V), [2, 2, 2])
    np.testing.assert_array_equal(addax.jit(lambda x: addax.linearize(f, x)[1](x))(V), 2 * V)
