"""Primitive operations as functions: `jax.lax` in name and meaning."""

from addax.core.dtypes import dtype as dtype
from addax.lax.apply import AccuracyMode as AccuracyMode, Tolerance as Tolerance
from addax.lax.arithmetic import (
    RoundingMethod as RoundingMethod,
    abs as abs,
    add as add,
    ceil as ceil,
    complex as complex,
    conj as conj,
    div as div,
    floor as floor,
    imag as imag,
    integer_pow as integer_pow,
    is_finite as is_finite,
    max as max,
    min as min,
    mul as mul,
    mulhi as mulhi,
    neg as neg,
    nextafter as nextafter,
    pow as pow,
    real as real,
    reciprocal as reciprocal,
    rem as rem,
    round as round,
    sign as sign,
    square as square,
    sub as sub,
)
from addax.lax.bits import (
    bitwise_and as bitwise_and,
    bitwise_not as bitwise_not,
    bitwise_or as bitwise_or,
    bitwise_xor as bitwise_xor,
    clz as clz,
    population_count as population_count,
    shift_left as shift_left,
    shift_right_arithmetic as shift_right_arithmetic,
    shift_right_logical as shift_right_logical,
)
from addax.lax.comparison import (
    clamp as clamp,
    eq as eq,
    ge as ge,
    gt as gt,
    le as le,
    lt as lt,
    ne as ne,
    select as select,
    select_n as select_n,
)
from addax.lax.control_flow import (
    associative_scan as associative_scan,
    cond as cond,
    fori_loop as fori_loop,
    map as map,
    scan as scan,
    switch as switch,
    while_loop as while_loop,
)
from addax.lax.conv import (
    ConvDimensionNumbers as ConvDimensionNumbers,
    ConvGeneralDilatedDimensionNumbers as ConvGeneralDilatedDimensionNumbers,
    conv as conv,
    conv_dimension_numbers as conv_dimension_numbers,
    conv_general_dilated as conv_general_dilated,
    conv_general_dilated_local as conv_general_dilated_local,
    conv_general_dilated_patches as conv_general_dilated_patches,
    conv_general_permutations as conv_general_permutations,
    conv_general_shape_tuple as conv_general_shape_tuple,
    conv_shape_tuple as conv_shape_tuple,
    conv_transpose as conv_transpose,
    conv_transpose_shape_tuple as conv_transpose_shape_tuple,
    conv_with_general_padding as conv_with_general_padding,
)
from addax.lax.convert import (
    bitcast_convert_type as bitcast_convert_type,
    convert_element_type as convert_element_type,
    optimization_barrier as optimization_barrier,
    reduce_precision as reduce_precision,
    stop_gradient as stop_gradient,
)
from addax.lax.cumulative import (
    cumlogsumexp as cumlogsumexp,
    cummax as cummax,
    cummin as cummin,
    cumprod as cumprod,
    cumsum as cumsum,
)
from addax.lax.dot import (
    DotAlgorithm as DotAlgorithm,
    DotAlgorithmPreset as DotAlgorithmPreset,
    DotDimensionNumbers as DotDimensionNumbers,
    Precision as Precision,
    PrecisionLike as PrecisionLike,
    batch_matmul as batch_matmul,
    dot as dot,
    dot_general as dot_general,
)
from addax.lax.fft import FftType as FftType, fft as fft
from addax.lax.indexing import (
    GatherDimensionNumbers as GatherDimensionNumbers,
    GatherScatterMode as GatherScatterMode,
    ScatterDimensionNumbers as ScatterDimensionNumbers,
    gather as gather,
    index_take as index_take,
    scatter as scatter,
    scatter_add as scatter_add,
    scatter_apply as scatter_apply,
    scatter_max as scatter_max,
    scatter_min as scatter_min,
    scatter_mul as scatter_mul,
    scatter_sub as scatter_sub,
)
from addax.lax.linear_solve import custom_linear_solve as custom_linear_solve, custom_root as custom_root
from addax.lax.parallel import (
    all_gather as all_gather,
    all_to_all as all_to_all,
    axis_index as axis_index,
    axis_size as axis_size,
    pbroadcast as pbroadcast,
    pcast as pcast,
    pmax as pmax,
    pmean as pmean,
    pmin as pmin,
    ppermute as ppermute,
    pshuffle as pshuffle,
    psum as psum,
    psum_scatter as psum_scatter,
    pswapaxes as pswapaxes,
    pvary as pvary,
)
from addax.lax.ragged import (
    RaggedDotDimensionNumbers as RaggedDotDimensionNumbers,
    ragged_dot as ragged_dot,
    ragged_dot_general as ragged_dot_general,
    scaled_dot as scaled_dot,
)
from addax.lax.ragged_exchange import ragged_all_to_all as ragged_all_to_all
from addax.lax.reduce import (
    argmax as argmax,
    argmin as argmin,
    reduce as reduce,
    reduce_and as reduce_and,
    reduce_max as reduce_max,
    reduce_min as reduce_min,
    reduce_or as reduce_or,
    reduce_prod as reduce_prod,
    reduce_sum as reduce_sum,
    reduce_xor as reduce_xor,
)
from addax.lax.shape import (
    broadcast as broadcast,
    broadcast_in_dim as broadcast_in_dim,
    broadcast_like as broadcast_like,
    broadcast_shapes as broadcast_shapes,
    broadcast_to_rank as broadcast_to_rank,
    broadcasted_iota as broadcasted_iota,
    collapse as collapse,
    concatenate as concatenate,
    empty as empty,
    expand_dims as expand_dims,
    full as full,
    full_like as full_like,
    iota as iota,
    reshape as reshape,
    rev as rev,
    shape_as_value as shape_as_value,
    split as split,
    squeeze as squeeze,
    stack as stack,
    tile as tile,
    transpose as transpose,
    unstack as unstack,
    zeros_like_array as zeros_like_array,
)
from addax.lax.sharding import reshard as reshard, with_sharding_constraint as with_sharding_constraint
from addax.lax.slicing import (
    dynamic_index_in_dim as dynamic_index_in_dim,
    dynamic_slice as dynamic_slice,
    dynamic_slice_in_dim as dynamic_slice_in_dim,
    dynamic_update_index_in_dim as dynamic_update_index_in_dim,
    dynamic_update_slice as dynamic_update_slice,
    dynamic_update_slice_in_dim as dynamic_update_slice_in_dim,
    index_in_dim as index_in_dim,
    pad as pad,
    slice as slice,
    slice_in_dim as slice_in_dim,
)
from addax.lax.sort import (
    approx_max_k as approx_max_k,
    approx_min_k as approx_min_k,
    sort as sort,
    sort_key_val as sort_key_val,
    top_k as top_k,
)
from addax.lax.special import (
    bessel_i0e as bessel_i0e,
    bessel_i1e as bessel_i1e,
    betainc as betainc,
    digamma as digamma,
    erf as erf,
    erf_inv as erf_inv,
    erfc as erfc,
    igamma as igamma,
    igamma_grad_a as igamma_grad_a,
    igammac as igammac,
    lgamma as lgamma,
    polygamma as polygamma,
    random_gamma_grad as random_gamma_grad,
    zeta as zeta,
)
from addax.lax.staging import composite as composite, platform_dependent as platform_dependent
from addax.lax.transcendental import (
    acos as acos,
    acosh as acosh,
    asin as asin,
    asinh as asinh,
    atan as atan,
    atan2 as atan2,
    atanh as atanh,
    cbrt as cbrt,
    cos as cos,
    cosh as cosh,
    exp as exp,
    exp2 as exp2,
    expm1 as expm1,
    log as log,
    log1p as log1p,
    logistic as logistic,
    rsqrt as rsqrt,
    sin as sin,
    sinh as sinh,
    sqrt as sqrt,
    tan as tan,
    tanh as tanh,
)
from addax.lax.windows import (
    padtype_to_pads as padtype_to_pads,
    reduce_window as reduce_window,
    reduce_window_shape_tuple as reduce_window_shape_tuple,
)

from addax.lax import linalg as linalg  # isort: skip

from addax.lax.primitives import primitive_named as _primitive_named  # isort: skip


def __getattr__(name: str):
    return _primitive_named(__name__, name)
