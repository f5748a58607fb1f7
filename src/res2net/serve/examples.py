"""Example photos: those shipped with scikit-learn and scikit-image."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

_PLACES = {
    "sklearn": ("datasets/images", ("flower.jpg", "china.jpg")),
    "skimage": ("data", ("chelsea.png", "coffee.png", "astronaut.png", "rocket.jpg")),
}


def example_photos() -> list[Path]:
    """The photos that are installed; neither library is imported."""
    found = []
    for package, (folder, names) in _PLACES.items():
        spec = find_spec(package)
        home = Path(spec.origin).parent / folder if spec and spec.origin else Path()
        found += [home / name for name in names if (home / name).is_file()]
    return found
