"""The documentation as a site: built without a warning, needs no other address, and is true."""

from __future__ import annotations

import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest
from PIL import Image

import res2net
from res2net.bench.options import SUBJECTS
from res2net.cli.bench import make_parser as bench_parser
from res2net.cli.main import COMMANDS, main, module_of
from res2net.data.source import FORMATS
from res2net.paper.recipes import recipes_of
from res2net.paper.tasks import TASKS
from res2net.runtime.main import make_parser as run_parser

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
HOOKS = runpy.run_path(str(ROOT / "tools" / "docs_site.py"))
FENCE = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)
SHOWN = re.compile(r"```python\n(.*?)```(?:\n```text\n(.*?)```)?", re.DOTALL)
TUTORIALS = ("classify", "detect", "segment", "own-network")
RUN_ALONE = (
    "own-network",
    "block",
    "receptive-fields",
)  # the Python of the others needs their runs
OUTSIDE = re.compile(r"(?:url\(|@import)\s*['\"]?((?:https?:)?//[^'\")]+)")  # of a style sheet
LOADED = {"script", "link", "img", "iframe", "source", "video", "audio", "embed", "object"}


def build(config: Path, site: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "-f", config, "-d", site],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1", "RES2NET_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = build(ROOT / "mkdocs.yml", folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "WARNING" not in done.stderr
    return folder


class Html(HTMLParser):
    """Anchors of a page, what it links to, and what a browser loads with it."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.ids: set[str] = {""}
        self.links: list[str] = []
        self.loads: list[str] = []
        self.feed(page.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.ids |= {value for name in ("id", "name") if (value := found.get(name))}
        canonical = tag == "link" and found.get("rel") in ("canonical", "next", "prev")
        for name in ("href", "src"):
            if value := found.get(name):
                (self.loads if tag in LOADED and not canonical else self.links).append(value)


def faults_of(site: Path) -> Iterator[str]:
    """Links that lead nowhere, and what is loaded from elsewhere."""
    pages = {page: Html(page) for page in site.rglob("*.html")}
    for page, found in pages.items():
        if page.name == "404.html":
            continue
        for address in (*found.links, *found.loads):
            parts = urlsplit(address)
            if parts.scheme or parts.netloc:
                if address in found.loads and parts.scheme != "data":
                    yield f"{page.relative_to(site)} loads {address}"
                continue
            target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
            target = target / "index.html" if target.is_dir() else target
            if not target.is_file():
                yield f"{page.relative_to(site)} links to {address}, which is not there"
            elif target in pages and unquote(parts.fragment) not in pages[target].ids:
                yield f"{page.relative_to(site)} links to {address}: no such anchor"
    for style in site.rglob("*.css"):
        for address in OUTSIDE.findall(style.read_text()):
            yield f"{style.relative_to(site)} loads {address}"


def test_every_link_of_the_site_holds_and_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    assert len(list(site.rglob("*.html"))) > 60
    assert list(faults_of(site)) == []


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ('<a href="gone.html">', "not there"),
        ('<a href="#gone">', "no such anchor"),
        ('<script src="https://cdn.example/x.js">', "loads https://cdn.example/x.js"),
        ('<link rel="stylesheet" href="//fonts.example/x.css">', "loads //fonts.example"),
        ('<img src="http://pictures.example/x.png">', "loads http://pictures.example"),
    ],
)
def test_a_fault_of_a_page_is_found(tmp_path: Path, line: str, fault: str) -> None:
    (tmp_path / "index.html").write_text(f'<h1 id="top">A page</h1><a href="#top">{line}')
    (found,) = faults_of(tmp_path)
    assert fault in found


@pytest.mark.parametrize(
    ("link", "fault"),
    [("gone.md", "gone.md"), ("#gone", "#gone"), ("pictures/gone.png", "gone.png")],
)
def test_a_planted_broken_link_fails_the_build(tmp_path: Path, link: str, fault: str) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "index.md").write_text(f"# A page\n[there]({link})\n")
    config = tmp_path / "mkdocs.yml"
    config.write_text(
        f"INHERIT: {ROOT / 'mkdocs.yml'}\nnav: [index.md]\nhooks: []\nplugins: []\n"
        "not_in_nav: ''\nexclude_docs: ''\n"
    )
    done = build(config, tmp_path / "site")
    assert done.returncode == 1
    assert fault in done.stderr


def test_every_page_is_in_the_navigation_once(site: Path) -> None:
    text = (ROOT / "mkdocs.yml").read_text()
    for page in DOCS.glob("*.md"):
        expected = 0 if page.name == "dense.md" else 1  # dense.md keeps an old address
        assert len(re.findall(rf": {re.escape(page.name)}$", text, re.MULTILINE)) == expected
        assert page.with_suffix(".html").name in {each.name for each in site.glob("*.html")}


def test_the_search_is_built_for_pages_opened_as_files(site: Path) -> None:
    index = (site / "search" / "search_index.js").read_text()
    assert index.startswith("var __index = ")
    for words in ("--train.lr", "Res2NetBottleneck", "receptive field"):
        assert words in index
    assert "theme/iframe-worker.js" in (site / "index.html").read_text()


def test_the_reference_has_every_option_of_every_command(site: Path) -> None:
    for command in COMMANDS:
        ids = Html(site / "reference" / "commands" / f"{command}.html").ids
        for name in set(import_module(module_of(command)).make_parser().names()) - {"help"}:
            assert name in ids, (command, name)
    bench = Html(site / "reference" / "commands" / "bench.html").ids
    for subject in SUBJECTS:
        for name in set(bench_parser(subject).names()) - {"help"}:
            assert f"{subject}-{name}" in bench, (subject, name)
    run = Html(site / "reference" / "commands" / "res2net-run.html").ids
    for name in run_parser()._option_string_actions:
        assert name.strip("-") in {*run, "h", "help"}, name


def test_an_option_is_shown_with_its_values_default_help_and_tasks() -> None:
    text = HOOKS["page_of"]("train")
    assert "| `--train.lr`{ #train.lr } | number or `auto` | 0.1 | peak learning rate;" in text
    assert (
        "| `--net.global-pool`{ #net.global-pool } | `avg`, `max`, `avgmax` | avg "
        "| pooling before the classifier | classify, pretrain |"
    ) in text
    assert "| `--input.range`{ #input.range } | numbers, separated by commas |" in text
    assert "| `--resume`{ #resume } | none | off |" in text


def test_the_reference_has_every_recipe_with_its_settings(site: Path) -> None:
    ids = Html(site / "reference" / "config.html").ids
    for task in TASKS:
        for name in recipes_of(task):
            assert f"{task}-{name}" in ids


def test_the_reference_has_every_public_name(site: Path) -> None:
    card = (site / "reference" / "api" / "res2net.card.html").read_text()
    assert ">preprocess</span>" in card  # a field of a dataclass
    ids = Html(site / "reference" / "api" / "index.html").ids
    for name in res2net.__all__:
        assert f"res2net.{name}" in ids or name.startswith("__"), name


def test_the_reference_has_every_module_that_the_pages_import() -> None:
    modules = HOOKS["MODULES"]
    assert list(modules) == sorted(modules)
    for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *DOCS.glob("*.md")):
        blocks = "".join(text for kind, text in FENCE.findall(page.read_text()) if kind == "python")
        for module in re.findall(r"^(?:from|import) (res2net\S*)", blocks, re.MULTILINE):
            assert module in {"res2net", "res2net.integrations", *modules}, (page.name, module)


def test_the_page_of_formats_names_all_that_are_read() -> None:
    text = (DOCS / "formats.md").read_text()
    for name in FORMATS:
        assert f"`{name}`" in text, name


def test_links_that_leave_the_pages_lead_to_copies_in_the_site() -> None:
    moved = HOOKS["with_links_of_site"]
    page = DOCS / "benchmarks.md"
    assert moved("[a](../Makefile)", page, "benchmarks.md") == "[a](repository/Makefile)"
    assert moved("[a](../results)", page, "benchmarks.md") == "[a](repository/results/index.md)"
    assert moved("`[a](../Makefile)` [b](data.md#x)", page, "benchmarks.md") == (
        "`[a](../Makefile)` [b](data.md#x)"
    )
    contributing = "repository/CONTRIBUTING.md"
    back = moved("[a](docs/data.md#x)", ROOT / "CONTRIBUTING.md", contributing)
    assert back == "[a](../data.md#x)"


@pytest.mark.parametrize("name", RUN_ALONE)
def test_the_python_of_a_page_prints_what_the_page_shows(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    names: dict[str, Any] = {}
    blocks = SHOWN.findall((DOCS / f"{name}.md").read_text())
    assert blocks
    for code, printed in blocks:
        exec(compile(code, f"{name}.md", "exec"), names)
        assert capsys.readouterr().out == printed


@pytest.mark.slow
@pytest.mark.parametrize("name", TUTORIALS)
def test_the_commands_of_a_tutorial_run(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RES2NET_OFFLINE", "1")
    chance = np.random.default_rng(0)
    places = [f"photos/{label}/{i}.png" for label in ("cat", "dog") for i in range(6)]
    for place in (*places, "slides/1.png"):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        pixels = chance.integers(0, 255, (96, 96, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / place)
    blocks = FENCE.findall((DOCS / f"{name}.md").read_text())
    for line in "".join(text for kind, text in blocks if kind == "sh").splitlines():
        if line.startswith("res2net "):
            words = shlex.split(line)[1:]
            brief = ["--train.max-steps", "2", "--train.val-batches", "2", "--input.size", "64"]
            trains = words[0] == "train" and "--preview" not in words
            assert main([*words, *(brief if trains else [])]) == 0, line
    if name in ("detect", "segment"):
        for code in (text for kind, text in blocks if kind == "python"):
            exec(compile(code, f"{name}.md", "exec"), {})


@pytest.mark.slow
def test_the_site_works_in_a_browser_when_opened_as_files(site: Path) -> None:
    if not shutil.which("chromium") or not shutil.which("chromedriver"):
        pytest.skip("no Chromium here: apt-get install chromium chromium-driver")
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import WebDriverWait

    page = runpy.run_path(str(ROOT / "tools" / "draw_page.py"))
    with page["chromium"]() as driver:
        driver.get((site / "index.html").as_uri())
        field = driver.find_element(By.CSS_SELECTOR, "input[name=query]")
        driver.execute_script("arguments[0].focus()", field)
        driver.execute_script("document.querySelector('label[for=__search]').click()")
        field.send_keys("learning rate")
        found = WebDriverWait(driver, 30).until(
            lambda d: d.find_elements(By.CSS_SELECTOR, ".md-search-result__link")
        )
        assert found
        assert page["asked_outside"](driver) == []
        assert [e for e in driver.get_log("browser") if e["level"] == "SEVERE"] == []
