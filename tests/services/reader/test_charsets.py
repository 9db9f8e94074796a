"""Bytes of pages to text, whatever their labels say."""

import pytest

from services.reader.charsets import decode

TEXTS = {
    "windows-1251": "Река течёт на юг, и шлюзы открывают каждое утро. ",
    "koi8-r": "Река течёт на юг, и шлюзы открывают каждое утро. ",
    "gb18030": "这是一个关于运河和船闸的故事，每天早上都会打开。",
    "big5": "這是一個關於運河和船閘的故事，每天早上都會打開。",
    "shift_jis": "これは運河と水門についての話です。毎朝開きます。",
    "euc-jp": "これは運河と水門についての話です。毎朝開きます。",
    "iso-2022-jp": "これは運河と水門についての話です。毎朝開きます。",
    "euc-kr": "이것은 운하와 수문에 관한 이야기입니다. 매일 아침 열립니다.",
    "windows-1250": "Zamek i łąka, źródło wody; część kanału została odnowiona. ",
    "windows-1252": "Die Schleuse öffnet täglich – „früh“ über Brücken für 5 €. ",
    "windows-1253": "Αυτή είναι μια ιστορία για το κανάλι και τις πύλες. ",
    "windows-1254": "Kanal kapıları her sabah açılır, ığdır ve şehir. ",
    "windows-1255": "זה סיפור על תעלה ועל סכר שנפתח כל בוקר. ",
    "windows-1256": "هذه قصة عن القناة والهويس الذي يفتح كل صباح. ",
    "cp874": "นี่คือเรื่องราวของคลองและประตูน้ำ ",
    "utf-8": "Ünïcödé – “quotes”. 運河 ",
}


def page(text: str, head: str = "", root: str = "<html>") -> str:
    return f"{root}<head>{head}<title>{text}</title></head><body><p>{text * 12}</p></body></html>"


@pytest.mark.parametrize("charset", TEXTS)
def test_page_is_read_by_its_own_label_whatever_the_server_says_of_all(charset: str) -> None:
    written = page(TEXTS[charset], f'<meta charset="{charset}">')
    for header in (None, "iso-8859-1", "utf-8", "no-such-charset"):
        assert decode(written.encode(charset), header) == written


@pytest.mark.parametrize("charset", TEXTS)
def test_page_without_any_label_is_read_by_its_bytes(charset: str) -> None:
    written = page(TEXTS[charset])
    assert decode(written.encode(charset), None) == written


@pytest.mark.parametrize("charset", TEXTS)
def test_page_is_read_by_the_label_of_its_server(charset: str) -> None:
    written = page(TEXTS[charset])
    assert decode(written.encode(charset), charset) == written


@pytest.mark.parametrize(("charset", "language"), [("iso8859-2", "pl"), ("koi8-r", "ru")])
def test_language_of_a_page_helps_where_bytes_leave_a_choice(charset: str, language: str) -> None:
    text = TEXTS["windows-1250" if language == "pl" else "koi8-r"]
    written = page(text, root=f'<html lang="{language}">')
    assert decode(written.encode(charset), None) == written


def test_utf_8_is_seen_where_everybody_says_western() -> None:
    written = page("Brücke – 橋", '<meta charset="iso-8859-1">')
    assert decode(written.encode(), "ISO-8859-1") == written


def test_utf_16_is_seen_without_its_mark_and_is_not_believed_to_ascii() -> None:
    written = page("Brücke", '<meta charset="utf-16">')
    assert decode(written.encode("utf-16-le"), None) == written
    assert decode(written.encode("utf-16-be"), None) == written
    assert decode(written.encode(), None) == written
