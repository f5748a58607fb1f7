"""Pooled features of images: their values, and the stream of them into a file."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import res2net
from res2net.data.embeddings import read_embeddings
from res2net.data.transforms import normalise
from res2net.errors import UserError
from res2net.runtime.sources import sources
from res2net.tasks.embed import embed_to_file, open_embedder


@pytest.fixture
def folder(tmp_path):
    """Nine images and a file that is none, in the fourth place."""
    chance = np.random.default_rng(0)
    (tmp_path / "in").mkdir()
    for number in range(9):
        pixels = chance.integers(0, 256, (20, 24, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "in" / f"{number}.png")
    (tmp_path / "in" / "2x.png").write_text("no image")
    return tmp_path / "in"


def test_features_are_those_of_the_network_without_its_classifier(tiny_run, folder):
    files = [folder / "0.png", folder / "1.png", folder / "2.png"]
    found = res2net.embed(tiny_run, files, batch=2, precision="fp32", device="cpu")
    network = res2net.create_model("res2net29_small", depth=11, width=4, num_classes=0).eval()
    state = load_file(tiny_run / "model.safetensors")
    network.load_state_dict({k: v for k, v in state.items() if not k.startswith("fc.")})
    predictor = res2net.load(tiny_run, device="cpu")
    x = normalise(torch.stack([predictor.shaped(file) for file in files]), predictor.preprocess)
    with torch.inference_mode():
        wanted = network(x)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)
    with Image.open(files[0]) as image:
        alone = res2net.embed(tiny_run, image, precision="fp32", device="cpu")
    np.testing.assert_allclose(alone, found[:1], rtol=1e-4, atol=1e-5)


def test_an_exported_backbone_gives_the_same_and_other_artifacts_are_refused(
    tiny_run, folder, tmp_path
):
    res2net.export(tiny_run, tmp_path / "maps", to="openvino", features=["c3"])
    file = folder / "0.png"
    found = res2net.embed(tmp_path / "maps", file)
    wanted = res2net.embed(tiny_run, file, precision="fp32", device="cpu")
    np.testing.assert_allclose(found, wanted, rtol=1e-2, atol=1e-3)
    with pytest.raises(UserError, match="in its own precision"):
        res2net.embed(tmp_path / "maps", file, precision="fp32")


def test_a_bare_name_takes_published_weights(monkeypatch, folder):
    asked = {}

    def create(name, **options):
        asked[name] = options
        return res2net.create_model(name)

    monkeypatch.setattr("res2net.tasks.embed.create_model", create)
    assert res2net.embed("res2net50_26w_4s", folder / "0.png", device="cpu").shape == (1, 2048)
    assert asked == {"res2net50_26w_4s": {"pretrained": "in1k"}}
    with pytest.raises(UserError, match="has no ImageNet weights of res2net29_small"):
        res2net.embed("res2net29_small", folder / "0.png")
    for wrong, line in (
        ({"batch": 0}, "batch is 0; it must be at least 1"),
        ({"images": []}, "images holds no image"),
    ):
        with pytest.raises(UserError, match=line):
            res2net.embed(**{"target": "res2net50_26w_4s", "images": folder / "0.png", **wrong})


def test_an_interrupted_stream_resumes_to_the_same_file(tiny_run, folder, tmp_path):
    embedder = open_embedder(tiny_run, "fp32", "cpu")
    calls = []

    def stream(out, *, stop=99, resume=False):
        def run(images):
            calls.append(len(images))
            if len(calls) == stop:
                raise KeyboardInterrupt
            return embedder.run(images)

        calls.clear()
        images = sources([str(folder)])
        return embed_to_file(embedder._replace(run=run), images, out, batch=3, resume=resume)

    done, faults = stream(tmp_path / "whole.npz")
    assert (done, len(faults), calls) == (9, 1, [3, 2, 3, 1])
    assert "2x.png" in faults[0]
    out = tmp_path / "x.npz"
    with pytest.raises(KeyboardInterrupt):
        stream(out, stop=3)
    assert not out.exists()
    with (tmp_path / ".x.npz.rows").open("ab") as file:
        file.write(b"half a row")
    assert stream(out, resume=True) == (done, faults)
    assert calls == [3, 1]
    assert out.read_bytes() == (tmp_path / "whole.npz").read_bytes() or np.array_equal(
        read_embeddings(out).features, read_embeddings(tmp_path / "whole.npz").features
    )
    assert read_embeddings(out).names == [str(folder / f"{i}.png") for i in range(9)]
    assert sorted(each.name for each in tmp_path.iterdir()) == ["in", "whole.npz", "x.npz"]

    with pytest.raises(KeyboardInterrupt):
        stream(out, stop=3)
    (tmp_path / ".x.npz.rows").write_bytes(b"")
    with pytest.raises(UserError, match="is damaged"):
        stream(out, resume=True)
    (folder / "0.png").unlink()
    with pytest.raises(UserError, match="started with other images"):
        stream(out, resume=True)


def test_members_of_archives_are_embedded_and_nothing_readable_leaves_nothing(
    tiny_run, folder, tmp_path
):
    import shutil

    embedder = open_embedder(tiny_run, "fp32", "cpu")
    archive = shutil.make_archive(str(tmp_path / "a"), "tar", folder)
    out = tmp_path / "x.npz"
    done, faults = embed_to_file(embedder, sources([archive]), out, batch=4, resume=False)
    assert (done, len(faults)) == (9, 1)
    found = read_embeddings(out)
    wanted = embedder.run([embedder.shaped(folder / "0.png")])[0]
    at = next(i for i, name in enumerate(found.names) if name.endswith("0.png"))
    np.testing.assert_allclose(found.features[at], wanted, rtol=1e-4, atol=1e-5)
    out.unlink()
    bad = str(folder / "2x.png")
    for given, line in (([bad], "none of the 1 images"), ([], "no images found")):
        with pytest.raises(UserError, match=line):
            embed_to_file(embedder, sources(given), out, batch=4, resume=False)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a.tar", "in"]
