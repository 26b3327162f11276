"""``fft``: XLA transforms up to three dimensions at a time."""

from __future__ import annotations

from addax.core.jaxpr import Eqn
from addax.engines.xla.block import Block, Value, ints, is_complex
from addax.engines.xla.lower_elementwise import convert_element_type
from addax.engines.xla.program import result_type
from addax.engines.xla.rules import rule
from addax.engines.xla.types import tensor_type
from addax.ops.fft import FftType


def _transform(b: Block, kind: str, x: Value, lengths, shape, dtype) -> Value:
    text = (
        f"stablehlo.fft {x.name}, type = {kind}, length = {ints(lengths)} : ({x.type}) -> {tensor_type(shape, dtype)}"
    )
    return b.emit(text, shape, dtype)


@rule("fft")
def _fft(b: Block, eqn: Eqn, x: Value) -> Value:
    kind, lengths = FftType(eqn.params["fft_type"]), tuple(eqn.params["fft_lengths"])
    out = result_type(eqn)
    if 0 in out.shape or 0 in x.shape:
        return b.full(0, out.shape, out.dtype)
    if not lengths:
        return convert_element_type(b, x, out.dtype)
    if len(lengths) <= 3:
        return _transform(b, kind.name, x, lengths, out.shape, out.dtype)
    # More dimensions: one after the other, the real one first (RFFT) or last (IRFFT).
    full = {FftType.RFFT: FftType.FFT, FftType.IRFFT: FftType.IFFT}.get(kind, kind)
    if kind is FftType.RFFT:
        x = _transform(b, "RFFT", x, lengths[-1:], out.shape, out.dtype)
    rank, n = len(out.shape), len(lengths)
    dims = range(rank - n, rank if kind is full else rank - 1)
    for d, length in zip(dims, lengths, strict=False):
        order = [*(k for k in range(rank) if k != d), d]
        moved = b.transpose(x, order)
        assert is_complex(moved)
        moved = _transform(b, full.name, moved, [length], moved.shape, moved.dtype)
        x = b.transpose(moved, [order.index(k) for k in range(rank)])
    if kind is FftType.IRFFT:
        x = _transform(b, "IRFFT", x, lengths[-1:], out.shape, out.dtype)
    return x
