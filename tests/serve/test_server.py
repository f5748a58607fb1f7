"""The real process: it starts, refuses a taken port, and stops when it is told to."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import httpx
import pytest

from res2net.errors import UserError
from res2net.serve.api import make_app
from res2net.serve.server import Server, address_of, take_port
from res2net.serve.service import LONGEST_WAIT

pytest.importorskip("fastapi", reason="needs res2net[serve]")


def test_a_port_that_is_taken_is_one_line(cli):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        line = cli("serve", "shipped", "--port", port).line
    assert line == (
        f"--host 127.0.0.1 --port {port}: address already in use; choose another --port "
        "(0 takes a free one)"
    )


def test_addresses():
    with take_port("127.0.0.1", 0) as held:
        assert address_of(held) == f"http://127.0.0.1:{held.getsockname()[1]}"
    with pytest.raises(UserError, match="no such address"):
        take_port("not a host", 0)


@pytest.mark.parametrize(
    ("words", "start"),
    [
        (("--port", "70000"), "--port is 70000"),
        (("--queue", "0"), "--queue is 0"),
        (("--max-mib", "0"), "--max-mib is 0"),
        (("--max-megapixels", "-1"), "--max-megapixels is -1"),
        (("--token", " "), "the token is empty"),
        (
            ("--allowed-hosts", "a.example,http://b"),
            "--allowed-hosts: 'http://b' is not a host name",
        ),
        (("--hosts", "x"), "unknown option '--hosts'. Did you mean '--host'?"),
        (
            ("--precision", "fp8"),
            "--precision: must be one of 'auto', 'fp32', 'bf16', 'fp16', not 'fp8'",
        ),
        (("nowhere", "--port", "0"), "nowhere: no such run, checkpoint or network."),
        (("res2net50_26w_4s", "--port", "0"), "res2net50_26w_4s has no weights"),
    ],
)
def test_mistakes_are_one_line(cli, words, start):
    assert cli("serve", *words).line.startswith(start)


def test_a_signal_finishes_what_runs_and_refuses_what_comes(service, stub, encoded):
    """Uvicorn in a thread; the signal is handed to it as the operating system would."""
    server = Server(make_app(service), service)
    with take_port("127.0.0.1", 0) as held:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [held]})
        thread.start()
        address = address_of(held)
        while not server.started:
            time.sleep(0.01)
        stub.go.clear()

        async def talk():
            async with httpx.AsyncClient(base_url=address, timeout=20) as client:
                how = {"content": encoded(), "headers": {"Content-Type": "image/png"}}
                early = asyncio.create_task(client.post("/v1/predict", **how))
                while service.idle:
                    await asyncio.sleep(0.01)
                server.handle_exit(signal.SIGTERM, None)
                late = await client.post("/v1/predict", **how)
                stub.go.set()
                return await early, late

        early, late = asyncio.run(talk())
        thread.join(20)
        assert not thread.is_alive()
    assert (early.status_code, late.status_code) == (200, 503)
    with pytest.raises(httpx.ConnectError):
        httpx.get(address)


def test_a_connection_outlives_the_wait_that_a_client_is_told(service):
    server = Server(make_app(service), service)
    assert server.config.timeout_keep_alive > LONGEST_WAIT


@pytest.mark.parametrize("ignored", [True, False])
def test_ctrl_c_stays_ignored_in_the_background_of_a_script(service, ignored):
    usual = signal.SIG_IGN if ignored else signal.default_int_handler
    before = signal.signal(signal.SIGINT, usual)
    try:
        server = Server(lambda *_: None, service)
        with server.capture_signals():
            assert (signal.getsignal(signal.SIGINT) is signal.SIG_IGN) == ignored
            assert signal.getsignal(signal.SIGTERM) == server.handle_exit
        assert signal.getsignal(signal.SIGINT) is usual
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.slow
@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_the_process_ends_well(tiny_run, sign):
    command = [sys.executable, "-m", "res2net", "serve", str(tiny_run), "--port", "0"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ
    ) as process:
        lines = [process.stdout.readline(), process.stdout.readline()]
        process.send_signal(sign)
        out, err = process.communicate(timeout=60)
    assert lines[0] == "run: res2net29_small on digits, PyTorch\n"
    assert lines[1].startswith("page: http://127.0.0.1:")
    assert (out, err, process.returncode) == ("stopped\n", "", 0)
