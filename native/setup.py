"""One library for every version of Python: it is opened by ctypes and needs none of its headers."""

from pathlib import Path
from runpy import run_path

from setuptools import setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).resolve().parent.parent
engine = run_path(str(ROOT / "setup.py"))["engine"]


class PlainName(build_ext):
    """``_res2net.so``, without a version of Python in its name."""

    def get_ext_filename(self, fullname: str) -> str:
        name = Path(super().get_ext_filename(fullname))
        return str(name.with_name(f"_res2net{name.suffix}"))


class AnyPython(bdist_wheel):
    """Of this platform, for Python 3 of any version."""

    def get_tag(self) -> tuple[str, str, str]:
        return "py3", "none", super().get_tag()[2]


setup(
    ext_modules=[engine("res2net_native._res2net", optional=False)],
    cmdclass={"build_ext": PlainName, "bdist_wheel": AnyPython},
)
