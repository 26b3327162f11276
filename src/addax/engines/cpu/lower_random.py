"""Random bits: the threefry kernels. Other generators run in NumPy."""

from __future__ import annotations

from addax.engines.cpu.groups import Call
from addax.engines.cpu.lower import Block, rule


def _is_fry(aval) -> bool:
    return getattr(aval.dtype, "tag", None) == "fry"


@rule("random_bits")
def random_bits(block: Block, call: Call):
    eqn = call.eqn
    keys, out = eqn.invars[0].aval, eqn.outvars[0]
    if not _is_fry(keys):
        return NotImplemented
    buffer, offset = block.destination(out)
    assert offset == 0
    if out.aval.size:
        source = block.dense_at_zero(call.refs[0])
        n = out.aval.size // max(1, keys.size)
        width = eqn.params["bit_width"]
        block.native(f"threefry_bits_{width}", [source, buffer], {buffer}, [n, keys.size, 0], out.aval.size * 0.6)
    return None


@rule("random_split")
def random_split(block: Block, call: Call):
    eqn = call.eqn
    keys, out = eqn.invars[0].aval, eqn.outvars[0]
    if not _is_fry(keys):
        return NotImplemented
    buffer, offset = block.destination(out)
    assert offset == 0
    if out.aval.size:
        source = block.dense_at_zero(call.refs[0])
        n = out.aval.size // max(1, keys.size)
        block.native("threefry_split", [source, buffer], {buffer}, [n, keys.size], out.aval.size * 0.8)
    return None


@rule("threefry2x32")
def threefry2x32(block: Block, call: Call):
    eqn = call.eqn
    size = eqn.outvars[0].aval.size
    if any(x.aval.size not in (1, size) for x in eqn.invars):
        return NotImplemented
    outs = [block.destination(v)[0] for v in eqn.outvars]
    if size:
        ins = [block.dense_at_zero(r) for r in call.refs]
        strides = [0 if x.aval.size == 1 else 1 for x in eqn.invars]
        block.native("threefry2x32", [*ins, *outs], set(outs), [size, *strides], size * 2.0)
    return None
