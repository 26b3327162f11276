"""The loggers of addax, below the name ``addax``. `logging` is loaded by the first message (3 ms of a program's start)."""

from __future__ import annotations

from addax.core.config import config, logging_level


def log(part: str, message: str, *args: object) -> None:
    """Log a message that an option asked for, as a warning of the logger ``addax.<part>``, so that it is seen."""
    import logging

    logging.getLogger(f"addax.{part}").warning(message, *args)


def set_level(level: str) -> None:
    import logging

    logging.getLogger("addax").setLevel(level)


config.on_update("logging_level", set_level)
if logging_level.value != "NOTSET":
    set_level(logging_level.value)
