"""``res2net-run DIR images...``: an exported network without torch."""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

from res2net.errors import UserError, counted, one_line, printable
from res2net.processor import level
from res2net.runtime.engines import AUTO
from res2net.runtime.session import Runtime, load
from res2net.runtime.sources import sources
from res2net.runtime.stream import Count, Result, classify, predict_to_file

EXAMPLES = """\
examples:
  res2net-run artifacts/cats holiday.jpg
  res2net-run artifacts/cats photos/ more.zip list.txt --out found.csv
  res2net-run artifacts/cats photos/ --out found.csv --resume     # resume after a stop
"""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}; `res2net-run --help` explains the options")


def make_parser() -> argparse.ArgumentParser:
    """All options."""
    parser = _Parser(
        prog="res2net-run",
        description="Classify images with a network exported by `res2net export`. "
        "PyTorch is not needed.",
        epilog=EXAMPLES,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("artifact", help="artifact folder of `res2net export`")
    parser.add_argument(
        "images",
        nargs="+",
        help="image files, folders, archives (zip, tar), lists (.txt, one path per line), - for a "
        "list on standard input",
    )
    parser.add_argument("--top", type=int, default=5, help="classes to name for each image [5]")
    parser.add_argument("--out", type=Path, help="write .csv, .jsonl or .parquet instead")
    parser.add_argument("--resume", action="store_true", help="resume: append to the file in --out")
    parser.add_argument("--json", action="store_true", help="print JSON, one line per image")
    parser.add_argument(
        "--engine",
        default=AUTO,
        help="auto, openvino, onnx, native; aoti: machine code of `export --to aoti`, which needs "
        "PyTorch [auto]",
    )
    parser.add_argument(
        "--device",
        default=AUTO,
        help="auto, cpu, or a GPU: cuda or tensorrt (ONNX Runtime), gpu (OpenVINO) [auto]",
    )
    parser.add_argument("--threads", type=int, help="CPU threads for the network; default all")
    parser.add_argument("--workers", type=int, help="threads that decode images; default all")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run and return the exit code: 0, 2 (user error), 130 (stopped)."""
    warnings.showwarning = lambda message, *_, **__: _say(f"note: {message}")
    try:
        level()  # a wrong one is a mistake, whichever engine runs
        _run(make_parser().parse_args(argv))
    except UserError as error:
        _say(str(error))
        return 2
    except KeyboardInterrupt:
        _say("stopped; rerun with --resume to continue")
        return 130
    except BrokenPipeError:
        sys.stderr.close()
    return 0


def _run(options: argparse.Namespace) -> None:
    for name in ("top", "threads", "workers"):
        value = getattr(options, name)
        if value is not None and value < 1:
            raise UserError(f"--{name} is {value}; it must be at least 1")
    if options.resume and not options.out:
        raise UserError("--resume needs --out, the file to append to")
    many = options.out is not None or len(options.images) > 1 or Path(options.images[0]).is_dir()
    runtime = load(
        options.artifact,
        engine=options.engine,
        threads=options.threads,
        stream=many,
        device=options.device,
    )
    runtime.check_classifies()
    if options.out:
        count = predict_to_file(
            runtime,
            options.images,
            options.out,
            top=options.top,
            resume=options.resume,
            workers=options.workers,
            track=_progress,
        )
        _say(_summary(count, options.out))
    else:
        _print_all(runtime, options)


def _print_all(runtime: Runtime, options: argparse.Namespace) -> None:
    done = bad = 0
    found = classify(runtime, sources(options.images), top=options.top, workers=options.workers)
    for name, seen in found:
        done += 1
        if isinstance(seen, str):
            bad += 1
            if done == 1 and len(options.images) == 1 and not Path(options.images[0]).is_dir():
                raise UserError(seen)
            _say(f"left out: {seen}")
        elif options.json:
            print(json.dumps({"image": name, "top": dict(seen.top)}), flush=True)
        else:
            top = "  ".join(f"{label} {100 * p:.1f} %" for label, p in seen.top)
            print(printable(f"{name}  {top}"))
    if done == bad:
        nothing = f"no images in {', '.join(options.images)}"
        raise UserError(f"none of {counted(done, 'image')} could be read" if done else nothing)


def _summary(count: Count, out: Path) -> str:
    text = f"{count.done} images written to {out}"
    if count.before:
        text += f" behind the {count.before} that were there"
    if count.bad:
        text += f"; {count.bad} could not be read, see column error (the first: {count.first_bad})"
    return text


def _progress(results: Iterable[Result]) -> Iterator[Result]:
    """A counter where somebody looks at it: how many there are is not known beforehand."""
    if not sys.stderr.isatty():
        yield from results
        return
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress, SpinnerColumn, TimeElapsedColumn

    columns: Any = (SpinnerColumn(), MofNCompleteColumn(), "images", TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        yield from bar.track(results)


def _say(message: str) -> None:
    print(f"res2net-run: {one_line(message)}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
