"""The native engine, for machines with a C++ compiler; without one the rest installs as well."""

import sys

from setuptools import Extension, setup

SOURCES = ("api", "conv", "kernels_avx512", "network", "simple")
WINDOWS = sys.platform == "win32"

setup(
    ext_modules=[
        Extension(
            "res2net.native._res2net",
            [f"src/res2net/native/{name}.cpp" for name in SOURCES],
            depends=[
                f"src/res2net/native/{name}.h"
                for name in ("conv", "kernels", "network", "pool", "simple")
            ],
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
