"""Find the files of a data set: images by their names in annotations, and parts."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path, PurePath
from urllib.parse import parse_qs, unquote, urlsplit

from res2net.data.files import PARTS, composed, image_names, some, subfolders, whether
from res2net.data.photo import EXTENSIONS
from res2net.data.scenes.checks import Tally
from res2net.errors import UserError

_KINDS = frozenset(
    {"images", "image", "imgs", "img", "data", "set", "obj", "labels", "annotations"}
)
_DEEPEST = 8  # folders of an image's name that are compared

Words = tuple[str, ...]


def part_named(text: str) -> str | None:
    """The part in a file's name: "val" for "instances_val2017"."""
    words = re.findall(r"[a-z]+", text.lower())
    return next((PARTS[word] for word in words if word in PARTS), None)


def part_of(path: PurePath) -> str | None:
    """The part in the folders of a relative path; the outermost takes precedence."""
    for folder in path.parts[:-1]:
        words = set(re.findall(r"[^\W\d_]+", folder.lower())) - _KINDS
        if len(words) == 1 and (part := PARTS.get(words.pop())):
            return part
    return None


def by_part(root: Path, paths: Sequence[Path], tally: Tally) -> dict[str, list[Path]]:
    """Part → its files, by their folders; all are "train" if no folder names a part."""
    parts: dict[str, list[Path]] = defaultdict(list)
    rest: list[Path] = []
    for path in paths:
        part = part_of(path.relative_to(root))
        (rest if part is None else parts[part]).append(path)
    if not parts:
        return {"train": rest}
    if rest:
        tally.add("images outside the folders of parts are left out", str(rest[0]), len(rest))
    return dict(parts)


def images_below(folder: Path) -> list[Path]:
    """All images of a folder, at any depth."""
    return [folder / name for name in image_names(folder)]


def read_list(file: Path) -> list[str]:
    """The lines of a list that are not blank.

    Raises:
        UserError: the list cannot be read.
    """
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file}: the list cannot be read ({error})") from None
    return [line.strip() for line in lines if line.strip()]


def find_path(folder: Path, text: str) -> Path | None:
    """The file or folder at a relative path in any letter case; None if there is none."""
    path = folder
    for word in _words(text):
        if not whether((path / word).exists):
            same = (each for each in _inside(path) if _same(each.name, word))
            found = next(same, None)
            if found is None:
                return None
            word = found.name
        path = path / word
    return path


def _inside(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if whether(folder.is_dir) else []


class ImageNames:
    """The images below a folder, found by their names in annotations.

    A name may have backslashes, be percent-encoded, or be a URL or a path of another machine. Files
    outside the folder are never read.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def find_all(
        self,
        names: Sequence[str],
        near: Sequence[Path],
        tally: Tally,
        *,
        part: str | None = None,
    ) -> dict[str, Path]:
        """Name → its image, for names with an image.

        Args:
            names: as in the annotations.
            near: folders to search first.
            part: the part of the annotations; images in folders of another part do not match.

        Raises:
            UserError: several images fit a name.
        """
        found: dict[str, Path] = {}
        users: dict[Path, dict[Words, int]] = defaultdict(dict)  # name → number of matching words
        for name in dict.fromkeys(names):
            hit = self._near(name, near) or self._anywhere(name, part, tally)
            if hit is not None:
                found[name], words, fitting = hit
                users[found[name]][words] = fitting
        shared = {path: fits for path, fits in users.items() if len(fits) > 1}
        for name, path in list(found.items()) if shared else ():
            best = max(fits.values()) if (fits := shared.get(path)) else 0
            own = max((fits.get(words, 0) for words in spellings(name)), default=0) if fits else 0
            if fits and (own < best or list(fits.values()).count(best) > 1):
                del found[name]
        return found

    def has(self, name: str) -> bool:
        """Whether an image of this name exists anywhere below the folder."""
        return composed(name).lower() in self._by_name

    def _near(self, name: str, near: Sequence[Path]) -> tuple[Path, Words, int] | None:
        for words in spellings(name):
            for folder in near:
                for start in range(max(0, len(words) - _DEEPEST), len(words)):
                    path = folder.joinpath(*words[start:])
                    if whether(path.is_file):
                        return path, words, len(words) - start
        return None

    def _anywhere(
        self, name: str, part: str | None, tally: Tally
    ) -> tuple[Path, Words, int] | None:
        for words in spellings(name):
            last = composed(words[-1]).lower()
            ending = PurePath(last).suffix in EXTENSIONS
            rows = self._by_name.get(last) or ([] if ending else self._by_stem.get(last, []))
            if part is not None:
                rows = [row for row in rows if part_of(PurePath(*row)) in (None, part)]
            fits = [_fitting(words, row) for row in rows]
            best = [row for row, fit in zip(rows, fits, strict=True) if fit == max(fits)]
            if len(best) > 1:
                several = some(["/".join(row) for row in best])
                raise UserError(f"{self.root}: {name!r} matches {several}; keep only one of them")
            if best:
                path = self.root.joinpath(*best[0])
                elsewhere = len(words) > 1 and name[:1] not in "/\\" and ":" not in name
                tally.add("images were found by name in other folders than stated", name, elsewhere)
                return path, words, max(fits)
        return None

    @cached_property
    def _by_name(self) -> dict[str, list[Words]]:
        rows: dict[str, list[Words]] = defaultdict(list)
        for path in images_below(self.root):
            row = path.relative_to(self.root).parts
            rows[composed(row[-1]).lower()].append(row)
        return dict(rows)

    @cached_property
    def _by_stem(self) -> dict[str, list[Words]]:
        rows: dict[str, list[Words]] = defaultdict(list)
        for name, own in self._by_name.items():
            rows[PurePath(name).stem] += own
        return dict(rows)


class LabelFiles:
    """Find the text files of labels of YOLO's images; each folder is listed once."""

    def __init__(self) -> None:
        self.used: set[Path] = set()
        self._listed: dict[Path, dict[str, Path]] = {}
        self._places: dict[tuple[Path, Path], list[Path]] = {}

    def of(self, folder: Path, name: str) -> Path | None:
        """The label file of the image ``name`` in ``folder``."""
        image = folder / name
        for place in self.places(folder, image.parent):
            files = self._files(place)
            for each in map(composed, (image.stem, image.name)):  # photo.txt, photo.jpg.txt
                if each in files:
                    return files[each]
        return None

    def places(self, folder: Path, beside: Path) -> list[Path]:
        """Possible folders for the labels of the images in ``beside``, the usual one first.

        Args:
            folder: the image folder of the part; ``beside`` is this folder or inside it.
        """
        key = (folder, beside)
        if key not in self._places:
            below = beside.relative_to(folder)
            labels = folder.parent / "labels"
            tries = [*_exchanged(beside), beside, labels / folder.name / below, labels / below]
            self._places[key] = tries
        return self._places[key]

    def unused(self) -> list[str]:
        """Label files in the folders of those used, without lists of classes or images."""
        listed = [self._listed[folder] for folder in sorted({file.parent for file in self.used})]
        rest = (each for files in listed for each in files.values() if each not in self.used)
        return sorted(str(each) for each in rest if each.stem.lower() not in ("classes", *PARTS))

    def _files(self, folder: Path) -> dict[str, Path]:
        if folder not in self._listed:
            inside = folder.iterdir() if whether(folder.is_dir) else ()
            files = {composed(each.stem): each for each in inside if each.suffix.lower() == ".txt"}
            self._listed[folder] = files
        return self._listed[folder]


def _exchanged(folder: Path) -> Iterator[Path]:
    """The folder with ``labels`` instead of the last ``images``, in any letter case.

    If it does not exist, the labels of all parts may be in one folder.
    """
    parts = folder.parts
    at = max((i for i, part in enumerate(parts) if part.lower() == "images"), default=None)
    if at is None:
        return
    above = Path(*parts[:at])
    names = [name for name in subfolders(above) if name.lower() == "labels"] or ["labels"]
    for name in names:
        own = above.joinpath(name, *parts[at + 1 :])
        yield own
        if not own.is_dir() and len(parts) == at + 2:
            yield own.parent


def _fitting(words: Words, row: Words) -> int:
    """Number of matching trailing words, not counting the last; at least 1."""
    count = 1
    for word, own in zip(words[-2::-1], row[-2::-1], strict=False):
        if not _same(word, own):
            break
        count += 1
    return count


def _same(word: str, other: str) -> bool:
    return composed(word).lower() == composed(other).lower()


def spellings(name: str) -> Iterator[Words]:
    """Possible paths for a name, as words: as written, then decoded as a URL."""
    texts = [name]
    if "://" in name or "?" in name or "%" in name:
        try:
            address = urlsplit(name.replace("\\", "/"))
            texts += parse_qs(address.query).get("d", []) or [address.path, unquote(address.path)]
        except ValueError:  # not a URL
            pass
        texts.append(unquote(name))
    for text in dict.fromkeys(texts):
        if words := _words(text):
            yield words


def _words(text: str) -> Words:
    return tuple(w for w in text.replace("\\", "/").split("/") if w not in ("", ".", ".."))
