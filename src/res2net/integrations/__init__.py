"""Our networks inside other people's libraries (docs/backbones.md).

Each module needs the library it is named after, and says so where that is missing. Nothing is
registered by an import.
"""

from __future__ import annotations


def missing(module: str, error: ModuleNotFoundError, install: str) -> ModuleNotFoundError:
    """The error for an integration whose library is absent; ``error`` if that is not the reason."""
    package = (error.name or "").partition(".")[0]
    if package == "res2net":
        return error
    return ModuleNotFoundError(
        f"{module} needs {package}: pip install '{install}'", name=error.name
    )
