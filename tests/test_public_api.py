"""``import res2net``: light, lazy, and what is documented is there."""

from __future__ import annotations

import inspect
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

import res2net

SOURCE = Path(res2net.__file__).parent
# Python that behaves as if only the light core were installed.
WITHOUT_TORCH = """
import sys

HEAVY = ("torch", "torchvision", "pytorch_lightning", "lightning_fabric", "torchmetrics",
         "matplotlib", "sklearn", "tensorboard")

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in HEAVY:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
"""


def _python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )


def test_what_is_documented_is_there():
    assert res2net.__all__ == sorted(res2net.__all__)
    assert set(dir(res2net)) == set(res2net.__all__)
    assert set(res2net._HOMES) | {"__version__"} == set(res2net.__all__)
    for name in res2net.__all__:
        assert getattr(res2net, name) is not None
        if name != "__version__":
            assert inspect.getdoc(getattr(res2net, name)), name


@pytest.mark.parametrize("name", sorted(res2net._HOMES))
def test_a_name_comes_from_its_home(name):
    home = "res2net" if name in res2net._COMMANDS else res2net._HOMES[name]
    assert getattr(res2net, name).__module__ == home


@pytest.mark.parametrize("name", res2net._COMMANDS)
def test_a_command_can_be_pickled_and_shows_its_arguments(name):
    command = getattr(res2net, name)
    assert pickle.loads(pickle.dumps(command)) is command
    assert len(inspect.signature(command).parameters) > 2


def test_no_such_name():
    with pytest.raises(AttributeError, match="module 'res2net' has no attribute 'creat_model'"):
        res2net.creat_model  # noqa: B018
    with pytest.raises(ImportError):
        from res2net import nothing  # noqa: F401


def test_the_import_loads_nothing_heavy():
    done = _python(
        "import sys, res2net\n"
        "print(sorted(m for m in sys.modules if m.partition('.')[0] in"
        " ('torch', 'numpy', 'PIL', 'yaml', 'jsonargparse', 'rich', 'sklearn')))"
    )
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_the_import_registers_and_prints_nothing():
    done = _python(
        "import sys, warnings\n"
        "before = list(sys.meta_path), warnings.showwarning, sys.excepthook\n"
        "import res2net\n"
        "assert before == (list(sys.meta_path), warnings.showwarning, sys.excepthook)"
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_network_is_loaded_without_what_trains_and_draws():
    """Lightning and matplotlib take seconds, which nobody waits for who wants a prediction."""
    done = _python(
        "import sys, res2net\nres2net.load, res2net.predict, res2net.train\n"
        "print(sorted({'pytorch_lightning', 'matplotlib', 'torchmetrics', 'res2net.deploy'}"
        " & set(sys.modules)))"
    )
    assert (done.stdout, done.stderr) == ("[]\n", "")


LIGHT = {
    "FirstBlock": "res2net.FirstBlock.PAPER",
    "UserError": "res2net.UserError('x')",
    "choose_width": "res2net.choose_width",
    "inspect_data": "assert res2net.inspect_data('scenes', task='detect').fault is None",
    "list_models": "assert len(res2net.list_models()) > 40",
}


@pytest.mark.parametrize("name", sorted(LIGHT))
def test_names_that_need_no_torch(name):
    done = _python(f"{WITHOUT_TORCH}\nimport res2net\n{LIGHT[name]}")
    assert (done.returncode, done.stderr) == (0, "")


def test_names_that_need_torch_say_what_to_install():
    names = sorted(set(res2net._HOMES) - set(LIGHT))
    code = (
        f"import res2net\nfor name in {names!r}:\n"
        "    try: getattr(res2net, name)\n"
        "    except ModuleNotFoundError as error: print(error)"
    )
    done = _python(f"{WITHOUT_TORCH}\n{code}")
    assert (done.returncode, done.stderr) == (0, "")
    for name, line in zip(names, done.stdout.splitlines(), strict=True):
        assert line.startswith(f"res2net.{name} needs torch"), name
        assert line.endswith(": pip install 'res2net[train]'"), name


@pytest.mark.parametrize(
    ("words", "start"),
    [
        (["--help"], "usage: res2net COMMAND"),
        (["--version"], f"res2net {res2net.__version__}"),
        (["models", "dla60_res2net"], "Name "),
        (["models", "--json"], "["),
        (["info", "res2net50_26w_4s"], "Network        res2net50_26w_4s"),
        (["train", "--help"], "usage: res2net train"),
        (["predict", "--help"], "usage: res2net predict"),
    ],
)
def test_commands_of_the_light_core(words, start):
    code = f"from res2net.cli.main import main\nimport sys\nsys.exit(main({words!r}))"
    done = _python(f"{WITHOUT_TORCH}\n{code}")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(start)


@pytest.mark.parametrize(
    "command", ["demo", "train --model resnet50 --data .", "predict shipped y"]
)
def test_commands_that_need_torch_say_what_to_install(command):
    words = command.split()
    code = f"from res2net.cli.main import main\nimport sys\nsys.exit(main({words!r}))"
    done = _python(f"{WITHOUT_TORCH}\n{code}")
    assert done.returncode == 2
    assert done.stderr.startswith(f"res2net: `res2net {words[0]}` needs ")
    assert done.stderr.endswith(": pip install 'res2net[train]'\n")
    assert done.stderr.count("\n") == 1


def test_python_m_is_the_command_line():
    done = subprocess.run(
        [sys.executable, "-m", "res2net", "--version"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, f"res2net {res2net.__version__}\n")
    done = subprocess.run(
        [sys.executable, "-m", "res2net", "trian"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.startswith("res2net: unknown command 'trian'")


def test_types_are_shipped():
    assert (SOURCE / "py.typed").is_file()
