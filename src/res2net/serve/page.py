"""The page: drop a photo, read what one or two networks see in it. Imports Gradio."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr
from fastapi import FastAPI

from res2net.serve.refusal import Refusal
from res2net.serve.service import Service

TITLE = "What does Res2Net see?"
SENTENCE = (
    "Drop a photo, or take one from below: the network names what is in it, says how sure it is, "
    "and shows where it looked. Nothing leaves the machine that serves this page."
)
NOTHING = "nothing beside it"
TOP = 5  # classes with a bar
KEPT = 3600  # seconds that uploads of the page are kept
# Fonts of the system: the default theme asks Google for its own.
THEME = gr.themes.Soft(
    primary_hue="blue",
    font=["system-ui", "sans-serif"],
    font_mono=["ui-monospace", "monospace"],
)
CSS = """
.gradio-container {max-width: 1180px !important; margin: auto}
.heading p {margin: 0; opacity: .75; font-size: .9rem}
.heading h3 {margin: .2rem 0 0}
"""


def _path_of(payload: Any) -> str | None:
    """An upload as it was sent: what it is, ``uploads`` decides, with a sentence for people."""
    return None if payload is None else payload.path


def add_page(
    app: FastAPI, service: Service, *, address: str, examples: Sequence[Path] = ()
) -> FastAPI:
    """Mount the page at the root of the API's application."""
    return gr.mount_gradio_app(
        app,
        make_page(service, address, examples),
        path="/",
        theme=THEME,
        css=CSS,
        footer_links=[],
        run_history=False,
        max_file_size=service.limits.max_bytes,
        ssr_mode=False,
        pwa=False,
        mcp_server=False,
        enable_monitoring=False,
    )


def make_page(service: Service, address: str, examples: Sequence[Path]) -> gr.Blocks:
    """The page; ``address`` is that of the server, for the line on the API."""
    names = list(service.workers)
    several = len(names) > 1

    async def look(path: str | None, *chosen: str) -> list[Any]:
        sides = [_side(service, path, name) for name in chosen]
        return [part for side in await asyncio.gather(*sides) for part in side]

    with gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=(KEPT, KEPT)) as page:
        gr.Markdown(f"# {TITLE}\n{SENTENCE}")
        with gr.Row():
            with gr.Column(scale=2, min_width=280):
                photo = gr.Image(
                    label="Photo",
                    type="filepath",
                    sources=["upload", "clipboard"],
                    height=300,
                    buttons=[],
                    elem_id="photo",
                )
                photo.preprocess = _path_of  # type: ignore[method-assign]
                choices = [
                    gr.Dropdown(
                        names if i == 0 else [*names, NOTHING],
                        value=names[i],
                        label="Network" if i == 0 else "Beside it",
                        visible=several,
                        elem_id=f"choice-{i}",
                    )
                    for i in range(2 if several else 1)
                ]
                button = gr.Button("Look", variant="primary", elem_id="look")
                if examples:
                    gr.Examples([str(path) for path in examples], photo, label="Photos to try")
            outputs: list[Any] = []
            for i in range(len(choices)):
                with gr.Column(scale=3 if not several else 2, min_width=280):
                    outputs += _empty_side(i)
        gr.on(
            [button.click, photo.change, *(choice.change for choice in choices)],
            look,
            [photo, *choices],
            outputs,
            show_progress="minimal",
            trigger_mode="always_last",
            concurrency_limit=None,
            api_visibility="private",
        )
        gr.Markdown(
            "The same as JSON: "
            f"`curl --data-binary @photo.jpg -H 'Content-Type: image/jpeg' {address}/v1/predict`"
        )
    return page


def _empty_side(number: int) -> list[Any]:
    """Components of an answer: heading, bars, picture, remark."""
    return [
        gr.Markdown("", elem_id=f"heading-{number}", elem_classes="heading"),
        gr.Label(
            label="Sure of",
            num_top_classes=TOP,
            show_heading=False,
            visible=False,
            elem_id=f"bars-{number}",
        ),
        gr.Image(
            label="Where it looked",
            show_label=False,
            interactive=False,
            visible=False,
            format="png",
            buttons=["download", "fullscreen"],
            elem_id=f"picture-{number}",
        ),
        gr.Markdown("", elem_id=f"remark-{number}"),
    ]


async def _side(service: Service, path: str | None, name: str) -> list[Any]:
    """What one network says, for the components of ``_empty_side``."""
    hidden = gr.update(value=None, visible=False)
    if name == NOTHING or path is None:
        return ["", hidden, hidden, ""]
    served = service.worker(name).served
    try:
        data = await asyncio.to_thread(Path(path).read_bytes)
        said = await service.look(data, Path(path).name, model=name, top=TOP, picture=True)
    except Refusal as refusal:
        return [served.title, hidden, hidden, f"**No answer.** {refusal.sentence}"]
    bars = hidden
    if said.probabilities:
        bars = gr.update(value=dict(said.probabilities), visible=True)
    picture = hidden if said.picture is None else gr.update(value=said.picture, visible=True)
    remark = f"{said.shows[:1].upper()}{said.shows[1:]}. {said.milliseconds:.0f} ms."
    return [f"{served.title}\n### {said.line}", bars, picture, remark]
