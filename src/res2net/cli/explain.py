"""``res2net explain``."""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Sequence
from dataclasses import asdict
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

from res2net.cli.parser import Parser, read_options
from res2net.cli.progress import track
from res2net.cli.tables import new_table, show
from res2net.cli.targets import check_targets, target_and_images, use_shipped
from res2net.data.files import images_in
from res2net.errors import UserError, check_needs, counted
from res2net.files import alone_in, json_text, write_bytes, write_text

if TYPE_CHECKING:
    from res2net.explain.sheets import Sheet
    from res2net.explain.study import Summary
    from res2net.explain.subject import Explained, Subject

STRUCTURE_ONLY = "structure only: random weights, so the map is meaningless"
EXAMPLES = (
    "res2net explain runs/photos holiday.jpg",
    "res2net explain runs/photos holiday/ --against runs/resnet     # side by side, as Fig. 4",
    "res2net explain runs/photos cat.jpg --class cat --level c4 --box 40,10,180,200",
    "res2net explain runs/photos --data coco:COCO --against runs/resnet",
)


def make_parser() -> Parser:
    """All options of an explanation."""
    parser = Parser(
        "explain [RUN|CHECKPOINT|NAME] IMAGE_OR_FOLDER ... [--option value ...]",
        "Show which pixels support a class (Grad-CAM), for one network or two side by side, and "
        "measure how much of the map lies on the objects: in a box, a mask, or the annotations of "
        "--data. For classifiers, segmenters (the pixels of a class), detectors (the most "
        "confident box) and saliency networks (the whole map). Without a network, the small one "
        "shipped with the package is used.",
        EXAMPLES,
    )
    parser.add_argument(
        "words",
        type=str,
        nargs="*",
        help="run folder, checkpoint, .safetensors or network; then image files and folders",
    )
    parser.add_argument(
        "--model",
        type=str | None,
        help="the network, if all arguments are images; default: the first argument",
    )
    parser.add_argument(
        "--against", type=str | None, help="a second network, shown beside the first; default: none"
    )
    parser.add_argument(
        "--class", type=str | None, help="name or number of the class; default: the predicted one"
    )
    parser.add_argument(
        "--level", type=str | None, help="level whose map is shown: c2, c3, ...; default: the last"
    )
    parser.add_argument(
        "--box",
        type=str | None,
        help="measure inside LEFT,TOP,RIGHT,BOTTOM (pixels); default: no measurement",
    )
    parser.add_argument(
        "--mask",
        type=Path | None,
        help="measure inside this mask, the non-black pixels of an image; default: none",
    )
    parser.add_argument(
        "--data",
        type=str | None,
        help="measure on annotated images: coco:PATH, voc:PATH, ecssd:PATH; default: none",
    )
    parser.add_argument(
        "--split",
        type=str,
        default="val",
        choices=("val", "train", "test", "all"),
        help="part of --data",
    )
    parser.add_argument(
        "--limit", type=int | None, help="largest number of images of --data; default: all"
    )
    parser.add_argument(
        "--pseudo-masks",
        type=float | None,
        help="with --data of masks: also write masks where the map reaches this share of its "
        "highest value, and measure their IoU at every threshold; default: none",
    )
    parser.add_argument(
        "--out", type=Path, default=Path("explanations"), help="folder for pictures and tables"
    )
    return parser


def main(argv: Sequence[str]) -> None:
    """Explain, draw, measure and print.

    Raises:
        UserError: no such network, image, class or level; data without annotations; a folder that
            cannot be written, or that another process writes to.
    """
    parser = make_parser()
    options = read_options(parser, argv)
    with_data = ("--data", bool(options.data))
    check_needs(parser.typed, dict.fromkeys(("split", "limit", "pseudo_masks"), with_data))
    if options.pseudo_masks is not None and not 0 < options.pseudo_masks < 1:
        raise UserError(f"--pseudo-masks is {options.pseudo_masks}; it must lie between 0 and 1")
    if options.limit is not None and options.limit < 1:
        raise UserError(f"--limit is {options.limit}; it must be at least 1")
    if options.data and (options.box or options.mask):
        raise UserError("--box and --mask are for single images; --data has its own annotations")
    if options.box and options.mask:
        raise UserError("give --box or --mask, not both")
    target, words = _target_and_words(options)
    names = [target, *([options.against] if options.against else [])]
    check_targets(*names)
    box = parse_box(options.box) if options.box else None

    from res2net.explain.subject import open_subject

    files = [file for path in words for file in images_in(path)]
    subjects = [open_subject(name) for name in names]
    name_apart(subjects, names)
    for subject in subjects:
        subject.level_named(options.level)
        if options["class"] is not None and not subject.chooses:
            raise UserError(
                f"--class does not apply to {subject.name}, a network of --task "
                f"{subject.card.task}; it is for classifiers, detectors and segmenters"
            )
        if subject.structure_only:
            print(f"res2net: note: {subject.name}: {STRUCTURE_ONLY}", file=sys.stderr)
    with alone_in(options.out, "--out"):
        if options.data:
            explain_data(subjects, options)
        else:
            explain_images(subjects, files, options, box)


def _target_and_words(options: Any) -> tuple[str, list[Path]]:
    if not options.data:
        return target_and_images(options.words, options.model)
    words = [*([options.model] if options.model else []), *options.words]
    if len(words) > 1:
        raise UserError(f"--data provides the images; leave out {' '.join(words[1:])}")
    return (words[0] if words else str(use_shipped())), []


def name_apart(subjects: Sequence[Subject], targets: Sequence[str]) -> None:
    """Name two networks by their whole paths where their folders have the same name."""
    if len({subject.name for subject in subjects}) < len(subjects):
        for subject, target in zip(subjects, targets, strict=True):
            subject.name = target


def parse_box(text: str) -> tuple[int, int, int, int]:
    """``"10,20,110,220"`` as left, top, right, bottom.

    Raises:
        UserError: not four whole numbers, or a box without a pixel.
    """
    try:
        left, top, right, bottom = (int(part) for part in text.strip("[]() ").split(","))
    except ValueError:
        raise UserError(f"--box is {text!r}; it must be LEFT,TOP,RIGHT,BOTTOM in pixels") from None
    if right <= left or bottom <= top:
        raise UserError(f"--box is {text!r}; right and bottom must lie beyond left and top")
    return left, top, right, bottom


def explain_images(
    subjects: Sequence[Subject],
    files: Sequence[Path],
    options: Any,
    box: tuple[int, int, int, int] | None,
) -> None:
    """Write an overlay per image and network, the sheet, and all figures as JSON."""
    from res2net.data.decode import decode
    from res2net.explain.sheets import ON_A_SHEET, Sheet, draw_map, draw_sheet
    from res2net.explain.subject import reading_of
    from res2net.tasks.network import in_colours

    reading = reading_of(subjects)
    wanted = options["class"]
    numbers = [None if wanted is None else subject.number_of(wanted) for subject in subjects]
    tiles: list[Sheet] = []
    records: list[dict[str, Any]] = []
    done = 0
    for file in track(files, len(files), "explaining"):
        try:
            image = decode(file, reading=reading)
            inside = _inside(box, options.mask, (image.shape[-2], image.shape[-1]))
            maps = [
                subject.explain(image, wanted=number, level=options.level)
                for subject, number in zip(subjects, numbers, strict=True)
            ]
        except UserError as error:
            if len(files) == 1:
                raise
            warnings.warn(f"left out: {error}", stacklevel=1)
            continue
        pixels = in_colours(image).permute(1, 2, 0).contiguous().numpy()
        stem = f"{done:05d}-{file.stem}" if len(files) > 1 else file.stem
        for n, (subject, found) in enumerate(zip(subjects, maps, strict=True)):
            overlay = f"{stem}{f'-{n + 1}' if len(subjects) > 1 else ''}.png"
            write_bytes(options.out / overlay, _png(draw_map(pixels, found, inside)))
            records.append(_record(file, subject, found, overlay, inside))
        if done < ON_A_SHEET:
            tiles.append(Sheet(name=file.name, image=pixels, maps=maps, inside=inside))
        done += 1
    if not done:
        raise UserError(f"none of the {len(files)} images could be explained")
    draw_sheet(
        tiles,
        [subject.name for subject in subjects],
        options.out / "sheet.png",
        images=done,
        note=_note(subjects),
    )
    write_text(options.out / "explanations.json", json_text(records, indent=2) + "\n")
    show(_table(records))
    print(f"overlays, sheet.png and explanations.json: {options.out}")


def _inside(box: tuple[int, int, int, int] | None, mask: Path | None, size: tuple[int, int]) -> Any:
    """The annotated pixels (H, W), or None."""
    from res2net.explain.concentration import box_mask

    if box is not None:
        inside = box_mask(box, *size)
        if not inside.any():
            raise UserError(f"--box lies outside the image of {size[1]}x{size[0]} pixels")
        return inside
    if mask is None:
        return None
    from res2net.data.decode import decode

    values = decode(mask).numpy()
    if values.shape[1:] != size:
        raise UserError(f"--mask {mask}: is {values.shape[1:]}, but the image is {size} (H, W)")
    return values.max(axis=0) > 0


def _record(
    file: Path, subject: Subject, found: Explained, overlay: str, inside: Any
) -> dict[str, Any]:
    from res2net.explain.concentration import concentration, half_area

    row, column = divmod(int(found.heat.argmax()), found.heat.shape[1])
    record: dict[str, Any] = {
        "image": str(file),
        "network": subject.name,
        "class": found.label,
        "score": round(found.score, 6),
        "score_means": found.meaning,
        "predicted": found.predicted,
        "box": found.box,
        "level": found.level,
        "hottest": {"row": row, "column": column},
        "half_of_the_heat_in": round(half_area(found.heat, found.seen), 6),
        "seen": list(found.seen),
        "overlay": overlay,
        "structure_only": subject.structure_only,
    }
    if inside is not None:
        measured = concentration(found.heat, inside, found.seen)
        record["inside"] = None if measured is None else asdict(measured)
    return record


def _table(records: Sequence[dict[str, Any]]) -> Table:
    measured = any(record.get("inside") for record in records)
    extra = ("Inside", "Uniform map", "Hit") if measured else ()
    table = new_table(right=("Half of heat in", *extra), wrapped=("Image", "Network", "Class"))
    for record in records:
        inside = record.get("inside")
        cells: tuple[str, ...] = ()
        if measured:
            cells = ("-", "-", "-")
            if inside:
                shares = (f"{100 * inside[name]:.1f} %" for name in ("energy", "area"))
                cells = (*shares, "yes" if inside["hit"] else "no")
        table.add_row(
            f"{100 * record['half_of_the_heat_in']:.1f} %",
            *cells,
            escape(record["image"]),
            escape(record["network"]),
            escape(f"{record['class']} {100 * record['score']:.1f} %"),
        )
    return table


def explain_data(subjects: Sequence[Subject], options: Any) -> None:
    """Maps measured on annotated images: a line per map, a table by size, a plot and a sheet."""
    from res2net.data.scenes.options import SceneOptions
    from res2net.data.scenes.readers import read_scenes
    from res2net.data.source import parse_source
    from res2net.explain.pseudo import PseudoMasks
    from res2net.explain.sheets import ON_A_SHEET, Sheet, draw_concentration, draw_sheet
    from res2net.explain.study import MARKS, Case, as_csv, known_by_all, study, summarise
    from res2net.tasks.selection import measured_part

    source = parse_source(options.data)
    if source.format not in MARKS:
        raise UserError(
            f"--data {options.data}: {source.format} has labels of whole images only; "
            f"formats of annotated images are {', '.join(MARKS)}"
        )
    marks = MARKS[source.format]
    scenes = read_scenes(source, SceneOptions(marks=marks))
    chosen = measured_part(scenes, options.split, options.data)[0][: options.limit]
    common = known_by_all(subjects, scenes, marks)
    pseudo = None
    if options.pseudo_masks is not None:
        if marks == "boxes":
            raise UserError(f"--pseudo-masks: {source.format} has boxes; IoU needs masks")
        pseudo = PseudoMasks(
            [subject.name for subject in subjects],
            common,
            folder=options.out / "pseudo-masks",
            threshold=options.pseudo_masks,
        )
    tiles: list[Sheet] = []

    def show_case(case: Case) -> None:
        if len(tiles) < ON_A_SHEET:
            pixels = case.image.permute(1, 2, 0).contiguous().numpy()
            name = Path(case.name).name
            tiles.append(Sheet(name=name, image=pixels, maps=case.maps, inside=case.inside))

    rows = study(
        subjects,
        scenes,
        chosen,
        marks,
        level=options.level,
        wanted=options["class"],
        track=track,
        show=show_case,
        gather=pseudo.add if pseudo else None,
    )
    folder = options.out
    summaries = summarise(rows)
    images = len({row.image for row in rows})
    how = (
        f"each of {counted(len(common), 'class')} that data and networks share, on its own objects"
        if common and options["class"] is None
        else f"class {options['class']}"
        if options["class"]
        else "each network's most confident class, on all annotated objects"
    )
    subtitle = f"{scenes.name} {options.split}, {images} of {counted(len(chosen), 'image')}: {how}"
    write_text(folder / "concentration.csv", as_csv(rows))
    facts = {
        "data": options.data,
        "split": options.split,
        "marks": marks,
        "images": images,
        "explained": how,
        "summary": [asdict(each) for each in summaries],
    }
    write_text(folder / "concentration.json", json.dumps(facts, indent=2) + "\n")
    draw_concentration(summaries, folder / "concentration.png", subtitle=subtitle)
    names = [subject.name for subject in subjects]
    draw_sheet(tiles, names, folder / "sheet.png", images=images, note=_note(subjects))
    table = _summary_table(summaries)
    table.caption = f"{subtitle}. Object sizes as in COCO; ± is the standard error."
    table.caption_justify = "left"
    show(table)
    print(f"sheet.png, concentration.csv, .json and .png: {folder}")
    if pseudo:
        masks = pseudo.rows()
        write_text(folder / "pseudo_masks.csv", as_csv(masks))
        for each in masks:
            if each.best:
                print(
                    f"pseudo-masks of {each.network}: mean IoU {each.mean_iou:.1f} % over "
                    f"{counted(each.images, 'image')}, at the best threshold, {each.threshold:g}"
                )


def _summary_table(summaries: Sequence[Summary]) -> Table:
    right = ("Maps", "Heat inside", "±", "Uniform map", "×", "Pointing", "Half of heat in")
    table = new_table("Size", "Network", right=right)
    for each in summaries:
        table.add_row(
            each.size,
            escape(each.network),
            str(each.count),
            f"{100 * each.energy:.1f} %",
            f"{100 * each.energy_error:.1f}" if each.count > 1 else "-",
            f"{100 * each.area:.1f} %",
            f"{each.energy / each.area:.2f}",
            f"{100 * each.pointing:.1f} %",
            f"{100 * each.half_area:.1f} %",
        )
    return table


def _note(subjects: Sequence[Subject]) -> str:
    random = [subject.name for subject in subjects if subject.structure_only]
    return f"{' and '.join(random)}: {STRUCTURE_ONLY}" if random else ""


def _png(picture: Any) -> bytes:
    from PIL import Image

    data = BytesIO()
    Image.fromarray(picture).save(data, "PNG")
    return data.getvalue()
