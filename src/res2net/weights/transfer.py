"""One connection: what a server sends is appended to a part file that a later one can resume."""

from __future__ import annotations

import errno
import http.client
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import res2net
from res2net.files import write_text

Show = Callable[[int, int | None], None]  # bytes so far, bytes in all where known

_PASSING = {408, 425, 429, 500, 502, 503, 504}  # a later attempt may succeed
_CHUNK = 1 << 16  # bytes
_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")


def silent(_done: int, _total: int | None) -> None:
    """Show nothing."""


class RefusedError(Exception):
    """This address will not give the file."""


class BrokenOffError(Exception):
    """A later attempt may give the rest.

    Args:
        wait: seconds that the server asked for.
        reached: whether the server answered at all.
    """

    def __init__(self, reason: str, *, wait: float = 0.0, reached: bool = True) -> None:
        super().__init__(reason)
        self.wait = wait
        self.reached = reached


@dataclass(frozen=True, slots=True)
class _Origin:
    """Where a part came from."""

    url: str
    validator: str  # the server's mark of this version of the file, "" for none
    total: int | None  # bytes


class Part:
    """A file on its way: ``FILE.part``, and ``FILE.part.json`` that says where it came from.

    Args:
        any_mirror: bytes of different mirrors may be joined, because a hash will tell.
    """

    def __init__(self, path: Path, *, any_mirror: bool) -> None:
        self.path = path
        self.any_mirror = any_mirror
        self.conclusive = False  # came in one go, as long as announced: a wrong hash is final
        self._about = path.with_name(f"{path.name}.json")

    @property
    def size(self) -> int:
        """Bytes that are there."""
        return self.path.stat().st_size if self.path.is_file() else 0

    def origin(self) -> _Origin | None:
        """What is known of the bytes that are there; None where they cannot be resumed."""
        try:
            values = json.loads(self._about.read_text())
            return _Origin(values["url"], values["validator"], values["total"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def remember(self, origin: _Origin) -> None:
        """Note where the bytes come from."""
        values = {"url": origin.url, "validator": origin.validator, "total": origin.total}
        write_text(self._about, json.dumps(values))

    def remove(self) -> None:
        """Forget all of it."""
        self.path.unlink(missing_ok=True)
        self._about.unlink(missing_ok=True)


def transfer(url: str, part: Part, *, stall: float, show: Show) -> None:
    """Fetch what is missing of a file; on return the part is complete as far as the server says.

    Raises:
        RefusedError: the server will not give it.
        BrokenOffError: broken off; what came is kept in the part.
        OSError: it cannot be written.
    """
    origin = part.origin()
    may_join = origin is not None and (
        part.any_mirror or (origin.url == url and bool(origin.validator))
    )
    offset = part.size if may_join else 0
    part.conclusive = False
    headers = {"User-Agent": f"res2net/{res2net.__version__}", "Accept-Encoding": "identity"}
    if origin is not None and offset:
        headers["Range"] = f"bytes={offset}-"
        if origin.url == url and origin.validator:
            headers["If-Range"] = origin.validator
    try:
        response = urlopen(Request(url, headers=headers), timeout=stall)
    except HTTPError as error:
        _explain(error, part, offset)
    except URLError as error:
        raise BrokenOffError(f"not reached ({error.reason})", reached=False) from None
    except TimeoutError:
        raise BrokenOffError(f"no answer in {stall:g} s", reached=False) from None
    except (http.client.InvalidURL, ValueError):
        raise RefusedError("not a valid address") from None
    except (http.client.HTTPException, OSError) as error:
        raise BrokenOffError(_text(error)) from None
    else:
        with response:
            _receive(response, url, part, offset, stall, show)


def _explain(error: HTTPError, part: Part, offset: int) -> None:
    """Turn the server's refusal into ours; return where it means that nothing is missing."""
    with error:
        if error.code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            if error.headers.get("Content-Range") == f"bytes */{offset}":
                return  # all bytes were there already
            part.remove()
            raise BrokenOffError("it has another version of the file now")
        reason = f"{error.code} {error.reason}"
        if error.code in _PASSING:
            wait = error.headers.get("Retry-After", "")
            raise BrokenOffError(reason, wait=float(wait) if wait.isdecimal() else 0.0)
        raise RefusedError(reason)


def _receive(response: Any, url: str, part: Part, offset: int, stall: float, show: Show) -> None:
    """Append the body to the part, or start it anew where the server sends all of it."""
    headers = response.headers
    if headers.get_content_type() == "text/html":
        raise RefusedError("a web page instead of the file")
    length = headers.get("Content-Length", "")
    total = int(length) if length.isdecimal() else None
    if response.status == HTTPStatus.PARTIAL_CONTENT:
        total = _check_range(headers.get("Content-Range", ""), part, offset)
    else:
        offset = 0
    if total is not None and shutil.disk_usage(part.path.parent).free < total - offset:
        raise OSError(errno.ENOSPC, "No space left on device")
    validator = headers.get("ETag", "")
    if not validator or validator.startswith("W/"):  # a weak mark does not promise equal bytes
        validator = headers.get("Last-Modified", "")
    with part.path.open("ab" if offset else "wb") as file:
        part.remember(_Origin(url, validator, total))
        done = offset
        while chunk := _read(response, stall):
            file.write(chunk)
            done += len(chunk)
            show(done, total)
    if total is not None and done != total:
        raise BrokenOffError(f"broken off after {done:,} of {total:,} bytes")
    part.conclusive = offset == 0 and total is not None


def _check_range(text: str, part: Part, offset: int) -> int | None:
    """The size of the whole file, where the server sends what was asked for."""
    found = _RANGE.fullmatch(text)
    if not found or int(found.group(1)) != offset:
        part.remove()
        raise BrokenOffError("it sent another part of the file than was asked for")
    total = None if found.group(2) == "*" else int(found.group(2))
    origin = part.origin()
    if origin and origin.total and total and origin.total != total:
        part.remove()
        raise BrokenOffError("it has another version of the file")
    return total


def _read(response: Any, stall: float) -> bytes:
    """The next bytes; only the network's errors are caught here, never the disk's."""
    try:
        chunk: bytes = response.read1(_CHUNK)
        return chunk
    except TimeoutError:
        raise BrokenOffError(f"no byte in {stall:g} s") from None
    except (http.client.HTTPException, OSError) as error:
        raise BrokenOffError(_text(error)) from None


def _text(error: Exception) -> str:
    """An error in a few words."""
    return " ".join(str(getattr(error, "strerror", None) or error).split()) or type(error).__name__
