"""What is no HTML page: PDFs, feeds, images, uploads; and labels that lie."""

import base64
import io
import struct
import zlib

import pytest
from PIL import Image

from services.reader import media, pdf
from services.reader.media import Media
from tests.services.asking import Asker

JSON = {"Accept": "application/json"}


def make_pdf(*pages: str, title: str = "") -> bytes:
    """A small PDF with one line of text for each line of each page; `24|` begins a large one."""
    objects: list[bytes] = [b"<< /Type /Catalog /Pages 2 0 R >>", b""]
    kids = []
    for text in pages:
        number = len(objects) + 1
        kids.append(b"%d 0 R" % number)
        shown = b" T* ".join(map(_drawn, text.split("\n")))
        stream = b"BT /F1 12 Tf 14 TL 72 720 Td %s ET" % shown
        objects.append(
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents %d 0 R "
            b"/Resources << /Font << /F1 << /Type /Font /Subtype /Type1 "
            b"/BaseFont /Helvetica >> >> >> >>" % (number + 1)
        )
        objects.append(b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream))
    objects[1] = b"<< /Type /Pages /Kids [%s] /Count %d >>" % (b" ".join(kids), len(pages))
    objects.append(b"<< /Title (%s) /CreationDate (D:20240501101500Z) >>" % title.encode())
    written = b"%PDF-1.4\n"
    places = []
    for number, content in enumerate(objects, 1):
        places.append(len(written))
        written += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    trailer = b"trailer << /Size %d /Root 1 0 R /Info %d 0 R >>" % (len(places) + 1, len(places))
    head = b"xref\n0 %d\n0000000000 65535 f \n" % (len(places) + 1)
    return written + head + table + trailer + b"\nstartxref\n%d\n%%%%EOF" % len(written)


def _drawn(line: str) -> bytes:
    size, bar, text = line.rpartition("|")
    return b"/F1 %s Tf (%s) Tj" % ((size if bar else "12").encode(), text.encode("latin-1"))


def packed(body: bytes) -> str:
    return base64.b64encode(body).decode()


async def test_pdf_comes_with_title_pages_and_text(reader: Asker) -> None:
    body = make_pdf("A lock is a chamber of water.", "Its gates open in turn.", title="Of locks")
    answer = await reader.post("/", {"pdf": packed(body), "url": "http://canal.example/l.pdf"})
    assert answer.text == (
        "Title: Of locks\n\nURL Source: http://canal.example/l.pdf\n\n"
        "Published Time: 2024-05-01T10:15:00Z\n\nNumber of Pages: 2\n\nMarkdown Content:\n"
        "A lock is a chamber of water.\n\nIts gates open in turn.\n"
    )
    data = (await reader.post("/", {"pdf": packed(body)}, JSON)).json["data"]
    assert data["numPages"] == 2


async def test_number_after_the_hash_selects_a_page(reader: Asker) -> None:
    body = packed(make_pdf("First page.", "Second page."))
    url = "http://canal.example/l.pdf"
    second = await reader.post("/", {"pdf": body, "url": url + "#2"})
    assert second.text.endswith("Markdown Content:\nSecond page.\n")
    none = await reader.post("/", {"pdf": body, "url": url + "#3"})
    assert none.status == 422
    assert none.void


@pytest.mark.parametrize("form", ["plain", "urlsafe", "unpadded", "wrapped", "data"])
async def test_base64_is_taken_in_every_spelling(reader: Asker, form: str) -> None:
    body = make_pdf("Some page.")
    text = {
        "plain": packed(body),
        "urlsafe": base64.urlsafe_b64encode(body).decode(),
        "unpadded": packed(body).rstrip("="),
        "wrapped": base64.encodebytes(body).decode(),
        "data": "data:application/pdf;base64," + packed(body),
    }[form]
    for name in ("pdf", "file"):
        assert "Some page." in (await reader.post("/", {name: text})).text


async def test_files_come_by_multipart(reader: Asker) -> None:
    head = (
        b'--edge\r\nContent-Disposition: form-data; name="file"; filename="l.pdf"\r\n'
        b"Content-Type: application/octet-stream\r\n\r\n"
    )
    body = head + make_pdf("Sent as a file.") + b"\r\n--edge--\r\n"
    kind = {"Content-Type": "multipart/form-data; boundary=edge"}
    answer = await reader.post("/", body, kind)
    assert answer.text.startswith("Title: l.pdf\n")
    assert answer.text.endswith("Sent as a file.\n")


@pytest.mark.parametrize(
    ("body", "piece"),
    [
        ("<html><title>Up</title><p>An uploaded page.</p></html>", "Title: Up\n"),
        ("just text, no marks", "just text, no marks"),
        ('{"a": [1, 2]}', '{"a": [1, 2]}'),
    ],
)
async def test_uploaded_file_is_what_its_bytes_are(reader: Asker, body: str, piece: str) -> None:
    assert piece in (await reader.post("/", {"file": packed(body.encode())})).text


@pytest.mark.parametrize(
    "fields",
    [
        {"pdf": "***"},
        {"file": "data:application/pdf"},
        {"pdf": 5},
        {"file": packed(b"\0\1\2\3binary")},
        {"pdf": packed(b"no PDF at all"), "x": "media"},
    ],
)
async def test_documents_that_are_none_are_400_and_free(
    reader: Asker, fields: dict[str, object]
) -> None:
    answer = await reader.post("/", fields)
    assert answer.status == 400, answer.text
    assert answer.void


@pytest.mark.parametrize("cut", [20, 120, 400])
async def test_broken_pdf_is_an_answer_and_free(reader: Asker, cut: int) -> None:
    answer = await reader.post("/", {"pdf": packed(make_pdf("Some page.")[:cut])})
    assert answer.status in (200, 422)
    assert answer.status == 200 or answer.void


def test_lines_of_a_pdf_become_paragraphs() -> None:
    lines = [
        "The lower gates are opened and the boat goes in, after",
        "which they are closed again, so that the water may be-",
        "gin to rise.",
        "Then the paddles of the upper gates are opened for it.",
        "- first",
        "- second",
    ]
    assert pdf.paragraphs("\r\n".join(lines)).split("\n\n") == [
        "The lower gates are opened and the boat goes in, after which they are closed again, "
        "so that the water may begin to rise.",
        "Then the paddles of the upper gates are opened for it.",
        "- first",
        "- second",
    ]


RSS = """<?xml version="1.0" encoding="utf-8"?><!DOCTYPE rss [<!ENTITY x SYSTEM "file:///etc/passwd">]>
<rss version="2.0"><channel><title>Canal news</title><description>Of water</description>
<item><title>Lock 4 &amp; 5</title><link>/news/4</link><pubDate>Wed, 01 May 2024</pubDate>
<description>&lt;p&gt;The &lt;b&gt;fourth&lt;/b&gt; lock.&lt;/p&gt;</description></item>
<item><title>Entity &x;</title><guid>http://canal.example/5</guid></item></channel></rss>"""
ATOM = """<feed xmlns="http://www.w3.org/2005/Atom"><title>Atoms</title>
<entry><title>One</title><link rel="self" href="/self"/><link href="/one"/>
<updated>2024-05-01T00:00:00Z</updated><summary>First.</summary></entry></feed>"""


@pytest.mark.parametrize(
    ("feed", "head", "rows"),
    [
        (
            RSS,
            "Title: Canal news\n",
            "- [Lock 4 & 5](http://canal.example/news/4) (Wed, 01 May 2024)\n  The fourth lock.\n"
            "- [Entity &x;](http://canal.example/5)\n",
        ),
        (
            ATOM,
            "Title: Atoms\n",
            "- [One](http://canal.example/one) (2024-05-01T00:00:00Z)\n  First.\n",
        ),
    ],
)
async def test_feeds_come_as_lists_of_links(reader: Asker, feed: str, head: str, rows: str) -> None:
    fields = {"file": packed(feed.encode()), "url": "http://canal.example/feed"}
    answer = await reader.post("/", fields)
    assert answer.text.startswith(head)
    assert answer.text.partition("Markdown Content:\n")[2] == rows


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP"])
async def test_image_comes_as_a_line_with_its_size(reader: Asker, kind: str) -> None:
    body = io.BytesIO()
    Image.new("RGB", (64, 48)).save(body, kind)
    fields = {"file": packed(body.getvalue()), "url": "http://canal.example/g/gate.png"}
    answer = await reader.post("/", fields)
    shown = f"![Image 1: gate.png ({kind}, 64x48)](http://canal.example/g/gate.png)"
    assert answer.text.endswith(f"Markdown Content:\n{shown}\n")


async def test_image_that_says_it_is_enormous_costs_nothing(reader: Asker) -> None:
    head = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + b"IHDR" + head + struct.pack(">I", zlib.crc32(b"IHDR" + head))
    answer = await reader.post("/", {"file": packed(b"\x89PNG\r\n\x1a\n" + chunk + b"\0" * 64)})
    assert answer.status in (200, 400)


@pytest.mark.parametrize(
    ("label", "body", "kind"),
    [
        ("text/html", b"%PDF-1.7 x", Media.PDF),
        ("text/plain", b"\x89PNG\r\n\x1a\n", Media.PICTURE),
        ("", b"<!DOCTYPE html><p>x", Media.HTML),
        ("application/octet-stream", b"plain words", Media.TEXT),
        ("application/octet-stream", b"\0\1\2", Media.OTHER),
        ("application/xml", b"<?xml version='1.0'?><html>", Media.HTML),
        ("application/xml", b"<?xml version='1.0'?><rss>", Media.FEED),
        ("text/html", b"<?xml version='1.0'?>\n<feed xmlns='a'>", Media.FEED),
        ("application/rss+xml", b"<x>", Media.FEED),
        ("text/plain", b"<html>as text", Media.TEXT),
        ("text/html", b"plain words", Media.HTML),
        ("text/html", b"about <rss and feeds", Media.HTML),
        ("text/css", b"a {}", Media.TEXT),
        ("application/json", b"{}", Media.TEXT),
        ("video/mp4", b"....ftypmp42", Media.OTHER),
        ("text/plain", b"\0\0\0", Media.OTHER),
        ("font/woff2", b"wOF2", Media.OTHER),
    ],
)
def test_bytes_judge_where_labels_lie(label: str, body: bytes, kind: Media) -> None:
    assert media.kind(label, body) is kind


def test_large_letters_of_a_pdf_are_headings_and_broken_words_are_whole() -> None:
    first = "The lower gates of the lock are opened and the boat goes in, and af-"
    second = "ter that they are closed again, which takes ten minutes or so."
    drawn = make_pdf("\n".join(["24|Of locks", first, second, "16|Tolls", "None."]))
    found = pdf.read(drawn, None)
    whole = first.removesuffix("-") + second
    assert found.text == f"# Of locks\n\n{whole}\n\n## Tolls\n\nNone."
    assert found.bare == f"Of locks\n\n{whole}\n\nTolls\n\nNone."
