"""Host names of this server: a page of another site must not act for its visitor.

A site can make its own name point to 127.0.0.1 (DNS rebinding): the visitor's browser then takes
this server for that site, and its scripts read every answer. The browser still sends the name, in
``Host``, so requests for unknown names are refused.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Sequence

from starlette.datastructures import Headers

from res2net.errors import UserError
from res2net.serve.refusal import Refusal

LOOPBACK = ("127.0.0.1", "::1", "localhost")
EVERYWHERE = ("0.0.0.0", "::", "")
_NETLOC = re.compile(r"(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9._-]+))(?::(\d{1,5}))?")


class Hosts:
    """The accepted host names and addresses.

    Args:
        bound: the address that the server listens at; with 0.0.0.0 or :: all numeric addresses,
            since no site can make those its own, and the name of this machine are accepted.
        allowed: further names, such as that of a proxy.

    Raises:
        UserError: an allowed name that is not a host name.
    """

    def __init__(self, bound: str = "127.0.0.1", allowed: Sequence[str] = ()) -> None:
        self.allowed = frozenset(_checked(name) for name in allowed)
        self.any_address = bound in EVERYWHERE
        own = socket.gethostname() if self.any_address else bound
        self.known = self.allowed | {*LOOPBACK, _plain(own)}

    def check(self, headers: Headers, method: str) -> None:
        """Check a request.

        Raises:
            Refusal: 421 for an unknown name; 403 for a page of another site that would change
                something.
        """
        asked = headers.getlist("host") or [""]
        asked += [each for line in headers.getlist("x-forwarded-host") for each in line.split(",")]
        for host in asked:
            if not self.knows(host.strip()):
                raise Refusal(421, _unknown(host.strip()))
        if method not in ("GET", "HEAD"):
            for origin in headers.getlist("origin"):
                if not self.owns(origin, asked):
                    raise Refusal(403, f"a page of {origin[:80]!r} may not use this server")

    def knows(self, host: str) -> bool:
        """Whether ``name``, ``name:port``, ``[v6]`` or ``[v6]:port`` is this server."""
        name = _name(host)
        return name is not None and (name in self.known or (self.any_address and _is_address(name)))

    def owns(self, origin: str, asked: Sequence[str]) -> bool:
        """Whether an origin is this server's: the requested host, or an allowed one.

        Other ports of this machine are other programs.
        """
        scheme, _, netloc = origin.partition("://")
        if scheme not in ("http", "https"):
            return False
        default = {"http": ":80", "https": ":443"}[scheme]
        same = {host.strip().lower().removesuffix(default) for host in asked}
        return netloc.lower().removesuffix(default) in same or _name(netloc) in self.allowed


def _name(netloc: str) -> str | None:
    """The host without its port; None if it is invalid."""
    found = _NETLOC.fullmatch(netloc)
    if not found or int(found[3] or 0) > 65535:
        return None
    return _plain(found[1] or found[2])


def _plain(name: str) -> str:
    """The canonical spelling of a name or address."""
    name = name.lower().removesuffix(".")
    return str(ipaddress.ip_address(name)) if _is_address(name) else name


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _checked(name: str) -> str:
    plain = _plain(name) if _is_address(name) else _name(name)
    if plain is None:
        raise UserError(
            f"--allowed-hosts: {name!r} is not a host name; give names such as photos.example.org"
        )
    return plain


def _unknown(host: str) -> str:
    shown = host[:80]
    if not shown:
        return "the request has no Host header; send the name or address of this server"
    return (
        f"{shown!r} is not a name of this server; use the address that it printed, or start it "
        "with --allowed-hosts and that name"
    )
