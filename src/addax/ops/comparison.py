"""Comparisons, and the choices they make: ``select_n`` and ``clamp``."""

from __future__ import annotations

import numpy as np

from addax.core import dtypes
from addax.core.avals import ShapedArray
from addax.ops.bits import and_
from addax.ops.reference_tools import formula, maximum, minimum, predicate
from addax.ops.rules import (
    ANY,
    BOOL,
    FLOATING,
    INTEGER,
    Zero,
    broadcast_in_dim,
    broadcast_to,
    elementwise,
    full_like,
    instantiate,
    is_linear,
    move_axis,
    primitive,
    shape_of,
    to_bool,
    to_front,
)

ORDERED = (*INTEGER, FLOATING, BOOL)

# --- IEEE comparisons: NaN differs from everything, -0 equals 0 ---

EQUATABLE = (*ANY, dtypes.extended)  # keys are equal if their bits are

eq = elementwise("eq", EQUATABLE, 2, to_bool).not_differentiable()
eq.lower(stablehlo="compare EQ", reference=predicate(np.equal))

ne = elementwise("ne", EQUATABLE, 2, to_bool).not_differentiable()
ne.lower(stablehlo="compare NE", reference=predicate(np.not_equal))

lt = elementwise("lt", ORDERED, 2, to_bool).not_differentiable()
lt.lower(stablehlo="compare LT", reference=predicate(np.less))

le = elementwise("le", ORDERED, 2, to_bool).not_differentiable()
le.lower(stablehlo="compare LE", reference=predicate(np.less_equal))

gt = elementwise("gt", ORDERED, 2, to_bool).not_differentiable()
gt.lower(stablehlo="compare GT", reference=predicate(np.greater))

ge = elementwise("ge", ORDERED, 2, to_bool).not_differentiable()
ge.lower(stablehlo="compare GE", reference=predicate(np.greater_equal))

# --- Comparisons in the total order of IEEE 754: -NaN < -inf < ... < -0 < 0 < ... < inf < NaN ---


def _total_order_key(x: np.ndarray) -> np.ndarray:
    """Signed integers that are ordered as the floats ``x`` are in the total order."""
    if not dtypes.issubdtype(x.dtype, np.floating):
        return x
    if x.dtype.itemsize < 4:
        x = x.astype(np.float32)
    bits = np.ascontiguousarray(x).view(f"i{x.dtype.itemsize}").reshape(x.shape)
    return np.where(bits < 0, bits ^ np.iinfo(bits.dtype).max, bits)


def _equal_in_total_order(x, y):
    if x.dtype.kind == "c":
        return _equal_in_total_order(x.real, y.real) & _equal_in_total_order(x.imag, y.imag)
    return _total_order_key(x) == _total_order_key(y)


eq_to = elementwise("eq_to", ANY, 2, to_bool, numpy_name=None).not_differentiable()
eq_to.lower(stablehlo="compare EQ TOTALORDER", reference=predicate(_equal_in_total_order))

le_to = elementwise("le_to", ORDERED, 2, to_bool, numpy_name=None).not_differentiable()
le_to.lower(
    stablehlo="compare LE TOTALORDER", reference=predicate(lambda x, y: _total_order_key(x) <= _total_order_key(y))
)

lt_to = elementwise("lt_to", ORDERED, 2, to_bool, numpy_name=None).not_differentiable()
lt_to.lower(
    stablehlo="compare LT TOTALORDER", reference=predicate(lambda x, y: _total_order_key(x) < _total_order_key(y))
)

# --- clamp: max(low, x) then min(., high); the bounds are scalars or have the shape of x ---


def _clamp_type(low, x, high):
    if not low.dtype == x.dtype == high.dtype:
        names = ", ".join(dtypes.dtype_name(a.dtype) for a in (low, x, high))
        raise TypeError(f"lax.clamp requires arguments to have the same dtypes, got {names}.")
    if not any(dtypes.issubdtype(x.dtype, kind) for kind in ANY):
        raise TypeError(f"clamp does not accept dtype {dtypes.dtype_name(x.dtype)}: it clamps numbers and bools.")
    for name, bound in (("min", low), ("max", high)):
        if bound.shape not in ((), x.shape):
            raise TypeError(
                f"clamp requires {name}.shape == operand.shape or {name}.shape == (), got {name}.shape={bound.shape}, "
                f"operand.shape={x.shape}. Broadcast the bound first, or use addax.numpy.clip."
            )
    return ShapedArray(x.shape, x.dtype, x.weak_type and low.weak_type and high.weak_type)


def _clamp_jvp(primals, tangents):
    low, x, high = primals
    out = clamp.bind(low, x, high)
    t_low, t_x, t_high = tangents
    shape = shape_of(out)
    terms = []
    # A bound gets the tangent where it wins; x where it lies strictly between the bounds.
    for t, chosen in (
        (t_low, lambda: and_(gt(low, x), lt(low, high))),
        (t_x, lambda: and_(gt(x, low), lt(x, high))),
        (t_high, lambda: lt(high, x)),
    ):
        if type(t) is not Zero:
            terms.append(_masked(chosen(), broadcast_to(t, shape)))
    if not terms:
        return out, Zero.of(out)
    total = terms[0]
    for term in terms[1:]:
        total = add_any(total, term)
    return out, total


def _masked(mask, t):
    """``t`` where ``mask``, else 0."""
    return select_n.bind(mask, full_like(t, 0), t)


def _clamp_batch(axis, args, dims):
    low, x, high = args
    low_dim, x_dim, high_dim = dims
    if low_dim is None and high_dim is None and not shape_of(low) and not shape_of(high):
        return clamp.bind(low, x, high), x_dim
    x = to_front(x, x_dim, axis.size)
    bounds = []
    for bound, dim in ((low, low_dim), (high, high_dim)):
        if dim is None and not shape_of(bound):
            bounds.append(bound)
            continue
        bound = to_front(bound, dim, axis.size)
        if len(bound.shape) != len(x.shape):  # one scalar bound per batch element
            bound = broadcast_in_dim(bound, x.shape, (0,))
        bounds.append(bound)
    return clamp.bind(bounds[0], x, bounds[1]), 0


clamp = primitive(
    "clamp",
    _clamp_type,
    jvp=_clamp_jvp,
    batch=_clamp_batch,
    reference=formula(lambda low, x, high: minimum(maximum(low, x), high)),
).lower(stablehlo="clamp")

# --- select_n: case 0 where which is 0 or False, case 1 where it is 1 or True, ... ---


def _select_type(which, *cases):
    if not cases:
        raise TypeError("select_n takes a selector and at least one case, got no case")
    first = cases[0]
    for i, case in enumerate(cases):
        if case.shape != first.shape:
            shapes = ", ".join(str(c.shape) for c in cases)
            raise TypeError(f"select cases must have the same shapes, got [{shapes}] (case {i} differs from case 0).")
        if case.dtype != first.dtype:
            names = ", ".join(dtypes.dtype_name(c.dtype) for c in cases)
            raise TypeError(f"select cases must have the same dtypes, got [{names}] (case {i} differs from case 0).")
    if which.dtype != dtypes.bool_ and not dtypes.issubdtype(which.dtype, np.integer):
        raise TypeError(
            f"select `which` must be boolean or integer type, got {dtypes.dtype_name(which.dtype)}. Write which != 0."
        )
    if which.dtype == dtypes.bool_ and len(cases) > 2:
        raise TypeError(f"select with boolean `which` cannot have > 2 cases, got {len(cases)}. Use integers.")
    if which.shape and which.shape != first.shape:
        raise TypeError(
            f"select `which` must be scalar or have the same shape as cases, got `which` shape {which.shape} but case "
            f"shape {first.shape}."
        )
    return ShapedArray(first.shape, first.dtype, first.dtype != dtypes.bool_ and all(c.weak_type for c in cases))


def _select_jvp(primals, tangents):
    which, *cases = primals
    out = select_n.bind(which, *cases)
    case_tangents = tangents[1:]
    if all(type(t) is Zero for t in case_tangents):
        return out, Zero.of(out)
    return out, select_n.bind(which, *(instantiate(t) for t in case_tangents))


def _select_transpose(ct, which, *cases):
    assert not is_linear(which)
    nothing = full_like(ct, 0)
    cts = []
    for i, case in enumerate(cases):
        if is_linear(case):
            cts.append(select_n.bind(which, *(ct if i == j else nothing for j in range(len(cases)))))
        else:
            cts.append(None)
    return [None, *cts]


def _select_batch(axis, args, dims):
    which, *cases = args
    which_dim, *case_dims = dims
    if which_dim is None and not shape_of(which) and len(set(case_dims)) == 1:
        return select_n.bind(which, *cases), case_dims[0]
    aligned = which_dim is not None and all(d == which_dim for d in case_dims)
    if aligned and len(which.shape) == len(shape_of(cases[0])):
        return select_n.bind(which, *cases), which_dim
    cases = [to_front(c, d, axis.size) for c, d in zip(cases, case_dims, strict=True)]
    shape = cases[0].shape
    if which_dim is not None:
        which = move_axis(which, which_dim, 0)
        if which.shape != shape:  # one selector per batch element
            which = broadcast_in_dim(which, shape, (0,))
    elif shape_of(which):
        which = to_front(which, None, axis.size)
    return select_n.bind(which, *cases), 0


def _select_reference(which, *cases):
    if len(cases) == 1:
        return cases[0].copy()
    if which.dtype == np.bool_:
        return np.where(which, cases[1], cases[0]).astype(cases[0].dtype, copy=False)
    index = np.broadcast_to(np.clip(which, 0, len(cases) - 1), cases[0].shape)  # out of range: the nearest case
    return np.asarray(np.take_along_axis(np.stack(cases), index[None], 0)[0])


select_n = primitive(
    "select_n",
    _select_type,
    jvp=_select_jvp,
    transpose=_select_transpose,
    batch=_select_batch,
    reference=_select_reference,
).lower(stablehlo="select")

# --- add_any: the addition that differentiation inserts; any type that has tangents ---

add_any = elementwise("add_any", ANY, 2, numpy_name="add")
add_any.derivative(lambda t, out, x, y: t, lambda t, out, x, y: t)
add_any.linear(lambda ct, x, y: ct, lambda ct, x, y: ct)
add_any.lower(stablehlo="add", reference=formula(np.add))
