"""Functions that bring their own derivative, and what their rules see."""

from addax.ops.custom import custom_jvp_call, custom_vjp_call
from addax.transforms.custom import (
    CustomVJPPrimal as CustomVJPPrimal,
    SymbolicZero as SymbolicZero,
    closure_convert as closure_convert,
    custom_gradient as custom_gradient,
    custom_jvp as custom_jvp,
    custom_vjp as custom_vjp,
    custom_vjp_primal_tree_values as custom_vjp_primal_tree_values,
    zero_from_primal as zero_from_primal,
)
from addax.transforms.linear_maps import linear_call as linear_call

custom_jvp_call_p, custom_vjp_call_p = custom_jvp_call, custom_vjp_call
