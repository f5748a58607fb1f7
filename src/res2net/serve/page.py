"""The page: drop a photo, see what one or two networks predict. Imports Gradio."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr
from fastapi import FastAPI
from starlette.routing import Mount

from res2net.serve.api import as_json, as_png
from res2net.serve.doors import JOIN, RUN, Check, Doors, check_photo, files_below
from res2net.serve.kept import Kept
from res2net.serve.refusal import Refusal, report
from res2net.serve.service import Service

TITLE = "Predict a photo with Res2Net"
SENTENCE = (
    "Drop a photo or choose one below. The network predicts its classes with their probabilities "
    "and shows the activation map. Nothing leaves the machine that serves this page."
)
NOTHING = "no second network"
NO_PHOTO = "**No photo yet.** Drop one or choose one below."
TOP = 5  # classes with a bar
SESSIONS = 500  # whose state Gradio holds in memory; the oldest is dropped
GRADIO = Path(gr.__file__).parent / "templates" / "frontend"
STATIC = ("/", "/theme.css", "/manifest.json", "/favicon.ico")
# System fonts: the default theme loads its own from Google.
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
    """The upload unchanged: ``uploads`` decides what it is and explains a refusal."""
    return None if payload is None else payload.path


def add_page(
    app: FastAPI,
    service: Service,
    kept: Kept,
    *,
    address: str,
    token: bool = False,
    examples: Sequence[Path] = (),
) -> FastAPI:
    """Mount the page at the root of the API's application, behind ``doors``.

    Args:
        kept: its folder must be the ``GRADIO_TEMP_DIR`` at the import of Gradio.
        token: whether the API requires one.
    """
    page, events = make_page(service, kept, curl(address, token=token), examples)
    page.state_session_capacity = SESSIONS
    page.queue(max_size=2 * (service.limits.waiting + 1))
    # Gradio checks the paths of files only if this is set, which mounting does not do.
    page.has_launched = True
    gr.mount_gradio_app(
        app,
        page,
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
    mount = app.routes[-1]
    assert isinstance(mount, Mount)
    folders = (files_below(GRADIO / name, f"/{name}") for name in ("assets", "static"))
    static = [*STATIC, *(address for each in folders for address in each)]
    waits = page._queue.pending_messages_per_session.__contains__
    mount.app = Doors(mount.app, service, kept, static=static, events=events, waits=waits)
    return app


def curl(address: str, *, token: bool) -> str:
    """The command that sends a photo to the API."""
    secret = ' -H "Authorization: Bearer $RES2NET_TOKEN"' if token else ""
    kind = "-H 'Content-Type: image/jpeg'"
    return f"curl --data-binary @photo.jpg {kind}{secret} {address}/v1/predict"


def make_page(
    service: Service, kept: Kept, command: str, examples: Sequence[Path]
) -> tuple[gr.Blocks, dict[tuple[str, int], Check]]:
    """The page, and the checks of its events' values.

    Args:
        command: the equivalent request to the API.
    """
    names = list(service.workers)
    several = len(names) > 1
    events: dict[tuple[str, int], Check] = {}

    async def look(request: gr.Request, path: str | None, *chosen: str) -> list[Any]:
        visitor = str(request.session_hash).partition("-")[0]  # as ``doors`` made it
        sides = [_side(service, kept, visitor, path, name) for name in chosen]
        return [part for side in await asyncio.gather(*sides) for part in side]

    def check_look(values: list[Any], visitor: str) -> list[Any]:
        if len(values) != 1 + len(choices):
            raise Refusal(422, f"`data` has {len(values)} values; it must have {1 + len(choices)}")
        for i, name in enumerate(values[1:]):
            if not isinstance(name, str) or (name != NOTHING if i else True):
                service.worker(str(name))
        return [check_photo(kept, values[0], visitor), *values[1:]]

    def check_example(values: list[Any], _: str) -> list[Any]:
        if len(values) != 1 or type(values[0]) is not int or not 0 <= values[0] < len(examples):
            raise Refusal(422, f"`data` must be the number of an example, below {len(examples)}")
        return values

    with gr.Blocks(title=TITLE, analytics_enabled=False) as page:
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
                        label="Network" if i == 0 else "Compare with",
                        visible=several,
                        elem_id=f"choice-{i}",
                    )
                    for i in range(2 if several else 1)
                ]
                button = gr.Button("Look", variant="primary", elem_id="look")
                if examples:
                    shared = [kept.share(path) for path in examples]
                    shown = gr.Examples(shared, photo, label="Photos to try")
                    events[RUN, shown.load_input_event["id"]] = check_example
            outputs: list[Any] = []
            for i in range(len(choices)):
                with gr.Column(scale=3 if not several else 2, min_width=280):
                    outputs += _empty_side(i)
        event = gr.on(
            [button.click, photo.change, *(choice.change for choice in choices)],
            look,
            [photo, *choices],
            outputs,
            show_progress="minimal",
            trigger_mode="always_last",
            concurrency_limit=None,
            api_visibility="private",
        )
        events[JOIN, event["id"]] = check_look
        gr.Markdown(f"The same request, for JSON: `{command}`")
    return page, events


def _empty_side(number: int) -> list[Any]:
    """Components of an answer: heading, bars, picture, remark, results."""
    return [
        gr.Markdown("", elem_id=f"heading-{number}", elem_classes="heading"),
        gr.Label(
            label="Probabilities",
            num_top_classes=TOP,
            show_heading=False,
            visible=False,
            elem_id=f"bars-{number}",
        ),
        gr.Image(
            label="Activation map or predictions",
            show_label=False,
            interactive=False,
            visible=False,
            format="png",
            buttons=["download", "fullscreen"],
            elem_id=f"picture-{number}",
        ),
        gr.Markdown("", elem_id=f"remark-{number}"),
        gr.DownloadButton("Results (JSON)", visible=False, size="sm", elem_id=f"results-{number}"),
    ]


async def _side(
    service: Service, kept: Kept, visitor: str, path: str | None, name: str
) -> list[Any]:
    """One network's answer, for the components of ``_empty_side``."""
    hidden = gr.update(value=None, visible=False)
    if name == NOTHING or path is None:
        return ["", hidden, hidden, "" if name == NOTHING else NO_PHOTO, hidden]
    worker = service.worker(name)
    title = worker.served.title
    try:
        read = kept.reader(path, visitor)
        said = await service.predict(read, Path(path).name, model=name, top=TOP, picture=True)
        picture = hidden
        if said.picture is not None:
            png = await asyncio.to_thread(as_png, said.picture)
            picture = gr.update(value=await kept.add(visitor, "picture.png", png), visible=True)
        text = json.dumps(as_json(worker, said, picture=False), indent=2, ensure_ascii=False)
        named = f"{Path(path).stem}-{name}.json"
        results = gr.update(value=await kept.add(visitor, named, text.encode()), visible=True)
    except Refusal as refusal:
        return [title, hidden, hidden, f"**No answer.** {refusal.sentence}", hidden]
    except Exception as error:
        report(f"{name} on the page", error)
        return [title, hidden, hidden, "**No answer.** The server's log has the reason.", hidden]
    bars = hidden
    if said.probabilities:
        bars = gr.update(value=dict(said.probabilities), visible=True)
    remark = f"{said.shows[:1].upper()}{said.shows[1:]}. {said.milliseconds:.0f} ms."
    return [f"{title}\n### {said.line}", bars, picture, remark, results]
