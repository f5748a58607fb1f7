"""``res2net similar``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from rich.markup import escape

from res2net.cli.parser import Parser, read_options
from res2net.cli.tables import new_table, show
from res2net.cli.targets import check_targets
from res2net.data.embeddings import (
    Embeddings,
    near_duplicates,
    nearest,
    plane,
    read_embeddings,
)
from res2net.errors import UserError, check_needs, counted, printable
from res2net.files import check_file_to_write
from res2net.weights.catalogue import shipped

Tile = tuple[str, str]  # file, caption
GROUPS = 10  # folders with a colour of their own on a map
EXAMPLES = (
    "res2net similar holiday.npz beach.jpg --model runs/photos --sheet s.png --images photos",
    "res2net similar holiday.npz            # near-duplicates and outliers",
    "res2net similar holiday.npz --map map.png",
)


def make_parser() -> Parser:
    """All options of a search."""
    parser = Parser(
        "similar FILE [PHOTO] [--option value ...]",
        "Search a file of `res2net embed`. With a photo: the images most similar to it (cosine of "
        "their features). Without: near-duplicates, and outliers by the mean distance to the 5 "
        "nearest images, relative to the median of all.",
        EXAMPLES,
    )
    parser.add_argument("file", type=Path, help=".npz or .parquet that `res2net embed` wrote")
    parser.add_argument("photo", type=Path | None, nargs="?", help="image to look for")
    parser.add_argument(
        "--model",
        type=str | None,
        help="with a photo: the network used for embedding; default: the shipped network, if it "
        "was used",
    )
    parser.add_argument("--count", type=int, default=12, help="images or pairs in a list")
    parser.add_argument(
        "--threshold",
        type=float,
        default=0.98,
        help="without a photo: smallest cosine of near-duplicates",
    )
    parser.add_argument(
        "--sheet",
        type=Path | None,
        help="also draw them with their names on a PNG; needs --images; default: no",
    )
    parser.add_argument(
        "--images",
        type=Path | None,
        help="with --sheet: the folder of the images; no file outside it is read; default: none",
    )
    parser.add_argument(
        "--map",
        type=Path | None,
        help="also draw all images as points on a PNG, coloured by folder (t-SNE "
        "of 20 to 5,000 images, else principal components); default: no",
    )
    return parser


def main(argv: Sequence[str]) -> None:
    """Search and print."""
    parser = make_parser()
    options = read_options(parser, argv)
    unread = "threshold" if options.photo else "model"
    if unread in parser.typed:
        raise UserError(f"--{unread} does not apply with{'' if options.photo else 'out'} a photo")
    check_needs(parser.typed, {"images": ("--sheet", options.sheet is not None)})
    if options.sheet and not (options.images and options.images.is_dir()):
        given = options.images or "missing"
        raise UserError(f"--images is {given}; --sheet needs the folder of the images")
    if options.count < 1:
        raise UserError(f"--count is {options.count}; it must be at least 1")
    if not -1 <= options.threshold <= 1:
        raise UserError(f"--threshold is {options.threshold:g}; a cosine is between -1 and 1")
    pictures = [path for path in (options.sheet, options.map) if path]
    for path in pictures:
        check_file_to_write(path)
    check_targets(*([options.model] if options.model else []))
    found = read_embeddings(options.file)
    if options.photo:
        tiles = like_photo(found, options.photo, options.model, options.count)
    else:
        tiles = of_set(found, options.threshold, options.count)
    if options.sheet:
        draw_sheet(tiles, options.sheet, options.images, options.photo)
    if options.map:
        draw_map(found, options.map)
    for path in pictures:
        print(f"written: {path}", file=sys.stderr)


def like_photo(found: Embeddings, photo: Path, model: str | None, count: int) -> list[Tile]:
    """Print the neighbours of a photo.

    Raises:
        UserError: it cannot be read, or the network is not that of the file, or not given.
    """
    from res2net.tasks.embed import open_embedder
    from res2net.tasks.open import SHIPPED

    named = found.about["target"]
    if model is None and named not in (SHIPPED, str(shipped())):
        # never open the network that the file names: an untrusted file can name any file or address
        raise UserError(f"--model is missing: give the network of the file; it names {named!r}")
    embedder = open_embedder(model or SHIPPED, found.about["precision"])
    if embedder.about["sha256"] != found.about["sha256"]:
        raise UserError(
            f"{embedder.about['target']} is not the network that the file was embedded with; embed "
            "again, or name that network by --model"
        )
    near = nearest(found.features, embedder.run([embedder.shaped(photo)])[0], count)
    table = new_table(right=("cosine",), wrapped=("Image",))
    for index, cosine in near:
        table.add_row(f"{cosine:.4f}", escape(found.names[index]))
    show(table)
    return [(str(photo), "photo"), *((found.names[i], f"{cosine:.4f}") for i, cosine in near)]


def of_set(found: Embeddings, threshold: float, count: int) -> list[Tile]:
    """Print the near-duplicates and outliers of a set."""
    names = found.names
    pairs, ratios = near_duplicates(found.features, threshold)
    print(f"{counted(len(pairs), 'pair')} with a cosine of at least {threshold:g}")
    alike = new_table(right=("cosine",), wrapped=("First", "Second"))
    far = new_table(right=("distance / median",), wrapped=("Farthest from its neighbours",))
    tiles: list[Tile] = []
    for i, j, cosine in pairs[:count]:
        alike.add_row(f"{cosine:.4f}", escape(names[i]), escape(names[j]))
        tiles += [(names[i], f"cosine {cosine:.4f}"), (names[j], f"to {Path(names[i]).name}")]
    for index in (-ratios).argsort(kind="stable")[:count]:
        far.add_row(f"{ratios[index]:.2f}", escape(names[index]))
        tiles.append((names[index], f"distance {ratios[index]:.2f}×"))
    show(*([alike] if pairs else []), far)
    return tiles


def draw_sheet(tiles: Sequence[Tile], path: Path, folder: Path, photo: Path | None) -> None:
    """The images with their names; grey where a file is gone or lies in an archive.

    An untrusted file can name any other, so only the photo and files of the folder are read.

    Raises:
        UserError: no image is in the folder, or ``path`` cannot be written.
    """
    import numpy as np

    from res2net.data.photo import read_rgb
    from res2net.drawing.sheet import Line, Tile, draw_tiles

    own = [tile for tile in tiles if tile[0] != str(photo)]
    outside = [name for name, _ in own if not _inside(name, folder)]
    if own and len(outside) == len(own):
        raise UserError(f"--images {folder}: holds none of the images, such as {outside[0]!r}")
    drawn = []
    for name, words in tiles:
        image = np.full((64, 64, 3), 200, np.uint8)
        if name not in outside:
            with suppress(UserError):
                image = read_rgb(name)
        drawn.append(Tile([image], [[Line(text=printable(Path(name).name)), Line(text=words)]]))
    draw_tiles(
        path,
        "Similar images",
        "cosine of features; distance: mean to the nearest images, over the median of all",
        drawn,
        note=f"{counted(len(outside), 'image')} not in {folder}: grey" if outside else "",
    )


def _inside(name: str, folder: Path) -> bool:
    """Whether a file, or a link to one, lies in the folder."""
    home = Path(name).parent.resolve()
    return folder.resolve() in (home, *home.parents)


def draw_map(found: Embeddings, path: Path) -> None:
    """All images as points, coloured by folder if there are few folders."""
    import numpy as np

    from res2net.drawing.canvas import MARGIN, TOP, WIDTH, add_axes, headed_figure, plain
    from res2net.drawing.marks import colour_of

    places, how = plane(found.features)
    folders = np.array([printable(Path(name).parent.name) for name in found.names])
    groups = sorted(set(folders)) if 1 < len(set(folders)) <= GROUPS else []
    with headed_figure(path, 1100, f"Map of {counted(len(places), 'image')}", how) as figure:
        axes = add_axes(figure, MARGIN, TOP + 20, WIDTH - 2 * MARGIN, 900)
        for number, group in enumerate(groups or [""]):
            own = places[folders == group] if groups else places
            colour = [value / 255 for value in colour_of(number)]
            axes.scatter(own[:, 0], own[:, 1], s=8, color=colour, label=plain(group))
        axes.set(xticks=[], yticks=[])
        if groups:
            axes.legend(loc="best")
