"""Clients as they are published, against the service: what they send is taken, and read back right.

The gateway's signature is added on the way, by hooks of their HTTP libraries.
"""

import asyncio
import importlib
import warnings
from types import ModuleType
from typing import Any

import httpx2
import numpy as np
import openai
import pytest
import requests

from tests.services.asking import Asker, signed_headers

TEXTS = ["The cat sat on the mat.", "A kitten lay on the rug.", "Share prices fell on Monday."]


def sign(request: httpx2.Request) -> None:
    path = request.url.raw_path.decode()
    request.headers.update(signed_headers(request.method, path, request.content))


class Signature(requests.auth.AuthBase):
    """Signs what `requests` is about to send."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        body = request.body or b""
        raw = body.encode() if isinstance(body, str) else body
        assert isinstance(raw, bytes)
        request.headers.update(signed_headers(request.method or "", request.path_url, raw))
        return request


def langchain(name: str) -> ModuleType:
    """A module of langchain-community, whose imports warn of their own future."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module(f"langchain_community.{name}")


@pytest.fixture
def client(api: Asker) -> Any:
    transport = httpx2.Client(event_hooks={"request": [sign]})
    with openai.OpenAI(
        base_url=f"{api.base}/v1", api_key="k", http_client=transport, max_retries=0
    ) as client:
        yield client


async def test_openai_reads_base64_and_floats_alike(client: openai.OpenAI) -> None:
    def both() -> tuple[Any, Any]:
        create = client.embeddings.create
        plain = create(model="jina-embeddings-v3", input=TEXTS, encoding_format="float")
        return create(model="jina-embeddings-v3", input=TEXTS), plain

    encoded, plain = await asyncio.to_thread(both)
    assert encoded.model == "all-minilm-l6-v2"
    assert encoded.usage.prompt_tokens == encoded.usage.total_tokens > 0
    found = np.array([entry.embedding for entry in encoded.data])
    assert found.shape == (3, 384)
    assert np.abs(found - np.array([entry.embedding for entry in plain.data])).max() < 1e-6
    assert found[0] @ found[1] > found[0] @ found[2] + 0.3


async def test_openai_prints_what_was_wrong(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="not found; known: all-minilm-l6-v2"):
        await asyncio.to_thread(client.embeddings.create, model="nothing", input="a")
    with pytest.raises(openai.UnprocessableEntityError, match="less than or equal to 384"):
        await asyncio.to_thread(
            client.embeddings.create, model="jina-clip-v1", input="a", dimensions=9_999
        )


async def test_openai_lists_models(client: openai.OpenAI) -> None:
    def names() -> list[str]:
        return [model.id for model in client.models.list()]

    assert "jina-embeddings-v3" in await asyncio.to_thread(names)
    one = await asyncio.to_thread(client.models.retrieve, "jina-embeddings-v3")
    assert one.id == "jina-embeddings-v3"


async def test_langchain_embeds(api: Asker, monkeypatch: pytest.MonkeyPatch) -> None:
    module = langchain("embeddings.jina")
    monkeypatch.setattr(module, "JINA_API_URL", f"{api.base}/v1/embeddings")
    client = module.JinaEmbeddings(jina_api_key="k", model_name="jina-embeddings-v2-base-en")
    client.session.auth = Signature()
    documents = np.array(await asyncio.to_thread(client.embed_documents, TEXTS))
    query = np.array(await asyncio.to_thread(client.embed_query, "Where is the cat?"))
    assert documents.shape == (3, 384)
    assert (documents @ query).argmax() == 0
    with pytest.raises(RuntimeError, match="text only"):
        await asyncio.to_thread(client.embed_images, ["http://192.0.2.1/a.png"])
    client.session.close()


async def test_langchain_reranks(api: Asker, monkeypatch: pytest.MonkeyPatch) -> None:
    module = langchain("document_compressors.jina_rerank")
    monkeypatch.setattr(module, "JINA_API_URL", f"{api.base}/v1/rerank")
    client = module.JinaRerank(jina_api_key="k", top_n=None)
    client.session.auth = Signature()
    results = await asyncio.to_thread(client.rerank, TEXTS, "What happened on the stock market?")
    assert results[0]["index"] == 2
    assert len(results) == 3
    limited = await asyncio.to_thread(client.rerank, [{"text": t} for t in TEXTS], "cat", top_n=1)
    assert [result["index"] for result in limited] == [0]
    client.session.close()
