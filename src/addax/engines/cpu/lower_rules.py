"""All lowering rules; importing this module registers them."""

from addax.engines.cpu import (
    lower_control as lower_control,
    lower_conv as lower_conv,
    lower_data as lower_data,
    lower_dot as lower_dot,
    lower_linalg as lower_linalg,
    lower_order as lower_order,
    lower_random as lower_random,
    lower_scatter as lower_scatter,
)
