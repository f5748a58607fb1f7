"""``res2net embed`` and ``res2net similar`` on photos, with a copy, a mirror and an outlier."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image, ImageOps

from res2net.cli.similar import draw_map, draw_sheet
from res2net.data.embeddings import Embeddings
from res2net.errors import UserError


@pytest.fixture(scope="module")
def shots(sample_photos, tmp_path_factory):
    """Ten crops of two photos, a JPEG and the mirror of one, noise, and a file that is no image."""
    root = tmp_path_factory.mktemp("shots")
    for photo in sample_photos:
        (root / photo.stem).mkdir()
        with Image.open(photo) as image:
            for i in range(5):
                image.crop((90 * i, 30 * i, 90 * i + 240, 30 * i + 240)).save(
                    root / photo.stem / f"{i}.png"
                )
    chosen = root / "flower" / "0.png"
    with Image.open(chosen) as image:
        image.save(root / "copy.jpg", quality=95)
        ImageOps.mirror(image).save(root / "mirror.png")
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(root / "noise.png")
    (root / "bad.jpg").write_text("no image")
    return root


def test_a_photo_its_mirror_a_copy_and_an_outlier_are_found(cli, shots, tmp_path):
    out = tmp_path / "x.npz"
    done = cli("embed", shots, "--out", out, "--model", "shipped", "--batch", "4")
    assert done.code == 0, done
    assert "left out: 1 image that cannot be read; the first:" in done.err
    assert f"written: {out}, 13 images" in done.err

    photo, sheet = shots / "flower" / "0.png", tmp_path / "s.png"
    found = cli("similar", out, photo, "--count", "3", "--sheet", sheet, "--images", shots)
    assert found.code == 0, found
    names = [line.split()[-1] for line in found.out.splitlines()[1:]]
    assert names[0] == str(photo)
    assert found.out.splitlines()[1].startswith("1.0000")
    assert set(names[1:]) == {str(shots / "copy.jpg"), str(shots / "mirror.png")}
    with Image.open(sheet) as drawn:
        assert drawn.width == 1200

    a_map = tmp_path / "m.png"
    found = cli("similar", out, "--count", "2", "--map", a_map, "--threshold", "0.995")
    assert found.code == 0, found
    lines = found.out.splitlines()
    assert lines[0].endswith("with a cosine of at least 0.995")
    assert lines[2].split()[1:] == [str(shots / "copy.jpg"), str(photo)]
    at = next(i for i, line in enumerate(lines) if "Farthest" in line)
    assert lines[at + 1].endswith("noise.png")
    with Image.open(a_map) as drawn:
        assert drawn.width == 1200

    for words, line in (
        ((photo, "--threshold", "0.9"), "--threshold does not apply with a photo"),
        (("--model", "shipped"), "--model does not apply without a photo"),
        (("--count", "0"), "--count is 0; it must be at least 1"),
        (("--threshold", "2"), "--threshold is 2; a cosine is between -1 and 1"),
        ((shots / "bad.jpg",), f"{shots / 'bad.jpg'}: not an image"),
        (("--map", tmp_path / "no" / "m.png"), f"{tmp_path / 'no' / 'm.png'}: folder"),
        (("--sheet", sheet), "--images is missing; --sheet needs the folder of the images"),
        (("--images", shots), "--images does not apply here; it needs --sheet"),
    ):
        assert cli("similar", out, *words).line.startswith(line)


def test_a_sheet_shows_no_file_outside_the_folder(tmp_path, monkeypatch):
    """A file of a stranger may name any file of this machine."""
    (tmp_path / "photos").mkdir()
    for place in ("photos/a.png", "secret.png"):
        Image.new("RGB", (8, 8), (255, 0, 0)).save(tmp_path / place)
    inside, outside = str(tmp_path / "photos" / "a.png"), str(tmp_path / "secret.png")
    through = str(tmp_path / "photos" / ".." / "secret.png")
    monkeypatch.setattr(
        "res2net.drawing.sheet.draw_tiles", lambda *args, **how: drawn.append((args, how))
    )
    drawn = []
    tiles = [(name, "") for name in (inside, outside, through)]
    draw_sheet(tiles, tmp_path / "s.png", tmp_path / "photos", None)
    ((args, how),) = drawn
    assert [int(tile.pictures[0][0, 0, 1]) for tile in args[3]] == [0, 200, 200]
    assert how["note"] == f"2 images not in {tmp_path / 'photos'}: grey"
    with pytest.raises(UserError, match="holds none of the images, such as '.*secret.png'"):
        draw_sheet(tiles[1:], tmp_path / "s.png", tmp_path / "photos", None)
    draw_sheet(tiles[1:2], tmp_path / "s.png", tmp_path / "photos", Path(outside))  # as typed


@pytest.mark.parametrize(("folders", "named"), [(("a", "a"), []), (("a", "b"), ["a", "b"])])
def test_a_map_names_folders_where_there_are_several(tmp_path, monkeypatch, folders, named):
    found, savefig = [], Figure.savefig

    def listen(figure, *args, **options):
        found.extend(text.get_text() for each in figure.axes for text in legend_of(each))
        savefig(figure, *args, **options)

    def legend_of(axes):
        return axes.get_legend().get_texts() if axes.get_legend() else []

    monkeypatch.setattr(Figure, "savefig", listen)
    features = np.random.default_rng(0).normal(size=(6, 8)).astype(np.float32)
    names = [f"photos/{folder}/{i}.jpg" for i in range(3) for folder in folders]
    draw_map(Embeddings(names, features, {}), tmp_path / "map.png")
    assert found == named


def test_another_network_than_that_of_the_file_is_refused(cli, shots, tiny_run, tmp_path):
    out, photo = tmp_path / "x.npz", shots / "noise.png"
    assert cli("embed", tiny_run, photo, "--out", out).code == 0
    line = cli("similar", out, photo).line  # a file of a stranger may name anything
    assert line == f"--model is missing: give the network of the file; it names {str(tiny_run)!r}"
    assert cli("similar", out, photo, "--model", tiny_run).code == 0
    line = cli("similar", out, photo, "--model", "shipped").line
    assert line.startswith("shipped is not the network that the file was embedded with")


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ((), "--out is missing; it must be a file .npz or .parquet in an existing folder"),
        (("--out", "x.csv"), "--out is x.csv; it must be a file .npz or .parquet"),
        (("--out", "no/x.npz"), "--out is no/x.npz; it must be"),
        (("--out", "x.npz", "--batch", "0"), "--batch is 0; it must be at least 1"),
        (("nothing.png", "--out", "x.npz"), "nothing.png: no such file or folder"),
    ],
)
def test_mistakes_leave_nothing(cli, shots, tmp_path, monkeypatch, words, line):
    monkeypatch.chdir(tmp_path)
    given = ("embed", "--model", "shipped", shots / "noise.png", *words)
    assert cli(*given).line.startswith(line)
    assert not list(tmp_path.iterdir())


def test_parquet_without_pyarrow_is_refused_in_one_line(cli, shots, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    line = cli("embed", shots / "noise.png", "--out", tmp_path / "x.parquet").line
    assert line.endswith("needs pyarrow: pip install pyarrow, or write .npz")
