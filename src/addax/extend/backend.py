"""Which platform programs run on."""

from __future__ import annotations

from typing import Any

from addax.engines import platforms as _platforms


class Backend:
    """A platform: its name and its devices."""

    def __init__(self, platform: str):
        self.platform = platform

    def devices(self) -> list[Any]:
        return _platforms.devices(self.platform)

    def device_count(self) -> int:
        return len(self.devices())

    def __repr__(self) -> str:
        return f"Backend({self.platform!r})"


def get_backend(platform: str | None = None) -> Backend:
    """The platform of this name, by default the one programs run on.

    Raises:
      RuntimeError: if there is none of that name, or it has no devices here.

    >>> from addax.extend import backend
    >>> backend.get_backend("cpu").device_count()
    1
    """
    found = Backend(_platforms.default_platform() if platform is None else _platforms.ALIASES.get(platform, platform))
    found.devices()
    return found


def get_default_device() -> Any:
    """Where arrays are made when nothing says otherwise."""
    return _platforms.default_device()
