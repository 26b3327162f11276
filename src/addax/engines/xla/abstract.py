"""Programs for meshes that have no devices: their StableHLO can be looked at, for any number of devices, but not run."""

from __future__ import annotations

from typing import Any, NoReturn

from addax.core.execution import CompileOptions, meshes_in
from addax.core.jaxpr import ClosedJaxpr
from addax.core.sharding import NamedSharding
from addax.engines.xla.engine import check_layouts
from addax.engines.xla.inspect import readable
from addax.engines.xla.layouts import ShardedTarget
from addax.engines.xla.lower import lower
from addax.engines.xla.module import indented


class AbstractProgram:
    """A program lowered for an `AbstractMesh`, as `Lowered` shows it.

    Raises:
      ValueError: if its arguments and results name meshes of different sizes.
    """

    def __init__(self, closed: ClosedJaxpr, options: CompileOptions, platform: str = "cpu"):
        given = options.in_shardings or (None,) * len(closed.in_avals)
        wanted = options.out_shardings or (None,) * len(closed.out_avals)
        named = [s.mesh for s in (*given, *wanted) if isinstance(s, NamedSharding)]
        meshes = list(dict.fromkeys([*named, *meshes_in(closed)]))
        if len({m.size for m in meshes}) > 1:
            raise ValueError(f"a program is for meshes of one size, got {', '.join(map(repr, meshes))}")
        self._closed, self.in_shardings, self.out_shardings = closed, list(given), list(wanted)
        target = ShardedTarget(
            platform, range(meshes[0].size), meshes,
            [(s, a.ndim) for s, a in zip(given, closed.in_avals, strict=True)],
            [(s, a.ndim) for s, a in zip(wanted, closed.out_avals, strict=True)],
        )  # fmt: skip
        check_layouts(closed, given, wanted)
        self._text = lower(closed, target, options.donated).text

    def as_text(self, stage: str = "stablehlo", debug_info: bool = False) -> str:
        if stage == "jaxpr":
            return str(self._closed)
        if stage == "stablehlo":
            return indented(self._text) if debug_info else readable(self._text)
        self._refuse(f"the stage {stage!r}")

    @property
    def executable(self) -> Any:
        self._refuse("running")

    run = executable

    def cost_analysis(self) -> NoReturn:
        self._refuse("cost_analysis")

    memory_analysis = cost_analysis

    def _refuse(self, what: str) -> NoReturn:
        raise ValueError(
            f"{what} needs devices, and the arguments of this program are laid out over an AbstractMesh, which has none: only "
            'as_text("jaxpr") and as_text("stablehlo") are there. Lay them out over a Mesh.'
        )
