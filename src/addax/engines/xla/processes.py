"""Several processes as one machine: the coordination service, and a watchdog that names who has stopped.

Process 0 runs the service; all connect to it. Programs over devices of several processes run in step: each process must
launch the same ones in the same order. If one dies or falls behind, the collectives of the others wait for ever; the
watchdog of each sees it, says which process it is, at which step and in which collective it itself is waiting, and ends
the process.
"""

from __future__ import annotations

import contextlib
import faulthandler
import json
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from addax.engines.xla import compat
from addax.engines.xla.compat import distributed_client, distributed_service, gloo_collectives

BEAT = 0.5  # seconds between signs of life
DEAD_AFTER = 5.0  # seconds without one
EXIT_CODE = 70


class Processes:
    """This process among the others."""

    def __init__(self, address: str, count: int, rank: int, timeout: int, stall_after: float, bind: str | None):
        self.address, self.count, self.rank = address, count, rank
        self.service = distributed_service(bind or address, count, timeout) if rank == 0 else None
        self.client = distributed_client(address, rank, timeout)
        try:
            with compat.without_jax():
                self.client.connect()
        except compat.XlaRuntimeError as error:
            raise RuntimeError(
                f"process {rank} of {count} could not reach the others through the coordinator at {address} within "
                f"{timeout} s. Is process 0 running, with the same address and number of processes? ({_first_line(error)})"
            ) from None
        self.watchdog = Watchdog(self, stall_after)
        self.watchdog.start()

    def collectives(self) -> Any:
        """How CPU devices of different processes talk to each other."""
        host = self.address.rpartition(":")[0]
        return gloo_collectives(self.client, host if host in ("127.0.0.1", "localhost") else None)

    def shutdown(self) -> None:
        """Leave: waits some seconds for the others to leave too, as process 0 takes the coordinator with it."""
        self.watchdog.stop()
        with contextlib.suppress(compat.XlaRuntimeError):
            self.client.wait_at_barrier("addax/exit", 10_000)
        with contextlib.suppress(compat.XlaRuntimeError):
            self.client.shutdown()
        if self.service is not None:
            self.service.shutdown()


class Watchdog(threading.Thread):
    """Publishes what this process does, and watches what the others publish.

    Args:
      stall_after: seconds this process waits for a program before it asks who has not launched it.
    """

    def __init__(self, processes: Processes, stall_after: float):
        super().__init__(name="addax watchdog", daemon=True)
        self.processes, self.stall_after = processes, stall_after
        self.step, self.name, self.started = 0, "", 0.0
        self.pending: list[Any] = []
        self.describe: Callable[[], str] = lambda: ""
        self._beats, self.failed = 0, False
        self._stop_event = threading.Event()
        self._seen: dict[int, tuple[int, float]] = {}

    # -- what the engine tells

    def launched(self, name: str, outs: list[Any], describe: Callable[[], str]) -> None:
        """A program over several processes has been launched; ``describe`` tells which collectives are in it."""
        self.step += 1
        self.name, self.started, self.pending, self.describe = name, time.monotonic(), list(outs), describe

    def wait_for_last(self) -> None:
        """Wait for what was launched last: processes with one device each could run two programs in different orders."""
        for x in self.pending:
            try:
                if not x.is_deleted():
                    x.block_until_ready()
            except compat.XlaRuntimeError:
                explain()
                raise

    def stop(self) -> None:
        """End the thread; it must not be inside the runtime when the interpreter goes."""
        self._stop_event.set()
        if threading.current_thread() is not self:
            self.join(timeout=10)

    # -- the thread

    def run(self) -> None:
        me = self.processes.rank
        while not self._stop_event.wait(BEAT):
            self._beats += 1
            record = {"beat": self._beats, "step": self.step, "name": self.name, "waiting": self._waiting() > 0}
            try:
                self.processes.client.key_value_set(f"addax/progress/{me}", json.dumps(record), True)
                records = self.processes.client.key_value_dir_get("addax/progress/")
            except compat.XlaRuntimeError as error:
                if not self._stop_event.is_set():
                    self.report(f"process 0, which runs the coordinator, cannot be reached ({_first_line(error)})")
                return
            self._examine({int(k.rpartition("/")[2]): json.loads(v) for k, v in records})

    def _waiting(self) -> float:
        """How long the last program has been running, 0 if it is done."""
        try:
            done = all(x.is_deleted() or x.is_ready() for x in self.pending)
        except compat.XlaRuntimeError:
            done = True  # it has failed, and says so where its results are read
        return 0.0 if done else time.monotonic() - self.started

    def _examine(self, records: dict[int, dict[str, Any]]) -> None:
        now = time.monotonic()
        for rank, record in records.items():
            if record.get("left"):
                self._seen.pop(rank, None)
                continue
            beat, since = self._seen.get(rank, (-1, now))
            if record["beat"] != beat:
                self._seen[rank] = (record["beat"], now)
            elif rank != self.processes.rank and now - since > DEAD_AFTER:
                self.report(
                    f"process {rank} has given no sign of life for {now - since:.0f} s; it was at step {record['step']}"
                    + (f" ({record['name']})" if record["name"] else "")
                )
                return
        if self._waiting() > self.stall_after:
            behind = {r: rec for r, rec in records.items() if rec["step"] < self.step}
            if behind:
                told = "; ".join(
                    f"process {r} is at step {rec['step']}" + (f" ({rec['name']})" if rec["name"] else "")
                    for r, rec in sorted(behind.items())
                )
                self.report(f"{told}: it has not launched step {self.step} for {self._waiting():.0f} s")

    def report(self, what: str) -> None:
        """Say what happened and where this process is, and end it: its main thread may be inside a collective."""
        waiting = self._waiting()
        here = f"step {self.step}" + (f" ({self.name})" if self.name else "")
        lines = [f"addax: process {self.processes.rank} of {self.processes.count} ends: {what}."]
        if waiting or self.failed:
            how = "which failed" if self.failed else f"for {waiting:.1f} s"
            lines.append(f"addax: process {self.processes.rank} was waiting for {here}{self.describe()}, {how}.")
        else:
            lines.append(f"addax: process {self.processes.rank} had finished {here}.")
        sys.stdout.flush()
        print("\n".join(lines), file=sys.stderr, flush=True)
        faulthandler.dump_traceback(file=sys.stderr, all_threads=True)
        os._exit(EXIT_CODE)


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:200]


_current: Processes | None = None


def explain() -> None:
    """A wait for results has failed, perhaps because a process died in a collective: the watchdog is given the time to see
    which one, and ends this process with its report."""
    if _current is not None:
        _current.watchdog.failed = True
        _current.watchdog.join(timeout=DEAD_AFTER + 4 * BEAT)


def current() -> Processes | None:
    """This process among the others, if `initialize` was called."""
    return _current


def initialize(address: str, count: int, rank: int, timeout: int, stall_after: float, bind: str | None) -> Processes:
    global _current
    if _current is not None:
        raise RuntimeError("distributed.initialize should only be called once.")
    _current = Processes(address, count, rank, timeout, stall_after, bind)
    return _current


def shutdown() -> None:
    global _current
    if _current is not None:
        processes, _current = _current, None
        processes.shutdown()
