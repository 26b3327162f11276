"""``dot_general``: one call of the strided matrix-product kernel, operands read where they lie.

Dimensions that two strides can describe as one are merged; what is left over becomes batch dimensions, along which an
operand that does not have them stands still (stride 0). Only contracted dimensions that cannot be merged cost a copy.
A third operand, which `fuse` gives sums of products in loops, is added to in place.
"""

from __future__ import annotations

import math

from addax.core.avals import ShapedArray
from addax.core.jaxpr import Var
from addax.engines.cpu import blas, views
from addax.engines.cpu.buffers import Buffer, symbols
from addax.engines.cpu.groups import Call
from addax.engines.cpu.lower import Block, rule
from addax.engines.cpu.lower_data import take_over
from addax.engines.cpu.lower_elementwise import element_name
from addax.engines.cpu.views import Ref

SHORT_NAMES = {
    "float32": "f32", "float64": "f64", "complex64": "c64", "complex128": "c128", "float16": "f16", "bfloat16": "bf16",
    "int8": "i8", "uint8": "u8", "int16": "i16", "uint16": "u16", "int32": "i32", "uint32": "u32", "int64": "i64",
    "uint64": "u64", "bool": "bool",
}  # fmt: skip


FEW_ROWS = 256  # of the left operand, for which laying out the right one is a notable part of the work


@rule("dot_general")
def dot_general(block: Block, call: Call):
    eqn = call.eqn
    out = eqn.outvars[0]
    types = [element_name(x.aval.dtype) for x in eqn.invars]
    symbol = f"gemm_{SHORT_NAMES.get(types[0])}_{SHORT_NAMES.get(element_name(out.aval.dtype))}"
    if types[0] != types[1] or symbol not in symbols():
        return NotImplemented
    a, b = [readable(block, r) for r in call.refs[:2]]
    (ca, cb), (ba, bb) = eqn.params["dimension_numbers"]
    fa = [d for d in range(len(a.shape)) if d not in ca and d not in ba]
    fb = [d for d in range(len(b.shape)) if d not in cb and d not in bb]
    if out.aval.size == 0:
        block.destination(out)
        return None
    if math.prod([a.shape[d] for d in fa]) <= FEW_ROWS and not any(b.strides[d] == 1 and b.shape[d] > 1 for d in fb):
        turned = block.copied_before(views.transpose(b, [*bb, *cb, *fb]))
        if turned is not None:  # the kernel would lay it out anew in each turn of the loop
            order = range(len(b.shape))
            b, bb, cb, fb = turned, order[: len(bb)], order[len(bb) : len(bb) + len(cb)], order[len(bb) + len(cb) :]

    contract = _merged([(a.shape[i], a.strides[i], b.strides[j]) for i, j in zip(ca, cb, strict=True)])
    if len(contract) > 1:
        contract = _merged(sorted(contract, key=lambda d: -abs(d[1])))
    if len(contract) > 1:  # one of the operands must be laid out anew
        a, b = _dense_in_order(block, a, [*ba, *fa, *ca]), _dense_in_order(block, b, [*bb, *fb, *cb])
        nb, na, nf = len(ba), len(fa), len(fb)
        ba, fa, ca = range(nb), range(nb, nb + na), range(nb + na, len(a.shape))
        bb, fb, cb = range(nb), range(nb, nb + nf), range(nb + nf, len(b.shape))
        contract = _merged([(a.shape[i], a.strides[i], b.strides[j]) for i, j in zip(ca, cb, strict=True)])
    k, ka, kb = contract[0] if contract else (1, 1, 1)

    strides = views.contiguous_strides(out.aval.shape)
    n_batch, n_a = len(ba), len(fa)
    batch = [(a.shape[i], a.strides[i], b.strides[j], s) for i, j, s in zip(ba, bb, strides[:n_batch], strict=True)]
    rows = _merged([(a.shape[i], a.strides[i], s) for i, s in zip(fa, strides[n_batch : n_batch + n_a], strict=True)])
    cols = _merged([(b.shape[i], b.strides[i], s) for i, s in zip(fb, strides[n_batch + n_a :], strict=True)])
    m, row_a, row_c = _largest(rows)
    n, col_b, col_c = _largest(cols)
    batch += [(size, s, 0, c) for size, s, c in rows] + [(size, 0, s, c) for size, s, c in cols]
    batch = [d for d in batch if d[0] != 1]

    adds = len(call.refs) > 2
    c_buffer, c_offset = take_over(block, call.refs[2], out, call.refs[:2]) if adds else block.destination(out)
    assert c_offset == 0
    if needs_blas(types[0], m, n, k, col_b, a.dtype.itemsize):
        blas.load()
    args = [operand(block, a), operand(block, b), c_buffer]
    table = [m, n, k, row_a, ka, kb, col_b, row_c, col_c, int(adds), len(batch)]
    for d in batch:
        table += d
    flops = 2.0 * out.aval.size * k
    block.native(symbol, args, {c_buffer}, table, flops / 50.0)
    return None


def needs_blas(dtype: str, m: int, n: int, k: int, col_b: int, itemsize: int) -> bool:
    """Whether the kernel would hand this product to OpenBLAS (the rule of ``multiply_serial`` in gemm.inl, less its splitting)."""
    if dtype.startswith("complex"):
        return True
    if dtype not in ("float32", "float64") or m * n * k < 32768:
        return False
    return k * max(m, n) * itemsize > 256 << 10 or col_b != 1


def _merged(dims: list[tuple[int, ...]]) -> list[tuple[int, ...]]:
    """Merge neighbouring (size, *strides) wherever the outer steps over exactly the inner, in every stride."""
    out: list[tuple[int, ...]] = []
    for d in dims:
        if d[0] == 1:
            continue
        if out and all(s == t * d[0] for s, t in zip(out[-1][1:], d[1:], strict=True)):
            out[-1] = (out[-1][0] * d[0], *d[1:])
        else:
            out.append(d)
    return out


def _largest(dims: list[tuple[int, ...]]) -> tuple[int, ...]:
    """Take the largest dimension out of the list."""
    if not dims:
        return 1, 1, 1
    best = max(dims)
    dims.remove(best)
    return best


def _dense_in_order(block: Block, r: Ref, order: list[int]) -> Ref:
    turned = views.transpose(r, order)
    v = Var(ShapedArray(turned.shape, r.dtype))
    block.env[v] = block.dense_at_zero(turned), 0
    return Ref(v, 0, views.contiguous_strides(turned.shape), turned.shape)


def operand(block: Block, r: Ref) -> Buffer:
    """The buffer from whose first byte the kernel reads ``r`` by its strides."""
    if type(r.base) is Var:
        buffer, offset = block.env[r.base]
        offset += r.offset
        if offset == 0:
            return buffer
        itemsize = r.base.aval.dtype.itemsize
        if buffer.kind == "arena" and not buffer.swapped and all(s >= 0 for s in r.strides):
            child = Buffer("arena", buffer.nbytes - offset * itemsize)
            child.parent, child.parent_offset = buffer, offset * itemsize
            return child
    raise AssertionError("dot_general: operand was not made readable")


def readable(block: Block, r: Ref) -> Ref:
    """``r``, or a dense copy of it if the kernel could not start reading at its first element."""
    if type(r.base) is Var:
        buffer, offset = block.env[r.base]
        inside = buffer.kind == "arena" and not buffer.swapped
        if all(s >= 0 for s in r.strides) and (inside or offset + r.offset == 0):
            return r
    return _dense_in_order(block, r, list(range(len(r.shape))))
