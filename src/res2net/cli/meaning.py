"""Options that mean nothing where they are typed: one line that says where they do.

What is typed counts, a default's value too; what a file of options carries along counts where it
is not the default. What a run saved is never refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from res2net.cli.parser import config_files, config_values, typed_options
from res2net.config import READ_BY, RunConfig
from res2net.errors import UserError
from res2net.training.configure import check_options

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


def check_run(argv: Sequence[str], run: RunConfig, *, saved: Path) -> None:
    """Refuse options of ``train`` that the task, or another option, leaves without a meaning.

    Args:
        saved: the configuration file of a resumed run, which is taken as it is.

    Raises:
        UserError: the first such option; names its file where it stands in one.
    """
    check_options(typed_options(argv), run)
    for file in map(Path, config_files(argv)):
        if file == saved:
            continue
        for name, value in config_values(file).items():
            if run.task not in READ_BY.get(name, (run.task,)) and value != _default(name):
                raise UserError(
                    f"{file}: --{name} {value} means nothing for --task {run.task}; it is for "
                    f"--task {', '.join(READ_BY[name])}"
                )


def _default(option: str) -> Any:
    """As a file of options holds it."""
    group, _, name = option.partition(".")
    kind = next(each.default_factory for each in fields(RunConfig) if each.name == group)
    value = getattr(kind(), name)  # type: ignore[operator]  # a group always has a factory
    return list(value) if isinstance(value, tuple) else value
