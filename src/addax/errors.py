"""The errors of addax, under the names of `jax.errors`. ``help(addax.errors.X)`` explains X."""

from addax.core.errors import (
    AddaxIndexError,
    AddaxRuntimeError,
    AddaxTypeError,
    ConcretizationTypeError,
    InconclusiveDimensionOperation,
    JAXIndexError,
    JaxprTypeError,
    JaxRuntimeError,
    JAXTypeError,
    KeyReuseError,
    NonConcreteBooleanIndexError,
    TracerArrayConversionError,
    TracerBoolConversionError,
    TracerIntegerConversionError,
    TypePromotionError,
    UnexpectedTracerError,
)
from addax.core.sharding import DuplicateSpecError, IndivisibleError, ShardingTypeError

__all__ = [
    "AddaxIndexError",
    "AddaxRuntimeError",
    "AddaxTypeError",
    "ConcretizationTypeError",
    "DuplicateSpecError",
    "InconclusiveDimensionOperation",
    "IndivisibleError",
    "JAXIndexError",
    "JAXTypeError",
    "JaxRuntimeError",
    "JaxprTypeError",
    "KeyReuseError",
    "NonConcreteBooleanIndexError",
    "ShardingTypeError",
    "TracerArrayConversionError",
    "TracerBoolConversionError",
    "TracerIntegerConversionError",
    "TypePromotionError",
    "UnexpectedTracerError",
]
