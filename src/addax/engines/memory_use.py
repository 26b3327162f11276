"""How much memory a compiled program takes: what `Compiled.memory_analysis` returns, from any engine."""

from __future__ import annotations

from typing import Any, NamedTuple


class MemoryAnalysis(NamedTuple):
    """Bytes, while a compiled program runs. Of a program over several devices: on each of them.

    Attributes:
      argument_size_in_bytes: what it is given.
      output_size_in_bytes: what it returns.
      temp_size_in_bytes: its working memory. The CPU engine plans it as one block, so this is exact, to the block.
      constant_size_in_bytes: arrays that stand in the program.
      alias_size_in_bytes: of the results, what takes no memory of its own: results that are arguments, constants or other
        results, and those written over a donated argument.
      generated_code_size_in_bytes: its machine code.
    """

    argument_size_in_bytes: int
    output_size_in_bytes: int
    temp_size_in_bytes: int
    constant_size_in_bytes: int = 0
    alias_size_in_bytes: int = 0
    generated_code_size_in_bytes: int = 0

    @property
    def peak_memory_in_bytes(self) -> int:
        """The most that is in use at once: arguments, results and working memory, each counted once."""
        return (
            self.argument_size_in_bytes + self.output_size_in_bytes + self.temp_size_in_bytes - self.alias_size_in_bytes
        )


def of_xla(stats: Any, constants: int) -> MemoryAnalysis:
    """From the figures of XLA's buffer assignment."""
    return MemoryAnalysis(
        stats.argument_size_in_bytes, stats.output_size_in_bytes, stats.temp_size_in_bytes, constants,
        stats.alias_size_in_bytes, stats.generated_code_size_in_bytes,
    )  # fmt: skip
