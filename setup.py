"""The native engine, for machines with a C++ compiler; without one the rest installs as well."""

import sys
from pathlib import Path

from setuptools import Extension, setup

NATIVE = Path("src/res2net/native")
WINDOWS = sys.platform == "win32"

setup(
    ext_modules=[
        Extension(
            "res2net.native._res2net",
            [file.as_posix() for file in sorted(NATIVE.glob("*.cpp"))],
            depends=[file.as_posix() for file in sorted(NATIVE.glob("*.h"))],
            language="c++",
            optional=True,
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
    ]
)
