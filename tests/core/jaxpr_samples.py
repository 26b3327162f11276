"""Primitives and random programs for the tests of jaxprs' printer, parser and checker, and their JAX counterparts."""

import random
import warnings

import numpy as np

from addax.core.avals import ShapedArray
from addax.core.jaxpr import ClosedJaxpr, DropVar, Eqn, Jaxpr, Literal, Var, eval_jaxpr
from addax.core.notation import Derived, Notation
from addax.core.primitive import Primitive, registry
from addax.core.trace import Trace, set_current_trace

F32 = ShapedArray((), np.dtype("float32"))


def aval(shape=(), dtype="float32"):
    return ShapedArray(shape, np.dtype(dtype))


def lit(value, dtype="float32"):
    return Literal(np.dtype(dtype).type(value), aval((), dtype))


class Family:
    """A few primitives with a type rule and a NumPy definition, put in the registry for the length of one test."""

    def __init__(self):
        self.sin = self._unary("sin", np.sin)
        self.cos = self._unary("cos", np.cos)
        self.neg = self._unary("neg", np.negative)
        self.add = self._binary("add", np.add)
        self.mul = self._binary("mul", np.multiply)
        self.power = self._unary("integer_pow", lambda x, *, y: x**y)
        self.split = Primitive("two_halves", multiple_results=True)
        self.split.abstract_eval = lambda x: [x, x]
        self.split.reference = lambda x: [x / 2, x / 2]
        self.broadcast = Primitive("broadcast_in_dim")
        self.broadcast.abstract_eval = lambda x, *, shape, broadcast_dimensions, sharding: x.update(shape=shape)
        self.broadcast.reference = lambda x, *, shape, broadcast_dimensions, sharding: np.broadcast_to(x, shape)
        self.broadcast.notation = Notation(
            omit={"shape": Derived(lambda ins, outs: outs[0].shape), "broadcast_dimensions": (), "sharding": None}
        )
        self.jit = self._call("jit", "jaxpr")
        self.jit.notation = Notation(first=("name",), call="jaxpr")
        self.fork = Primitive("fork", multiple_results=True)
        self.fork.abstract_eval = lambda *avals, branches, index: branches[0].out_avals
        self.fork.reference = lambda *xs, branches, index: eval_closed(branches[index], *xs)
        self.store = Primitive("store", multiple_results=True)
        self.store.abstract_eval = lambda *avals, tag: []
        self.store.effects = lambda *avals, tag: frozenset({f"store-{tag}"})
        self.store.reference = lambda *xs, tag: []

    @staticmethod
    def _unary(name, function):
        primitive = Primitive(name)
        primitive.abstract_eval = lambda x, **params: x
        primitive.reference = function
        return primitive

    @staticmethod
    def _binary(name, function):
        def types(x, y):
            if x.dtype != y.dtype:
                raise TypeError(f"{name}: dtypes differ")
            return x if x.shape else y

        primitive = Primitive(name)
        primitive.abstract_eval = types
        primitive.reference = function
        return primitive

    @staticmethod
    def _call(name, key):
        primitive = Primitive(name, multiple_results=True)
        primitive.abstract_eval = lambda *avals, **params: params[key].out_avals
        primitive.reference = lambda *xs, **params: eval_closed(params[key], *xs)
        return primitive


class registered:
    """``with registered() as p:`` the primitives of `Family`, while the real ones of these names step aside."""

    def __enter__(self):
        self.before = dict(registry)
        return Family()

    def __exit__(self, *_):
        registry.clear()
        registry.update(self.before)


class _NumPyTrace(Trace):
    def process(self, primitive, args, params):
        return primitive.reference(*args, **params)


def eval_closed(closed, *args):
    with set_current_trace(_NumPyTrace()):
        return eval_jaxpr(closed.jaxpr, closed.consts, *args)


def evaluate(jaxpr, *args):
    return eval_closed(ClosedJaxpr(jaxpr, []), *args)


def random_jaxpr(p, seed, depth=2, size=8, num_in=2):
    """A random well-typed program over float32[] and float32[3], with jaxprs in jaxprs, some of them shared."""
    rng = random.Random(seed)
    shared = []

    def build(depth, num_in, num_out):
        types = [F32, aval((3,))]
        invars = [Var(F32) for _ in range(num_in)]
        live, eqns = list(invars), []

        def operand():
            if not live or rng.random() < 0.2:
                return lit(rng.choice([0.5, -2.0, 1e-10, 3.0, 0.1]))
            return rng.choice(live)

        def emit(primitive, ins, out_avals, **params):
            outs = [DropVar(a) if rng.random() < 0.05 else Var(a) for a in out_avals]
            eqns.append(Eqn(primitive, ins, outs, params))
            live.extend(v for v in outs if type(v) is Var)

        for _ in range(rng.randrange(size + 1)):
            kind = rng.randrange(8)
            if kind == 0:
                x = operand()
                emit(p.power, [x], [x.aval], y=rng.randrange(5))
            elif kind == 1:
                x = operand()
                emit(p.split, [x], [x.aval, x.aval])
            elif kind == 2 and live:
                x = next((v for v in live if v.aval is F32), None)
                if x is not None:
                    emit(p.broadcast, [x], types[1:], shape=(3,), broadcast_dimensions=(), sharding=None)
            elif kind in (3, 4) and depth > 0:
                scalars = [v for v in live if v.aval is F32]
                if shared and rng.random() < 0.4:
                    inner = rng.choice(shared)
                else:
                    inner = ClosedJaxpr(build(depth - 1, rng.randrange(3), rng.randrange(3)), [])
                    shared.append(inner)
                ins = [rng.choice(scalars) if scalars else lit(1.5) for _ in inner.jaxpr.invars]
                if kind == 3:
                    name = rng.choice(["f", "g", "<lambda>", "sin", "a"])
                    emit(p.jit, ins, inner.out_avals, jaxpr=inner, name=name)
                else:
                    emit(p.fork, ins, inner.out_avals, branches=(inner,) * rng.randrange(1, 3), index=0)
            else:
                x, y = operand(), operand()
                emit(rng.choice([p.add, p.mul]), [x, y], [x.aval if x.aval.shape else y.aval])
        outvars = [operand() for _ in range(num_out)]
        return Jaxpr([], invars, outvars, eqns)

    return build(depth, num_in, rng.randrange(1, 4))


def to_jax(jaxpr):
    """The same program as a JAX jaxpr."""
    import jax
    from jax._src import core as jcore, source_info_util

    jit_eqn = jax.make_jaxpr(jax.jit(lambda x: x + 1))(1.0).eqns[0]
    done, primitives = {}, {"jit": jit_eqn.primitive}

    def type_of(a):
        return jcore.ShapedArray(a.shape, a.dtype, weak_type=a.weak_type)

    def value(v):
        if isinstance(v, ClosedJaxpr):
            return jcore.ClosedJaxpr(convert(v.jaxpr), v.consts)
        if isinstance(v, Jaxpr):
            return convert(v)
        return tuple(map(value, v)) if type(v) is tuple else v

    def convert(jaxpr):
        if id(jaxpr) in done:
            return done[id(jaxpr)]
        env = {}

        def atom(x):
            if type(x) is Literal:
                return jcore.Literal(x.aval.dtype.type(x.val), type_of(x.aval))
            if type(x) is DropVar:
                return jcore.DropVar(type_of(x.aval))
            if x not in env:
                env[x] = jcore.Var(type_of(x.aval))
            return env[x]

        def equation(eqn):
            name = eqn.primitive.name
            if name not in primitives:
                primitives[name] = jcore.Primitive(name)
                primitives[name].multiple_results = eqn.primitive.multiple_results
            params = {k: value(v) for k, v in eqn.params.items()}
            if name == "jit":
                params = jit_eqn.params | params | {"donated_invars": (False,) * len(eqn.invars)}
            if name == "broadcast_in_dim":
                primitives[name] = jax.lax.broadcast_in_dim_p
            return jcore.new_jaxpr_eqn(
                [atom(x) for x in eqn.invars],
                [atom(x) for x in eqn.outvars],
                primitives[name],
                params,
                set(),
                source_info_util.current(),
            )

        done[id(jaxpr)] = jcore.Jaxpr(
            [atom(v) for v in jaxpr.constvars],
            [atom(v) for v in jaxpr.invars],
            [atom(x) for x in jaxpr.outvars],
            [equation(eqn) for eqn in jaxpr.eqns],
        )
        return done[id(jaxpr)]

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # these jaxprs have no debug info
        return convert(jaxpr)


def jit_results_all_read(jaxpr):
    """Whether JAX's names are unambiguous: it writes ``_`` inside a call for results nobody reads outside."""
    todo, seen = [jaxpr], set()
    while todo:
        program = todo.pop()
        if id(program) in seen:
            continue
        seen.add(id(program))
        read = set(program.outvars) | {x for eqn in program.eqns for x in eqn.invars}
        for eqn in program.eqns:
            if eqn.primitive.name == "jit" and not all(v in read for v in eqn.outvars):
                return False
            for v in eqn.params.values():
                todo.extend(x.jaxpr for x in (v if isinstance(v, tuple) else (v,)) if isinstance(x, ClosedJaxpr))
    return True
