"""The catalogue tells the public facts, accepts an operator's file, and names every mistake."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import ConfigurationFault
from gateway.products.builtin import builtin_text, load_catalogue
from gateway.products.catalogue import load
from gateway.products.product import Catalogue, Counting, Family, Limits, Shadow, UsageSource

ZOO = sorted((Path(__file__).parent / "zoo").glob("*.toml"))

# The facts of the product pages, written down a second time: product -> path, methods, then
# (rpm, tpm) without a key, with one, with a premium one.
FACTS = {
    "reader": ("r", "/", "GET POST", (20, None), (500, None), (5000, None)),
    "search": ("s", "/", "GET POST", None, (100, None), (1000, None)),
    "deepsearch": ("deepsearch", "/v1/chat/completions", "POST", None, (50, None), (500, None)),
    "embeddings": ("api", "/v1/embeddings", "POST", None, (500, 1_000_000), (2000, 5_000_000)),
    "rerank": ("api", "/v1/rerank", "POST", None, (500, 1_000_000), (2000, 5_000_000)),
    "train": ("api", "/v1/train", "POST", None, (20, 200_000), (60, 1_000_000)),
    "classify_few_shot": ("api", "/v1/classify", "POST", None, (20, 200_000), (60, 1_000_000)),
    "classify_zero_shot": (
        *("api", "/v1/classify", "POST"),
        *(None, (200, 500_000), (1000, 3_000_000)),
    ),
    "segment": ("api", "/v1/segment", "GET POST", (20, None), (200, None), (1000, None)),
}

# What an operator may write: only the facts of the product pages, and words for people.
OPERATORS_FILE = """
[reader]
host = "r"
methods = ["GET", "POST"]
counts = "tokens of the output"
average_latency_s = 7.9
anonymous = { rpm = 3 }
key = { rpm = 7, tpm = 9 }
premium = { rpm = 11 }

[limits]
free_trial_tokens = 42
"""


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return load_catalogue(None)


@pytest.mark.parametrize("name", FACTS)
def test_product_has_the_limits_of_the_product_pages(catalogue: Catalogue, name: str) -> None:
    host, path, methods, anonymous, key, premium = FACTS[name]
    product = catalogue.products[name]
    assert (product.host, product.paths[0]) == (host, path)
    assert product.methods == tuple(methods.split())
    told = (product.anonymous, product.key, product.premium)
    assert tuple(each and (each.rpm, each.tpm) for each in told) == (anonymous, key, premium)


def test_catalogue_has_exactly_the_nine_products(catalogue: Catalogue) -> None:
    assert list(catalogue.products) == list(FACTS)


def test_hard_limits_are_those_of_the_product_pages(catalogue: Catalogue) -> None:
    limits = catalogue.limits
    assert limits.free_trial_tokens == 10_000_000
    assert (limits.max_inputs_per_request, limits.max_tokens_per_input) == (1024, 8192)
    assert (limits.zero_shot_max_labels, limits.few_shot_max_labels) == (256, 16)
    assert limits.few_shot_max_classifiers == 16
    assert limits.deepsearch_max_attachment_bytes == 10_485_760


def test_concurrency_is_the_rpm_unless_given(catalogue: Catalogue) -> None:
    assert catalogue.products["reader"].key.concurrency == 500
    text = builtin_text().replace("{ rpm = 5000 }", "{ rpm = 5000, concurrency = 4 }")
    assert load(text).products["reader"].premium == Limits(5000, None, 4)


def test_services_families_and_rules_are_those_of_the_contract(catalogue: Catalogue) -> None:
    products = catalogue.products
    assert {name: each.service for name, each in products.items()} == {
        "reader": "reader",
        "search": "search",
        "deepsearch": "deepsearch",
        "embeddings": "embeddings",
        "rerank": "rerank",
        "train": "classifier",
        "classify_few_shot": "classifier",
        "classify_zero_shot": "classifier",
        "segment": "segmenter",
    }
    assert products["reader"].family is products["search"].family is Family.READER
    assert products["deepsearch"].family is Family.DEEPSEARCH
    assert products["segment"].family is Family.API
    assert products["search"].minimum_tokens == 10_000
    assert products["train"].counting is Counting.INPUT_TIMES_ITERATIONS
    assert products["reader"].usage_sources[0] is UsageSource.HEADER
    assert products["embeddings"].usage_paths == (("usage", "total_tokens"),)


@pytest.mark.parametrize(
    ("product", "name", "passes"),
    [
        ("reader", "x-respond-with", True),
        ("reader", "x-md-heading-style", True),
        ("reader", "x-site", False),
        ("search", "x-site", True),
        ("search", "x-token-budget", False),
        ("embeddings", "content-type", True),
        ("embeddings", "x-engine", False),
        ("reader", "authorization", False),
        ("reader", "cookie", False),
        ("reader", "x-forwarded-for", False),
        ("reader", "x-sluice-subject", False),
        ("reader", "x-md", False),
    ],
)
def test_service_sees_only_allowed_headers(
    catalogue: Catalogue, product: str, name: str, passes: bool
) -> None:
    assert catalogue.products[product].forwards(name) is passes


def test_operators_file_with_the_public_facts_alone_is_enough() -> None:
    catalogue = load(OPERATORS_FILE, builtin_text())
    reader = catalogue.products["reader"]
    assert reader.anonymous == Limits(3, None, 3)
    assert (reader.key, reader.premium) == (Limits(7, 9, 7), Limits(11, None, 11))
    builtin = load_catalogue(None).products["reader"]
    assert (reader.counting, reader.service) == (builtin.counting, builtin.service)
    assert reader.header_names == builtin.header_names
    assert list(catalogue.products) == ["reader"], "the file replaces the built-in one"
    assert catalogue.limits.free_trial_tokens == 42
    assert catalogue.limits.max_inputs_per_request == 1024


def test_operators_tier_replaces_the_built_in_one_whole() -> None:
    text = "[embeddings]\nkey = { rpm = 10 }\n"
    product = load(text, builtin_text()).products["embeddings"]
    assert product.key == Limits(10, None, 10), "absent tpm is no token limit"
    assert product.premium == Limits(2000, 5_000_000, 2000)


def test_operator_may_add_a_product_of_his_own() -> None:
    section = builtin_text().partition("[rerank]")[2].partition("[train]")[0]
    text = "[multi_vector]" + section.replace("/v1/rerank", "/v1/multi-vector")
    product = load(text, builtin_text()).products["multi_vector"]
    assert product.paths == ("/v1/multi-vector",)


@pytest.mark.parametrize("path", ZOO, ids=lambda path: path.stem)
def test_one_mistake_gives_one_clear_sentence(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    expected = text.splitlines()[0].removeprefix("# expects: ")
    with pytest.raises(ConfigurationFault) as caught:
        load(text, builtin_text())
    assert list(caught.value.mistakes) == [expected]


def test_all_mistakes_are_told_at_once() -> None:
    parts = [path.read_text(encoding="utf-8") for path in ZOO if path.stem.startswith("tier_")]
    names = ["reader", "search", "deepsearch", "embeddings", "rerank"]
    text = ""
    for part, name in zip(parts, names, strict=False):
        text += part.replace("[embeddings]", f"[{name}]") + "\n"
    with pytest.raises(ConfigurationFault) as caught:
        load(text, builtin_text())
    assert len(caught.value.mistakes) == min(len(parts), len(names))


def test_mistake_in_an_operators_file_names_the_setting(tmp_path: Path) -> None:
    path = tmp_path / "products.toml"
    path.write_text("[embeddings]\nkey = { rpm = 0 }\n", encoding="utf-8")
    with pytest.raises(ConfigurationFault, match=r"SLUICE_PRODUCTS: embeddings\.key\.rpm must be"):
        load_catalogue(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigurationFault, match="SLUICE_PRODUCTS"):
        load_catalogue(path)
    with pytest.raises(ConfigurationFault, match="SLUICE_PRODUCTS"):
        load_catalogue(tmp_path / "missing.toml")


def test_operators_file_from_disk_is_used(tmp_path: Path) -> None:
    path = tmp_path / "products.toml"
    path.write_text(OPERATORS_FILE, encoding="utf-8")
    assert load_catalogue(path).products["reader"].key.rpm == 7


def test_without_the_built_in_one_every_field_must_be_given() -> None:
    with pytest.raises(ConfigurationFault) as caught:
        load(OPERATORS_FILE)
    assert "reader.service is missing" in caught.value.mistakes
    assert "limits.max_inputs_per_request is missing" in caught.value.mistakes


FIELDS = [
    line.partition(" = ")[0]
    for line in builtin_text().partition("[search]")[2].partition("[deepsearch]")[0].splitlines()
    if " = " in line and not line.startswith("#")
]
TOML_VALUES = st.sampled_from(
    [
        *("0", "-1", "1", "99999999999999999999", "1.5", "nan", "true", '""', '"x"', '"a b"'),
        *("[]", "{}", "[1]", '["x"]', '["x", "x"]', "[[]]", "{ rpm = 1 }", "{ rpm = [] }"),
        *("1979-05-27", '"blocked"', '["/"]', '"/"', '"*"', '["x-*"]', '"\\u0000"'),
    ]
)


def mistakes_of(text: str) -> tuple[str, ...]:
    try:
        load(text, builtin_text())
    except ConfigurationFault as fault:
        return fault.mistakes
    return ()


@settings(max_examples=200)
@given(
    name=st.sampled_from(sorted(FACTS)),
    changes=st.dictionaries(st.sampled_from([*FIELDS, "other"]), TOML_VALUES, min_size=1),
)
def test_any_value_in_any_field_gives_a_catalogue_or_sentences(
    name: str, changes: dict[str, str]
) -> None:
    text = f"[{name}]\n" + "\n".join(f"{field} = {value}" for field, value in changes.items())
    mistakes = mistakes_of(text)
    assert all(each.startswith(name) for each in mistakes), mistakes
    if not mistakes:
        product = load(text, builtin_text()).products[name]
        assert product.key.rpm >= 1
        assert product.methods


@given(text=st.text(max_size=60))
def test_any_text_gives_a_catalogue_or_sentences(text: str) -> None:
    with pytest.raises(ConfigurationFault) as caught:
        load(text, builtin_text())
    assert caught.value.mistakes


def test_a_shadow_is_of_a_tier_and_tries_only_what_it_names() -> None:
    text = "[embeddings]\nshadow = { key = { rpm = 3 }, premium = { tpm = 5, concurrency = 2 } }\n"
    product = load(text, builtin_text()).products["embeddings"]
    assert product.key.shadow == Shadow(rpm=3)
    assert product.premium.shadow == Shadow(tpm=5, concurrency=2)
    assert product.key.rpm == load(builtin_text()).products["embeddings"].key.rpm


def test_a_wrong_shadow_is_a_mistake() -> None:
    text = "[embeddings]\nshadow = { key = { rpm = 0 }, gold = { rpm = 3 }, anonymous = {} }\n"
    with pytest.raises(ConfigurationFault) as caught:
        load(text, builtin_text())
    found = "\n".join(caught.value.mistakes)
    assert "embeddings.shadow.key.rpm must be between 1 and" in found
    assert "embeddings.shadow.gold is no field here" in found
    assert "embeddings.shadow has limits without a key, and anonymous is blocked" in found
