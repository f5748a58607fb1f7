"""The command line as a whole: help, exit codes, one line on what went wrong."""

from __future__ import annotations

import importlib
import io
import re
import resource
import subprocess
import sys
import warnings
from importlib import import_module
from pathlib import Path

import pytest

import res2net
from res2net.bench.options import SUBJECTS
from res2net.cli import bench, train
from res2net.cli import main as command_line
from res2net.cli.main import COMMANDS, main, module_of
from res2net.errors import Stopped, UserError
from res2net.paper.tasks import TASKS


@pytest.mark.parametrize("words", [(), ("--help",), ("-h",), ("help",)])
def test_the_overview_names_every_command(cli, words):
    code, out, err = cli(*words)
    assert (code, err) == (0, "")
    for name, what in COMMANDS.items():
        assert f"  {name:<15} {what}" in out


def test_version(cli):
    assert cli("--version") == (0, f"res2net {res2net.__version__}\n", "")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(capsys, name):
    with pytest.raises(SystemExit) as end:
        main([name, "--help"])
    out, err = capsys.readouterr()
    assert (end.value.code, err) == (0, "")
    assert out.startswith(f"usage: res2net {name}")
    assert max(map(len, out.splitlines())) <= 100


EVERY_HELP = [
    *((name, lambda name=name: import_module(module_of(name)).make_parser()) for name in COMMANDS),
    *((f"bench {each}", lambda each=each: bench.make_parser(each)) for each in SUBJECTS),
    *((f"train {each}", lambda each=each: train.make_help(["--task", each])) for each in TASKS),
]


@pytest.mark.parametrize("make", [pytest.param(make, id=name) for name, make in EVERY_HELP])
def test_every_option_says_what_happens_without_it(make):
    parser = make()
    text = parser.format_help()
    assert re.findall(r"--[\w.-]*_[\w.-]*", text) == []
    assert max(map(len, text.splitlines())) <= 100
    for action in parser._actions:
        assert action.help, action.dest
        if not action.option_strings or action.nargs == 0:
            continue  # words, and switches, which are off
        entry = parser._get_formatter()._expand_help(action)
        says = re.search(r"default: \S|default, with|\[.+\]$|required", entry)
        assert says, (action.option_strings, entry)
        assert len(re.findall(r"default: |\[[^\]]+\]$|; required$", entry)) <= 1, entry


def test_the_defaults_that_functions_choose_are_those_of_the_help():
    from res2net.deploy.export import MAX_DROP
    from res2net.tasks.evaluate import BATCH

    assert f"images per batch; default: {BATCH}" in help_of("evaluate")
    assert f"a detector's AP; default: {MAX_DROP}" in help_of("export")


def help_of(command):
    return " ".join(import_module(module_of(command)).make_parser().format_help().split())


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("trian", ["unknown command 'trian'", "Did you mean 'train'?", "demo, data, train"]),
        ("--trian", ["unknown command '--trian'"]),
        ("zzz", ["unknown command 'zzz'. It can be"]),
    ],
)
def test_unknown_command(cli, name, words):
    line = cli(name).line
    for word in words:
        assert word in line


class FakeCommand:
    """A command that ends as it is told."""

    def __init__(self, end):
        self.end = end

    def main(self, arguments):
        del arguments
        if isinstance(self.end, BaseException):
            raise self.end
        self.end()


def _run_fake(monkeypatch, end):
    monkeypatch.setattr(importlib, "import_module", lambda _: FakeCommand(end))
    return main(["demo"])


@pytest.mark.parametrize(
    ("end", "code", "line"),
    [
        (UserError("--x is 1;\n  say 2"), 2, "res2net: --x is 1; say 2"),
        (Stopped("stopped; resume"), 130, "res2net: stopped; resume"),
        (KeyboardInterrupt(), 130, "res2net: stopped"),
        (
            ModuleNotFoundError("No module named 'torch.x'", name="torch.x"),
            2,
            "res2net: `res2net demo` needs torch: pip install 'res2net[train]'",
        ),
        (ModuleNotFoundError("no", name="onnx"), 2, "res2net: `res2net demo` needs onnx"),
        (PermissionError(13, "Permission denied", "/a/b"), 2, "res2net: /a/b: permission denied"),
        (OSError(36, "File name too long", "x"), 2, "res2net: x: File name too long"),
        (OSError("no route\nto it"), 2, "res2net: no route to it"),
        (UserError(f"no {'9' * 5000}"), 2, f"res2net: no {'9' * 60}...{'9' * 20}\n"),
    ],
)
def test_exit_codes(monkeypatch, capsys, end, code, line):
    assert _run_fake(monkeypatch, end) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(line)
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    "bug", [RuntimeError("bug"), ModuleNotFoundError("x", name="res2net.nowhere")]
)
def test_our_own_bugs_are_not_hidden(monkeypatch, bug):
    with pytest.raises(type(bug)):
        _run_fake(monkeypatch, bug)


def test_warnings_are_one_plain_line(monkeypatch, capsys):
    def end():
        for i in (1, 2):
            warnings.warn(f"{i} files\n  skipped", stacklevel=1)

    before = warnings.showwarning, list(warnings.filters)
    assert _run_fake(monkeypatch, end) == 0
    assert capsys.readouterr() == (
        "",
        "res2net: note: 1 files skipped\nres2net: note: 2 files skipped\n",
    )
    assert (warnings.showwarning, list(warnings.filters)) == before


def test_python_w_goes_before(monkeypatch, capsys):
    monkeypatch.setattr(sys, "warnoptions", ["ignore"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert _run_fake(monkeypatch, lambda: warnings.warn("x", stacklevel=1)) == 0
    assert capsys.readouterr().err == ""


def test_a_reader_that_leaves_is_no_error():
    command = f"{sys.executable} -m res2net models | head -1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("Name ")
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("where", "code", "err"),
    [
        (">&-", 0, ""),
        ("2>&-", 0, ""),
        (">&- 2>&- <&-", 0, ""),
        (">/dev/full", 2, "res2net: the output cannot be written: No space left on device\n"),
        (">/dev/full 2>/dev/full", 2, ""),
        (">/dev/full 2>&-", 2, ""),
    ],
)
def test_outputs_that_are_closed_or_full(where, code, err):
    command = f"{sys.executable} -m res2net models dla60 {where}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (code, err)


@pytest.mark.parametrize(
    ("words", "code", "shown"),
    [
        (("info", "dla60_res2net"), 0, "28wx4s"),
        (("models",), 0, "8cx4wx4s"),
        (("reproduce", "table4"), 0, "6cx24wx4s"),
        (("models", "n\xf6"), 2, "n\\xf6"),
        (("predict", "\udcff.png"), 2, "\\xff.png"),
        (("study",), 0, "cifar-twins"),
    ],
)
def test_a_terminal_of_ascii(monkeypatch, words, code, shown):
    """× is shown as x, what has no likeness as an escape."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="ascii") for _ in range(2))
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    assert main(list(words)) == code
    assert shown in (err if code else out).buffer.getvalue().decode("ascii")


@pytest.mark.parametrize("words", [("models", "a\0"), ("a\0b",), ("predict", "--out", "\0")])
def test_a_nul_character_is_one_line(cli, words):
    assert cli(*words).line.endswith("an argument cannot hold a NUL character")


@pytest.mark.parametrize("words", [("--help",), ("models",)])
def test_the_start_is_fast(words):
    """Processor time, which others on the machine do not lengthen; a second is promised."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-m", "res2net", *words], check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1


def test_every_command_has_a_file_and_every_file_a_use():
    room = Path(command_line.__file__).parent
    helpers = {*("__init__", "main")}
    helpers |= {*("parser", "progress", "tables", "targets", "video")}
    assert {path.stem for path in room.glob("*.py")} == helpers | {
        command.replace("-", "_") for command in COMMANDS
    }
