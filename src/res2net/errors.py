"""What ends a command early, each with one clear line: a mistake of the user's, or a stop."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(ValueError):
    """A mistake the user can mend.

    The message is one line: which file or option, what is wrong, what to do. The command line
    prints it and exits with code 2. It is a ``ValueError``, so callers of the Python API can treat
    it as one.
    """


class TakenError(UserError):
    """Another process writes to the folder; the message names it."""


class Stopped(KeyboardInterrupt):
    """Somebody stopped the work (Ctrl-C, SIGTERM); the message is one line on how to go on."""


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """``" Did you mean 'x'?"`` with the nearest of ``choices`` (up to three that begin alike).

    Returns ``""`` where nothing is near.
    """
    known = list(choices)
    near = [choice for choice in known if word and choice.startswith(word)][:3]
    near = near or difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
