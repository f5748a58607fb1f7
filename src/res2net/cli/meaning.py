"""Options that mean nothing where they are typed: one line that says where they do.

What is typed counts, a default's value too; what a file of options carries along counts where it
is not the default. What a run saved is never refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from res2net.cli.parser import typed_options
from res2net.errors import UserError

Meaning = Mapping[str, Sequence[str]]  # option → subjects for which it means something


def check_meaning(argv: Iterable[str], means: Meaning, subject: str, of: str = "{}") -> None:
    """Refuse what is typed and means nothing for a subject.

    Args:
        means: options that are not in here mean something for every subject.
        of: how a subject is named to people, such as ``bench {}``.

    Raises:
        UserError: the first such option, and what it is for.
    """
    for name in typed_options(argv):
        if subject not in means.get(name, (subject,)):
            raise UserError(
                f"--{name} means nothing for {of.format(subject)}; it is for "
                f"{of.format(', '.join(means[name]))}"
            )


def check_needs(argv: Iterable[str], needs: Mapping[str, tuple[str, bool]]) -> None:
    """Refuse what is typed without what it needs.

    Args:
        needs: option → what it needs, in words, and whether that is given.

    Raises:
        UserError: the first such option.
    """
    for name in typed_options(argv):
        what, given = needs.get(name, ("", True))
        if not given:
            raise UserError(f"--{name} means nothing here; it needs {what}")
