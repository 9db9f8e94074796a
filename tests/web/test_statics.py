"""Static files: names that change with the content, also of what is imported."""

from pathlib import Path

import pytest

from gateway.control.web.statics import Statics
from gateway.errors import ConfigurationFault


def _files(folder: Path, **texts: str) -> Statics:
    for name, text in texts.items():
        (folder / name.replace("_", ".")).write_text(text)
    return Statics(folder)


def test_import_of_another_script_gets_its_whole_name(tmp_path: Path) -> None:
    statics = _files(
        tmp_path,
        a_js='import {x} from "./b.js";\nimport "./c.js"; fetch("./nothing.js")',
        b_js='import "./c.js"',
        c_js="export {}",
        a_css="body { background: url(./d.svg) }",
        d_svg="<svg/>",
    )
    found = statics.find(statics.address("a.js").removeprefix("/static/"))
    assert found is not None
    for name in ("b.js", "c.js"):
        assert statics.address(name).removeprefix("/static/") in found.body.decode()
    assert "./nothing.js" in found.body.decode()
    style = statics.find(statics.address("a.css").removeprefix("/static/"))
    assert style is not None
    assert b"./d." in style.body
    assert b"./d.svg" not in style.body


def test_change_of_what_is_imported_changes_every_name_above_it(tmp_path: Path) -> None:
    texts = {"a_js": 'import "./b.js"', "b_js": 'import "./c.js"', "c_js": "1"}
    before = dict(_files(tmp_path, **texts).addresses)
    after = dict(_files(tmp_path, **{**texts, "c_js": "2"}).addresses)
    assert all(before[name] != after[name] for name in before)
    assert dict(_files(tmp_path, **texts).addresses) == before


def test_scripts_that_import_each_other_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationFault, match=r"a\.js"):
        _files(tmp_path, a_js='import "./b.js"', b_js='import "./a.js"')


def test_unknown_kinds_of_files_are_not_served(tmp_path: Path) -> None:
    statics = _files(tmp_path, a_py="secret", b_js="1")
    assert list(statics.addresses) == ["b.js"]
