"""Ratchets: imports point one way, files stay small, the start stays light."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parent.parent / "src" / "res2net"
FILES = sorted(SOURCE.rglob("*.py"))
LONGEST = 500  # lines; a reminder to look whether a file holds one thought

# room → the rooms that it may import; what is not named here has no leave to import anything
GROUND = {"errors", "files", "processor", "machine", "drawing"}
MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "files": {"errors"},
    "processor": {"errors"},
    "machine": {"errors", "processor"},
    "drawing": {"errors", "files"},
    "paper": {"errors"},
    "data": GROUND,
    "metrics": {"data", "errors"},
    "nn": {"paper"},
    "rewrite": {"nn"},
    "capture": {"nn", "rewrite", "errors"},
    "optionfile": {"errors"},
    "config": {"data", "paper", "optionfile", *GROUND},
    "card": {"data", "paper", "errors"},
    "weights": {"card", "paper", "data", *GROUND},
    "models": {"card", "paper", "nn", "plug", "data", "weights", *GROUND},
    "heads": {"models", "data", "errors"},
    "plug": {"paper", "nn", *GROUND},
    "integrations": {"card", "paper", "nn", "models", "weights", "data", "tasks", *GROUND},
    "tasks": {
        *("card", "capture"),
        *("paper", "nn", "models", "heads", "metrics", "data", "weights", "config", "runtime"),
        *("prediction", *GROUND),
    },
    "training": {
        *("card", "nn"),
        *("paper", "models", "data", "weights", "tasks", "config", "optionfile", *GROUND),
    },
    "native": {"errors", "processor"},  # no torch
    "prediction": {"data", "drawing", "errors", "files"},
    # no torch: not the machine
    "runtime": {"card", "data", "prediction", "native", "errors", "files", "processor"},
    "explain": {
        "card",
        *("paper", "nn", "models", "weights", "data", "metrics", "tasks", "config", "runtime"),
        *GROUND,
    },
    "deploy": {
        *("card", "rewrite"),
        *("paper", "nn", "models", "weights", "data", "tasks", "config", "runtime", "native"),
        *GROUND,
    },
    "serve": {
        *("card", "paper", "models", "tasks", "runtime", "prediction", "explain", "data"),
        *("config", *GROUND),
    },
    "bench": {
        *("card", "capture", "rewrite"),
        *("paper", "models", "heads", "data", "metrics", "tasks", "training", "deploy", "runtime"),
        *("config", "serve", "native", "weights", *GROUND),
    },
    "experiments": {
        "card",
        *("paper", "models", "data", "weights", "tasks", "training", "bench", "explain"),
        *("config", *GROUND),
    },
    "inspection": {"config", "data", "metrics", "paper", *GROUND},
    "api": {
        *("card", "data", "models", "paper", "tasks", "training", "deploy", "config"),
        "optionfile",
        *GROUND,
    },
    "cli": {
        "card",
        *("paper", "nn", "models", "plug", "data", "weights", "tasks", "training", "bench"),
        *("config", "optionfile", "prediction", "inspection", "metrics"),
        *("deploy", "runtime", "serve", "explain", "experiments"),
        *GROUND,
    },
}
HEAVY = ("torch", "torchvision", "pytorch_lightning", "torchmetrics", "matplotlib", "sklearn")


def _room(file: Path) -> str:
    return file.relative_to(SOURCE).parts[0].removesuffix(".py")


def _imports(file: Path, *, top_only: bool = False) -> set[str]:
    tree = ast.parse(file.read_text())
    nodes = tree.body if top_only else ast.walk(tree)
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            if node.module == "res2net":
                found |= {f"res2net.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(SOURCE)))
def test_imports_point_one_way(file: Path) -> None:
    room = _room(file)
    if room in ("__init__", "__main__"):
        return
    rooms = {name.split(".")[1] for name in _imports(file) if name.startswith("res2net.")}
    assert rooms - {room} <= MAY_IMPORT[room]


def test_tasks_never_import_each_other() -> None:
    shared = {file.stem for file in (SOURCE / "tasks").glob("*.py")}
    for file in (SOURCE / "tasks").glob("*/*.py"):
        for name in _imports(file):
            if name.startswith("res2net.tasks."):
                assert name.split(".")[2] in (file.parent.name, *shared), file


def _is_torch_free(file: Path) -> bool:
    """As its docstring says, or that of its room's ``__init__.py``."""
    room = SOURCE / _room(file) / "__init__.py"
    docs = [
        ast.get_docstring(ast.parse(each.read_text())) for each in (file, room) if each.exists()
    ]
    return any(re.search(r"\b[Nn]o torch\b", doc or "") for doc in docs)


def test_what_promises_no_torch_imports_without_it() -> None:
    files = [file for file in FILES if _is_torch_free(file) and file.stem != "__main__"]
    rooms = {_room(file) for file in files}
    assert {"paper", "metrics", "native", "runtime", "cli", "data", "weights", "card"} <= rooms
    names = [".".join(file.relative_to(SOURCE.parent).with_suffix("").parts) for file in files]
    code = (
        f"import importlib, sys\nfor name in {HEAVY!r}: sys.modules[name] = None\n"
        f"for name in {names!r}: importlib.import_module(name.removesuffix('.__init__'))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(SOURCE)))
def test_files_stay_small(file: Path) -> None:
    assert len(file.read_text().splitlines()) <= LONGEST


@pytest.mark.parametrize(
    "code",
    [
        "import res2net; res2net.list_models()",
        "from res2net.cli.main import main; main(['--help'])",
        "from res2net.cli.main import main; main(['models'])",
        "from res2net.cli.main import main; main(['info', 'res2net50_26w_4s'])",
        "from res2net.cli.main import main; main(['reproduce', 'all'])",
        "from res2net.cli import bench; [bench.make_parser(each) for each in bench.SUBJECTS]",
    ],
)
def test_the_light_core_loads_nothing_heavy(code: str) -> None:
    check = f"import sys\n{code}\nprint([m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    "words",
    [
        "predict ABSENT .",
        "predict --model ABSENT .",
        "evaluate ABSENT --data digits",
        "compare shipped ABSENT --data digits",
        "embed ABSENT . --out a.npz",
        "explain ABSENT .",
        "explain shipped . --against ABSENT",
        "export ABSENT --to onnx --out a",
        "serve ABSENT",
    ],
)
def test_an_absent_target_is_refused_before_torch(words: str, tmp_path: Path) -> None:
    code = (
        f"import sys\nfor name in {HEAVY!r}: sys.modules[name] = None\n"
        f"from res2net.cli.main import main; sys.exit(main({words.split()!r}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.stderr == "res2net: ABSENT: no such run, checkpoint or network.\n"
    assert done.returncode == 2


def test_a_name_that_needs_torch_says_which_extra_to_install() -> None:
    code = (
        "import sys\n"
        "class Absent:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] == 'torch':\n"
        "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
        "sys.meta_path.insert(0, Absent())\n"
        "import res2net\n"
        "from res2net.cli.main import main\n"
        "assert main(['models', 'dla*']) == 0\n"
        "assert main(['demo']) == 2\n"
        "res2net.create_model('resnet50')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "dla60_res2net" in done.stdout
    assert "`res2net demo` needs torch: pip install 'res2net[train]'" in done.stderr
    assert "res2net.create_model needs torch: pip install 'res2net[train]'" in done.stderr


def test_public_names_are_sorted_and_exist() -> None:
    import res2net

    assert sorted(res2net.__all__) == res2net.__all__
    assert set(res2net.__all__) <= {*res2net._HOMES, "__version__"}


def test_the_map_of_the_code_names_files_that_exist() -> None:
    page = (SOURCE.parents[1] / "docs" / "code.md").read_text()
    named = set(re.findall(r"\b[a-z_]+(?:/[a-zA-Z_*]+)*(?:\.py|/)", page)) - {"photos/"}
    assert len(named) > 40
    for place in named:
        place = place.replace("TASK", "*")
        found = [
            *SOURCE.glob(place),
            *SOURCE.glob(f"tasks/*/{place}"),
            *SOURCE.glob(f"data/{place}"),
        ]
        assert found or place == "src/", place
