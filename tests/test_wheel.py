"""The package as people get it: sdist, wheel, and what is installed from it."""

from __future__ import annotations

import os
import re
import shutil
import site
import subprocess
import sys
import tarfile
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from runpy import run_path
from zipfile import ZipFile

import pytest
import yaml

import res2net

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src" / "res2net"
TOP = (
    *("pyproject.toml", "setup.py", "MANIFEST.in", "README.md"),
    *("LICENSE", "NOTICE", "CHANGELOG.md", "CITATION.cff"),
)
PIP = (sys.executable, "-m", "pip")
SHIPPED = ("model.safetensors", "model.json")
MADE = ("__pycache__", "*.so", "*.pyd", "*.egg-info")  # never travels
# Ours runs without torch; torch is there to be compared with.
NATIVE = """
from res2net.native.binding import library, unsupported_reason
library()
if unsupported_reason("fp32") is None:
    import numpy as np
    import torch
    from res2net import create_model
    from res2net.data.preprocess import default_preprocess
    from res2net.rewrite import fold_batchnorm
    from res2net.deploy.native_walk import walk
    from res2net.deploy.program import Program
    from res2net.native.network import NativeNetwork
    torch.manual_seed(0)
    net = create_model("res2net29_small", num_classes=10).eval()
    program = Program(fold_batchnorm(net), default_preprocess(32))
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    with torch.inference_mode():
        (wanted,) = program(torch.from_numpy(images))
    (found,) = NativeNetwork(walk(program), "fp32", 1)(images)
    np.testing.assert_allclose(found, wanted.numpy(), rtol=1e-4, atol=1e-5)
print(unsupported_reason("fp32") or "equal")
"""


def files_of(folder: Path) -> Iterator[str]:
    """All that is not made by Python or a compiler, relative to the folder."""
    for file in sorted(folder.rglob("*")):
        name = file.relative_to(folder).as_posix()
        if file.is_file() and not any(fnmatch(part, m) for part in name.split("/") for m in MADE):
            yield name


def test_the_packaging_names_every_file() -> None:
    packaging = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    data = packaging["package-data"]["res2net"]
    native = [f"native/{kind}" for kind in packaging["exclude-package-data"]["res2net.native"]]
    names = list(files_of(SOURCE))
    assert "py.typed" in names
    for name in names:
        if name.endswith(".py"):
            assert (SOURCE / name).with_name("__init__.py").is_file(), f"{name}: not in a package"
        else:
            assert any(fnmatch(name, pattern) for pattern in [*data, *native]), name
    for name in SHIPPED:
        assert any(fnmatch(f"shipped/{name}", pattern) for pattern in data), name


def test_the_version_is_one() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    engine = tomllib.loads((ROOT / "native" / "pyproject.toml").read_text())["project"]
    assert engine["version"] == project["version"]
    pinned = [f"res2net-native=={project['version']}"]
    assert project["optional-dependencies"]["native"] == pinned
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert project["version"] == res2net.__version__ == cited["version"]
    assert project["license"] == cited["license"]
    assert f"## {res2net.__version__} " in (ROOT / "CHANGELOG.md").read_text()


def test_readme_leads_to_the_repository_from_a_package_index() -> None:
    readme = run_path(str(ROOT / "setup.py"))["readme"]
    assert readme("", "1.2.3") == (ROOT / "README.md").read_text()
    links = re.findall(r"(!?)\[[^\]]*\]\(([^)]+)\)", readme("https://example.org/us/it", "1.2.3"))
    base = "https://example.org/us/it/"
    own = [(mark, link.removeprefix(base)) for mark, link in links if link.startswith(base)]
    assert {mark for mark, _ in own} == {"", "!"}
    for mark, link in own:
        kind, version, path = link.split("/", 2)
        assert (kind, version) == ("raw" if mark else "blob", "v1.2.3")
        assert (ROOT / path.partition("#")[0]).exists(), link
    assert all(link.startswith(("https://", "#")) for _, link in links)


def run(*words: object, cwd: Path, **extra: str) -> str:
    """A command away from this repository, without its PYTHONPATH; what it printed."""
    env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | extra
    done = subprocess.run(
        [str(word) for word in words], cwd=cwd, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def installed(what: Path, place: Path, **extra: str) -> Path:
    """Python of a new environment that has the package and sees what else is installed here."""
    run(sys.executable, "-m", "venv", "--without-pip", place, cwd=what.parent)
    python = place / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    home = Path(run(python, "-c", code, cwd=place).strip())
    (home / "the_rest.pth").write_text("\n".join(site.getsitepackages()) + "\n")
    pip = (*PIP, "--python", python, "install", "--quiet", "--no-index", "--no-deps")
    run(*pip, "--no-build-isolation", what, cwd=place, **extra)
    where = "import res2net; print(res2net.__file__)"
    assert Path(run(python, "-c", where, cwd=place).strip()).is_relative_to(home)
    return python


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``dist/`` of a copy of the sources; it has a shipped network even where we have none yet."""
    copy = tmp_path_factory.mktemp("wheel") / "sources"
    shutil.copytree(SOURCE, copy / "src" / "res2net", ignore=shutil.ignore_patterns(*MADE))
    for name in TOP:
        shutil.copy(ROOT / name, copy)
    shutil.copytree(ROOT / "native", copy / "native", ignore=shutil.ignore_patterns(*MADE, "build"))
    (copy / "src/res2net/shipped").mkdir(exist_ok=True)
    for name in SHIPPED:
        (copy / "src/res2net/shipped" / name).touch()
    run(sys.executable, "-m", "build", "--no-isolation", cwd=copy, RES2NET_NATIVE="0")
    engine = ("--no-isolation", "--wheel", "--outdir", "dist", "native")
    run(sys.executable, "-m", "build", *engine, cwd=copy)
    return copy / "dist"


@pytest.mark.slow
def test_sdist_and_wheel_hold_what_they_should(built: Path) -> None:
    (sdist,), (wheel,) = built.glob("*.tar.gz"), built.glob("res2net-*.whl")
    assert wheel.name.endswith("-py3-none-any.whl")
    wanted = {*files_of(SOURCE), *(f"shipped/{name}" for name in SHIPPED)}
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert not ({f"src/res2net/{name}" for name in wanted} | set(TOP)) - names
    assert not [name for name in names if name.startswith("tests/")]
    with ZipFile(wheel) as archive:
        names = {name.removeprefix("res2net/") for name in archive.namelist()}
    sources = {name for name in wanted if name.endswith((".cpp", ".h"))}
    assert sources
    assert not (wanted - sources) - names
    assert not sources & names
    assert {Path(name).name for name in names} >= {"LICENSE", "NOTICE"}


@pytest.mark.slow
def test_a_package_index_takes_them(built: Path, tmp_path: Path) -> None:
    files = sorted(built.iterdir())
    assert len(files) == 3
    run(sys.executable, "-m", "twine", "check", "--strict", *files, cwd=tmp_path)


@pytest.mark.slow
def test_the_wheel_works_when_installed(built: Path, tmp_path: Path) -> None:
    (wheel,), (engine,) = built.glob("res2net-*.whl"), built.glob("res2net_native-*.whl")
    for each in (wheel, engine):
        assert [name for name in ZipFile(each).namelist() if name.endswith("/LICENSE")], each
    assert "-py3-none-" in engine.name
    python = installed(wheel, tmp_path / "env")
    code = "from res2net.native.binding import unsupported_reason as u; print(u('fp32'))"
    assert "pip install 'res2net[native]'" in run(python, "-c", code, cwd=tmp_path)
    run(*PIP, "--python", python, "install", "--no-index", "--no-deps", engine, cwd=tmp_path)
    command = python.with_name("res2net")
    version = run(command, "--version", cwd=tmp_path)
    assert version == f"res2net {res2net.__version__}\n"
    assert "25,699,120" in run(command, "info", "res2net50_26w_4s", cwd=tmp_path)
    assert run(python, "-c", NATIVE, cwd=tmp_path).strip() in (
        "equal",
        "this processor lacks AVX2 with FMA, which fp32 needs",
    )
    assert "usage: res2net-run" in run(python.with_name("res2net-run"), "--help", cwd=tmp_path)


@pytest.mark.slow
def test_without_a_compiler_the_sdist_installs_all_the_same(built: Path, tmp_path: Path) -> None:
    (sdist,) = built.glob("*.tar.gz")
    python = installed(sdist, tmp_path / "env", CC="false", CXX="false", RES2NET_NATIVE="1")
    code = (
        "from res2net.native.binding import unsupported_reason; print(unsupported_reason('fp32'))"
    )
    assert "native engine is not installed" in run(python, "-c", code, cwd=tmp_path)
    assert "25,699,120" in run(
        python.with_name("res2net"), "info", "res2net50_26w_4s", cwd=tmp_path
    )
