"""What a finished run measured, whatever its task. No torch in here."""

from __future__ import annotations

import json
from pathlib import Path


def scores_of(folder: Path) -> dict[str, float]:
    """The scalar figures of ``metrics.json``."""
    content = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    return {
        name: round(float(value), 6)
        for name, value in content.items()
        if isinstance(value, int | float)
    }
