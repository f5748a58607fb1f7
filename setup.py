"""Pure Python; with RES2NET_NATIVE=1, as in a clone, the native engine inside it (see native/)."""

import os
import sys
from pathlib import Path

from setuptools import Extension, setup

NATIVE = Path(__file__).resolve().parent / "src" / "res2net" / "native"
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


if __name__ == "__main__":
    wanted = os.environ.get("RES2NET_NATIVE") == "1"
    setup(ext_modules=[engine("res2net.native._res2net", optional=True)] if wanted else [])
