"""Starts the dashboard's server: on this machine only, without telemetry, with every setting explicit.

Nothing is read from a `config.toml`. Requests that name another host are refused while the server listens on this
machine only, so that a web page elsewhere cannot reach it by rebinding a name (DNS rebinding).
"""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
import webbrowser
from pathlib import Path
from threading import Thread

from auditkit.errors import InputError
from dashboard.appearance import theme_settings

APP = Path(__file__).with_name("app.py")
LOCAL = ("127.0.0.1", "localhost", "::1")


def command(root: Path, port: int, address: str = "127.0.0.1") -> list[str]:
    """The command that starts the server over the audits under `root`.

    >>> command(Path("reports"), 8501)[1:4]
    ['-m', 'streamlit', 'run']
    """
    settings = {
        "server.address": address,
        "server.port": str(port),
        "server.headless": "true",
        "server.fileWatcherType": "none",
        "server.runOnSave": "false",
        "server.enableXsrfProtection": "true",
        "server.enableCORS": "true",
        "server.enableStaticServing": "false",
        "server.maxUploadSize": "1",
        "browser.gatherUsageStats": "false",
        "browser.serverAddress": address,
        "client.showErrorDetails": "none",
        "client.showErrorLinks": "false",
        "client.toolbarMode": "viewer",
        "runner.magicEnabled": "false",
        "logger.level": "warning",
        **theme_settings(),
    }
    flags = [f"--{name}={value}" for name, value in settings.items()]
    if address in LOCAL:
        flags += [f"--server.allowedHosts={host}" for host in LOCAL]
    return [sys.executable, "-m", "streamlit", "run", str(APP), *flags, "--", str(root.resolve())]


def serve(root: Path, port: int = 8501, address: str = "127.0.0.1", open_browser: bool = False) -> int:
    """Serve the audits under `root` until interrupted; returns the exit code. `open_browser` opens a tab on it.

    Raises InputError where the folder is not there or the port is taken.
    """
    if not root.is_dir():
        raise InputError(f"{root}: there is no such folder; `auditkit demo --no-open` makes audits to look at")
    _claim(address, port)
    print(f"Dashboard: http://{address}:{port}   (ends with Ctrl+C)", flush=True)
    process = subprocess.Popen(command(root, port, address), stdout=subprocess.DEVNULL)
    signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    if open_browser and _has_screen():
        Thread(target=_open_when_ready, args=(f"http://{address}:{port}",), daemon=True).start()
    try:
        return process.wait()
    except KeyboardInterrupt:
        process.terminate()
        process.wait(timeout=10)
        return 0


def _has_screen() -> bool:
    """Whether a browser could show a window here; without one, some systems would start one in the terminal."""
    return sys.platform in ("darwin", "win32") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def _open_when_ready(url: str) -> None:
    for _ in range(100):
        try:
            with urllib.request.urlopen(f"{url}/_stcore/health", timeout=1):
                webbrowser.open(url)
                return
        except OSError:
            time.sleep(0.1)


def _claim(address: str, port: int) -> None:
    """Refuse a port that is taken before anything is started."""
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as problem:
            raise InputError(
                f"{address}:{port}: cannot listen there ({problem.strerror}); give another with --port"
            ) from None
