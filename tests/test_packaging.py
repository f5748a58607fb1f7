"""What `make check` and the workflow rest on: each tool catches a planted mistake."""

from __future__ import annotations

import ast
import re
import runpy
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
MAKEFILE = (ROOT / "Makefile").read_text()
PYPROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = PYPROJECT["project"]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
WORDS = runpy.run_path(str(ROOT / "tools" / "check_words.py"))
LEAST = runpy.run_path(str(ROOT / "tools" / "least_versions.py"))
# module → package, where the names differ
PACKAGES = {
    "PIL": "pillow",
    "yaml": "pyyaml",
    "sklearn": "scikit-learn",
    "py_sod_metrics": "pysodmetrics",
    "prometheus_client": "prometheus-client",
    "faster_coco_eval": "faster-coco-eval",
    "pillow_heif": "pillow-heif",
    "pytorch_lightning": "pytorch-lightning",
}
# module → the requirement that brings it
BROUGHT = {
    "lightning_fabric": "pytorch-lightning",
    "scipy": "scikit-learn",
    "starlette": "fastapi",
    "h11": "uvicorn",
    "triton": "torch",
    "res2net_native": "res2net-native",
}
# libraries that take our networks in: who calls the integration has them
HOSTS = {"timm", "segmentation_models_pytorch", "supervision"}


def tool(name: str, *words: object, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    command = [Path(sys.executable).with_name(name), *map(str, words)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


def test_all_that_is_imported_is_in_the_light_core_or_in_an_extra() -> None:
    users = {name: each for name, each in PROJECT["optional-dependencies"].items() if name != "dev"}
    required = [*PROJECT["dependencies"], *(each for extra in users.values() for each in extra)]
    names = {re.split(r"[\[<>=]", each)[0].lower() for each in required}
    for file in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                modules.append(node.module)
            for module in {each.partition(".")[0] for each in modules}:
                if module in sys.stdlib_module_names or module in {"res2net", "resource", *HOSTS}:
                    continue
                assert BROUGHT.get(module, PACKAGES.get(module, module)) in names, (file, module)


def test_every_requirement_of_users_has_a_lower_bound() -> None:
    extras = [name for name in PROJECT["optional-dependencies"] if name != "dev"]
    least = LEAST["least"](PROJECT, extras)
    assert {"numpy==1.26", "torch==2.6", "onnx==1.18", "fastapi==0.116"} <= set(least)


@pytest.mark.parametrize("requirement", ["numpy", "numpy<3", "numpy~=1.26", "numpy>=1.26,<3"])
def test_a_requirement_without_a_plain_lower_bound_is_refused(requirement: str) -> None:
    project = {"name": "x", "dependencies": [requirement], "optional-dependencies": {}}
    with pytest.raises(ValueError, match=re.escape(f"{requirement}: a lower bound must have")):
        LEAST["least"](project)
    with pytest.raises(ValueError, match="unknown extra trian; it can be "):
        LEAST["least"](PROJECT, ["trian"])


def test_the_classifiers_name_the_pythons_that_the_workflow_tests() -> None:
    (python,) = WORKFLOWS
    jobs = yaml.safe_load(python.read_text())["jobs"]
    named = re.findall(r"Python :: (3\.\d+)'", str(PROJECT["classifiers"]))
    assert jobs["test"]["strategy"]["matrix"]["python"] == named
    assert PROJECT["requires-python"] == f">={named[0]}"
    assert "Typing :: Typed" in PROJECT["classifiers"]


def test_every_step_of_the_workflow_is_a_make_target() -> None:
    for file in WORKFLOWS:
        for name, job in yaml.safe_load(file.read_text())["jobs"].items():
            for step in job["steps"]:
                if "run" not in step:
                    continue
                command, target, *_ = step["run"].split()
                assert command == "make", step
                targets = job["strategy"]["matrix"]["target"] if target == '"$TARGET"' else [target]
                for each in targets:
                    assert re.search(rf"^{each}:", MAKEFILE, re.MULTILINE), (name, each)


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.name)
def test_a_mistake_in_a_workflow_is_caught(file: Path, tmp_path: Path) -> None:
    schema = ("check-jsonschema", "--builtin-schema", "vendor.github-workflows")
    spoilt = tmp_path / ".github" / "workflows" / file.name
    spoilt.parent.mkdir(parents=True)
    spoilt.write_text(file.read_text())
    assert tool("zizmor", "--offline", "--quiet", spoilt).returncode == 0
    spoilt.write_text(file.read_text().replace("runs-on:", "run-on:"))
    assert tool(*schema, spoilt).returncode == 1
    spoilt.write_text(
        file.read_text().replace("make check", "echo ${{ github.event.pull_request.title }}")
    )
    done = tool("zizmor", "--offline", "--quiet", spoilt)
    assert done.returncode != 0
    assert "template-injection" in done.stdout


def test_every_hook_is_local_and_a_step_of_make_check() -> None:
    steps = MAKEFILE.replace("$(BIN)", ".venv/bin")
    for repository in yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]:
        assert repository["repo"] == "local"
        for hook in repository["hooks"]:
            assert hook["language"] == "system"
            assert f"\t{hook['entry']}" in steps, hook["id"]


def test_a_misspelt_word_is_caught(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("The receptive field of the last split.\n")
    config = ("--toml", ROOT / "pyproject.toml")
    assert tool("codespell", *config, page, cwd=tmp_path).returncode == 0
    page.write_text("The recieptive feild of the last split.\n")
    done = tool("codespell", *config, page, cwd=tmp_path)
    assert done.returncode != 0
    assert "feild ==> field" in done.stdout


SAID = '''"""A docstring
that said so."""
x = "goes" "on"  # what goes
# on here
y = f"{said} salience"
z = "marker"
'''


def test_a_phrase_is_found_in_strings_comments_and_pages_also_over_the_end_of_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    module, page = tmp_path / "a.py", tmp_path / "a.md"
    module.write_text(SAID)
    page.write_text("Training goes\non.\n")
    on = "(?:go|goes|going|went) on"
    assert [*WORDS["occurrences"](module)] == [("said", 2), (on, 3), (on, 3), ("salience", 5)]
    assert [*WORDS["occurrences"](page)] == [(on, 1)]
    assert WORDS["main"]([str(page)]) == 1
    assert capsys.readouterr().out == f"{page}:1: {on!r}: write resume, continue\n"


def test_a_phrase_that_is_gone_stays_gone(capsys: pytest.CaptureFixture[str]) -> None:
    assert WORDS["main"]([]) == 0, capsys.readouterr().out


def test_a_mistake_in_the_dockerfile_is_caught(tmp_path: Path) -> None:
    text = (ROOT / "Dockerfile").read_text()
    assert tool("hadolint", ROOT / "Dockerfile").returncode == 0
    spoilt = tmp_path / "Dockerfile"
    spoilt.write_text(text.replace("USER 1000", "USER root"))
    done = tool("hadolint", "--no-color", spoilt)
    assert done.returncode == 1
    assert "DL3002" in done.stdout


def test_what_coverage_leaves_out_is_there() -> None:
    for pattern in PYPROJECT["tool"]["coverage"]["run"]["omit"]:
        assert (ROOT / "src" / pattern.removeprefix("*/")).is_file(), pattern
    assert PYPROJECT["tool"]["coverage"]["report"]["fail_under"] == 90
