"""What is around the extractor: it must lose no words, and none of their shape."""

import pytest

from services.reader.extract import Extractor
from services.reader.jobs import Extracted, Job, Wishes
from services.tokenizer import DEFAULT, Tokenizer

FILLER = "The lower gates of the lock are opened, the boat goes in, and the gates are closed. "
HERE = "https://example.org/a/b"


@pytest.fixture(scope="module")
def extractor() -> Extractor:
    return Extractor(Tokenizer(DEFAULT))


def content(extractor: Extractor, html: str | bytes, wishes: Wishes | None = None) -> str:
    body = html.encode() if isinstance(html, str) else html
    found = extractor.extract(Job(HERE, "text/html", None, wishes or Wishes()), body)
    assert isinstance(found, Extracted)
    assert found.content is not None
    return found.content


def article(inside: str) -> str:
    menu = "".join(f'<li><a href="/m{n}">Menu entry {n}</a></li>' for n in range(9))
    filler = f"<p>{FILLER * 4}</p>"
    return (
        f"<title>Locks</title><body><nav><ul>{menu}</ul></nav><article><h1>Locks</h1>{filler}"
        f"{inside}{filler}</article><footer>Imprint</footer></body>"
    )


def test_words_after_links_and_code_in_lists_are_kept(extractor: Extractor) -> None:
    found = content(
        extractor,
        article(
            "<ul><li>See the <a href='/n'>notes</a> on the north lock<p>and <code>rise</code> of "
            "it</p> for the <a href='/d'>depth</a> in spring</li><li><a href='/p'>PR1</a> as the "
            "<code>-flag</code> says, <b>always</b> now</li></ul>"
        ),
    )
    assert "See the [notes](https://example.org/n) on the north lock" in found
    assert "and `rise` of it" in found
    assert "for the [depth](https://example.org/d) in spring" in found
    assert "[PR1](https://example.org/p) as the `-flag` says, **always** now" in found
    assert "Menu entry" not in found


def test_code_keeps_its_lines_and_blanks(extractor: Extractor) -> None:
    found = content(
        extractor,
        article(
            '<pre class="x"><code class="language-python">def f(a):\n'
            '    if a &lt; 2:\n\treturn <a href="/t">a</a>  # two\n</code></pre>'
        ),
    )
    assert "```python\ndef f(a):\n    if a < 2:\n\treturn a  # two\n```" in found
    assert "\n\n\n" not in found


def test_code_without_a_code_element_is_no_quote(extractor: Extractor) -> None:
    found = content(extractor, article("<pre>one\n  two</pre>"))
    assert "```\none\n  two\n```" in found
    assert ">" not in found


def test_picture_in_a_link_keeps_both(extractor: Extractor) -> None:
    found = content(extractor, article('<p><a href="/big"><img src="/s.png" alt="A map"></a></p>'))
    assert "[![Image 1: A map](https://example.org/s.png)](https://example.org/big)" in found


def test_place_left_open_is_no_link_and_hides_nothing(extractor: Extractor) -> None:
    sections = "".join(f'<h2><a name="s{n}"/>Part {n}</h2><p>{FILLER * 3}</p>' for n in range(5))
    found = content(extractor, article(sections))
    assert [f"## Part {n}" in found for n in range(5)] == [True] * 5
    assert found.count("The lower gates") == 8 + 15


def test_emphasis_of_all_kinds_is_written(extractor: Extractor) -> None:
    found = content(
        extractor,
        article("<p>It is <b>high</b>, <i>deep</i>, <s>wide</s>, <kbd>K</kbd> and <tt>t</tt>.</p>"),
    )
    assert "It is **high**, _deep_, ~~wide~~, `K` and `t`." in found


def test_page_cannot_forge_what_is_carried(extractor: Extractor) -> None:
    forged = "\U000f0000\U00100000\U000f0001x\U00100001\U000ffff0\ufde8"
    found = content(extractor, article(f"<p>{forged}The <b>end</b> of the {forged}canal.</p>"))
    assert "xThe **end** of the xcanal." in found


def test_words_are_not_escaped(extractor: Extractor) -> None:
    words = "snake_case_words, C:\\path, 3 * 4, [1] #tag, $5 - $7, a|b, 1. one"
    assert words in content(extractor, article(f"<p>It says {words} and no more.</p>"))


PLAIN = (
    f"<h1>Locks</h1><p>First. {FILLER * 12}</p><h2>Parts</h2><ul><li>gates</li><li>a sill</li></ul>"
    f"<p>Second. {FILLER * 12}</p><ol><li>open</li><li>close</li></ol><h3>Tolls</h3>"
    "<table><tr><th>Boat</th></tr><tr><td>Barge</td></tr></table>"
    f"<p>Third. {FILLER * 12}</p><ul><li>the end of it</li></ul>"
)


@pytest.mark.parametrize(
    "around",
    [
        "{}",
        "<div id='x'><div class='y'>{}</div></div>",
        "<ul><li><a href='/1'>Menu one</a></li><li><a href='/2'>Menu two</a></li></ul>{}"
        "<ul><li><a href='/3'>Menu three</a></li></ul><p>© 2024</p>",
    ],
)
def test_page_that_names_no_article_keeps_its_headings_and_lists(
    extractor: Extractor, around: str
) -> None:
    found = content(extractor, "<title>T</title><body>" + around.format(PLAIN))
    parts = ["# Locks", "First.", "## Parts", "- gates\n- a sill", "Second.", "1. open\n2. close"]
    parts += ["### Tolls", "| Barge |", "Third.", "- the end of it"]
    places = [found.find(part) for part in parts]
    assert -1 not in places
    assert places == sorted(places)
    assert "Menu three" not in found


def test_small_page_with_nothing_around_it_is_kept_whole(extractor: Extractor) -> None:
    found = content(
        extractor,
        f"<title>T</title><body><div><h1>Locks</h1><p>{FILLER * 2}</p><h2>Links</h2>"
        "<p><a href='/1'>One</a>, <a href='/2'>Two</a></p><p><a href='/3'>More...</a></p></div>",
    )
    assert found.startswith("# Locks\n\n")
    assert "## Links\n\n[One](https://example.org/1), [Two](https://example.org/2)\n" in found
    assert found.endswith("[More...](https://example.org/3)")
