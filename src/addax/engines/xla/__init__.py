"""The XLA engine: jaxprs become StableHLO text, which XLA compiles for CPUs, GPUs and TPUs, one device or many.

`addax.engines.xla.lower.lower` needs nothing but addax; what compiles and runs needs the jaxlib wheel (``pip install
'addax[xla]'``). jax itself is never imported. README.md in this folder is the map.
"""
