"""``res2net reproduce`` as it is typed: tables, plans, small studies, the page, mistakes."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from res2net.experiments import run as reproduce_run
from res2net.experiments.items import ITEMS
from res2net.experiments.small import small_study
from res2net.experiments.study import as_trial


@pytest.fixture
def trials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small studies of two steps a network, in their least deep form."""

    def tiny(item, root):
        study, source = small_study(item, root)
        points = tuple(
            replace(point, settings={**point.settings, "net.depth": 11})
            if study.task == "classify"
            else point
            for point in study.points
        )
        few = {"train.threads": 1, "input.workers": 0}
        return as_trial(replace(study, points=points, settings={**study.settings, **few})), source

    monkeypatch.setattr(reproduce_run, "small_study", tiny)


def test_a_table_in_a_second(cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = cli("reproduce", "table1")
    assert done.code == 0
    assert re.search(r"Res2Net-50-299 +299×299 +res2net50_26w_4s +21.41 +5.88", done.out)
    assert not any(tmp_path.iterdir())


def test_all_tables_and_figures(cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    out = cli("reproduce", "all").out
    for item in ITEMS.values():
        assert item.title in out


def test_a_plan_names_commands_data_and_hours(cli, tmp_path):
    (tmp_path / "VOC2012").mkdir()
    words = ("--scale", "full", "--plan", "--data-root", tmp_path, "--rate", "20")
    out = cli("reproduce", "table7", *words).out
    assert f"data  {tmp_path}/VOC2012 (found): the devkit's VOC2012" in out
    assert out.count("res2net train --task segment --model") == 7
    assert "7 trainings, about" in out
    assert "at 20·10^12 per second" in out
    assert "report" not in out
    out = cli("reproduce", "table3", "--scale", "full").out  # no root: the plan
    assert "res2net evaluate res2net50_26w_4s --data imagenet:data/imagenet" in out


def test_rows_without_data_are_left_out(cli, tmp_path):
    words = ("--scale", "full", "--data-root", tmp_path, "--out", tmp_path / "out")
    done = cli("reproduce", "table2", *words)
    assert done.code == 0
    assert done.out.count("skipped, ") == 3
    assert "table2: 3 rows lack their data" in done.out
    assert (tmp_path / "out" / "report.html").is_file()


@pytest.mark.usefixtures("trials", "undrawn")
def test_a_small_study_goes_on_and_is_reported(cli, tmp_path):
    words = ("reproduce", "table2", "--scale", "small", "--out", tmp_path)
    done = cli(*words)
    assert (done.code, done.err) == (0, "")
    assert "Table 2 at small scale" in done.out
    rows = (tmp_path / "results.csv").read_text()
    assert rows.count("table2-small-digits") == 2
    page = (tmp_path / "report.html").read_text()
    assert "Res2Net-26w4s-deeper" in page
    assert page.count("data:image/png;base64,") == 2
    assert "<img" in page
    assert not re.search(r'(src|href)="(?!data:|#)', page)  # self-contained
    again = cli(*words)
    assert "run folder" not in again.out
    assert (tmp_path / "results.csv").read_text() == rows


def test_figs_4_is_of_two_runs(cli, tiny_run, photos, tmp_path):
    image = photos / "val" / "ant" / "0.jpg"
    words = ("--runs", f"{tiny_run},{tiny_run}", "--out", tmp_path / "o")
    done = cli("reproduce", "fig4", image, *words)
    assert (done.code, done.err) == (0, "")
    assert (tmp_path / "o" / "pictures" / "fig4.png").is_file()
    assert cli("reproduce", "fig4", *words).code == 0  # validation images of the run


@pytest.mark.slow
@pytest.mark.usefixtures("trials")
@pytest.mark.parametrize("name", ["fig6", "fig7", "table6", "table10"])
def test_small_studies_of_other_tasks(cli, name, tmp_path):
    done = cli("reproduce", name, "--scale", "small", "--out", tmp_path)
    assert done.code == 0
    if ITEMS[name].of:
        assert (tmp_path / "pictures" / f"{name}.png").is_file()
    else:
        assert f"{ITEMS[name].table} at small scale" in done.out


def test_fig_5_is_drawn_from_rows(cli, tmp_path):
    head = "study,point,group,data,params,macs,top1_error,top1_accuracy,epochs,steps,seconds"
    about = "torch,cores,cpu,date,commit,command"
    rows = [
        f"{study},{group},{group},digits,{size},1,9,91,1,1,1,2,2,cpu,today,abc,c"
        for study in ("fig5-small-digits", "classify-cifar100-growth")
        for group, size in (("base", 100000), ("scale", 200000))
    ]
    (tmp_path / "results.csv").write_text("\n".join([f"{head},{about}", *rows]))
    done = cli("reproduce", "fig5", "--out", tmp_path)
    assert (done.code, done.err) == (0, "")
    assert (tmp_path / "report.html").read_text().count("data:image/png") == 2


def test_figures_without_runs_say_how_to_get_them(cli, tmp_path):
    done = cli("reproduce", "fig6", "--out", tmp_path)
    assert done.code == 0
    assert "fig6: no two runs to show; train with --scale small" in done.out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "missing: item; `res2net reproduce --help`"),
        (("tabel1",), "unknown item 'tabel1'. Did you mean 'table1'"),
        (("table1", "--scale", "tiny"), "--scale: must be one of 'full', 'small', not 'tiny'"),
        (("fig4", "none.jpg", "--scale", "small"), "none.jpg: no such file."),
        (("table1", "--plan"), "--plan does not apply here; it needs --scale full"),
        (
            ("table3", "--rounds", "3"),
            "--rounds does not apply here; it needs table3 --scale small",
        ),
        (("table1", "--threads", "1"), "--threads does not apply here; it needs --scale small, or"),
        (("table1", "--data-root", "x"), "--data-root does not apply here; it needs --scale"),
        (("table1", "x.jpg"), "images can be given for one of fig4, fig6 and fig7"),
        (("all", "--runs", "a,b"), "--runs does not apply here; it needs one of fig4"),
        (
            ("fig4", "--networks", "resnet50"),
            "--networks does not apply here; it needs fig2 or fig3",
        ),
        (("fig6", "--runs", "a"), "--runs: fig6 needs two runs, not 1"),
        (("fig6", "--runs", "a,b"), "a: no such run, checkpoint or network"),
        (("table3", "--scale", "small", "--rounds", "0"), "--rounds is 0; it must be at least 1"),
        (("table3", "--scale", "full", "--rate", "-1"), "--rate is -1.0; it must be above 0"),
        (("table1", "--scale", "small", "--data-root", "nowhere"), "--data-root nowhere: no such"),
        (("fig2", "--networks", "dla60"), "--networks dla60: has no bottleneck to draw"),
    ],
)
def test_mistakes(cli, words, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli("reproduce", *words, "--out", tmp_path / "o").line.startswith(message)


def test_the_pages_commands_run(cli, tmp_path, monkeypatch):
    page = Path(__file__).resolve().parents[2] / "docs" / "reproduce.md"
    lines = re.findall(r"^res2net (.+)$", page.read_text(), re.MULTILINE)
    assert len(lines) == 6
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(reproduce_run, "run_small", lambda *_, **__: None)
    monkeypatch.setattr(reproduce_run, "time_networks", lambda *_, **__: None)
    for line in lines:
        assert cli(*line.split()).code == 0, line
