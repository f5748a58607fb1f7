"""``res2net info``."""

from __future__ import annotations

import io
import re

import pytest

from res2net.cli import tables
from res2net.cli.main import main
from res2net.paper.networks import NETWORKS
from res2net.paper.structure import tally


def _output(capsys, *arguments):
    code = main(["info", *arguments])
    out, err = capsys.readouterr()
    assert (code, err) == (0, "")
    return out


def test_numbers(capsys):
    out = _output(capsys, "res2net50_26w_4s")
    assert re.search(r"^Setting +26w×4s, depth 50$", out, re.M)
    assert re.search(r"^Parameters +25,699,120 in 512 tensors$", out, re.M)
    assert re.search(r"^Multiply-adds +4,255,166,464 ", out, re.M)
    assert re.search(r"^First block +pool; first block of each stage: .*pad counted", out, re.M)
    assert re.search(r"^layer3 +31 +7\.198 +28\.0 +1\.532 +36\.0 +2\.506$", out, re.M)
    assert re.search(r"^c4 +1024 +16 +14×14 +715$", out, re.M)
    assert re.search(
        r"^Table 3 +Res2Net-50 \(Preserved complexity\) 26w×4s +FLOPs 4\.2G", out, re.M
    )
    assert re.search(r"^Table 9 +Res2Net-50 ECSSD +F-measure 0\.926, MAE 0\.056$", out, re.M)
    assert "AP medium 37.9%, AP large 53.7%" in out
    assert "Note on Table 10, Res2Net-50 and ResNet-50: ResNet's AP is on detector boxes" in out


def test_stages_add_up(capsys):
    out = _output(capsys, "inception_v3")
    rows = re.findall(
        r"^(\S+)(?: \(training\))? +(\d+) +([\d.]+) +[\d.]+ +([\d.]+) +[\d.]+ ", out, re.M
    )
    structure = tally(NETWORKS["inception_v3"])
    assert sum(float(params) for *_, params, _ in rows) == pytest.approx(
        structure.params / 1e6, abs=0.01
    )
    assert sum(float(macs) for *_, macs in rows) == pytest.approx(structure.macs / 1e9, abs=0.01)
    assert rows[-1][0] == "AuxLogits"
    assert float(rows[-1][3]) == 0


def test_layers(capsys):
    out = _output(capsys, "res2next29_6c24w_4s", "--layers")
    assert re.search(r"^  0\.convs\.0 +3×3 +24 +576 +576 +32 +", out, re.M)  # grouped first block
    assert re.search(r"^  1\.convs\.2 +3×3 +6 +144 +144 +32 +", out, re.M)
    convs = [x for x in tally(NETWORKS["res2next29_6c24w_4s"]).layers if x.kind == "conv"]
    assert len(re.findall(r"^  .*\d×\d", out, re.M)) == len(convs) + 1  # the classifier
    assert "Stage " not in out


def test_changed_options_have_no_published_results(capsys):
    out = _output(capsys, "res2net50_26w_4s", "--width", "18", "--se", "true", "--size", "64")
    assert re.search(r"^Setting +18w×4s SE, depth 50, changed$", out, re.M)
    assert re.search(r"^Image +64×64 pixels, 1000 classes$", out, re.M)
    assert "Published results: none for these options." in out
    assert "Table 1" not in out


def test_the_rows_own_value_is_no_change(capsys):
    assert _output(capsys, "resnet50", "--width", "64") == _output(capsys, "resnet50")


def test_not_in_the_paper(capsys):
    assert "Published results: not in the paper." in _output(capsys, "res2net200d")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("resnet50", "like all other blocks: nothing is split"),
        ("dla60_res2net", "pool; each strided block: "),
        ("blres2net50", "pool; first block of each sequence (big, little, fusion, layer4): "),
        ("res2next29_6c24w_4s", "group; first block of each stage: one 3×3 convolution"),
        ("res2net18", "paper; first block of each stage: as in every block (Eq. 1)"),
        ("wideresnet28_10", "like all other blocks: nothing is split"),
    ],
)
def test_first_block_in_words(capsys, name, words):
    assert words in _output(capsys, name)


@pytest.mark.parametrize(
    "name",
    [
        "resnet50",
        "res2net50_26w_4s",
        "res2net200d",
        "res2net18",
        "res2next29_8c25w_4s_se",
        "dla60_res2net",
        "blres2net50",
        "inception_v3",
        "densenet161",
        "wideresnet28_10",
        "densenet_bc190_40",
    ],
)
def test_80_columns_hold_everything(capsys, monkeypatch, name):
    monkeypatch.setattr(tables, "PIPE_WIDTH", 80)
    for extra in ((), ("--layers",)):
        lines = _output(capsys, name, *extra).splitlines()
        assert max(map(len, lines)) <= 80
        assert not any("…" in line or line != line.rstrip() for line in lines)


def test_a_terminal_gets_colour_and_its_own_width(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    monkeypatch.setattr("sys.stdout", terminal)
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("TERM", "xterm")
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    assert main(["info", "res2net50_26w_4s"]) == 0
    text = terminal.getvalue()
    assert "\x1b[1m" in text
    assert max(len(re.sub(r"\x1b\[\d*m", "", line)) for line in text.splitlines()) <= 60


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("res2net50d_",), "unknown model 'res2net50d_'. Did you mean"),
        (("dla60", "--depth", "50"), "dla60 has no option 'depth'"),
        (("resnet50", "--depth", "51"), "depth is 51; this family has 18"),
        (("resnet50", "--scale", "0"), "scale is 0; it must be"),
        (("res2next50", "--cardinality", "9" * 400), "cardinality is 99"),
        (("resnet50", "--size", "9" * 400), "size is 99"),
        (("resnet50", "--size", "wide"), "--size: must be a whole number"),
        (("inception_v3", "--size", "60"), "the image is too small: Mixed_7a"),
        (("resnet50", "--widht", "3"), "Did you mean '--width'"),
        ((), "name a network, or several"),
    ],
)
def test_mistakes_are_one_line_and_code_2(capsys, arguments, message):
    assert main(["info", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    assert err.count("\n") == 1
