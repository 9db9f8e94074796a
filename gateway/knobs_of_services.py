"""Settings that only the services read and judge: name, default in words, unit and reason.

Refuses to judge them: they are named here so that a typo in any name is noticed at the start, and
so that one list has them all. A test compares it with what the services read.
"""

from typing import Final

HANDED_ON: Final = (
    ("READER_ALLOW", "", "origins with commas that the guard lets through though private"),
    ("READER_WORKERS", "one per core", "processes that extract pages"),
    ("READER_TIMEOUT_MS", "30000", "milliseconds to fetch a page, unless X-Timeout says more"),
    ("READER_PAGE_BYTES", "16 MiB", "bytes of one page, decoded; beyond it is a download"),
    ("READER_BODY_BYTES", "102 MiB", "bytes of an uploaded page"),
    ("READER_WORKER_BYTES", "1.5 GiB", "bytes of address space of one extracting process"),
    ("READER_EXTRACT_MS", "20000", "milliseconds for one extraction; beyond it is an attack"),
    ("READER_USER_AGENT", "SluiceReader/1.0", "what pages are told about who reads them"),
    ("READER_BROWSER", "", "a Chromium that renders pages, or none"),
    ("READER_BROWSER_PAGES", "2", "pages that it renders at once"),
    ("READER_CACHE_BYTES", "512 MiB", "bytes of pages that are kept to be read again"),
    ("READER_VISION_URL", "", "an OpenAI-compatible model that describes images"),
    ("READER_VISION_KEY", "", "the key of that model"),
    ("READER_VISION_MODEL", "", "the name of that model"),
    ("SEGMENTER_BODY_BYTES", "1 MiB", "bytes of one text to segment"),
    ("MODELS_FILE", "built in", "TOML file of the models that are served"),
    ("MODEL_THREADS", "one per core", "threads of one model"),
    ("MODEL_BODY_BYTES", "64 MiB", "bytes of one request to a model"),
    ("IMAGE_BYTES", "8 MiB", "bytes of one image"),
    ("IMAGE_PIXELS", "50000000", "pixels of one image, unpacked"),
    ("SEARCH_URL", "", "a SearXNG-shaped JSON search endpoint"),
    ("SEARCH_PROVIDERS", "those with a key", "names with commas, in the order they are asked"),
    ("SEARCH_SERPER_URL", "google.serper.dev", "address of that provider"),
    ("SEARCH_SERPER_KEY", "", "our key at that provider"),
    ("SEARCH_BRAVE_URL", "api.search.brave.com", "address of that provider"),
    ("SEARCH_BRAVE_KEY", "", "our key at that provider"),
    ("SEARCH_ARXIV_URL", "export.arxiv.org", "address of that provider"),
    ("SEARCH_TIMEOUT_MS", "10000", "milliseconds for a search, unless X-Timeout says more"),
    ("SEARCH_PROVIDER_MS", "4000", "milliseconds for one provider, so that the next has time"),
    ("SEARCH_KEEP_PAGES", "no", "whether pages read for a search join the local index"),
    ("SEARCH_BODY_BYTES", "64 MiB", "bytes of documents for the local index"),
    ("LLM_BASE_URL", "", "an OpenAI-compatible model for deepsearch"),
    ("LLM_API_KEY", "", "the key of that model"),
    ("LLM_MODEL", "", "the name of that model"),
    ("LLM_TIMEOUT_MS", "60000", "milliseconds for one answer of that model"),
    ("LLM_CONTEXT_TOKENS", "32768", "tokens that fit that model, question and answer together"),
    ("DEEPSEARCH_TIMEOUT_MS", "540000", "milliseconds of thinking, below the gateway's patience"),
    ("DEEPSEARCH_BODY_BYTES", "16 MiB", "bytes of one request, attachments in base64 included"),
    ("DEEPSEARCH_DONE", "no", "whether a stream ends with [DONE], for clients that wait for it"),
)
