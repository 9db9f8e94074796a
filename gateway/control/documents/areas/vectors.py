"""Embeddings, rerank, segment, and the list of models."""

from typing import Final

from gateway.control.documents.operation import (
    DRY_RUN,
    JSON,
    METERED,
    Answer,
    Body,
    Operation,
    json_answer,
    path_parameter,
    query,
)
from gateway.control.documents.shapes import (
    COUNT,
    FLAG,
    NUMBER,
    TEXT,
    WHOLE,
    Schema,
    answer,
    array,
    by_name,
    either,
    maybe,
    one_of,
    ref,
    request,
    told,
    whole,
)

_ENCODING: Final = one_of("float", "base64", "binary", "ubinary")
_VECTOR: Final = either(array(NUMBER), told(TEXT, "Base64 of little-endian float32."))
_TOKENIZER: Final = one_of("cl100k_base", "o200k_base", default="cl100k_base")
_SPAN: Final = array(COUNT, 2, 2)

SCHEMAS: Final[dict[str, Schema]] = {
    "Input": either(
        TEXT,
        request({"text": TEXT}, "text"),
        request({"image": told(TEXT, "An address, or base64.")}, "image"),
        request({"url": told(TEXT, "The address of an image.")}, "url"),
        request({"bytes": told(TEXT, "An image in base64.")}, "bytes"),
    ),
    "Inputs": either(ref("Input"), array(ref("Input"), 1, 1_024)),
    "TokenUsage": answer({"total_tokens": COUNT, "prompt_tokens": COUNT}, "prompt_tokens"),
    "EmbeddingsRequest": request(
        {
            "model": told(maybe(TEXT), "One of `GET /v1/models`; the default one if left out."),
            "input": ref("Inputs"),
            "dimensions": told(maybe(whole(1)), "Vectors are cut to so many numbers."),
            "normalized": told(maybe(FLAG), "Of length 1, which is the default."),
            "late_chunking": told(maybe(FLAG), "All inputs are one text that was cut."),
            "truncate": told(maybe(FLAG), "Cut what is too long instead of refusing it."),
            "embedding_type": told(
                either(_ENCODING, array(_ENCODING, 1), {"type": "null"}),
                "With a list each `embedding` is an object by encoding.",
            ),
            "encoding_format": told(
                either(one_of("float", "base64"), {"type": "null"}), "The same, as openai sends it."
            ),
            "task": told(maybe(TEXT), "Such as `retrieval.query` or `retrieval.passage`."),
        },
        "input",
    ),
    "Embeddings": answer(
        {
            "model": TEXT,
            "object": {"const": "list"},
            "usage": ref("TokenUsage"),
            "data": array(
                answer(
                    {
                        "object": {"const": "embedding"},
                        "index": COUNT,
                        "embedding": either(_VECTOR, by_name(_VECTOR)),
                    }
                )
            ),
        }
    ),
    "RerankRequest": request(
        {
            "model": told(maybe(TEXT), "One of `GET /v1/models`."),
            "query": either(TEXT, request({"text": TEXT}, "text")),
            "documents": array(either(TEXT, request({"text": TEXT}, "text")), 1, 1_024),
            "top_n": told(maybe(whole(1)), "Only the best so many."),
            "return_documents": told(maybe(FLAG), "True unless it is said otherwise."),
            "truncate": maybe(FLAG),
        },
        "query documents",
    ),
    "Ranking": answer(
        {
            "model": TEXT,
            "object": {"const": "list"},
            "usage": ref("TokenUsage"),
            "results": array(
                answer(
                    {
                        "index": told(COUNT, "The place in `documents`."),
                        "document": told({"type": "object"}, "As it was given."),
                        "relevance_score": NUMBER,
                    },
                    "document",
                )
            ),
        },
        told="The best first.",
    ),
    "SegmentRequest": request(
        {
            "content": told({**TEXT, "maxLength": 65_536}, "The text."),
            "tokenizer": maybe(_TOKENIZER),
            "return_tokens": maybe(FLAG),
            "return_chunks": maybe(FLAG),
            "max_chunk_length": maybe(whole(1, 2_147_483_647, 1_000)),
            "head": told(maybe(whole(1, 2_147_483_647)), "Only the first so many tokens."),
            "tail": told(maybe(whole(1, 2_147_483_647)), "Only the last; not with `head`."),
        },
        "content",
    ),
    "Segments": answer(
        {
            "num_tokens": COUNT,
            "tokenizer": TEXT,
            "usage": answer({"tokens": {"const": 0}}),
            "num_chunks": COUNT,
            "chunk_positions": told(array(_SPAN), "Characters, from and up to, per chunk."),
            "tokens": told(array(array({"type": "array"})), "Per chunk `[text, [ids]]`."),
            "chunks": array(TEXT),
        },
        "num_chunks chunk_positions tokens chunks",
    ),
    "Model": answer(
        {
            "id": TEXT,
            "object": {"const": "model"},
            "created": WHOLE,
            "owned_by": TEXT,
            "served_by": told(TEXT, "The model that answers under this name."),
        },
        "served_by",
    ),
    "Models": answer({"object": {"const": "list"}, "data": array(ref("Model"))}),
}

_SEGMENT: Final = (
    query("content", {**TEXT, "maxLength": 65_536}, "The text; needed.", "One. Two."),
    query("tokenizer", _TOKENIZER, "The vocabulary."),
    query("return_tokens", FLAG, "Also the tokens."),
    query("return_chunks", FLAG, "Also the chunks."),
    query("max_chunk_length", whole(1, 2_147_483_647), "In characters."),
    query("head", whole(1, 2_147_483_647), "Only the first so many tokens."),
    query("tail", whole(1, 2_147_483_647), "Only the last; not with `head`."),
)
_SERVED: Final = (400, 409, 429, 502, 504)


def _priced(name: str, text: str) -> tuple[Answer, ...]:
    return (Answer(f"{text}, or what it would cost.", {JSON: either(ref(name), ref("Price"))}),)


OPERATIONS: Final = (
    Operation(
        "embed",
        "POST",
        "/v1/embeddings",
        "vectors",
        "Embed texts and images",
        "Up to 1,024 inputs at once. Clients of OpenAI's API work as they are.",
        _priced("Embeddings", "A vector per input"),
        (*_SERVED, 404),
        key=True,
        products=("embeddings",),
        parameters=METERED,
        body=Body(
            ref("EmbeddingsRequest"),
            {
                "texts": {"model": "jina-embeddings-v3", "input": ["Hello", "Bonjour"]},
                "short vectors in base64": {
                    "input": "Hello",
                    "dimensions": 64,
                    "embedding_type": "base64",
                },
            },
        ),
    ),
    Operation(
        "rerank",
        "POST",
        "/v1/rerank",
        "vectors",
        "Order documents by a query",
        "Up to 1,024 documents at once.",
        _priced("Ranking", "The documents, the best first"),
        (*_SERVED, 404),
        key=True,
        products=("rerank",),
        parameters=METERED,
        body=Body(
            ref("RerankRequest"),
            {
                "two documents": {
                    "model": "jina-reranker-v2-base-multilingual",
                    "query": "How does a canal climb a hill?",
                    "documents": ["Boats rise in locks.", "Bread rises by yeast."],
                    "top_n": 1,
                }
            },
        ),
    ),
    Operation(
        "segment",
        "POST",
        "/v1/segment",
        "vectors",
        "Count tokens, cut into chunks",
        "Free. Also at `/` of the host label `segment`.",
        _priced("Segments", "What was counted"),
        _SERVED,
        labels=("api", "segment"),
        products=("segment",),
        parameters=(DRY_RUN,),
        body=Body(
            ref("SegmentRequest"),
            {"chunks": {"content": "One sentence. Another one.", "return_chunks": True}},
        ),
    ),
    Operation(
        "segment_by_query",
        "GET",
        "/v1/segment",
        "vectors",
        "The same with a query string",
        "For short texts.",
        _priced("Segments", "What was counted"),
        (*_SERVED, 413, 415, 422),
        labels=("api", "segment"),
        products=("segment",),
        parameters=(*_SEGMENT, DRY_RUN),
    ),
    Operation(
        "list_models",
        "GET",
        "/v1/models",
        "vectors",
        "Models that may be named",
        "Needs no key. On the host label `deepsearch` its own.",
        (json_answer(ref("Models"), "The models."),),
        (429, 502, 504),
        labels=("api", "deepsearch"),
    ),
    Operation(
        "show_model",
        "GET",
        "/v1/models/{model}",
        "vectors",
        "One model",
        "Needs no key.",
        (json_answer(ref("Model"), "The model."),),
        (404, 429, 502, 504),
        labels=("api", "deepsearch"),
        parameters=(path_parameter("model", "Its name.", "jina-embeddings-v3"),),
    ),
)
