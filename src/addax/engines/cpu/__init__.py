"""The CPU engine: jaxpr -> simplify -> fuse -> loop nests -> machine code -> a native program.

Start reading at ``program.assemble``, which calls the stages in order.
"""

from addax.engines.cpu.executable import (
    CpuEngine as CpuEngine,
    CpuExecutable as CpuExecutable,
    cpu_engine as cpu_engine,
)
