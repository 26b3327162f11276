"""The engines: what runs programs. Importing this package installs them, and eager execution.

reference/  NumPy, one primitive at a time: the definition all others are tested against
cpu/        native code through loop nests and LLVM
xla/        StableHLO and XLA: several devices, GPUs, TPUs
platforms.py  which devices there are, and which engine runs what
disk_cache.py compiled code on disk, for all engines
watch.py      what options add around it: NaN checks, logs, dumps
eager.py    primitives bound on concrete values
"""

from addax.core.execution import set_compile_rule as _set_compile_rule
from addax.engines import watch as _watch
from addax.engines.cpu import CpuEngine as CpuEngine, cpu_engine as cpu_engine

_set_compile_rule(_watch.compile_program)
