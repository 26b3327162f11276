"""Functions as data: `export` a jitted function, maybe with symbolic sizes, `serialize` it, call it back elsewhere.

>>> import addax, addax.numpy as jnp, numpy as np
>>> from addax import export
>>> exported = export.export(addax.jit(lambda x: jnp.sin(x).sum()))(np.ones(3, np.float32))
>>> data = exported.serialize()
>>> float(export.deserialize(data).call(np.zeros(3, np.float32)))
0.0

docs/export.md describes the format.
"""

from addax.export.exported import (
    DisabledSafetyCheck as DisabledSafetyCheck,
    Exported as Exported,
    default_export_platform as default_export_platform,
    deserialize as deserialize,
    export as export,
    maximum_supported_calling_convention_version as maximum_supported_calling_convention_version,
    minimum_supported_calling_convention_version as minimum_supported_calling_convention_version,
)
from addax.export.shapes import (
    SymbolicScope as SymbolicScope,
    is_symbolic_dim as is_symbolic_dim,
    symbolic_args_specs as symbolic_args_specs,
    symbolic_shape as symbolic_shape,
)
from addax.export.trees import (
    register_namedtuple_serialization as register_namedtuple_serialization,
    register_pytree_node_serialization as register_pytree_node_serialization,
)
