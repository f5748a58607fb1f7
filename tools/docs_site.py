"""Hooks of MkDocs (mkdocs.yml): pages generated from the code, and linked files outside docs/.

Generated are the command reference (from the parsers), the recipes and options of ``config.yaml``,
and a page for each module of the Python API (from docstrings, with mkdocstrings). Files outside
docs/ that pages link to, such as ``../results/deploy.csv``, are copied into the site, so that it
is self-contained.
"""

from __future__ import annotations

import argparse
import os
import re
import typing
from collections.abc import Iterable, Iterator
from importlib import import_module
from pathlib import Path
from types import NoneType
from typing import Any

import yaml
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

import res2net
from res2net.bench.options import SUBJECTS
from res2net.cli.bench import make_parser as bench_parser
from res2net.cli.main import COMMANDS, module_of
from res2net.cli.train import make_parser as train_parser
from res2net.paper.recipes import recipes_of
from res2net.paper.tasks import TASKS, readers
from res2net.runtime.main import make_parser as run_parser

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
ELSEWHERE = "repository"  # folder of the site for files outside docs/
PROJECT = ("CONTRIBUTING.md", "CHANGELOG.md")  # pages of the site, whether linked to or not
# Beside the names of `res2net` itself: the modules that README and docs import from.
MODULES = (
    "res2net.card",
    "res2net.data.preprocess",
    "res2net.data.scenes.options",
    "res2net.data.scenes.readers",
    "res2net.data.source",
    "res2net.explain.cam",
    "res2net.heads.deeplab",
    "res2net.heads.detector",
    "res2net.heads.dss",
    "res2net.heads.pose",
    "res2net.integrations.huggingface",
    "res2net.integrations.smp",
    "res2net.integrations.timm",
    "res2net.integrations.torchvision",
    "res2net.runtime",
    "res2net.runtime.ray_data",
)
LINK = re.compile(r"(\]\()([^)\s#:]+)((?:#[^)\s]*)?\))")
FENCED = re.compile(r"(^```.*?^```$|`[^`\n]+`)", re.DOTALL | re.MULTILINE)
WORDS = {bool: "true or false", int: "integer", float: "number", str: "text", Path: "path"}


# ---------------------------------------------------------------- events of MkDocs


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Add the generated pages to the navigation."""
    pages = {"reference/commands": command_pages(), "reference/api": api_pages()}
    for section in config.nav:
        for _, entries in section.items():
            for entry in entries if isinstance(entries, list) else ():
                for title, place in entry.items():
                    if place in pages:
                        entry[title] = [{name: uri} for name, (uri, _) in pages[place].items()]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages and the linked files outside docs/."""
    for uri, text in (*command_pages().values(), *api_pages().values()):
        files.append(File.generated(config, uri, content=text))
    files.append(File.generated(config, "reference/config.md", content=config_page()))
    for path in linked_outside():
        uri = uri_of(path)
        if path.is_dir():
            files.append(File.generated(config, uri, content=listing(path)))
        elif path.suffix == ".md":
            text = path.read_text(encoding="utf-8")
            files.append(File.generated(config, uri, content=text))
        else:
            files.append(File.generated(config, uri, abs_src_path=str(path)))
    return files


def on_page_markdown(
    markdown: str,
    page: Page,
    config: MkDocsConfig,  # noqa: ARG001
    files: Files,  # noqa: ARG001
) -> str:
    """Rewrite links for the site; hide the navigation on the front page."""
    if page.is_homepage:
        page.meta["hide"] = ["navigation"]
    return with_links_of_site(markdown, source_of(page.file.src_uri), page.file.src_uri)


# ---------------------------------------------------------------- links that leave docs/


def source_of(uri: str) -> Path:
    """The source file of a page of the site."""
    outside = uri.removeprefix(f"{ELSEWHERE}/")
    return (DOCS if outside == uri else ROOT) / outside


def uri_of(path: Path) -> str:
    """Path in the site of a file of the repository, or of the listing of a folder."""
    if path.is_relative_to(DOCS):
        return path.relative_to(DOCS).as_posix()
    uri = f"{ELSEWHERE}/{path.relative_to(ROOT).as_posix()}"
    return f"{uri}/index.md" if path.is_dir() else uri


def with_links_of_site(text: str, source: Path, uri: str) -> str:
    """A page's Markdown, with links to files of the repository turned into links of the site."""

    def replaced(link: re.Match[str]) -> str:
        target = (source.parent / link[2]).resolve()
        within = target.is_relative_to(DOCS) and source.is_relative_to(DOCS)
        if within or not target.exists():
            return link[0]
        return f"{link[1]}{os.path.relpath(uri_of(target), Path(uri).parent)}{link[3]}"

    parts = FENCED.split(text)  # odd ones are code
    return "".join(p if at % 2 else LINK.sub(replaced, p) for at, p in enumerate(parts))


def links_of(source: Path) -> Iterator[Path]:
    """The files and folders that a page links to."""
    for _, target, _ in LINK.findall(FENCED.sub("", source.read_text(encoding="utf-8"))):
        path = (source.parent / target).resolve()
        if path.exists():
            yield path


def linked_outside() -> list[Path]:
    """Files outside docs/ that the pages link to, directly or through other pages."""
    found: set[Path] = {ROOT / name for name in PROJECT}
    todo = [*DOCS.glob("*.md"), *found]
    while todo:
        for path in links_of(todo.pop()):
            if not path.is_relative_to(DOCS) and path not in found:
                found.add(path)
                todo += [path] if path.suffix == ".md" else []
    return sorted(found)


def listing(folder: Path) -> str:
    """A page with the names of a folder's files."""
    names = sorted(each.name for each in folder.iterdir() if not each.name.startswith("."))
    place = folder.relative_to(ROOT).as_posix()
    return f"# Files in {place}\n" + "".join(f"\n- `{place}/{name}`" for name in names) + "\n"


# ---------------------------------------------------------------- commands


def command_pages() -> dict[str, tuple[str, str]]:
    """Title → path and text of the page: an overview, each command, ``res2net-run``."""
    pages = {
        name: (f"reference/commands/{name}.md", bench_page() if name == "bench" else page_of(name))
        for name in COMMANDS
    }
    run = parser_text(run_parser(), {})
    pages["res2net-run"] = ("reference/commands/res2net-run.md", f"# `res2net-run`\n\n{run}")
    rows = "".join(
        f"| [`res2net {name}`]({name}.md) | {text} |\n" for name, text in COMMANDS.items()
    )
    overview = (
        "# Commands\n\nEach page is generated from the command's own parser. "
        "`res2net COMMAND --help` prints the same.\n\n| command | what it does |\n| --- | --- |\n"
        f"{rows}| [`res2net-run`](res2net-run.md) | classify images with an exported network, "
        "without PyTorch |\n\nThe exit code is 0, 2 after an input error (one line on standard "
        "error names it and what to do), or 130 after Ctrl-C.\n"
    )
    return {"Overview": ("reference/commands/index.md", overview), **pages}


def page_of(command: str) -> str:
    """The page of a command."""
    tasks = readers(command) if command in ("train", "predict", "evaluate") else {}
    text = parser_text(import_module(module_of(command)).make_parser(), tasks)
    more = (
        "Defaults apply without a recipe; [recipes](../config.md#recipes) change them. "
        "`--recipe NAME --help` shows the values of a recipe.\n\n"
        if command == "train"
        else ""
    )
    head, usage, rest = text.partition("```text")
    return f"# `res2net {command}`\n\n{head}{more}{usage}{rest}"


def bench_page() -> str:
    """``res2net bench``: all subjects on one page."""
    parts = [f"# `res2net bench`\n\n{parser_text(bench_parser(), {})}"]
    for name in SUBJECTS:
        text = parser_text(bench_parser(name), {}, level=3, prefix=f"{name}-")
        parts.append(f"## `res2net bench {name}`\n\n{text}")
    return "\n".join(parts)


def parser_text(
    parser: argparse.ArgumentParser,
    tasks: typing.Mapping[str, tuple[str, ...]],
    level: int = 2,
    prefix: str = "",
) -> str:
    """Usage, description, examples and a table of options for each group of a parser.

    Args:
        parser: parser of a command.
        tasks: option → the tasks that use it, for options that not all tasks use.
        level: level of the headings.
        prefix: prefix of the anchors, for a page with several parsers.
    """
    summary, _, more = (parser.description or "").partition("\n\n")
    usage = parser.usage or parser.format_usage().removeprefix("usage: ").strip()
    parts = [" ".join(summary.split()), f"```text\n{usage}\n```"]
    parts += [f"```text\n{more}\n```"] if more else []
    for group in parser._action_groups:
        actions = [each for each in group._group_actions if each.dest not in ("help", "config_")]
        if actions:
            title = (group.title or "options").capitalize()
            rows = [row_of(each, tasks, prefix) for each in actions]
            parts.append(f"{'#' * level} {title}\n\n{table_of(rows, bool(tasks))}")
    if parser.epilog:
        lines = [line.strip() for line in parser.epilog.splitlines()[1:]]
        parts.append(f"{'#' * level} Examples\n\n```sh\n" + "\n".join(lines) + "\n```")
    return "\n\n".join(parts) + "\n"


def table_of(rows: Iterable[tuple[str, ...]], with_tasks: bool) -> str:
    """Rows of options as Markdown."""
    heads = ("option", "value", "default", "what it does", "tasks")
    shown = [heads, ("---",) * len(heads), *rows]
    return "\n".join(f"| {' | '.join(row if with_tasks else row[:-1])} |" for row in shown)


def row_of(
    action: argparse.Action, tasks: typing.Mapping[str, tuple[str, ...]], prefix: str
) -> tuple[str, ...]:
    """An option: name, values, default, help, tasks."""
    name = action.option_strings[-1] if action.option_strings else action.dest.upper()
    anchor = prefix + name.strip("-").lower()
    text = (action.help or "").replace("%%", "%")
    default = re.search(r"(?:; default:? |; (?=required$)| \[)([^;\]]+)\]?$", text)
    shown = default[1] if default else default_of(action)
    text = text[: default.start()] if default else text
    read_by = tasks.get(action.dest, ())
    return (
        f"`{name}`{{ #{anchor} }}",
        values_of(action),
        plain(shown),
        plain(text),
        ", ".join(read_by) or "all",
    )


def plain(text: str) -> str:
    """Terminal text escaped for a Markdown table."""
    return re.sub(r"([|<*_\[\]])", r"\\\1", text).replace("\n", " ")


def default_of(action: argparse.Action) -> str:
    """The default as typed on the command line."""
    value = action.default
    if action.required:
        return "required"
    if action.nargs == 0:
        return "off"
    if value is None or value in ((), "", argparse.SUPPRESS):
        return "–"
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def values_of(action: argparse.Action) -> str:
    """The accepted values of an option, in words."""
    if action.nargs == 0:
        return "none"
    choices = [each for each in action.choices or () if each is not None]
    several = "; several" if action.nargs in ("+", "*") else ""
    if choices:
        return ", ".join(f"`{each}`" for each in choices) + several
    hint = getattr(action, "_typehint", None) or action.type or str
    return " or ".join(dict.fromkeys(words_of(hint))) + several


def words_of(hint: Any) -> Iterator[str]:
    """A Python type in words."""
    if typing.get_origin(hint) is typing.Literal:
        yield ", ".join(f"`{each}`" for each in typing.get_args(hint))
    elif typing.get_origin(hint) in (tuple, list):
        (kind,) = words_of(typing.get_args(hint)[0])
        yield f"{kind}s, separated by commas"
    elif arguments := typing.get_args(hint):
        for each in arguments:
            if each is not NoneType:
                yield from words_of(each)
    else:
        yield WORDS.get(hint, "text")


# ---------------------------------------------------------------- configuration, Python


def config_page() -> str:
    """Precedence, the keys of ``config.yaml`` and the settings of every recipe."""
    parts = [
        "# Configuration and recipes",
        "Each option of [`res2net train`](commands/train.md) is a key of `config.yaml`, with "
        "underscores: `--train.lr-batch 64` is `lr_batch: 64` under `train:`. "
        'In Python it is `train={"lr_batch": 64}`.',
        "## Precedence",
        "From highest to lowest: command-line options, the file given with `--config`, the recipe, "
        "the defaults. `config.yaml` in the run folder records every value, and "
        "`--config RUN/config.yaml` trains with them again.",
        "## Keys\n\n" + "\n".join(keys()),
        "## Recipes",
        "`--recipe NAME` sets the options below; all others keep their defaults.",
    ]
    for task in TASKS:
        for name, recipe in recipes_of(task).items():
            text = yaml.safe_dump(nested(recipe.settings), sort_keys=False, default_flow_style=None)
            parts += [f"### {task}: {name}", f"{recipe.summary}.", f"Source: {recipe.source}."]
            parts += [f"```yaml\n{text}```"]
    return "\n\n".join(parts) + "\n"


def keys() -> Iterator[str]:
    """A table of the keys of ``config.yaml``."""
    read = readers("train")
    yield "| key | values | default | tasks |"
    yield "| --- | --- | --- | --- |"
    for action in train_parser()._actions:
        if action.dest.partition(".")[0] in ("net", "head", "input", "augment", "train"):
            name = action.option_strings[-1].removeprefix("--")
            _, values, default, _, tasks = row_of(action, read, "")
            link = f"[`{action.dest}`](commands/train.md#{name})"
            yield f"| {link} | {values} | {default} | {tasks} |"


def nested(settings: typing.Mapping[str, Any]) -> dict[str, Any]:
    """``train.lr: 0.1`` as ``train: {lr: 0.1}``."""
    found: dict[str, Any] = {}
    for name, value in settings.items():
        group, _, key = name.rpartition(".")
        (found.setdefault(group, {}) if group else found)[key] = value
    return found


def api_pages() -> dict[str, tuple[str, str]]:
    """Title → path and text of the page: ``res2net``, then each module."""
    names = "\n\n".join(f"::: res2net.{name}" for name in res2net.__all__ if name[0] != "_")
    rows = "".join(f"- [`{name}`]({name}.md)\n" for name in MODULES)
    front = f"# `res2net`\n\n{res2net.__doc__}\nFurther modules:\n\n{rows}\n{names}\n"
    pages = {"res2net": ("reference/api/index.md", front)}
    for name in MODULES:
        text = f"# `{name}`\n\n::: {name}\n    options:\n      show_root_heading: false\n"
        pages[name.removeprefix("res2net.")] = (f"reference/api/{name}.md", text)
    return pages
