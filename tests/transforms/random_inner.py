"""Steps of random programs that hold programs: calls, branches, loops, maps, functions with their own derivative."""

from random_base import (
    Body,
    Skip,
    anything,
    floats,
    is_float,
    jacobian,
    predicate,
    pull_back,
    push_forward,
    scalar_float,
    scalarise,
    step,
    value_and_grad,
)


def inner_args(d, values, at_most: int = 2):
    return [anything(d, values) for _ in range(1 + d.below(at_most))]


@step(1.5)
def inner_jit(L, d, values, rules):
    if rules.depth <= 0:
        raise Skip
    body = Body(d.seed(), rules.inner())
    return L.m.jit(lambda *xs: body(L, *xs), inline=d.chance(0.2))(*inner_args(d, values))


@step(1)
def inner_checkpoint(L, d, values, rules):
    if rules.depth <= 0:
        raise Skip
    body = Body(d.seed(), rules.inner())
    policies = L.m.checkpoint_policies
    policy = d.of(
        [None, None, policies.dots_saveable, policies.everything_saveable, policies.save_only_these_names("y")]
    )

    def f(*xs):
        named = [L.m.ad_checkpoint.checkpoint_name(x, "y") for x in xs]
        return body(L, *named)

    return L.m.checkpoint(f, policy=policy, prevent_cse=d.chance(0.5))(*inner_args(d, values))


@step(2)
def inner_cond(L, d, values, rules):
    if rules.depth <= 0:
        raise Skip
    args = inner_args(d, values)
    branches = [Body(d.seed(), rules.inner(), keeps=1) for _ in range(2 + d.below(2))]
    outside = floats(d, values)
    seen = [lambda *xs, b=b: b(L, *xs, outside) for b in branches] if d.chance(0.3) else [
        lambda *xs, b=b: b(L, *xs) for b in branches]  # fmt: skip
    if len(branches) == 2 and d.chance(0.7):
        return L.lax.cond(predicate(L, d, values), *seen, *args)
    index = L.np.asarray(scalar_float(L, d, values) * 3, "int32")
    return L.lax.switch(index, seen, *args)


@step(2.5)
def inner_scan(L, d, values, rules):
    if rules.depth <= 0:
        raise Skip
    carry = [anything(d, values)]
    if d.chance(0.4):
        carry.append(anything(d, values))
    xs = d.of([x for x in values if x.shape] + [None])
    length = 3 if xs is None else None
    captured = [floats(d, values)] if d.chance(0.5) else []
    body = Body(d.seed(), rules.inner(3), keeps=len(carry))
    extra = d.below(3)

    def turn(c, x):
        new = body(L, *c, *([] if x is None else [x]), *captured)
        return new, (None if extra == 0 else new[0] if extra == 1 else {"c": c[0], "n": L.np.sum(new[-1])})

    if d.chance(0.3) and xs is not None:
        carry = [0.5, *carry[1:]]  # a weakly typed start
    out, ys = L.lax.scan(turn, carry, xs, length=length, reverse=d.chance(0.3), unroll=d.of([1, 1, 2]))
    return [*out, *([] if extra == 0 else [ys] if extra == 1 else [ys["c"], ys["n"]])]


@step(1)
def inner_loop(L, d, values, rules):
    if rules.depth <= 0:
        raise Skip
    start = [anything(d, values)]
    captured = [floats(d, values)] if d.chance(0.4) else []
    body = Body(d.seed(), rules.inner(), keeps=1)
    kind = d.below(3)
    if kind == 0 or (rules.reverse and d.chance(0.6)):
        return L.lax.fori_loop(0, 3, lambda i, c: body(L, *c, *captured), start)
    if kind == 1:
        count = abs(L.np.asarray(scalar_float(L, d, values) * 4, "int32"))
        return L.lax.fori_loop(0, L.np.minimum(count, 4), lambda i, c: body(L, *c, *captured, i), start)
    limit = scalar_float(L, d, values)
    out = L.lax.while_loop(
        lambda s: (s[0] < 3) & (s[1] < 2.0 + abs(limit)),
        lambda s: (s[0] + 1, s[1] + 0.5, body(L, *s[2], *captured)),
        (0, L.np.float32(0.2), start),
    )
    return [out[0], *out[2]]


@step(1)
def inner_map(L, d, values, rules):
    if rules.depth <= 0:
        raise Skip
    xs = anything(d, values, 1)
    if xs.shape[0] == 0:
        raise Skip
    body = Body(d.seed(), rules.inner())
    captured = [floats(d, values)] if d.chance(0.4) else []
    if d.chance(0.4):
        return L.lax.map(lambda x: body(L, x, *captured), xs)
    axis = d.below(len(xs.shape))
    if xs.shape[axis] == 0:
        raise Skip
    return L.m.vmap(lambda x: body(L, x, *captured), in_axes=axis, out_axes=d.of([0, -1]), axis_name="i")(xs)


@step(0.8)
def inner_collective(L, d, values, rules):
    xs = floats(d, values, 1)
    xs = L.np.asarray(xs, xs.dtype)  # JAX's batched psum forgets weak types
    if rules.depth <= 0 or xs.shape[0] == 0:
        raise Skip
    f = d.of([
        lambda x: x - L.lax.pmean(x, "k"), lambda x: L.lax.psum(x * x, "k"), lambda x: L.lax.pmax(x, "k"),
        lambda x: x * L.lax.axis_index("k"), lambda x: L.lax.all_gather(x, "k"), lambda x: L.lax.psum(2.0, "k") * x,
        lambda x: L.lax.ppermute(x, "k", [(i, (i + 1) % xs.shape[0]) for i in range(xs.shape[0])]),
    ])  # fmt: skip
    if d.chance(0.4):
        f = L.m.jit(f)
    return L.m.vmap(f, axis_name="k")(xs)


@step(1.2)
def inner_custom(L, d, values, rules):
    x = floats(d, values)
    scale = d.of([1.0, 2.0, -0.5])
    if d.chance(0.5):
        f = L.m.custom_jvp(lambda x, y: L.np.sin(x) * y)
        f.defjvp(lambda p, t: (f(*p), L.np.cos(p[0]) * t[0] * p[1] * scale + L.np.sin(p[0]) * t[1]))
        return f(x, floats(d, values)) if broadcast_ok(x, values) and d.chance(0.4) else f(x, x)
    g = L.m.custom_vjp(lambda x, y: L.np.tanh(x) * y)
    g.defvjp(lambda x, y: (g(x, y), (x, y)), lambda r, ct: (ct * scale * L.np.cos(r[0]), ct * L.np.tanh(r[0]) * scale))
    if not rules.reverse and d.chance(0.5):
        raise Skip
    return g(x, x)


def broadcast_ok(x, values) -> bool:
    return all(y.shape == x.shape and y.dtype == x.dtype for y in values if is_float(y))


@step(1.5)
def inner_derivative(L, d, values, rules):
    if rules.depth <= 0:
        raise Skip
    x = floats(d, values, largest=8)
    captured = [floats(d, values)] if d.chance(0.4) else []
    kind = d.of(["grad", "jvp", "vjp", "jacfwd", "jacrev", "linearize", "value_and_grad"])
    body = Body(d.seed(), rules.inner(reverse=kind not in ("jvp", "jacfwd")))

    def scalar(x):
        return scalarise(L, body(L, x, *captured))

    def first(x):
        return [y for y in body(L, x, *captured) if is_float(y)] or [x]

    if kind in ("grad", "value_and_grad"):
        value, slope = value_and_grad(L, scalar, 0, (x,))
        return slope if kind == "grad" else (value, slope)
    if kind in ("jvp", "linearize"):
        out, dot = push_forward(L, kind, first, x)
        return [*out, *dot]
    if kind == "vjp":
        return pull_back(L, first, x)[1]
    return jacobian(L, kind, first, x)
