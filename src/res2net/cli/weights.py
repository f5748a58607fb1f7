"""``res2net weights list|fetch|verify|convert``: published weights and files of them."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from res2net.cli.parser import Parser, read_options
from res2net.cli.tables import new_table, show
from res2net.errors import UserError, did_you_mean
from res2net.files import cache_folder
from res2net.weights.catalogue import Errors, WeightFile, find_file, list_files, names
from res2net.weights.fetch import Fetched, fetch, fetch_url

EXAMPLES = (
    "res2net weights list res2net50",
    "res2net weights fetch res2net50_26w_4s",
    "res2net weights verify res2net50_26w_4s-06e79181.pth",
    "res2net weights convert Res2Net50_vd_26w_4s_pretrained.pdparams --to timm --out vd.pth",
)
ACTIONS = {
    "list": "published files: errors, licence, whether they are on this machine",
    "fetch": "download a file, check its hash and print its path",
    "verify": "identify a file of weights, and check that it is complete",
    "convert": "write a file's weights under the names of another library",
}
TARGETS = ("timm", "official", "mmdet")
MOST_CHANNELS = 4096  # image channels


def make_parser() -> Parser:
    """The options of the command."""
    actions = "\n".join(f"  {name:<8} {what}" for name, what in ACTIONS.items())
    parser = Parser(
        "weights ACTION [NAME|FILE] [--option value ...]",
        "Published weights and files of weights. RES2NET_CACHE is the folder of downloads, "
        "RES2NET_WEIGHTS_URL a mirror that is tried first; RES2NET_OFFLINE=1 forbids downloads.",
        EXAMPLES,
    )
    parser.description = f"{parser.description}\n\nactions:\n{actions}"
    parser.add_argument("action", type=str, help="list, fetch, verify or convert")
    parser.add_argument(
        "target",
        type=str | None,
        nargs="?",
        help="list: part of a name; fetch: a network, a listed name, a URL or "
        "hf-hub:OWNER/NAME; verify, convert: a file",
    )
    parser.add_argument(
        "--to",
        type=str | None,
        help=f"convert: library whose names are written ({', '.join(TARGETS)}); required",
    )
    parser.add_argument(
        "--out", type=Path | None, help="convert: file to write, .pth or .safetensors; required"
    )
    parser.add_argument("--json", action="store_true", help="list, verify: print JSON")
    return parser


def main(argv: Sequence[str]) -> None:
    """Run one of the four actions.

    Raises:
        UserError: an unknown action, a missing target, or an error of a file.
    """
    options = read_options(make_parser(), argv)
    actions: dict[str, Callable[[Any], None]] = {
        "list": show_list,
        "fetch": fetch_one,
        "verify": verify,
        "convert": convert,
    }
    if options.action not in actions:
        raise UserError(
            f"unknown action {options.action!r}.{did_you_mean(options.action, actions)} It can be "
            f"{', '.join(actions)}"
        )
    if options.action != "list" and not options.target:
        raise UserError(f"`res2net weights {options.action}` needs a name or a file")
    for name in ("to", "out"):
        if options[name] is not None and options.action != "convert":
            raise UserError(f"--{name} only applies to `res2net weights convert`")
    if options.json and options.action not in ("list", "verify"):
        raise UserError("--json only applies to `res2net weights list` and `verify`")
    actions[options.action](options)


def show_list(options: Any) -> None:
    """The catalogue."""
    rows = list_files(options.target or "*")
    if not rows:
        raise UserError(
            f"no published weights match {options.target!r}."
            f"{did_you_mean(options.target, names())} "
            "`res2net weights list` lists all"
        )
    if options.json:
        print(json.dumps([_record(row) for row in rows], indent=1))
        return
    table = new_table(
        "Name",
        right=("Top-1 / top-5 error %", "measured by timm", "Here"),
        wrapped=("Licence",),
    )
    for row in rows:
        table.add_row(
            row.name,
            _errors(row.published),
            _errors(row.measured),
            "yes" if _is_here(row) else "-",
            row.licence.short,
        )
    show(table)


def _errors(errors: Errors | None) -> str:
    return "-" if errors is None else f"{errors[0]:.2f} / {errors[1]:.2f}"


def _is_here(row: WeightFile) -> bool:
    if row.hub:
        folder = cache_folder() / "hub" / f"models--{row.hub.replace('/', '--')}"
        return any(folder.glob(f"snapshots/*/{row.file}"))
    return (cache_folder() / row.file).is_file()


def _record(row: WeightFile) -> dict[str, Any]:
    """One file as a JSON object."""
    return {
        **asdict(row),
        "licence": asdict(row.licence),
        "first_block": str(row.first_block),
        "here": _is_here(row),
    }


def fetch_one(options: Any) -> None:
    """Download a file and print only its path on standard output."""
    print(_fetched(options.target).path)


def _fetched(target: str) -> Fetched:
    if target.startswith(("http://", "https://")):
        return fetch_url(target)
    if target.startswith("hf-hub:"):
        from res2net.weights.fetch import fetch_from_hub, parse_address

        repository, revision = parse_address(target)
        found = fetch_from_hub(repository, revision=revision)
        return Fetched(found.path, found.revision)
    row = find_file(target)
    print(f"{row.name}: {row.licence}", file=sys.stderr)
    return fetch(row)


def verify(options: Any) -> None:
    """Identify a file."""
    from res2net.weights.pretrained import inspect_file

    found = inspect_file(Path(options.target))
    _check_whole(found)
    if options.json:
        print(json.dumps(dict(found.facts()), indent=1))
        return
    table = new_table("", wrapped=("",))
    table.show_header = False
    for name, value in found.facts():
        table.add_row(name, value)
    show(table)


def _check_whole(found: Any) -> None:
    """Check that every tensor of the identified network is in the file with its shape."""
    import torch

    from res2net.models.factory import create_model
    from res2net.weights.fit import check_fits

    state, name = found.weights.state, found.identity.name()
    if name is None:
        return
    stem = next((value for value in state.values() if value.ndim == 4), None)
    channels = 3 if stem is None else max(1, min(stem.shape[1], MOST_CHANNELS))
    with torch.device("meta"):
        model = create_model(name, in_channels=channels)
    head = f"{model.HEAD}."
    own = {key: value for key, value in model.state_dict().items() if not key.startswith(head)}
    counters = {key: value for key, value in own.items() if key.endswith("num_batches_tracked")}
    body = {key: value for key, value in state.items() if not key.startswith(head)}
    check_fits({**counters, **body}, own, str(found.path))


def convert(options: Any) -> None:
    """Write a file's weights under the names of another library."""
    if options.to not in TARGETS:
        raise UserError(
            f"--to is {options.to or 'missing'}; it must be one of {', '.join(TARGETS)}"
        )
    if options.out is None:
        raise UserError("--out is missing: the file to write, .pth or .safetensors")
    if options.out.exists():
        raise UserError(f"--out {options.out} exists; name another file")
    from res2net.paper.variant import FirstBlock
    from res2net.weights.layouts import LAYOUTS, write_state
    from res2net.weights.pretrained import inspect_file

    found = inspect_file(Path(options.target))
    _check_whole(found)
    write_state(LAYOUTS[options.to](found.weights.state), options.out)
    rule = found.weights.first_block
    if rule not in (None, FirstBlock.POOL):
        print(
            f"note: trained with first_block='{rule}', which {options.to} does not build: names "
            "and shapes fit there, but accuracy drops silently (docs/first-block.md)",
            file=sys.stderr,
        )
    if found.row:
        print(f"{found.row.name}: {found.row.licence}", file=sys.stderr)
    print(f"wrote {options.out} ({options.to} names, converted from {found.weights.layout})")
