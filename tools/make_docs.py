"""``make docs``: the API reference as a static site, from the docstrings.

Run it from anywhere: ``python tools/make_docs.py [FOLDER]``; the folder is ``site`` if not given.
A name that cannot be documented is an error, not a gap.
"""

from __future__ import annotations

import importlib
import sys
import warnings
from pathlib import Path

import pdoc
import pdoc.render

import res2net

ROOT = Path(__file__).resolve().parent.parent
# Beside the names of `res2net` itself: the modules that README and docs import from.
MODULES = (
    "res2net.card",
    "res2net.data.preprocess",
    "res2net.data.scenes.options",
    "res2net.data.scenes.readers",
    "res2net.data.source",
    "res2net.explain.cam",
    "res2net.heads.deeplab",
    "res2net.heads.detector",
    "res2net.heads.dss",
    "res2net.heads.pose",
    "res2net.integrations.huggingface",
    "res2net.integrations.smp",
    "res2net.integrations.timm",
    "res2net.integrations.torchvision",
    "res2net.runtime",
    "res2net.runtime.ray_data",
)


def main(folder: Path) -> None:
    """Write the site.

    Raises:
        Warning: whatever pdoc warns of.
    """
    for module in MODULES:
        importlib.import_module(module)
    for name in res2net.__all__:
        vars(res2net)[name] = getattr(res2net, name)  # pdoc does not ask a module's __getattr__
    listed = "\n".join(f"- `{module}`" for module in MODULES)
    res2net.__doc__ = f"{res2net.__doc__}\nBeyond the names below:\n\n{listed}\n"
    pdoc.render.configure(
        docformat="google", show_source=False, footer_text=f"res2net {res2net.__version__}"
    )
    # A module brings its submodules along: they are left out before those wanted are added.
    alone = [word for module in ("res2net", *MODULES) for word in (module, rf"!{module}\.")]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pdoc.pdoc(*alone, output_directory=folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "site")
