import contextlib
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from streamlit import config

from auditkit.errors import InputError
from dashboard.serve import APP, command, serve


def settings(words: list[str]) -> dict[str, str]:
    return dict(word.removeprefix("--").split("=", 1) for word in words if word.startswith("--") and "=" in word)


def test_it_listens_on_this_machine_only_and_tells_nobody(tmp_path: Path) -> None:
    words = command(tmp_path, 8501)
    given = settings(words)
    assert words[:5] == [sys.executable, "-m", "streamlit", "run", str(APP)]
    assert given["server.address"] == "127.0.0.1"
    assert given["browser.gatherUsageStats"] == "false"
    assert given["client.showErrorDetails"] == "none"
    assert given["client.toolbarMode"] == "viewer"
    assert {"--server.allowedHosts=127.0.0.1", "--server.allowedHosts=localhost"} <= set(words)
    assert words[-2:] == ["--", str(tmp_path.resolve())]


def test_another_address_is_taken_when_told_so_and_may_be_asked_by_any_name(tmp_path: Path) -> None:
    words = command(tmp_path, 80, "0.0.0.0")
    assert settings(words)["server.address"] == "0.0.0.0"
    assert not any("allowedHosts" in word for word in words)


def test_streamlit_knows_every_setting(tmp_path: Path) -> None:
    assert set(settings(command(tmp_path, 1))) <= set(config.get_config_options())


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        serve(tmp_path / "nowhere")


def test_a_port_that_is_taken_is_refused(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(InputError, match="cannot listen there"):
            serve(tmp_path, port=taken.getsockname()[1])


def test_it_serves_from_any_folder_and_ends_when_told_to(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    script = f"import pathlib, sys; from dashboard.serve import serve; sys.exit(serve(pathlib.Path('.'), {port}))"
    with subprocess.Popen([sys.executable, "-c", script], cwd=tmp_path, stdout=subprocess.PIPE, text=True) as started:
        assert started.stdout is not None
        assert f"http://127.0.0.1:{port}" in started.stdout.readline()
        assert answers(port)
        started.send_signal(signal.SIGTERM)
        assert started.wait(timeout=15) == 0
    with contextlib.suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port), timeout=1):
        pytest.fail("the server outlived the command that started it")


def answers(port: int) -> bool:
    """Whether the server answers within half a minute."""
    for _ in range(150):
        with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health") as reply:
            return bool(reply.status == 200)
        time.sleep(0.2)
    return False
