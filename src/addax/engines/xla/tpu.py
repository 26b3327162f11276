"""TPUs: the libtpu plugin, loaded without importing jax. Programs can be compiled for TPUs that are not here."""

from __future__ import annotations

import functools
import glob
import os
from collections.abc import Sequence
from typing import Any

from addax.engines.xla import compat
from addax.engines.xla.cuda import find_library


@functools.cache
def load_plugin() -> None:
    """Load libtpu, unless JAX, in the same process, has.

    Raises:
      RuntimeError: if the wheel is not installed.
    """
    library = find_library("libtpu", "libtpu.so")
    if library is None:
        raise RuntimeError("libtpu is not installed: pip install libtpu")
    if not (glob.glob("/dev/accel*") or glob.glob("/dev/vfio/[0-9]*")):  # no TPU: only to compile for one
        os.environ.setdefault("TPU_SKIP_MDS_QUERY", "1")  # or libtpu asks the cloud, for minutes, which machine this is
        os.environ.setdefault("ALLOW_MULTIPLE_LIBTPU_LOAD", "1")  # or it refuses a second process that compiles
    with compat.without_jax():
        if not compat.pjrt_plugin_loaded("tpu"):
            compat.load_pjrt_plugin_dynamically("tpu", str(library))
        if not compat.pjrt_plugin_initialized("tpu"):
            compat.initialize_pjrt_plugin("tpu")


def make_client() -> Any:
    """The client of the TPUs of this machine."""
    load_plugin()
    return compat.make_c_api_client("tpu", {}, None)


def topology(name: str) -> Sequence[Any]:
    """Devices to compile for that need not be here: ``"v5e:2x2"``."""
    load_plugin()
    with compat.without_jax():
        return compat.make_tfrt_tpu_c_api_device_topology(name)._make_compile_only_devices()
