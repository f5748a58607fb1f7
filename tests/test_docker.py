"""The Dockerfile names what is there. It is read here, not built."""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from importlib import import_module
from pathlib import Path

from res2net.cli.main import COMMANDS, module_of
from res2net.cli.parser import read_options

ROOT = Path(__file__).resolve().parent.parent


def text() -> str:
    return (ROOT / "Dockerfile").read_text()


def instructions() -> list[tuple[str, str]]:
    """Word and rest of each instruction, in order."""
    lines = [line for line in text().splitlines() if not line.startswith("#")]
    found = [line.partition(" ") for line in "\n".join(lines).replace("\\\n", " ").splitlines()]
    return [(word, rest) for word, _, rest in found if word]


def only(word: str) -> str:
    (rest,) = (rest for each, rest in instructions() if each == word)
    return rest


def test_what_is_copied_is_there_and_travels() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in ignored
    copied = []
    for rest in (rest for word, rest in instructions() if word == "COPY"):
        *sources, _ = shlex.split(rest)
        if not sources[0].startswith("--from="):
            copied += sources
    for source in copied:
        assert (ROOT / source).exists(), source
    assert {line[1:] for line in ignored if line.startswith("!")} == set(copied)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert {"README.md", *project["license-files"], "pyproject.toml", "setup.py", "src"} <= {
        *copied
    }


def test_what_is_installed_and_run_exists() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (extras,) = re.findall(r"\[([\w,]+)\]\"", " ".join(r for w, r in instructions() if w == "RUN"))
    assert set(extras.split(",")) <= set(project["optional-dependencies"])
    assert json.loads(only("ENTRYPOINT"))[0] in project["scripts"]
    command, *words = json.loads(only("CMD"))
    assert command in COMMANDS
    options = read_options(import_module(module_of(command)).make_parser(), words)
    assert options.host == "0.0.0.0"
    assert only("EXPOSE") == str(options.port)
    assert f":{options.port}/health" in only("HEALTHCHECK")
    pages = text() + (ROOT / "docs" / "serve.md").read_text()
    examples = [shlex.split(line) for line in re.findall(r"docker run .*", pages)]
    assert len(examples) == 4
    for words in examples:
        command = words[words.index("res2net") + 1 :]
        assert not command or command[0] in COMMANDS, words


def test_no_root_and_no_secret() -> None:
    words = [word for word, _ in instructions()]
    assert words.index("USER") < words.index("ENTRYPOINT")
    assert int(only("USER")) > 0  # a number: what runs the image need not look it up
    assert f"--uid {only('USER')} " in text()
    assert not re.search(r"(?i)^(ENV|ARG).*(token|secret|password|key)", text(), re.MULTILINE)
