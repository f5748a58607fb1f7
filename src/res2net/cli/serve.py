"""``res2net serve``."""

from __future__ import annotations

import os
from collections.abc import Sequence

from jsonargparse import Namespace

from res2net.cli.parser import Parser, read_options
from res2net.cli.targets import add_capture_options, add_precision, check_targets
from res2net.errors import UserError, option

EXAMPLES = (
    "res2net serve",
    "res2net serve runs/photos",
    "res2net serve runs/photos runs/cells --port 8000     # two side by side",
    "RES2NET_TOKEN=a-long-secret res2net serve runs/photos --host 0.0.0.0",
)


def make_parser() -> Parser:
    """All options of a server."""
    parser = Parser(
        "serve [RUN|CHECKPOINT|ARTIFACT ...] [--option value ...]",
        "Serve networks: a local page that predicts dropped photos, and a JSON API over HTTP "
        "(docs/serve.md). Without a target, the small network shipped with the package is served.",
        EXAMPLES,
    )
    parser.add_argument(
        "targets", type=str, nargs="*", help="run folders, checkpoints, .safetensors or artifacts"
    )
    parser.add_argument("--host", type=str, default="127.0.0.1", help="address to listen at")
    parser.add_argument("--port", type=int, default=7860, help="port to listen at; 0: a free one")
    parser.add_argument(
        "--token",
        type=str | None,
        help="secret that page and API require; default: RES2NET_TOKEN, or none",
    )
    parser.add_argument(
        "--allowed-hosts",
        type=str | None,
        help="further host names of this server, separated by commas; requests for others get HTTP "
        "421; default: none",
    )
    parser.add_argument(
        "--queue",
        type=int,
        default=32,
        help="maximum number of images waiting for a network; further ones get HTTP 429",
    )
    parser.add_argument(
        "--max-mib",
        type=float,
        default=16,
        help="maximum upload size in MiB; larger uploads get HTTP 413",
    )
    parser.add_argument(
        "--max-megapixels",
        type=float,
        default=50,
        help="maximum size of an uploaded image; larger ones get HTTP 413",
    )
    add_precision(parser)
    add_capture_options(parser)
    return parser


def main(argv: Sequence[str]) -> None:
    """Load, listen, and finish pending requests when stopped."""
    options = read_options(make_parser(), argv)
    token = check(options)
    check_targets(*options.targets)
    serve(options, token)


def check(options: Namespace) -> str | None:
    """The token, if there is one.

    Raises:
        UserError: an option out of range.
    """
    if not 0 <= options.port < 65536:
        raise UserError(f"--port is {options.port}; it must lie in 0..65535")
    if options.queue < 1:
        raise UserError(f"--queue is {options.queue}; it must be at least 1")
    for name in ("max_mib", "max_megapixels"):
        if not 0 < options[name] < float("inf"):
            raise UserError(f"{option(name)} is {options[name]}; it must be above 0")
    token = options.token if options.token is not None else os.environ.get("RES2NET_TOKEN")
    if token is not None and not token.strip():
        raise UserError("the token is empty; give --token or RES2NET_TOKEN a long secret, or none")
    return token


def serve(options: Namespace, token: str | None) -> None:
    """Load the networks and listen until stopped.

    Raises:
        UserError: the port is taken, or a target cannot be loaded.
    """
    from res2net.serve.hosts import LOOPBACK, Hosts
    from res2net.serve.server import Server, address_of, take_port

    names = options.allowed_hosts.split(",") if options.allowed_hosts else []
    hosts = Hosts(options.host, [name.strip() for name in names])
    with take_port(options.host, options.port) as held:
        from res2net.serve.networks import open_networks
        from res2net.weights.catalogue import shipped

        networks = open_networks(
            options.targets or [str(shipped())],
            precision=options.precision,
            capture=options.capture,
            compiled=options.compile,
        )

        from res2net.serve.api import make_app
        from res2net.serve.examples import example_photos
        from res2net.serve.page import add_page
        from res2net.serve.service import Limits, Service

        limits = Limits(
            waiting=options.queue,
            max_bytes=round(options.max_mib * 2**20),
            max_pixels=round(options.max_megapixels * 1e6),
        )
        service = Service(networks, limits)
        address = address_of(held)
        app = make_app(service, hosts=hosts, token=token)
        secret = token is not None
        add_page(app, service, address=address, token=secret, examples=example_photos())
        for served in networks:
            print(f"{served.name}: {served.title}")
        if token is None and options.host not in LOOPBACK:
            print("no --token is set: anybody who can reach this machine can use it")
        where = f"page: {address}    JSON: POST {address}/v1/predict    stop: Ctrl-C"
        Server(app, service, ready=lambda: print(where, flush=True)).run(sockets=[held])
        print("stopped")
