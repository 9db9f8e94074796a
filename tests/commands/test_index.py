"""`sluice index`: with a running search service and without one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.commands.index_sources import Source, batches, sources
from gateway.errors import ConfigurationFault
from tests.services.processes import ROOT, service

PAGE = "<html><title>Weirs</title><body><p>A weir regulates the rivulet upstream.</p></body></html>"


def sluice(*words: str, data: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    named = {f"SLUICE_{name}": value for name, value in settings.items()}
    environ = {"PATH": os.environ.get("PATH", ""), "PYTHONPATH": str(ROOT), **named}
    return subprocess.run(
        [sys.executable, "-m", "gateway", "index", *words],
        env={**environ, "SLUICE_DATA_DIR": str(data)},
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.fixture
def handbook(tmp_path: Path) -> Path:
    folder = tmp_path / "Hand book"
    (folder / "inner").mkdir(parents=True)
    (folder / ".git").mkdir()
    (folder / ".git" / "secret.md").write_text("never")
    (folder / "a.md").write_text("# Locks\n\nA lock lifts ships.\n")
    (folder / "inner" / "b.html").write_text(PAGE)
    (folder / "c.bin").write_bytes(b"\x00")
    return folder


def test_folder_is_its_documents(handbook: Path) -> None:
    found = sources([str(handbook)], "")
    assert [one.url for one in found] == ["file://hand-book/a.md", "file://hand-book/inner/b.html"]
    based = sources([str(handbook)], "https://x.example/h/")
    assert based[1].url == "https://x.example/h/inner/b.html"
    [(documents, unreadable)] = batches(found)
    assert unreadable == []
    assert documents[0] == {
        "url": "file://hand-book/a.md",
        "title": "Locks",
        "content": "# Locks\n\nA lock lifts ships.\n",
    }
    assert set(documents[1]) == {"url", "html"}


def test_file_of_urls_is_a_list_and_any_other_a_document(tmp_path: Path) -> None:
    listed = tmp_path / "urls.txt"
    listed.write_text("# mine\nhttps://a.example/1\n\nhttps://a.example/2\n")
    assert sources([str(listed)], "") == [
        Source("https://a.example/1"),
        Source("https://a.example/2"),
    ]
    prose = tmp_path / "prose.txt"
    prose.write_text("see https://a.example/1 and weep")
    assert [one.path for one in sources([str(prose)], "")] == [prose]


def test_mistakes_are_all_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationFault) as caught:
        sources(["nowhere", "ftp://x/"], "")
    assert len(caught.value.mistakes) == 2
    with pytest.raises(ConfigurationFault, match="--base"):
        sources([str(tmp_path)], "handbook")


def test_large_folders_go_in_batches(tmp_path: Path) -> None:
    for number in range(230):
        (tmp_path / f"{number:03}.txt").write_text("text")
    sizes = [len(documents) for documents, _ in batches(sources([str(tmp_path)], ""))]
    assert sizes == [100, 100, 30]


def test_without_a_running_service_the_command_does_it_alone(
    handbook: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    added = sluice("add", str(handbook), data=data)
    assert (added.returncode, added.stdout, added.stderr) == (0, "added 2 documents\n", "")
    stats = sluice("stats", data=data)
    assert "folder" in stats.stdout
    removed = sluice("remove", "--below", "file://hand-book", data=data)
    assert removed.stdout == "removed 2 documents\n"


def test_with_a_running_service_the_command_asks_it(handbook: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    (data / "run").mkdir(parents=True)
    secret = "a-secret-that-both-know"
    socket = f"unix:{data}/run/search.sock"
    known = {"SLUICE_DATA_DIR": str(data), "SLUICE_INTERNAL_SECRET": secret}
    with service("search", socket, known):
        added = sluice("add", str(handbook / "a.md"), data=data, INTERNAL_SECRET=secret)
        assert (added.returncode, added.stdout) == (0, "added 1 document\n"), added.stderr
        url = ["file://hand-book/a.md"]
        named = {"INTERNAL_SECRET": secret, "SERVICE_SEARCH_URL": socket}
        assert sluice("remove", *url, data=data, **named).stdout == "removed 1 document\n"
        stranger = sluice("stats", data=data, INTERNAL_SECRET="another-secret-entirely")
        assert stranger.returncode == 2
        assert "refused (401)" in stranger.stderr


def test_command_says_what_is_wrong(tmp_path: Path) -> None:
    nothing = sluice("add", "nowhere", data=tmp_path)
    assert nothing.returncode == 2
    assert "nowhere is no folder, no file and no http(s) URL" in nothing.stderr
    assert sluice("remove", data=tmp_path).returncode == 2
    named = sluice("stats", data=tmp_path, SERVICE_SEARCH_URL="http://127.0.0.1:1")
    assert named.returncode == 2
    assert "is it running?" in named.stderr
    for words in (["--help"], ["add", "--help"], ["stats", "--help"], ["remove", "--help"]):
        assert len(sluice(*words, data=tmp_path).stdout) > 100
