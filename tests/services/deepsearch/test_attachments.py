"""Files that come along as data URIs: read, or refused with a reason."""

import base64

import pytest

from tests.services import images
from tests.services.deepsearch import standin as standins
from tests.services.deepsearch.desk import Desk, Json
from tests.services.deepsearch.standin import Standin, status

NOTE = "The keeper of Fallenmoor keeps a heron called Obadiah."
MEGABYTE = 1024 * 1024


def uri(kind: str, body: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(body).decode()}"


def pdf(text: str) -> bytes:
    """A PDF of one line."""
    stream = f"BT /F1 18 Tf 40 700 Td ({text}) Tj ET".encode()
    objects = (
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 600 800]/Contents 4 0 R"
        b"/Resources<</Font<</F1 5 0 R>>>>>>",
        b"<</Length %d>>stream\n%b\nendstream" % (len(stream), stream),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
    )
    body = b"%PDF-1.4\n"
    places = []
    for number, each in enumerate(objects, 1):
        places.append(len(body))
        body += b"%d 0 obj%b endobj\n" % (number, each)
    start = len(body)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    body += b"xref\n0 6\n0000000000 65535 f \n" + table
    return body + b"trailer<</Size 6/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF" % start


def asking(part: Json, text: str = "What is the heron called?") -> Json:
    return {"messages": [{"role": "user", "content": [{"type": "text", "text": text}, part]}]}


def file(kind: str, body: bytes, name: str = "note") -> Json:
    return {"type": "file", "file": {"filename": name, "file_data": uri(kind, body)}}


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("text/plain", NOTE.encode()),
        ("text/markdown", NOTE.encode("utf-16")),
        ("application/json", b'{"note": "%b"}' % NOTE.encode()),
        ("application/pdf", pdf(NOTE)),
    ],
)
async def test_what_a_file_says_reaches_the_model(
    desk: Desk, model: Standin, kind: str, body: bytes
) -> None:
    answer = await desk.post(asking(file(kind, body)))
    assert answer.status == 200
    assert answer.json["choices"][0]["finish_reason"] == "stop"
    assert "called Obadiah" in standins.prompt_of(model.asked[0])


async def test_parts_of_other_clients_are_understood(desk: Desk, model: Standin) -> None:
    packed = base64.b64encode(NOTE.encode()).decode()
    for part in (
        {"type": "file", "data": uri("text/plain", NOTE.encode()), "mimeType": "text/plain"},
        {"type": "file", "data": packed, "mediaType": "text/plain"},
        {"type": "input_file", "file_data": uri("text/plain", NOTE.encode())},
    ):
        model.asked.clear()
        assert (await desk.post(asking(part))).status == 200
        assert "called Obadiah" in standins.prompt_of(model.asked[0])


async def test_image_is_described_by_a_model_that_sees(desk: Desk, model: Standin) -> None:
    model.answers["Describe this image"] = "A heron with a label that says Obadiah."
    part = {"type": "image_url", "image_url": {"url": uri("image/png", images.solid("red"))}}
    answer = await desk.post(asking(part))
    assert answer.status == 200
    sent = model.asked[0]["messages"][0]["content"][1]
    assert sent["image_url"]["url"].startswith("data:image/png;base64,")
    assert "label that says Obadiah" in standins.prompt_of(model.asked[1])


async def test_model_that_takes_no_images_leaves_a_note(desk: Desk, model: Standin) -> None:
    model.script = [status(400, "no images here")]
    part = {"type": "image_url", "image_url": uri("image/png", images.solid("red"))}
    answer = await desk.post(asking(part))
    assert answer.status == 200
    assert "could not be looked at" in standins.prompt_of(model.asked[1])


async def test_without_a_model_an_image_is_refused_with_a_reason(plain: Desk) -> None:
    part = {"type": "image_url", "image_url": {"url": uri("image/png", images.solid("red"))}}
    answer = await plain.post(asking(part))
    assert answer.status == 400
    assert answer.void
    assert "images need a model" in answer.json["error"]


async def test_more_than_ten_megabytes_in_total_are_refused(desk: Desk) -> None:
    half = file("text/plain", b"heron " * (5 * MEGABYTE // 6) + b"he")
    rest = file("text/plain", b"a" * (5 * MEGABYTE + 1))
    answer = await desk.post({"messages": [{"role": "user", "content": [half, rest]}]})
    assert answer.status == 400
    assert answer.void
    assert answer.json["error"] == "Attachments may have at most 10 MB in total"


@pytest.mark.parametrize(
    ("kind", "body", "why"),
    [
        ("application/pdf", b"no pdf at all", "not the application/pdf"),
        ("application/pdf", b"%PDF-1.4 broken", "the PDF could not be read"),
        ("image/png", b"no png", "not the image/png"),
        ("application/zip", b"PK", "cannot be read"),
        ("text/plain", b"", "empty"),
        ("text/plain", b"a\0b", "no readable text"),
    ],
)
async def test_files_that_cannot_be_read_are_refused_with_a_reason(
    desk: Desk, kind: str, body: bytes, why: str
) -> None:
    answer = await desk.post(asking(file(kind, body, "my file")))
    assert answer.status == 400
    assert answer.void
    assert why in answer.json["error"]
    assert "my file" in answer.json["error"]


async def test_what_is_not_base64_is_refused(desk: Desk) -> None:
    part = {"type": "file", "data": "data:text/plain;base64,????"}
    answer = await desk.post(asking(part))
    assert answer.status == 400
    assert "base64" in answer.json["error"]
