"""What a program looks like to XLA, also for programs that another engine runs."""

from __future__ import annotations

from addax.core.jaxpr import ClosedJaxpr
from addax.engines.xla.lower import lower
from addax.engines.xla.module import Target, indented


def text(closed: ClosedJaxpr, stage: str, platform: str = "cpu") -> str:
    """A program as "stablehlo", or as the "hlo" that XLA has made of it (which needs jaxlib)."""
    if stage == "stablehlo":
        return indented(lower(closed, Target(platform), locations=False).text)
    from addax.engines.xla.executable import compile_program  # loads jaxlib

    return compile_program(closed, Target(platform)).as_text("hlo")
