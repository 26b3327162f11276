"""What a program looks like to XLA, also for programs that another engine runs."""

from __future__ import annotations

import re

from addax.core.execution import CompileOptions
from addax.core.jaxpr import ClosedJaxpr
from addax.engines.xla.lower import lower
from addax.engines.xla.module import Target, indented

_LOCATIONS = re.compile(r"( loc\(#loc\d+\)$)|(^#loc\d+ = .*\n)", re.MULTILINE)


def without_locations(text: str) -> str:
    """A module without the files and lines its operations come from."""
    return _LOCATIONS.sub("", text)


def readable(text: str) -> str:
    """A module for people: blocks indented, no locations."""
    return indented(without_locations(text))


def text(closed: ClosedJaxpr, stage: str, platform: str = "cpu", debug_info: bool = False) -> str:
    """A program as "stablehlo", with ``debug_info`` also the lines and scopes that its operations come from; or as the "hlo"
    that XLA has made of it (which needs jaxlib).
    """
    if stage == "stablehlo":
        return indented(lower(closed, Target(platform), locations=debug_info).text)
    # these load jaxlib
    from addax.engines.xla.client import devices
    from addax.engines.xla.engine import xla_engine

    return xla_engine.compile(closed, CompileOptions(), devices(platform)[0]).as_text("hlo")
