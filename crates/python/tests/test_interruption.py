"""Ctrl-C interrupts a call, and leaves nothing behind."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Iterator

import pytest

import longshore

if sys.platform == "win32":
    pytest.skip("Windows has no SIGINT for a single process", allow_module_level=True)

PROGRAM = """
import signal, sys, time
import longshore

# A process in the background of a shell without job control inherits that SIGINT is ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)

repository = longshore.Registry(sys.argv[1], auth=None).repository("app")
DIGEST = longshore.Digest.of(b"content")

def endless():
    print("ready", flush=True)
    while True:
        yield bytes(1 << 16)
        time.sleep(0.01)

try:
    {work}
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


class Stalling(BaseHTTPRequestHandler):
    """A registry that begins to send a blob, and never continues."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(8 << 20))
        self.end_headers()
        self.wfile.write(bytes(4 << 20))
        self.wfile.flush()
        time.sleep(60)

    def do_HEAD(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(8 << 20))
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def stalling() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Stalling) as server:
        server.daemon_threads = True
        server.block_on_close = False
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


def interrupt(work: str, registry: str, folder: Path) -> float:
    """Runs a program, sends it SIGINT, and returns the seconds until the call has ended."""
    command = [sys.executable, "-c", PROGRAM.format(work=work), registry]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=folder)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.3)
    start = time.monotonic()
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline() == "interrupted\n"
    took = time.monotonic() - start
    assert process.wait(10) == 0
    return took


WAITS = {
    "a request": 'print("ready", flush=True); repository.manifest("v1")',
    "a read": 'print("ready", flush=True); repository.blob(DIGEST).read()',
    "a download": 'print("ready", flush=True); repository.blob(DIGEST).save("saved")',
}


@pytest.mark.parametrize("what", WAITS)
def test_ctrl_c_interrupts(what: str, stalling: str, tmp_path: Path) -> None:
    # The limit of 200 ms has room for a busy machine.
    assert interrupt(WAITS[what], stalling, tmp_path) < 2
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_interrupts_an_upload(tmp_path: Path) -> None:
    work, root = tmp_path / "work", tmp_path / "root"
    work.mkdir()
    with longshore.serve(root=root) as registry:
        assert interrupt("repository.push(endless())", registry.name, work) < 2
        # The registry learns of the canceled session a moment later.
        deadline = time.monotonic() + 10
        while uploads(root) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert uploads(root) == []
    assert list(work.iterdir()) == []


def uploads(root: Path) -> "list[Path]":
    """Returns the files of large uploads."""
    return [path for path in root.rglob("*") if path.is_file() and path.stat().st_size > 1 << 15]


def test_ctrl_c_ends_the_program(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "longshore", "serve", "--listen", "127.0.0.1:0", "--memory"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline().startswith("listening on")
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 0 and "Traceback" not in errors
