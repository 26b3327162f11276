"""What a bug report should say of the machine and of the versions."""

from __future__ import annotations

import importlib.metadata
import platform
import sys

from addax.api import devices, get_num_threads, process_count


def print_environment_info(return_string: bool = False) -> str | None:
    """Print the versions of addax and what it stands on, the devices, and the machine.

    Args:
      return_string: give the text back instead.

    >>> import addax
    >>> addax.print_environment_info(return_string=True).splitlines()[0].split(":")[0]
    'addax'
    """
    lines = []
    for package in ("addax", "numpy", "scipy", "llvmlite", "ml_dtypes", "jaxlib"):
        try:
            version = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            version = "not installed"
        lines.append(f"{package + ':':<10}{version}")
    machine = platform.uname()
    lines += [
        f"python:   {sys.version}",
        f"devices:  {devices()}",
        f"threads:  {get_num_threads()}",
        f"processes: {process_count()}",
        f"platform: {machine.system} {machine.release} {machine.machine}",
    ]
    text = "\n".join(lines)
    if return_string:
        return text
    print(text)
    return None
