"""All lowering rules; importing this module registers them."""

from addax.engines.cpu import lower_control as lower_control
from addax.engines.cpu import lower_conv as lower_conv
from addax.engines.cpu import lower_data as lower_data
from addax.engines.cpu import lower_dot as lower_dot
from addax.engines.cpu import lower_random as lower_random
from addax.engines.cpu import lower_order as lower_order
from addax.engines.cpu import lower_scatter as lower_scatter
