"""``python -m addax launch -n 2 script.py``: several processes of one program on this machine."""

from __future__ import annotations

import argparse
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line. Returns the exit status: 0 if all processes ended well, else that of the first that did not."""
    parser = argparse.ArgumentParser(prog="python -m addax")
    commands = parser.add_subparsers(dest="command", required=True)
    launch_ = commands.add_parser("launch", help="run a script in several processes that work together")
    launch_.add_argument("-n", "--num-processes", type=int, default=2)
    launch_.add_argument("--devices", type=int, default=1, help="virtual CPU devices of each process")
    launch_.add_argument("--grace", type=float, default=15.0, help="seconds the others get to end once one has failed")
    launch_.add_argument("script")
    launch_.add_argument("args", nargs=argparse.REMAINDER)
    options = parser.parse_args(arguments)
    return launch(options.num_processes, [options.script, *options.args], options.devices, options.grace)


def launch(count: int, command: Sequence[str], devices: int = 1, grace: float = 15.0) -> int:
    """Run ``python *command`` in ``count`` processes; lines of their output are marked with their numbers."""
    address = f"127.0.0.1:{_free_port()}"
    running = []
    for rank in range(count):
        env = dict(
            os.environ, ADDAX_COORDINATOR_ADDRESS=address, ADDAX_NUM_PROCESSES=str(count), ADDAX_PROCESS_ID=str(rank),
            ADDAX_NUM_CPU_DEVICES=str(devices), PYTHONUNBUFFERED="1",
        )  # fmt: skip
        running.append(
            subprocess.Popen(
                [sys.executable, *command], env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
            )
        )
    readers = [threading.Thread(target=_relay, args=(r, p), daemon=True) for r, p in enumerate(running)]
    for t in readers:
        t.start()
    status, deadline = 0, None
    try:
        while any(p.poll() is None for p in running):
            failed = next((p for p in running if p.returncode not in (None, 0)), None)
            if failed is not None and deadline is None:
                status, deadline = failed.returncode, time.monotonic() + grace
            if deadline is not None and time.monotonic() > deadline:
                for p in running:
                    if p.poll() is None:
                        p.kill()
            time.sleep(0.05)
    except KeyboardInterrupt:
        for p in running:
            p.send_signal(signal.SIGINT)
        status = 130
    for t in readers:
        t.join()
    return status or next((p.returncode for p in running if p.returncode), 0)


def _relay(rank: int, process: subprocess.Popen) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        sys.stdout.write(f"[{rank}] {line}")
        sys.stdout.flush()
    process.wait()


def _free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]
