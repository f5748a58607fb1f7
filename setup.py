"""Pure Python; with RES2NET_NATIVE=1, as in a clone, with the native engine (see native/)."""

import os
import re
import sys
import tomllib
from pathlib import Path

from setuptools import Extension, setup

ROOT = Path(__file__).resolve().parent
NATIVE = ROOT / "src" / "res2net" / "native"
WINDOWS = sys.platform == "win32"


def engine(name: str, *, optional: bool) -> Extension:
    """The engine as a module to be built, its sources as seen from the folder of the build."""

    def found(pattern: str) -> list[str]:
        return [Path(os.path.relpath(file)).as_posix() for file in sorted(NATIVE.glob(pattern))]

    return Extension(
        name,
        found("*.cpp"),
        depends=found("*.h"),
        language="c++",
        optional=optional,
        extra_compile_args=[]
        if WINDOWS
        else [
            "-std=c++17",
            "-O2",
            "-g0",
            "-fvisibility=hidden",
            "-pthread",
            "-Wno-uninitialized",
            "-Wno-maybe-uninitialized",
        ],
        extra_link_args=[] if WINDOWS else ["-pthread"],
    )


def readme(repository: str, version: str) -> str:
    """README for a package index: links lead to the files of this version in the repository."""

    def absolute(link: re.Match[str]) -> str:
        kind = "raw" if link[1].startswith("!") else "blob"
        return f"{link[1]}{repository}/{kind}/v{version}/{link[2]}"

    text = (ROOT / "README.md").read_text(encoding="utf-8")
    return re.sub(r"(!?\[[^\]]*\]\()(?!\w+:|#)(.+?\))", absolute, text) if repository else text


if __name__ == "__main__":
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = os.environ.get("RES2NET_NATIVE") == "1"
    setup(
        long_description=readme(project.get("urls", {}).get("Repository", ""), project["version"]),
        long_description_content_type="text/markdown",
        ext_modules=[engine("res2net.native._res2net", optional=True)] if wanted else [],
    )
