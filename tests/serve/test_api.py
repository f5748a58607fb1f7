"""Every status that the API gives, with its sentence."""

from __future__ import annotations

import asyncio
import base64
import io

import httpx
import numpy as np
import pytest
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families

from res2net.serve.api import make_app

PREDICT = "/v1/predict"
PNG = {"Content-Type": "image/png"}


def _error(response: httpx.Response, status: int) -> str:
    assert response.status_code == status, response.text
    assert list(response.json()) == ["error"]
    return response.json()["error"]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM"])
def test_bytes_of_every_kind_are_answered(ask, kind, encoded):
    response = ask("POST", PREDICT, content=encoded(kind), headers=PNG)  # content decides
    assert response.status_code == 200
    said = response.json()
    assert said["model"] == "stub"
    assert said["summary"] == "20 wide"
    assert said["milliseconds"] == 1.5
    assert [each["class"] for each in said["classes"]] == [f"class {k}" for k in range(1, 6)]
    assert (said["width"], said["height"]) == (20, 10)
    assert "picture" not in said


def test_a_form_with_fields(ask, encoded):
    form = {"model": "other", "top": "2", "picture": "true"}
    said = ask("POST", PREDICT, files={"image": ("a.png", encoded())}, data=form).json()
    assert (said["model"], len(said["classes"])) == ("other", 2)
    picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(said["picture"]))))
    assert picture.shape == (10, 20, 3)
    assert (picture == 90).all()
    assert said["picture_shows"] == "the image itself"


def test_a_field_that_no_form_has(ask, encoded):
    response = ask("POST", PREDICT, files={"image": ("a.png", encoded())}, data={"tpo": "2"})
    assert "unknown parameter 'tpo'. Did you mean 'top'?" in _error(response, 422)


def test_the_query_does_what_fields_do(ask, encoded):
    url = f"{PREDICT}?model=other&top=1&picture=false"
    said = ask("POST", url, content=encoded(), headers={"Content-Type": "application/octet-stream"})
    assert (said.json()["model"], len(said.json()["classes"])) == ("other", 1)


@pytest.mark.parametrize(
    ("status", "words", "how"),
    [
        (404, "unknown model 'stubb'. Did you mean 'stub'?", {"params": {"model": "stubb"}}),
        (422, "top is 0; it must be between 1 and 100", {"params": {"top": "0"}}),
        (422, "top is 'x'; it must be a whole number", {"params": {"top": "x"}}),
        (422, "unknown parameter 'tpo'. Did you mean 'top'? Known: mod", {"params": {"tpo": "2"}}),
        (
            422,
            "unknown parameter 'x'. Known: model, picture, side, top, score, iou, max_detections, "
            "class_agnostic, embedding.",
            {"params": {"x": ""}},
        ),
        (
            422,
            "unknown parameter 'tiles'.",
            {"params": {"tiles": "auto"}},
        ),  # as in `predict`, not here
        (422, "picture is 'x'; it must be true, false or photo", {"params": {"picture": "x"}}),
        (422, "side is 8; it must be between 32 and", {"params": {"side": "8", "picture": "1"}}),
        (422, "side does not apply here; it needs picture=true", {"params": {"side": "80"}}),
        (
            422,
            "score does not apply to a network of task classify; it is for a network of task "
            "detect, instances, pose",
            {"params": {"score": "0.5"}},
        ),
        (422, "the file is empty", {"content": b""}),
        (415, "not a supported image format", {"content": b"%PDF-1.7 and so on"}),
        (413, "larger than the allowed 0.0476837 MiB", {"content": b"x" * 50_001}),
        (
            415,
            "Content-Type is application/json",
            {"headers": {"Content-Type": "application/json"}},
        ),
    ],
)
def test_what_is_refused_says_why(ask, encoded, capsys, status, words, how):
    response = ask("POST", PREDICT, **{"content": encoded(), "headers": PNG, **how})
    assert words in _error(response, status)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        ("score is 1.5; it must lie in 0..1", {"score": "1.5"}),
        ("score is nan; it must lie in 0..1", {"score": "nan"}),
        ("score is 'much'; it must be a number", {"score": "much"}),
        ("iou is -0.1; it must lie in 0..1", {"iou": "-0.1"}),
        ("max_detections is 0; it must be at least 1", {"max_detections": "0"}),
        ("max_detections is 301; it must be between 1 and 300", {"max_detections": "301"}),
        ("max_detections is '2.5'; it must be a whole number", {"max_detections": "2.5"}),
        ("Did you mean 'max_detections'?", {"max-detections": "2"}),
        ("class_agnostic is 'x'; it must be true or false", {"class_agnostic": "x"}),
        ("embedding is 'x'; it must be true or false", {"embedding": "x"}),
        ("top does not apply to a network of task detect", {"top": "3"}),
    ],
)
def test_thresholds_that_are_refused(ask, service, encoded, words, asked):
    service.workers["other"].served.task = "detect"
    where = {"model": "other", **asked}
    response = ask("POST", PREDICT, content=encoded(), headers=PNG, params=where)
    assert words in _error(response, 422)
    form = {"files": {"image": ("a.png", encoded())}, "data": where}
    assert words in _error(ask("POST", PREDICT, **form), 422)


def test_a_detector_is_asked_with_the_thresholds_of_predict(ask, service, encoded):
    service.workers["other"].served.task = "detect"
    where = {"model": "other", "score": "0.3", "iou": "0.4", "class_agnostic": "yes"}
    form = {"files": {"image": ("a.png", encoded())}, "data": {"max_detections": "7"}}
    assert ask("POST", PREDICT, params=where, **form).status_code == 200
    ((_, query),) = service.workers["other"].served.asked
    expected = {"score": 0.3, "iou": 0.4, "class_agnostic": True, "max_detections": 7}
    assert query.finding == expected


def test_a_small_picture_is_a_jpeg_of_at_most_that_side(ask, encoded):
    url = f"{PREDICT}?picture=photo&side=32"
    said = ask("POST", url, content=encoded(size=(80, 40)), headers=PNG).json()
    assert (said["width"], said["height"], said["picture_type"]) == (80, 40, "image/jpeg")
    with Image.open(io.BytesIO(base64.b64decode(said["picture"]))) as picture:
        assert (picture.format, picture.size) == ("JPEG", (32, 16))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "TIFF"])
def test_damaged_images(ask, encoded, kind):
    whole = encoded(kind, (60, 60))
    response = ask("POST", PREDICT, content=whole[: len(whole) * 2 // 3], headers=PNG)
    assert "damaged or truncated" in _error(response, 422)


def test_more_pixels_than_allowed(ask, encoded):
    response = ask("POST", PREDICT, content=encoded(size=(200, 100)), headers=PNG)
    assert "200 x 100 pixels are more than the 0.01 million" in _error(response, 413)


def test_a_network_that_fails_does_not_take_the_server_with_it(talk, encoded, capsys):
    async def both(client: httpx.AsyncClient):
        bad = await client.post(PREDICT, content=encoded(size=(20, 13)), headers=PNG)
        return bad, await client.post(PREDICT, content=encoded(), headers=PNG)

    bad, good = talk(both)
    assert "stub failed on this image (RuntimeError)" in _error(bad, 500)
    assert "RuntimeError: thirteen" in capsys.readouterr().err  # for who runs the server
    assert good.status_code == 200


def test_a_body_without_length_is_cut_off(ask):
    async def drip():
        for _ in range(100):
            yield b"x" * 1000

    assert "larger than" in _error(ask("POST", PREDICT, content=drip(), headers=PNG), 413)


def test_forms_that_hold_no_image(ask, encoded):
    files = {"picture": ("a.png", encoded())}
    assert "no file named `image`" in _error(ask("POST", PREDICT, files=files), 422)
    broken = {"Content-Type": "multipart/form-data; boundary=x"}
    sentence = _error(ask("POST", PREDICT, content=b"--x\r\nnothing", headers=broken), 422)
    assert "form" in sentence
    without = {"Content-Type": "multipart/form-data"}
    assert "form" in _error(ask("POST", PREDICT, content=b"--x\r\n", headers=without), 422)
    large = {"image": ("a.png", b"x" * 60_000)}
    assert "larger than" in _error(ask("POST", PREDICT, files=large), 413)


@pytest.mark.parametrize("charset", ["idna", "unicode_escape", "hex", "utf-7", "x%00"])
def test_forms_of_odd_charsets(ask, encoded, charset):
    head = b'--b\r\nContent-Disposition: form-data; name="image"; filename="\\ud800.png"\r\n\r\n'
    body = head + encoded()[:40] + b"\r\n--b--\r\n"
    kind = {"Content-Type": f"multipart/form-data; boundary=b; charset={charset}"}
    _error(ask("POST", PREDICT, content=body, headers=kind), 415)


def test_other_addresses_and_methods(ask):
    response = ask("GET", PREDICT)
    assert "takes POST" in _error(response, 405)
    assert response.headers["allow"] == "POST"
    assert "takes GET" in _error(ask("DELETE", "/v1/models"), 405)
    assert "/v1/predict" in _error(ask("GET", "/v1/model"), 404)
    _error(ask("GET", "/nothing"), 404)


def test_models_and_health(ask):
    assert ask("GET", "/v1/models").json() == {
        "models": [
            {"name": name, "network": "stub", "task": "classify"} for name in ("stub", "other")
        ]
    }
    assert ask("GET", "/health").json() == {"status": "ok", "models": ["stub", "other"]}


def test_the_api_describes_itself_without_pages_from_elsewhere(ask, service):
    described = ask("GET", "/openapi.json").json()
    assert set(described["paths"]) == {PREDICT, "/v1/models", "/health", "/metrics"}
    predict = described["paths"][PREDICT]["post"]
    content = predict["requestBody"]["content"]
    assert "image/*" in content
    query = {each["name"]: each["schema"] for each in predict["parameters"]}
    assert query["embedding"] == {"type": "boolean"}
    fields = content["multipart/form-data"]["schema"]["properties"]
    assert {name: fields[name] for name in fields if name != "image"} == query
    app = make_app(service)
    assert app.docs_url is app.redoc_url is None


def test_a_full_queue_says_when_to_come_back(talk, stub, encoded):
    stub.go.clear()

    async def crowd(client: httpx.AsyncClient):
        waiting = []
        for _ in range(3):  # one in work, two wait
            waiting.append(
                asyncio.create_task(client.post(PREDICT, content=encoded(), headers=PNG))
            )
            await asyncio.sleep(0.05)
        metrics = (await client.get("/metrics")).text
        refused = await client.post(PREDICT, content=encoded(), headers=PNG)
        other = await client.post(f"{PREDICT}?model=other", content=encoded(), headers=PNG)
        stub.go.set()
        return metrics, refused, other, await asyncio.gather(*waiting)

    metrics, refused, other, answered = talk(crowd)
    assert "2 images are waiting" in _error(refused, 429)
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    assert other.status_code == 200  # a queue for each network, and the loop is not blocked
    assert [each.status_code for each in answered] == [200, 200, 200]
    assert 'res2net_queue_depth{model="stub"} 2.0' in metrics
    assert stub.threads == {"network-stub_0"}


def test_a_stopping_service_finishes_and_takes_nothing_new(talk, service, stub, encoded):
    stub.go.clear()

    async def late(client: httpx.AsyncClient):
        early = asyncio.create_task(client.post(PREDICT, content=encoded(), headers=PNG))
        await asyncio.sleep(0.05)
        service.stopping = True
        busy = not service.idle
        responses = [
            await client.post(PREDICT, content=encoded(), headers=PNG),
            await client.get("/v1/models"),
            await client.get("/health"),
        ]
        stub.go.set()
        return busy, responses, await early

    busy, responses, early = talk(late)
    assert busy
    assert [each.status_code for each in responses] == [503, 503, 503]
    assert "stopping" in responses[0].json()["error"]
    assert responses[0].headers["retry-after"] == "5"
    assert early.status_code == 200
    assert service.idle


def test_metrics_are_prometheus_text(talk, encoded):
    async def some(client: httpx.AsyncClient):
        await client.post(PREDICT, content=encoded(), headers=PNG)
        await client.post(PREDICT, content=b"no image", headers=PNG)
        await client.get("/somewhere")
        return await client.get("/metrics")

    response = talk(some)
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    families = {f.name: f for f in text_string_to_metric_families(response.text)}
    requests = {
        (s.labels["path"], s.labels["code"]): s.value
        for s in families["res2net_requests"].samples
        if s.name.endswith("_total")
    }
    assert requests == {(PREDICT, "200"): 1, (PREDICT, "415"): 1, ("page", "404"): 1}
    seconds = {s.name: s for s in families["res2net_request_seconds"].samples}
    assert seconds["res2net_request_seconds_count"].value == 2
    assert families["res2net_inference_seconds"].samples[0].labels["model"] == "stub"
