"""Every primitive and random transformed programs over eight devices, their arguments cut along a mesh: equal to the
reference engine, which knows of no devices."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
import samples as elementwise
from batch import QUICK, Case, random_spec
from samples_layout import LAYOUT_SAMPLES
from samples_reduce import SAMPLES as FOLD_SAMPLES
from test_primitives import problem_of, table_cases, ulp_problem

import addax
from addax.core.config import enable_x64
from addax.engines.reference import evaluate
from addax.sharding import NamedSharding, PartitionSpec as P


def cut_somewhere(case: Case, sizes) -> tuple[Case, list[P]]:
    """A case and where its arguments are; if none of them can be cut, eight such cases, one per device, by vmap."""
    rng = np.random.default_rng(zlib.crc32(case.facts["id"].encode()))
    for _ in range(8):
        specs = [random_spec(rng, x.shape, sizes) for x in case.args]
        if any(s.axes() for s in specs):
            return case, specs
    args = [np.stack([x] * 8) for x in case.args]
    return Case(case.name, args, fun=addax.vmap(case.fun), **case.facts), [P(("x", "y"))] * len(args)


def check(mesh, cases: list[Case], problem) -> None:
    """Run cases as one program over the mesh and collect what ``problem(case, i, got, want)`` says of each result."""
    spread = [cut_somewhere(case, mesh.shape) for case in cases]

    def program(*xs):
        rest = iter(xs)
        return [addax.tree.leaves(case.fun(*[next(rest) for _ in case.args])) for case, _ in spread]

    args = [x for case, _ in spread for x in case.args]
    where = [NamedSharding(mesh, s) for _, specs in spread for s in specs]
    jitted = addax.jit(program, compiler_options=QUICK)
    found = jitted(*map(addax.device_put, args, where))
    wanted = iter(evaluate(jitted.trace(*args).jaxpr, args))
    problems = []
    for (case, specs), outs in zip(spread, found, strict=True):
        for i, out in enumerate(outs):
            got, want = np.asarray(out._value), next(wanted)
            if (got.dtype, got.shape) != (want.dtype, want.shape):
                problems.append(f"{case.facts['id']}: {got.dtype}{got.shape} instead of {want.dtype}{want.shape}")
            elif (text := problem(case, i, got, want)) is not None:
                problems.append(f"{case.facts['id']} {specs} result {i}: {text}")
    assert not problems, "\n".join(problems)


def elementwise_cases(keep):
    for number, sample in enumerate(elementwise.SAMPLES):
        for row in sample.rows():
            if keep(number, sample, row[0]):
                args = sample.draw(np.random.default_rng(number), row, (8,))
                yield Case(sample.name, args, sample.params, sample=sample, id=f"{sample.id} {row}")


def one_dtype(number, sample, dtype):
    """Each sample at one of its dtypes, a different one each."""
    return dtype == sample.dtypes[number % len(sample.dtypes)]


def some(number, sample, dtype):
    return number % 4 == 1 and one_dtype(number // 4, sample, dtype)


def test_elementwise_primitives(mesh):
    with enable_x64(True):
        check(mesh, list(elementwise_cases(some)), ulp_problem)


def test_layout_and_indexing(mesh):
    check(mesh, list(table_cases(LAYOUT_SAMPLES, one_dtype)), problem_of)


def test_folds(mesh):
    check(mesh, list(table_cases(FOLD_SAMPLES, some)), problem_of)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(8))
def test_every_sample_at_every_dtype(mesh, part):
    def every(number, sample, dtype):
        return number % 8 == part

    with enable_x64(True):
        check(mesh, list(elementwise_cases(every)), ulp_problem)
    for samples in (LAYOUT_SAMPLES, FOLD_SAMPLES):
        check(mesh, list(table_cases(samples, every)), problem_of)


def test_gradients_of_convolutions(mesh):
    """XLA's partitioner gives wrong ones (and JAX, which leaves them to it): see engines/xla/conv_taps.py."""
    rng = np.random.default_rng(0)
    image, depthwise = rng.normal(size=(8, 8, 6, 6)).astype("float32"), rng.normal(size=(8, 1, 3, 3)).astype("float32")
    kernel = rng.normal(size=(8, 8, 3, 3)).astype("float32")

    def convolve(x, w, groups):
        return addax.lax.conv_general_dilated(x, w, (1, 1), "SAME", feature_group_count=groups)

    def program(x, w, v):
        loss = lambda x, w, v: (convolve(x, w, 8) ** 2).sum() + (convolve(x, v, 1) ** 2).sum()  # noqa: E731
        return addax.grad(loss, (0, 1, 2))(x, w, v), convolve(x, v, 1)

    want = addax.jit(program)(image, depthwise, kernel)
    for of_image, of_kernel in [(P("x"), P()), (P(None, None, "y"), P("x")), (P("x", "y"), P("y"))]:
        specs = (of_image, of_kernel, of_kernel)
        args = [
            addax.device_put(a, NamedSharding(mesh, s)) for a, s in zip((image, depthwise, kernel), specs, strict=True)
        ]
        got = addax.jit(program, compiler_options=QUICK)(*args)
        for a, b in zip(*map(addax.tree.leaves, (got, want)), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-3)


def test_initial_values_are_folded_in_once(mesh):
    """Also where they are no identities of a program of the user's."""
    x = np.linspace(-1, 1, 32, dtype="float32").reshape(8, 4)

    def both(a, b):
        return a[0] + b[0], addax.numpy.maximum(a[1], b[1])

    def program(x):
        return addax.lax.reduce((x, x), (np.float32(3), np.float32(-5)), both, (0,))

    got = addax.jit(program)(addax.device_put(x, NamedSharding(mesh, P("x", "y"))))
    for a, want in zip(got, (x.sum(0) + 3, x.max(0)), strict=True):
        np.testing.assert_allclose(a, want, atol=1e-6)
