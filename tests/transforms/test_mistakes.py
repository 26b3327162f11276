"""Mistakes in the use of transformations: of the class that JAX raises, and a text that says what was expected, what
arrived, where in the user's program, and what to write."""

import jax
import jax.numpy
import numpy as np
import pytest

import addax
import addax.numpy

X = np.arange(3, dtype="float32")
HALF = X.astype("float16")


def leak(m, n):
    seen = []
    m.jit(lambda x: seen.append(x * 2) or x)(X)
    return seen[0] + 1


def keep_a_string(m, n):
    f = m.custom_vjp(lambda x: x)
    f.defvjp(lambda x: (x, {"k": "text"}), lambda res, g: (g,))
    return m.grad(f)(1.0)


# name: program, pieces of the message
MISTAKES = {
    "grad of an array": (lambda m, n: m.grad(lambda x: x * 2)(X), "scalar-output", "(3,)", ".sum()", "jacrev"),
    "grad of a pair": (lambda m, n: m.grad(lambda x: (x.sum(), x))(X), "scalar-output", "float32[3]", "has_aux=True"),
    "grad at an int": (lambda m, n: m.grad(lambda x: x * 2)(3), "got int32", "allow_int", "2.0 instead of 2"),
    "grad of an int": (lambda m, n: m.grad(lambda x: n.argmax(x))(X), "real-valued outputs", "got int32"),
    "grad of a complex": (lambda m, n: m.grad(lambda x: x * 1j)(1.0), "got complex64", "holomorphic=True"),
    "grad of nothing": (lambda m, n: m.grad(lambda x: None)(1.0), "scalar-output", "None"),
    "grad argnums": (lambda m, n: m.grad(lambda x, y: x * y, 1)(1.0), "argnums=1", "at least 2", "got only 1", "__FILE__"),
    "grad argument twice": (lambda m, n: m.grad(lambda x, y: x * y, (0, -2))(1.0, 2.0), "argnums=(0, -2)", "twice", "__FILE__"),
    "grad argnums float": (lambda m, n: m.grad(lambda x, y: x * y, 1.0)(1.0, 2.0), "int or a sequence of ints", "1.0"),
    "grad argument missing": (lambda m, n: m.grad(lambda x, y: x * y)(1.0), "missing 1 required", "'y'"),
    "grad argument too many": (lambda m, n: m.grad(lambda x: x)(1.0, 2.0), "takes 1 positional argument but 2"),
    "grad of a result": (lambda m, n: m.grad(3.0), "callable", "3.0", "not its result"),
    "has_aux without": (lambda m, n: m.grad(lambda x: x, has_aux=True)(1.0), "(value, aux"),
    "vmap sizes": (lambda m, n: m.vmap(lambda a, b: a + b)(X, {"u": np.ones(4)}), "inconsistent sizes",
                   "size 3: axis 0 of argument a of type float32[3]", "size 4: axis 0 of argument b['u'] of type float64[4]"),
    "vmap of a scalar": (lambda m, n: m.vmap(lambda a: a)(1.0), "argument a of", "shape is ()", "None in in_axes"),
    "vmap axis": (lambda m, n: m.vmap(lambda a: a, in_axes=2)(X), "along axis 2", "shape is (3,)", "argument a of"),
    "vmap in_axes": (lambda m, n: m.vmap(lambda a: a, in_axes=(0, 0))(X), "len(in_axes)=2", "len(args)=1"),
    "vmap in_axes dict": (lambda m, n: m.vmap(lambda a: a, in_axes={"a": 0})(X), "an int, None, or a tuple", "{'a': 0}"),
    "vmap in_axes bool": (lambda m, n: m.vmap(lambda a, b: a, in_axes=(0, True))(X, X), "in_axes must be", "(0, True)"),
    "vmap of nothing": (lambda m, n: m.vmap(lambda a: a, in_axes=None)(X), "at least one non-None", "axis_size"),
    "vmap out_axes None": (lambda m, n: m.vmap(lambda a: a, out_axes=None)(X), "out_axes is None", "out_axes=0", "__FILE__"),
    "vmap out_axes": (lambda m, n: m.vmap(lambda a: a, out_axes=5)(X), "out_axes=5", "rank 1"),
    "vmap out_axes tree": (lambda m, n: m.vmap(lambda a: a, out_axes=(0, 0))(X), "tree prefix", "(0, 0)"),
    "vmap in_axes tree": (lambda m, n: m.vmap(lambda a: a, in_axes=({"a": 0},))({"b": X}), "tree prefix", "'a'", "'b'"),
    "grad of a compiled function": (lambda m, n: m.grad(m.jit(lambda x: x * 2).lower(1.0).compile())(2.0),
                                    "lowered and compiled", "JVPTracer", "the jitted function"),
    "checkpoint static_argnums": (lambda m, n: m.checkpoint(lambda x, y: x, static_argnums=5)(1.0, 2),
                                  "static_argnums=(5,)", "accepts 2 positional arguments", "__FILE__"),
    "scan carry tree": (lambda m, n: m.lax.scan(lambda c, _: ({"a": c["a"]}, None), {"a": 1.0, "b": 2.0}, X),
                        "pytree structure", "only the input carry has ['b']", "__FILE__"),
    "scan carry shape": (lambda m, n: m.lax.scan(lambda c, _: ({"a": c["a"], "b": X}, None), {"a": 1.0, "b": 2.0}, X),
                         "input carry['b'] has type float32[]", "type float32[3]", "start from an array of the shape"),
    "scan carry dtype": (lambda m, n: m.lax.scan(lambda c, _: (c * 0.5, None), np.int32(1), X), "int32[]", "float32[]",
                         "astype(int32)"),
    "scan not a pair": (lambda m, n: m.lax.scan(lambda c, _: c, 1.0, X), "must be a pair", "__FILE__"),
    "scan lengths": (lambda m, n: m.lax.scan(lambda c, _: (c, None), 1.0, (X, np.ones(4))), "leading axis sizes: 3, 4"),
    "scan length": (lambda m, n: m.lax.scan(lambda c, _: (c, None), 1.0, X, length=5), "length", "5", "[3]"),
    "scan of nothing": (lambda m, n: m.lax.scan(lambda c, _: (c, None), 1.0), "length"),
    "map batches": (lambda m, n: m.lax.map(lambda x: x, X, batch_size=-1), "batch_size must be positive, got -1"),
    "associative_scan axis": (lambda m, n: m.lax.associative_scan(n.add, X, axis=1), "axis 1 is out of bounds", "dimension 1"),
    "cond trees": (lambda m, n: m.lax.cond(True, lambda x: {"a": x, "b": x}, lambda x: {"a": x}, 1.0), "pytree structure",
                   "only that of true_fun has ['b']", "__FILE__"),
    "cond types": (lambda m, n: m.lax.cond(True, lambda x: {"a": x}, lambda x: {"a": 1}, 1.0), "true_fun['a']", "float32[]",
                   "int32[]", "astype"),
    "cond predicate": (lambda m, n: m.lax.cond(X > 0, lambda x: x, lambda x: x, 1.0), "scalar", "(3,)", "where"),
    "switch of nothing": (lambda m, n: m.lax.switch(0, []), "Empty branch sequence"),
    "while carry tree": (lambda m, n: m.lax.while_loop(lambda c: c[0] < 3, lambda c: c[0] + 1, (0, 1)), "pytree structure",
                         "tuple with 2 leaves", "__FILE__"),
    "while carry dtype": (lambda m, n: m.lax.while_loop(lambda c: c["i"] < 3, lambda c: {"i": c["i"] + 0.5}, {"i": np.int32(0)}),
                          "input carry['i'] has type int32[]", "float32[]", "astype(int32)"),
    "while predicate": (lambda m, n: m.lax.while_loop(lambda c: c > 0, lambda c: c, X), "boolean scalar", "bool[3]", ".any()"),
    "fori carry": (lambda m, n: m.lax.fori_loop(0, 3, lambda i, c: {"a": c["a"], "b": i}, {"a": 1.0}), "fori_loop body",
                   "only the output carry has ['b']", "__FILE__"),
    "fori carry dtype": (lambda m, n: m.lax.fori_loop(0, n.asarray(3), lambda i, c: {"a": X}, {"a": n.zeros(2)}),
                         "fori_loop body", "input carry['a'] has type float32[2]", "float32[3]"),
    "static list": (lambda m, n: m.jit(lambda x, k: x, static_argnums=1)(X, [1, 2]), "Non-hashable", "[1, 2]"),
    "static name": (lambda m, n: m.jit(lambda x: x, static_argnames="y")(X), "argname 'y'", "takes x"),
    "static number": (lambda m, n: m.jit(lambda x: x, static_argnums=3)(X), "static_argnums=(3,)", "1 positional"),
    "if": (lambda m, n: m.jit(lambda x: 1 if x.sum() > 0 else 2)(X), "boolean conversion", "bool[]", "argument x",
           "made by `gt`", "__FILE__", "jnp.where", "lax.cond"),
    "and": (lambda m, n: m.jit(lambda x: (x > 0).any() and (x < 0).any())(X), "boolean conversion", "&, |, ~"),
    "if in scan": (lambda m, n: m.lax.scan(lambda carry, row: (carry if row["u"] > 0 else -carry, None), 1.0, {"u": X}),
                   "boolean conversion", "argument row['u']", "__FILE__"),
    "if under vmap": (lambda m, n: m.vmap(lambda x: x if x > 0 else -x)(X), "boolean conversion", "bool[]", "lax.cond"),
    "int": (lambda m, n: m.jit(lambda x: int(x.sum()))(X), "float32[]", "`int`", "astype(int)", "argument x", "__FILE__"),
    "float": (lambda m, n: m.jit(lambda x: float(x.sum()))(X), "`float`", "astype(float)"),
    "range": (lambda m, n: m.jit(lambda k: sum(range(k)))(3), "int32[]", "__index__", "lax.fori_loop", "argument k"),
    "np.sin": (lambda m, n: m.jit(lambda x: np.sin(x))(X), "NumPy", "float32[3]", "addax.numpy", "argument x"),
    "np.asarray": (lambda m, n: m.jit(lambda x: np.asarray(x))(X), "NumPy", "float32[3]", "pure_callback"),
    "item": (lambda m, n: m.jit(lambda x: x[0].item())(X), "`item`", "float32[]", "__FILE__"),
    "shape": (lambda m, n: m.jit(lambda k: n.zeros(k))(3), "concrete values", "int32[]", "static", "argument k"),
    "reshape": (lambda m, n: m.jit(lambda x, k: x.reshape(k))(X, 3), "concrete values", "int32[]", "static", "argument k"),
    "mask": (lambda m, n: m.jit(lambda x: x[x > 0])(X), "Boolean indices", "bool[3]", "jnp.where", "size=n", "__FILE__"),
    "assignment": (lambda m, n: n.asarray(X).__setitem__(0, 1.0), "immutable", "x.at[idx].set(y)"),
    "assignment to a tracer": (lambda m, n: m.jit(lambda x: x.__setitem__(0, 1.0))(X), "immutable", "x.at[idx].set(y)"),
    "leak": (leak, "unexpected tracer", "float32[3]", "Return the value", "checking_leaks", "__FILE__"),
    "jit of a string": (lambda m, n: m.jit(lambda x: x)({"a": "b"}), "<class 'str'>", "path x['a']", "static_argnums"),
    "jit returns a string": (lambda m, n: m.jit(lambda x: {"a": "b"})(X), "<class 'str'>", "result['a']", "__FILE__"),
    "jit of text": (lambda m, n: m.jit(lambda x: x)(np.array(["b"])), "dtype <U1", "path x"),
    "vmap of objects": (lambda m, n: m.vmap(lambda x: x)(np.array([object()])), "object"),
    "vmap returns a string": (lambda m, n: m.vmap(lambda x: (x, "a"))(X), "<class 'str'>", "result[1]", "__FILE__"),
    "scan returns a string": (lambda m, n: m.lax.scan(lambda c, x: (c, {"a": "b"}), 1.0, X), "<class 'str'>", "result[1]['a']",
                              "__FILE__"),
    "cond returns a string": (lambda m, n: m.lax.cond(True, lambda: "a", lambda: "b"), "<class 'str'>", "its result"),
    "custom_vjp keeps a string": (keep_a_string, "<class 'str'>", "result[1]['k']", "__FILE__"),
    "jvp returns a string": (lambda m, n: m.jvp(lambda x: "a", (1.0,), (1.0,)), "<class 'str'>", "its result", "__FILE__"),
    "jit argument missing": (lambda m, n: m.jit(lambda x, y: x)(X), "missing 1 required", "'y'"),
    "jit argument too many": (lambda m, n: m.jit(lambda x: x)(X, z=1), "unexpected keyword argument 'z'"),
    "jvp dtypes": (lambda m, n: m.jvp(lambda x: x, (X,), (HALF,)), "primal dtype float32", "tangent dtype float16"),
    "jvp of an int": (lambda m, n: m.jvp(lambda x: x, (np.int32(1),), (np.int32(1),)), "expected tangent dtype float0"),
    "jvp with an int": (lambda m, n: m.jvp(lambda x: x, (1.0,), (1,)), "expected tangent dtype float32", "dtype int32"),
    "jvp shapes": (lambda m, n: m.jvp(lambda x: x, (X,), (X[:2],)), "(3,)", "(2,)"),
    "jvp trees": (lambda m, n: m.jvp(lambda x: x, (X,), (X, X)), "same tree structure", "(*,)", "(*, *)"),
    "jvp without tuples": (lambda m, n: m.jvp(lambda x: x, X, X), "tuples or lists", "ndarray", "jvp(f, (x,), (t,))"),
    "vjp shape": (lambda m, n: m.vjp(lambda x: x, X)[1](X[:2]), "(2,)", "(3,)"),
    "vjp dtype": (lambda m, n: m.vjp(lambda x: x, X)[1](HALF), "float16", "float32", "astype"),
    "vjp tree": (lambda m, n: m.vjp(lambda x: (x, x), X)[1](X), "tree structure", "(*, *)", "__FILE__"),
    "vjp arguments": (lambda m, n: m.vjp(lambda x: x, X)[1](X, X), "one argument", "2"),
    "linearize shape": (lambda m, n: m.linearize(lambda x: x, X)[1](X[:2]), "float32[2]", "float32[3]"),
    "linearize tree": (lambda m, n: m.linearize(lambda x: x, X)[1](X, X), "(*, *)", "(*,)"),
    "jacfwd at an int": (lambda m, n: m.jacfwd(lambda x: x)(np.int32(1)), "got int32", "2.0 instead of 2"),
    "custom_jvp without": (lambda m, n: m.grad(m.custom_jvp(lambda x: x))(1.0), "No JVP defined", "defjvp"),
    "custom_vjp without": (lambda m, n: m.grad(m.custom_vjp(lambda x: x))(1.0), "No VJP defined", "defvjp"),
    "axis name": (lambda m, n: m.vmap(lambda x: m.lax.psum(x, "j"), axis_name="i")(X), "unbound axis name: j", "'i'",
                  "axis_name='j'"),
    "hash": (lambda m, n: hash(n.ones(3)), "unhashable"),
    "truth of an array": (lambda m, n: bool(n.ones(3)), "ambiguous", "any()"),
}  # fmt: skip


def raised(program, m, n) -> Exception:
    with pytest.raises(Exception) as found:
        program(m, n)
    return found.value


@pytest.mark.parametrize("name", MISTAKES)
def test_mistake(name):
    program, *pieces = MISTAKES[name]
    theirs, ours = raised(program, jax, jax.numpy), raised(program, addax, addax.numpy)
    standard = next(c for c in type(theirs).__mro__ if c.__module__ == "builtins")
    assert isinstance(ours, standard), f"{type(ours).__name__}, JAX {type(theirs).__name__}"
    if type(theirs).__module__.startswith("jax"):
        assert type(ours).__name__ == type(theirs).__name__
    for piece in pieces:
        assert (__file__ if piece == "__FILE__" else piece) in str(ours), str(ours)


def test_a_platform_that_is_not_there_is_named():
    assert float(addax.jit(lambda x: x + 1, backend="cpu")(1.0)) == 2
    with pytest.raises(RuntimeError, match="Unknown backend 'abacus': expected one of 'cpu', 'gpu', 'cuda', 'tpu'"):
        addax.jit(lambda x: x + 1, backend="abacus")(1.0)
