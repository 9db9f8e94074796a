"""The local index: what is added is found, and no kill and no damage loses a document."""

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from services.search.index import starter
from services.search.index.documents import Document
from services.search.index.library import HeldError, Library
from tests.services.processes import ROOT

GATES = Document("https://a.example/gates/upper.html", "Upper gates", "The upper gate is shut.")
WEIR = Document("https://b.a.example/weir.pdf", "Weir", "A weir regulates the river. " * 40)
JAPANESE = Document("https://c.example/水門", "水門の仕組み", "閘門は河川の水位を調節する。")
GERMAN = Document("file://handbuch/schleuse.md", "Schleusen", "Größe der Tore", fetch=False)
ALL = (GATES, WEIR, JAPANESE, GERMAN)


@pytest.fixture
async def library(tmp_path: Path) -> AsyncIterator[Library]:
    library = Library(tmp_path / "index", "example.test")
    await library.open()
    yield library
    await library.close()


async def urls(library: Library, query: str, **operators: str) -> list[str]:
    """What is found beside the project's own texts."""
    found = await library.search(query, {n: (v,) for n, v in operators.items()}, 0, 20)
    return [match.document.url for match in found if match.document.origin != "starter"]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("upper gate", [GATES]),
        ("gates", [GATES]),
        ('"upper gate is shut"', [GATES]),
        ('"gate upper"', []),
        ("weir site:a.example", [WEIR]),
        ("weir site:b.a.example/weir.pdf", [WEIR]),
        ("weir site:c.example", []),
        ("weir -site:a.example", []),
        ("filetype:pdf river", [WEIR]),
        ("intitle:weir", [WEIR]),
        ('intitle:"upper gates"', [GATES]),
        ("inurl:upper", [GATES]),
        ("水位を調節", [JAPANESE]),
        ("門", [JAPANESE]),
        ("grosse", [GERMAN]),
        ("site:handbuch tore", [GERMAN]),
        ("tore OR weir", [GERMAN, WEIR]),
        ("weir -river", []),
        ("qqqq", []),
        ('""', []),
        ("🚀 ((", []),
    ],
)
async def test_queries_find_what_they_mean(
    library: Library, query: str, found: list[Document]
) -> None:
    await library.add(ALL)
    assert set(await urls(library, query)) == {document.url for document in found}


@pytest.mark.parametrize(
    ("query", "found"),
    [
        # Whole questions: most of their words are in no document.
        ("In which year did the engineers of Fallenmoor shut the upper gate for good?", [GATES]),
        ("Can anybody tell me please which structure regulates a wide river?", [WEIR]),
        ("河川の水位を調節するために使われる設備は何ですか", [JAPANESE]),
        ("Which structure regulates a wide river near Fallenmoor -weir", []),
        ("Which structure regulates a wide river near Fallenmoor site:c.example", []),
        # Nothing of it, or one word of many.
        ("qzxv blorp fnord wibble grault plugh xyzzy", []),
        ("qzxv blorp fnord wibble grault plugh xyzzy corge quux garply river", []),
        # Few words are meant: one of three is too little.
        ("river poetry anthology", []),
    ],
)
async def test_a_question_is_ranked_by_any_of_its_words_and_nonsense_finds_nothing(
    library: Library, query: str, found: list[Document]
) -> None:
    await library.add(ALL)
    assert await urls(library, query) == [document.url for document in found]


async def test_operators_as_parameters_are_alternatives_and_conditions(library: Library) -> None:
    await library.add(ALL)
    found = await library.search("", {"site": ("a.example", "c.example")}, 0, 10)
    assert len(found) == 3
    found = await library.search("", {"site": ("a.example",), "ext": ("pdf",)}, 0, 10)
    assert [match.document.url for match in found] == [WEIR.url]


async def test_passage_and_document_come_with_the_hit(library: Library) -> None:
    await library.add(ALL)
    [match] = await library.search("weir", {}, 0, 10)
    assert match.passage.startswith("A weir regulates")
    assert match.document.tokens > 100
    assert match.document.content == WEIR.content


async def test_pages_follow_each_other_without_repeating(library: Library) -> None:
    await library.add(
        [Document(f"https://n.example/{n}", "Lock", "A dunlin flies.") for n in range(25)]
    )
    pages = [await library.search("dunlin", {}, offset, 10) for offset in (0, 10, 20, 30)]
    assert [len(page) for page in pages] == [10, 10, 5, 0]
    assert len({match.document.url for page in pages for match in page}) == 25


async def test_newer_document_takes_the_place_of_the_older(library: Library) -> None:
    await library.add([GATES])
    before = (await library.stats()).documents
    await library.add([Document(GATES.url, "Sills", "The sill is wet.")])
    assert (await library.stats()).documents == before
    assert await urls(library, "gate site:a.example") == []
    assert await urls(library, "sill") == [GATES.url]


async def test_removal_takes_exactly_what_is_named(library: Library) -> None:
    await library.add([*ALL, Document("https://b.a.example/weirs", "Weirs", "More weirs.")])
    assert await library.remove([GATES.url, "https://nowhere.example/"], []) == 1
    assert await library.remove([], ["https://b.a.example/weir"]) == 0
    assert await library.remove([], ["https://b.a.example"]) == 2
    assert await urls(library, "weir gate") == []


async def test_documents_without_content_are_of_no_use(library: Library) -> None:
    before = (await library.stats()).documents
    assert await library.add([Document("https://x/", "X", " \n"), Document("", "Y", "y")]) == 0
    assert (await library.stats()).documents == before


async def test_any_text_can_be_added_and_found(library: Library) -> None:
    odd = Document("https://o/\ud800", "T\ud800", "lone \ud800 surrogate \x00 nul " + "x" * 70_000)
    # A lone surrogate in the address has no place to be kept; the content is made sound.
    assert await library.add([Document("https://o/", odd.title, odd.content)]) == 1
    assert await urls(library, "surrogate") == ["https://o/"]


async def test_second_process_is_refused_and_the_first_goes_on(
    library: Library, tmp_path: Path
) -> None:
    second = Library(tmp_path / "index", "example.test")
    with pytest.raises(HeldError, match="another process has the index"):
        await second.open()
    await library.add([GATES])


async def test_starter_finds_the_projects_own_texts(library: Library) -> None:
    found = await library.search("sliding window limiter", {}, 0, 10)
    assert found[0].document.url.startswith("https://docs.example.test/")
    assert "window" in found[0].document.content
    assert not found[0].document.fetch
    stats = await library.stats()
    assert (
        stats.documents
        == stats.indexed
        == len(list(starter.documents(starter.texts(), "example.test")))
    )


async def test_starter_document_that_was_removed_stays_away(tmp_path: Path) -> None:
    library = Library(tmp_path / "index", "example.test")
    await library.open()
    before = (await library.stats()).documents
    assert await library.remove(["https://docs.example.test/readme"], []) == 1
    await library.close()
    # As after a change of any text: all of them are looked at again.
    with sqlite3.connect(tmp_path / "index" / "documents.sqlite") as changed:
        changed.execute("DELETE FROM fact WHERE name = 'starter'")
    changed.close()
    library = Library(tmp_path / "index", "example.test")
    await library.open()
    assert (await library.stats()).documents == before - 1
    await library.close()


def _cut(folder: Path) -> None:
    for path in folder.glob("*"):
        if path.suffix in (".store", ".term", ".idx", ".pos", ".fast"):
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _garble(folder: Path) -> None:
    (folder / "meta.json").write_text("{")


def _lose(folder: Path) -> None:
    for path in folder.glob("*"):
        path.unlink()


def _older(folder: Path) -> None:
    (folder / "version").write_text("0")


def _without_meta(folder: Path) -> None:
    (folder / "meta.json").unlink()


@pytest.mark.parametrize("damage", [_cut, _garble, _lose, _older, _without_meta])
async def test_damaged_index_is_built_again_from_the_documents(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    library = Library(tmp_path / "index", "example.test")
    await library.open()
    await library.add(ALL)
    before = (await library.stats()).documents
    await library.close()
    damage(tmp_path / "index" / "tantivy")
    library = Library(tmp_path / "index", "example.test")
    await library.open()
    stats = await library.stats()
    assert (stats.documents, stats.indexed, stats.pending) == (before, before, 0)
    assert await urls(library, "upper gate site:a.example") == [GATES.url]
    await library.close()


async def test_damaged_documents_are_set_aside_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    library = Library(tmp_path / "index", "example.test")
    await library.open()
    await library.close()
    file = tmp_path / "index" / "documents.sqlite"
    file.write_bytes(b"not a database at all, " * 500)
    library = Library(tmp_path / "index", "example.test")
    await library.open()
    assert "set aside as" in caplog.text
    assert (tmp_path / "index" / "documents.sqlite.damaged-1").exists()
    assert await library.search("sliding window", {}, 0, 10)
    await library.close()


WRITER = """
import asyncio, sys
from pathlib import Path
from services.search.index.documents import Document
from services.search.index.library import Library

async def main():
    library = Library(Path(sys.argv[1]), "example.test")
    await library.open()
    number = (await library.stats()).documents
    while True:
        batch = [Document(f"https://k.example/{number + n}", "K", f"kill word{number + n}")
                 for n in range(7)]
        await library.add(batch)
        number += 7
        print(*[d.url for d in batch], flush=True)

asyncio.run(main())
"""


async def test_kill_9_while_writing_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    acknowledged: set[str] = set()
    for round_ in range(3):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path / "index")],
            stdout=subprocess.PIPE,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        assert process.stdout is not None
        for _ in range(3 + round_ * 4):
            acknowledged.update(process.stdout.readline().decode().split())
        time.sleep(0.013 * round_)
        process.send_signal(signal.SIGKILL)
        rest = process.stdout.read().decode()
        acknowledged.update(rest[: rest.rfind("\n") + 1].split())
        process.wait()
        process.stdout.close()
    library = Library(tmp_path / "index", "example.test")
    await library.open()
    stats = await library.stats()
    assert stats.documents == stats.indexed
    assert stats.pending == 0
    missing = acknowledged - {
        url
        for url in acknowledged
        if await urls(library, f"word{url.rpartition('/')[2]}", site="k.example") == [url]
    }
    assert missing == set()
    await library.close()


async def test_loop_is_free_while_large_documents_are_added_and_searched(library: Library) -> None:
    text = "A lock lifts ships over the weir. 水門は河川の水位を調節する。 " * 8_000
    turns = 0

    async def watch() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0.001)
            turns += 1

    watcher = asyncio.create_task(watch())
    await library.add([Document(f"https://l.example/{n}", "L", text) for n in range(3)])
    for _ in range(5):
        assert len(await urls(library, "ships weir 水位を")) == 3
    watcher.cancel()
    # Hundreds on a quiet machine, with no gap above 20 ms; work on the loop itself would leave it
    # one turn for each of the six calls, however slow the machine.
    assert turns > 30
