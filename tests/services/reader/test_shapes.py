"""Pages of many shapes: nothing that is told is lost, and what is not told stays out."""

import pytest

from services.reader.extract import Extractor
from services.reader.jobs import Extracted, Job, Wishes
from services.tokenizer import Tokenizer

S = "The lower gates are opened and the boat goes in, after which they are closed again. "
BANNER = (
    "<div id='site-cookie-consent'><p>"
    + "We use cookies to show you advertising that may interest you. " * 8
    + "</p><button>Accept all</button></div>"
)
ARTICLE = f"<h1>Locks</h1><p>First words. {S * 3}</p><p>Last words. {S * 2}</p>"
EXTRACTOR = Extractor(Tokenizer("cl100k_base"))


def read(html: str, **wishes: object) -> str:
    job = Job("http://canal.example/a/", "text/html", None, Wishes(**wishes))  # type: ignore[arg-type]
    found = EXTRACTOR.extract(job, html.encode())
    assert isinstance(found, Extracted)
    assert found.content is not None
    return found.content


@pytest.mark.parametrize(
    ("page", "there", "gone"),
    [
        (f"<main><article>{ARTICLE}</article></main>{BANNER}", ["Last words."], ["cookies"]),
        (f"<h1>Short</h1><p>Only one line.</p>{BANNER}", ["Only one line."], ["cookies"]),
        (f"<div><div>{S}<br><br>{S}<br>third line</div></div>", ["third line"], []),
        (f"<table><tr><td>{S * 4}</td><td>beside</td></tr></table>", [S.strip()], []),
        (
            "<ul>" + "".join(f"<li><a href=/{i}>News {i}</a></li>" for i in range(30)) + "</ul>",
            ["- [News 0](http://canal.example/0)\n", "- [News 29](http://canal.example/29)"],
            [],
        ),
        (
            f"<article>{ARTICLE}<dl><dt>Sill</dt><dd>The step under a gate.</dd></dl></article>",
            ["Sill", "The step under a gate."],
            [],
        ),
        (
            f"<article>{ARTICLE}<ul><li>one<ol><li>two<ul><li>three</li></ul></ol></ul></article>",
            ["- one\n", "  1. two\n", "    - three"],
            [],
        ),
        (
            f"<article>{ARTICLE}<table><tr><th>Lock <b>no</b></th></tr><tr><td><code>a|b</code> "
            "<a href=x>link</a></td></tr></table></article>",
            ["| Lock **no** |", r"| `a\|b` [link](http://canal.example/a/x) |"],
            [],
        ),
        (
            f"<article>{ARTICLE}<pre class='language-js'><code>let a;\n  b();</code></pre>",
            ["```js\nlet a;\n  b();\n```"],
            [],
        ),
        (
            f"<article>{ARTICLE}<pre>plain  text\n\tkept</pre></article>",
            ["```\nplain  text\n\tkept\n```"],
            [],
        ),
        (
            f"<article>{ARTICLE}<figure><img src=/g.jpg alt=Gate><figcaption>In use.</figcaption>"
            "</figure><figure><pre><code>listing</code></pre></figure></article>",
            ["![Image 1: Gate: In use.](http://canal.example/g.jpg)", "listing"],
            [],
        ),
        (
            f"<article>{ARTICLE}<p><img src='data:image/gif;base64,R0=' data-src=/lazy.jpg alt=L>"
            "<noscript><img src=/lazy.jpg></noscript><noscript>Scripts are off</noscript>"
            "<img srcset='/s-1.jpg 1x, /s-2.jpg 2x' alt=Set></p></article>",
            ["![Image 1: L](http://canal.example/lazy.jpg)", "![Image 2: Set](http://canal.exam"],
            ["Image 3", "Scripts are off", "base64"],
        ),
        (
            f"<article>{ARTICLE}<svg><title>Icon</title><text>glyph</text></svg><style>.s{{}}"
            "</style><script>let x</script><template>mould</template>"
            "<p hidden>unseen</p><p style='display:none'>unseen</p></article>",
            ["Last words."],
            ["Icon", "glyph", ".s{", "let x", "mould", "unseen"],
        ),
        (
            f"<base href='http://other.example/b/'><article>{ARTICLE}<p><a href=c>see</a> it "
            f"<a href='javascript:x()'>run</a>. {S}</p></article>",
            ["[see](http://other.example/b/c)", "run"],
            ["javascript"],
        ),
        (
            f"<article>{ARTICLE}<blockquote><p>One.</p><p>Two.</p></blockquote></article>",
            ["> One.\n>\n> Two."],
            [],
        ),
        (
            f"<header><nav><a href=/>Home</a> <a href=/n>News</a></nav></header>{ARTICLE}"
            "<footer><p>Imprint</p></footer>",
            ["First words."],
            ["Imprint"],
        ),
    ],
)
def test_page_keeps_what_it_tells(page: str, there: list[str], gone: list[str]) -> None:
    content = read(f"<!DOCTYPE html><html><head><title>T</title></head><body>{page}</body></html>")
    assert [piece for piece in there if piece not in content] == [], content
    assert [piece for piece in gone if piece in content] == [], content


def test_long_page_is_read_to_its_end() -> None:
    page = "".join(f"<p>Paragraph {number}. {S}</p>" for number in range(3000))
    content = read(f"<title>Long</title><article>{page}</article>")
    assert [n for n in range(3000) if f"Paragraph {n}. " not in content] == []


def test_overlays_go_when_asked_and_stay_otherwise() -> None:
    page = f"<div class=modal-wall><p>Subscribe now</p></div><div>{ARTICLE}</div>"
    assert "Subscribe now" in read(page, formats=("markdown",))
    assert "Subscribe now" not in read(page, formats=("markdown",), overlays=False)


def test_declared_shadow_is_opened_when_asked() -> None:
    page = "<div><template shadowrootmode=open><p>In the shadow.</p></template></div><p>Out.</p>"
    assert "In the shadow." not in read(page, formats=("markdown",))
    assert "In the shadow." in read(page, formats=("markdown",), shadow_dom=True)


@pytest.mark.parametrize(
    ("head", "published"),
    [
        (
            '<meta property="article:published_time" content="2024-05-01T10:00Z">',
            "2024-05-01T10:00Z",
        ),
        ('<meta name="DC.date.issued" content="2024-05-01">', "2024-05-01"),
        ('<meta name="citation_publication_date" content="2024/05/01">', "2024/05/01"),
        (
            '<script type="application/ld+json">{"@graph": [{"datePublished": "2024"}]}</script>',
            "2024",
        ),
    ],
)
def test_time_of_publication_is_found_where_pages_say_it(head: str, published: str) -> None:
    page = f"<head><title>T</title>{head}</head><body>{ARTICLE}</body>"
    found = EXTRACTOR.extract(Job("", "text/html", None, Wishes()), page.encode())
    assert isinstance(found, Extracted)
    assert found.published_time == published
