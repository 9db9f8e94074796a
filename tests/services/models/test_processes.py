"""The api services as processes: ready when they can serve, and one for all of them."""

import asyncio
import sys
from pathlib import Path

import pytest

from services.models import builtin
from tests.services.asking import Asker, signed_headers
from tests.services.processes import environment, free_port, service

TEXT = {"input": "a cat"}


@pytest.mark.parametrize(
    ("name", "path", "body"),
    [
        ("embeddings", "/v1/embeddings", TEXT),
        ("rerank", "/v1/rerank", {"query": "a", "documents": ["b"]}),
    ],
)
async def test_service_runs_alone_on_a_unix_socket(
    name: str, path: str, body: dict[str, object], tmp_path: Path, model_data_dir: Path
) -> None:
    socket = str(tmp_path / "s.sock")
    with service(name, f"unix:{socket}", {"SLUICE_DATA_DIR": str(model_data_dir)}):
        asker = Asker("http://service", socket)
        assert (await asker.post(path, body)).status == 200
        assert (await asker.get("/v1/models")).status == 200
        assert (await asker.post("/v1/classify", body)).status == 404


async def test_first_start_builds_the_model_before_it_listens(tmp_path: Path) -> None:
    listen = f"127.0.0.1:{free_port()}"
    with service("embeddings", listen, {"SLUICE_DATA_DIR": str(tmp_path)}):
        assert (tmp_path / "models" / builtin.NAME / builtin.MANIFEST).is_file()
        assert (await Asker(f"http://{listen}").post("/v1/embeddings", TEXT)).status == 200


async def test_one_process_serves_all_four(api: Asker) -> None:
    labels = {"input": ["I love this"], "labels": ["praise", "complaint"]}
    wanted = {"model": "jina-embeddings-v3", **labels}
    answer = await api.post("/v1/classify", wanted)
    assert answer.json["data"][0]["prediction"] == "praise"
    assert (await api.post("/v1/embeddings", TEXT)).status == 200
    assert (await api.post("/v1/rerank", {"query": "a", "documents": ["b"]})).status == 200
    assert (await api.get("/v1/models")).status == 200
    # Classifiers that are kept need the database, which this process was not told of.
    assert (await api.get("/v1/classifiers")).void


async def test_unsigned_request_is_refused(api: Asker) -> None:
    answer = await api.raw("POST", "/v1/embeddings", {}, b'{"input":"a"}')
    assert (answer.status, answer.void) == (401, True)
    forged = signed_headers("POST", "/v1/embeddings", b'{"input":"b"}')
    assert (await api.raw("POST", "/v1/embeddings", forged, b'{"input":"a"}')).status == 401


async def test_registry_with_a_mistake_ends_the_service_with_a_sentence(tmp_path: Path) -> None:
    file = tmp_path / "models.toml"
    file.write_text('[models.far]\nkind = "magic"\n')
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.embeddings", "--listen", "127.0.0.1:0"),
        env=environment({"SLUICE_MODELS_FILE": str(file)}),
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await asyncio.wait_for(child.communicate(), 60)
    assert child.returncode == 2
    assert b"models.far.kind must be one of" in said
    assert b"Traceback" not in said


async def test_request_of_a_client_that_has_gone_is_not_finished(api: Asker) -> None:
    huge = {"input": ["The river rose in spring. " * 1_500] * 40, "truncate": True}
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1.5):
            await api.post("/v1/embeddings", huge)
    # Forty texts are a minute of work; a short one beside them would take its turns with them.
    async with asyncio.timeout(40):
        assert (await api.post("/v1/embeddings", TEXT)).status == 200
