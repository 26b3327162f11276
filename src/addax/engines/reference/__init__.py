"""The reference engine: NumPy, one primitive at a time. Slow, obvious, and the definition the other engines are tested against."""

from addax.engines.reference.engine import ReferenceEngine as ReferenceEngine, reference_engine as reference_engine
from addax.engines.reference.interpret import evaluate as evaluate
