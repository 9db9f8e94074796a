"""nginx beside the gateway: Debian's packages, unpacked into .tools and never installed.

Plain: a reverse proxy with kept connections. With Lua: the same admission as the gateway's, by the
same scripts on the same Redis (speed_admission.lua). One worker process each, as the others have.

Refuses to change the machine: nothing is installed, nothing is written outside of .tools and the
folder of the run. Where the packages cannot be had, says why in a sentence instead.
"""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from gateway.admission.ask import Ask
from gateway.admission.scripts import Scripts, tag_of, tokens_key
from gateway.products.product import Limits
from gateway.redis_link import RedisLink
from ops.bench.stack import ROOT, listens

TOOLS: Final = ROOT / ".tools" / "nginx"
_PACKAGES: Final = (
    "nginx",
    "libnginx-mod-http-ndk",
    "libnginx-mod-http-lua",
    "lua-resty-core",
    "lua-resty-lrucache",
    "lua-nginx-redis",
    "libluajit2-5.1-2",
    "libpcre3",
)
_FETCH_S: Final = 60.0
# What each request has of its own, by what stands in its place.
_ID, _NUMBER, _DEADLINE, _HOLD, _COST = "request-of-the-bench", 7770001, 7770002, 7770003, 7770004
_OWN: Final = {
    _ID: "@id",
    str(_NUMBER): "@number",
    str(_DEADLINE): "@deadline",
    str(_HOLD): "@hold",
    str(_COST): "@cost",
}
_CONFIG: Final = """
{modules}
daemon off;
user {user};
worker_processes 1;
worker_rlimit_nofile 8192;
pid {folder}/pid;
error_log {folder}/errors warn;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  client_max_body_size 100m;
  # Nothing goes to the disk: bodies of 1 MB stay in memory on both ways.
  client_body_buffer_size 1100k;
  proxy_buffers 8 160k;
  proxy_buffer_size 16k;
  proxy_busy_buffers_size 320k;
  proxy_max_temp_file_size 0;
  keepalive_requests 100000000;
  proxy_http_version 1.1;
  proxy_set_header Connection "";
  proxy_set_header Host $host;
  upstream service {{
    server 127.0.0.1:{stub};
    keepalive 1024;
    keepalive_requests 100000000;
  }}
{lua}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
{access}
    location / {{ proxy_pass http://service; }}
    location = /v1/chat/completions {{ proxy_buffering off; proxy_pass http://service; }}
  }}
}}
"""
_MODULES: Final = """
load_module {root}/usr/lib/nginx/modules/ndk_http_module.so;
load_module {root}/usr/lib/nginx/modules/ngx_http_lua_module.so;
"""
_LUA: Final = """
  lua_package_path "{root}/usr/share/lua/5.1/?.lua;{here}/?.lua;;";
  lua_socket_log_errors off;
  init_worker_by_lua_block {{
    require "speed_admission".set({setting})
    ngx.timer.every(0.1, function() require "speed_admission".settle() end)
  }}
"""
_ACCESS: Final = """
    access_by_lua_block { require "speed_admission".access() }
    log_by_lua_block { require "speed_admission".log() }
"""


@dataclass(frozen=True, slots=True)
class Nginx:
    """Where the programs are; `missing` says why they are not, "" when they are."""

    missing: str

    @property
    def environment(self) -> dict[str, str]:
        """What the program needs to find its libraries."""
        return {"PATH": os.defpath, "LD_LIBRARY_PATH": ":".join(map(str, _paths()))}


def _paths() -> list[Path]:
    return [*TOOLS.glob("usr/lib/*-linux-gnu"), *TOOLS.glob("lib/*-linux-gnu")]


async def find_nginx() -> Nginx:
    """The unpacked packages, fetched if they are not there yet and can be had."""
    if not (TOOLS / "ready").is_file():
        missing = await _fetch()
        if missing:
            return Nginx(f"not measured: {missing}")
    found = Nginx("")
    words = (str(TOOLS / "usr/sbin/nginx"), "-v")
    code, text = await _run(*words, environment=found.environment)
    return found if code == 0 else Nginx(f"not measured: nginx does not run here ({text[-80:]})")


async def _fetch() -> str:
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        return "no apt-get and dpkg-deb on this machine"
    shutil.rmtree(TOOLS, ignore_errors=True)
    (TOOLS / "fetched").mkdir(parents=True)
    words = ("apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download", *_PACKAGES)
    code, text = await _run(*words, folder=TOOLS / "fetched")
    if code:
        await _run("apt-get", "-qq", "update")
        code, text = await _run(*words, folder=TOOLS / "fetched")
    if code:
        return f"the packages cannot be fetched ({' '.join(text.split())[-80:]})"
    for package in sorted((TOOLS / "fetched").glob("*.deb")):
        code, text = await _run("dpkg-deb", "-x", str(package), str(TOOLS))
        if code:
            return f"{package.name} cannot be unpacked ({text[-80:]})"
    shutil.rmtree(TOOLS / "fetched")
    (TOOLS / "ready").touch()
    return ""


async def _run(
    *words: str, folder: Path | None = None, environment: dict[str, str] | None = None
) -> tuple[int, str]:
    child = await asyncio.create_subprocess_exec(
        *words,
        cwd=folder,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        out, _ = await asyncio.wait_for(child.communicate(), _FETCH_S)
    except TimeoutError:
        child.kill()
        await child.wait()
        return 1, f"no end after {_FETCH_S:.0f} s"
    assert child.returncode is not None
    return child.returncode, out.decode(errors="replace")


@asynccontextmanager
async def nginx(
    found: Nginx, folder: Path, port: int, stub: int, setting: str = ""
) -> AsyncIterator[int]:
    """A running nginx by its process id; with `setting` it admits (see `lua_setting`)."""
    _configure(folder, port, stub, setting)
    child = await asyncio.create_subprocess_exec(
        str(TOOLS / "usr/sbin/nginx"), "-e", str(folder / "errors"), "-c", str(folder / "conf"),
        env=found.environment,
    )  # fmt: skip
    try:
        await listens(port, child)
        yield child.pid
    finally:
        if child.returncode is None:
            child.terminate()
            await child.wait()


def _configure(folder: Path, port: int, stub: int, setting: str) -> None:
    folder.mkdir(mode=0o755)
    lua = _LUA.format(root=TOOLS, here=ROOT / "ops" / "bench", setting=setting) if setting else ""
    # Who is not root changes to nobody, whatever stands here.
    user = "root" if os.geteuid() == 0 else "nobody"
    access = _ACCESS if setting else ""
    modules = _MODULES.format(root=TOOLS) if setting else ""
    text = _CONFIG.format(
        modules=modules, folder=folder, user=user, port=port, stub=stub, lua=lua, access=access
    )
    (folder / "conf").write_text(text, encoding="utf-8")


def lua_setting(
    redis_url: str, key_id: int, authorization: str, paths: dict[str, tuple[str, Limits]]
) -> str:
    """What speed_admission.lua is told, as a Lua table; to be called in a running loop.

    The words of the command are taken from the gateway's own encoder, so that they follow it.
    """
    scripts = Scripts(RedisLink(redis_url))
    subject = f"k:{key_id}"
    tag = tag_of(subject)
    products, admit = [], ""
    for path, (product, limits) in paths.items():
        ask = Ask(
            subject,
            tag,
            product,
            request_id=_ID,
            limits_key=limits,
            limits_premium=limits,
            tpm_cost=_COST,
            hold_tokens=_HOLD,
            deadline_ms=_DEADLINE,
            instance="nginx",
            admission_no=_NUMBER,
            keyed=True,
        )
        words = _words(scripts.admit(ask, (), 0))
        count = int(words[2])
        admit = words[1]
        keys, rest = words[3 : 3 + count], [_OWN.get(word, word) for word in words[3 + count :]]
        tokens = _quoted(tokens_key(tag, subject, product))
        inner = f"keys = {_list(keys)}, words = {_list(rest)}, tokens = {tokens}"
        products.append(f"[{_quoted(path)}] = {{ {inner} }}")
    settle = _words(scripts.settle(tag, subject, [], None))
    count = int(settle[2])
    path_of_redis = "unix:" + unquote(redis_url.removeprefix("unix://"))
    return (
        f"{{ redis = {_quoted(path_of_redis)}, admit = {_quoted(admit)}, "
        f"settle = {_quoted(settle[1])}, key = {_quoted(authorization)}, "
        f"settle_keys = {_list(settle[3 : 3 + count])}, "
        f"settle_words = {_list(settle[3 + count :])}, "
        f"products = {{ {', '.join(products)} }} }}"
    )


def _words(command: bytes) -> list[str]:
    """The words of an encoded command; none of them has a line end in it."""
    return command.decode("ascii").split("\r\n")[2::2]


def _quoted(word: str) -> str:
    assert "\\" not in word
    assert '"' not in word
    return f'"{word}"'


def _list(words: list[str]) -> str:
    return "{ " + ", ".join(map(_quoted, words)) + " }"
