"""Pooled features of a set of images: file format, duplicates, outliers and map. No torch.

Similarity is the cosine of two feature vectors. Legend: N images · C features
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from res2net.data.foreign import check_file
from res2net.errors import UserError
from res2net.files import write_error

Floats = npt.NDArray[np.float32]
ENDINGS = (".npz", ".parquet")
MOST = 50_000  # largest set of which all pairs are compared
NEIGHBOURS = 5  # nearest images that outlier scores use
BY_TSNE = range(20, 5_001)  # set sizes mapped by t-SNE; others by PCA


class Embeddings(NamedTuple):
    """Features with the names of their images."""

    names: list[str]  # N
    features: Floats  # (N, C)
    about: dict[str, str]  # target, sha256 and precision of the network

    def write(self, out: Path) -> None:
        """Write .npz or .parquet atomically, without loading features on disk into memory.

        Raises:
            UserError: the disk is full, or the folder is not writable.
        """
        beside = out.with_name(f".{out.name}.{os.getpid()}.tmp")
        about = json.dumps(self.about)
        try:
            with beside.open("wb") as file:
                if out.suffix.lower() == ".npz":
                    images: Any = np.array(self.names)
                    np.savez(file, images=images, features=self.features, about=np.array(about))
                else:
                    pa, pq = parquet(out)
                    names = [n.encode(errors="backslashreplace").decode() for n in self.names]
                    flat, width = pa.array(self.features.reshape(-1)), self.features.shape[1]
                    columns = [names, pa.FixedSizeListArray.from_arrays(flat, width)]
                    table = pa.table(columns, ["image", "features"], metadata={"res2net": about})
                    pq.write_table(table, file, row_group_size=4096)
            beside.replace(out)
        except OSError as error:
            raise write_error(error, out) from error
        finally:
            beside.unlink(missing_ok=True)


def parquet(path: Path) -> tuple[Any, Any]:
    """pyarrow and its Parquet module.

    Raises:
        UserError: it is not installed.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ModuleNotFoundError:
        raise UserError(f"{path} needs pyarrow: pip install pyarrow, or write .npz") from None
    return pa, pq


def read_embeddings(path: Path) -> Embeddings:
    """Read a file written by ``res2net embed``.

    Raises:
        UserError: a missing, foreign or damaged file.
    """
    check_file(path)
    try:
        if path.suffix.lower() == ".parquet":
            table = parquet(path)[1].read_table(path)
            names = table["image"].to_pylist()
            values = table["features"].combine_chunks().flatten().to_numpy()
            features = values.reshape(len(names), -1)
            about = json.loads(table.schema.metadata[b"res2net"])
        else:
            with path.open("rb") as raw, np.load(raw) as file:
                names, features = file["images"].tolist(), file["features"]
                about = json.loads(str(file["about"]))
        found = Embeddings(
            names, features, {k: about[k] for k in ("target", "sha256", "precision")}
        )
        if features.dtype != np.float32 or features.shape != (
            len(names),
            features.size // len(names),
        ):
            raise ValueError
    except UserError:
        raise
    except Exception as error:  # a foreign file can raise anything
        raise UserError(f"{path}: not a file that `res2net embed` wrote, or damaged") from error
    if not np.isfinite(features).all():
        raise UserError(f"{path}: some features are not finite; check the weights and embed again")
    return found


def nearest(features: Floats, query: Floats, count: int) -> list[tuple[int, float]]:
    """The images most similar to ``query`` (C,): (index, cosine), in descending order."""
    lengths = np.linalg.norm(features, axis=1) * np.linalg.norm(query)
    cosines = features @ query / np.where(lengths > 0, lengths, 1)
    return [(int(i), float(cosines[i])) for i in np.argsort(-cosines, kind="stable")[:count]]


def near_duplicates(
    features: Floats, threshold: float
) -> tuple[list[tuple[int, int, float]], npt.NDArray[np.float64]]:
    """Similar pairs of images, and an outlier score for each image.

    Returns:
        (first, second, cosine) of pairs, in descending order, each image with its ``NEIGHBOURS``
        nearest only; (N,) mean 1 - cosine to those, divided by the median over all images.

    Raises:
        UserError: fewer than 3 images, or more than ``MOST``.
    """
    from sklearn.neighbors import NearestNeighbors

    if not 3 <= len(features) <= MOST:
        raise UserError(
            f"the file holds {len(features):,} images; comparing all pairs takes 3 to {MOST:,}: "
            "embed a subset, or give one photo"
        )
    near = min(NEIGHBOURS, len(features) - 1)
    search = NearestNeighbors(n_neighbors=near, metric="cosine", algorithm="brute").fit(features)
    distances, others = search.kneighbors()
    alike = {
        tuple(sorted((int(i), int(others[i, k])))): 1 - float(distances[i, k])
        for i, k in np.argwhere(distances <= 1 - threshold + 1e-6)
    }
    mean = distances.mean(1).astype(np.float64)
    pairs = sorted(((i, j, cosine) for (i, j), cosine in alike.items()), key=lambda p: -p[2])
    return pairs, mean / (np.median(mean) or 1)


def plane(features: Floats) -> tuple[npt.NDArray[np.float64], str]:
    """Map coordinates of the images, (N, 2), and the method in words."""
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    by_tsne = len(features) in BY_TSNE
    pca = PCA(min(50 if by_tsne else 2, *features.shape), random_state=0)
    places = pca.fit_transform(features / np.where(lengths > 0, lengths, 1))
    if not by_tsne:
        return places, f"PCA: {100 * pca.explained_variance_ratio_.sum():.0f} % of the variance"
    tsne = TSNE(perplexity=min(30, (len(features) - 1) / 3), init="pca", random_state=0)
    return tsne.fit_transform(places), f"t-SNE of {places.shape[1]} principal components"
