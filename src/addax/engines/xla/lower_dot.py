"""Products and convolutions: ``dot_general``, ``conv_general_dilated``."""

from __future__ import annotations

import numpy as np

from addax.core import dtypes
from addax.core.jaxpr import Eqn
from addax.engines.xla.block import Block, Value, ints, is_complex
from addax.engines.xla.conv_taps import convolve_batch_groups
from addax.engines.xla.lower_elementwise import convert_element_type
from addax.engines.xla.program import result_type
from addax.engines.xla.rules import rule
from addax.engines.xla.types import BOOL, FLOAT32, tensor_type
from addax.ops.precision import DotAlgorithm, DotAlgorithmPreset, Precision, product_dtype


def precision_names(precision) -> tuple[str, str]:
    """The precision of each operand. Algorithms are asked for apart (`algorithm_attribute`)."""
    if isinstance(precision, tuple) and isinstance(precision[0], Precision):
        return precision[0].name, precision[1].name
    return "DEFAULT", "DEFAULT"


# Operand dtypes, dtype of the sums, number of terms per operand, number of products.
_PRESETS = {
    "F16_F16_F16": ("f16", "f16", "f16", 1, 1),
    "F16_F16_F32": ("f16", "f16", "f32", 1, 1),
    "BF16_BF16_BF16": ("bf16", "bf16", "bf16", 1, 1),
    "BF16_BF16_F32": ("bf16", "bf16", "f32", 1, 1),
    "BF16_BF16_F32_X3": ("bf16", "bf16", "f32", 1, 3),
    "BF16_BF16_F32_X6": ("bf16", "bf16", "f32", 1, 6),
    "BF16_BF16_F32_X9": ("bf16", "bf16", "f32", 1, 9),
    "TF32_TF32_F32": ("tf32", "tf32", "f32", 1, 1),
    "TF32_TF32_F32_X3": ("tf32", "tf32", "f32", 1, 3),
    "F32_F32_F32": ("f32", "f32", "f32", 1, 1),
    "F64_F64_F64": ("f64", "f64", "f64", 1, 1),
}


def algorithm_attribute(b: Block, precision, lhs: Value, rhs: Value) -> str:
    """The ``algorithm`` of a dot, for platforms that have a choice of them.

    CPUs compute in float32 or wider, which is at least as precise as what any of these asks for.
    """
    if b.module.target.platform == "cpu":
        return ""
    if isinstance(precision, DotAlgorithm):
        kinds = (precision.lhs_precision_type, precision.rhs_precision_type, precision.accumulation_type)
        names = [tensor_type((), np.dtype(k))[7:-1] for k in kinds]
        counts = precision.lhs_component_count, precision.rhs_component_count
        products, imprecise = precision.num_primitive_operations, precision.allow_imprecise_accumulation
    elif isinstance(precision, DotAlgorithmPreset) and precision is not DotAlgorithmPreset.DEFAULT:
        name = precision.name
        if name.startswith("ANY_F8"):
            f8 = [tensor_type((), x.dtype)[7:-1] for x in (lhs, rhs)]
            sums = "f32" if "_F32" in name else f8[0]
            names, counts, products, imprecise = [*f8, sums], (1, 1), 1, name.endswith("FAST_ACCUM")
        else:
            *names, terms, products = _PRESETS[name]
            counts, imprecise = (terms, terms), False
    else:
        return ""
    return (
        f", algorithm = <lhs_precision_type = {names[0]}, rhs_precision_type = {names[1]}, accumulation_type = "
        f"{names[2]}, lhs_component_count = {counts[0]}, rhs_component_count = {counts[1]}, num_primitive_operations = "
        f"{products}, allow_imprecise_accumulation = {str(imprecise).lower()}>"
    )


def compute_dtype(lhs: Value, rhs: Value, out: np.dtype) -> np.dtype:
    """The dtype of the sums: that of the result if products keep it exactly, else wider."""
    if lhs.dtype == rhs.dtype == out:
        return out
    if out == BOOL:
        return FLOAT32
    return product_dtype(lhs.dtype, rhs.dtype, out)


@rule("dot_general")
def _dot_general(b: Block, eqn: Eqn, lhs: Value, rhs: Value) -> Value:
    (lhs_contracting, rhs_contracting), (lhs_batch, rhs_batch) = eqn.params["dimension_numbers"]
    precision = eqn.params["precision"]
    out = result_type(eqn)
    sums = compute_dtype(lhs, rhs, out.dtype)
    same = lhs.dtype == rhs.dtype and dtypes.issubdtype(lhs.dtype, np.floating)
    if out.dtype == BOOL or not (same and dtypes.itemsize_bits(lhs.dtype) <= dtypes.itemsize_bits(sums)):
        # Operands of different kinds, and integers, are converted; floats may be narrower than their sums.
        lhs, rhs = (convert_element_type(b, x, FLOAT32 if out.dtype == BOOL else sums) for x in (lhs, rhs))
        sums = lhs.dtype
    batching = f"batching_dims = {ints(lhs_batch)} x {ints(rhs_batch)}, " if lhs_batch else ""
    left, right = precision_names(precision)
    result = b.emit(
        f"stablehlo.dot_general {lhs.name}, {rhs.name}, {batching}contracting_dims = {ints(lhs_contracting)} x "
        f"{ints(rhs_contracting)}, precision = [{left}, {right}]{algorithm_attribute(b, precision, lhs, rhs)} : "
        f"({lhs.type}, {rhs.type}) -> {tensor_type(out.shape, sums)}",
        out.shape,
        sums,
    )
    return convert_element_type(b, result, out.dtype)


def _letters(spec, first: str, second: str) -> str:
    """Positions of (first, second, *space) as the letters of each dimension in turn."""
    letters = [""] * len(spec)
    for position, letter in zip(spec, (first, second, *range(len(spec) - 2))):
        letters[position] = str(letter)
    return f"[{', '.join(letters)}]"


@rule("conv_general_dilated")
def _convolution(b: Block, eqn: Eqn, lhs: Value, rhs: Value) -> Value:
    out = result_type(eqn)
    sums = compute_dtype(lhs, rhs, out.dtype)
    if lhs.dtype != sums:
        lhs, rhs = (convert_element_type(b, x, sums) for x in (lhs, rhs))
    platform = b.module.target.platform
    if dtypes.issubdtype(sums, np.integer) and platform != "cpu":
        raise NotImplementedError(
            f"convolutions of integers do not exist on platform {platform!r}: convert the operands to float32, which is "
            "exact while sums stay below 2**24, or run this part of the program on the CPU."
        )
    if is_complex(lhs) and platform != "cpu":
        (a, c), (x, y) = b.parts(lhs), b.parts(rhs)
        real = b.binary("subtract", _real_convolution(b, eqn, a, x), _real_convolution(b, eqn, c, y))
        imag = b.binary("add", _real_convolution(b, eqn, a, y), _real_convolution(b, eqn, c, x))
        return b.complex(real, imag)
    return convert_element_type(b, _real_convolution(b, eqn, lhs, rhs), out.dtype)


def _cropped(b: Block, lhs: Value, spec, padding, dilation) -> tuple[Value, list[tuple[int, int]], list[int]]:
    """Negative padding taken off before the convolution: XLA's own for the CPU (jaxlib 0.10.2) pads wrongly where some of
    it is negative; x[..., 1:4] padded by (-1, 1) read an element twice.
    """
    if all(low >= 0 and high >= 0 for low, high in padding):
        return lhs, list(padding), list(dilation)
    config = [(0, 0, 0)] * len(lhs.shape)
    for d, (low, high), spread in zip(spec[2:], padding, dilation, strict=True):
        config[d] = (min(low, 0), min(high, 0), spread - 1)
    lhs = b.pad(lhs, b.scalar(0, lhs.dtype), config)
    return lhs, [(max(low, 0), max(high, 0)) for low, high in padding], [1] * len(dilation)


def _real_convolution(b: Block, eqn: Eqn, lhs: Value, rhs: Value) -> Value:
    """The convolution in the dtype of its operands."""
    p = eqn.params
    out = result_type(eqn)
    lhs_spec, rhs_spec, out_spec = p["dimension_numbers"]
    numbers = f"{_letters(lhs_spec, 'b', 'f')}x{_letters(rhs_spec, 'o', 'i')}->{_letters(out_spec, 'b', 'f')}"
    lhs, padding, lhs_dilation = _cropped(b, lhs, lhs_spec, p["padding"], p["lhs_dilation"])
    grouped = False
    if b.module.target.num_partitions > 1:
        if p["batch_group_count"] > 1:
            changed = {"padding": padding, "lhs_dilation": lhs_dilation}
            return convolve_batch_groups(b, lhs, rhs, {**p, **changed}, out.shape)
        # XLA's partitioner (jaxlib 0.10.2) computes wrong sums where images are cut into parts and kernels over features,
        # and cannot cut features into more parts than there are groups of them.
        if any(rhs.shape[d] > 1 for d in rhs_spec[2:]):
            lhs = b.whole(lhs, lhs_spec[2:])
        grouped = p["feature_group_count"] > 1 and p["feature_group_count"] % b.module.target.num_partitions != 0
        if grouped:
            lhs, rhs = b.whole(lhs, lhs_spec[1:2]), b.whole(rhs, rhs_spec[:2])
    pads = ", ".join(f"[{low}, {high}]" for low, high in padding)
    left, right = precision_names(p["precision"])
    window = ""
    if p["padding"]:
        window = (
            f"stride = {ints(p['window_strides'])}, pad = [{pads}], lhs_dilate = {ints(lhs_dilation)}, "
            f"rhs_dilate = {ints(p['rhs_dilation'])}"
        )
    result = b.emit(
        f"stablehlo.convolution({lhs.name}, {rhs.name}) dim_numbers = {numbers}, window = {{{window}}} "
        f"{{batch_group_count = {p['batch_group_count']} : i64, feature_group_count = {p['feature_group_count']} : i64, "
        f"precision_config = [#stablehlo<precision {left}>, #stablehlo<precision {right}>]}} : "
        f"({lhs.type}, {rhs.type}) -> {tensor_type(out.shape, lhs.dtype)}",
        out.shape,
        lhs.dtype,
    )
    return b.whole(result, out_spec[1:2]) if grouped else result
