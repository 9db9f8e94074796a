#!/bin/sh
# Makes .venv exactly as requirements.lock says. Needs Python 3.11 to 3.13 with pip, nothing else:
# no venv, no ensurepip. Run by the Makefile when the lock is newer than the stamp.
# With the word `lock` it writes requirements.lock again from pyproject.toml instead.
set -eu
cd "$(dirname "$0")/.."
uv_version=0.13.8

say() { printf 'setup: %s\n' "$*" >&2; }
suits() { "$1" -c 'import sys, pip; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null; }

find_python() {
    for name in ${PYTHON:-python3 python3.11 python3.12 python3.13}; do
        if suits "$name"; then
            command -v "$name"
            return
        fi
    done
    say "no Python 3.11, 3.12 or 3.13 with pip found: install one (Debian: apt install python3 python3-pip), or name it: make PYTHON=/path/to/python3.11"
    exit 1
}

# uv does not read pip's configuration. A mirror or a wheel folder that the user set up for pip is
# meant for us too; the hashes in the lock decide what is accepted, wherever it comes from.
setting_of_pip() { "$python" -m pip config get "$1" 2>/dev/null | tr '\n' ' ' || true; }
follow_pip() {
    one=${PIP_INDEX_URL:-$(setting_of_pip global.index-url)}
    more=${PIP_EXTRA_INDEX_URL:-$(setting_of_pip global.extra-index-url)}
    wheels=${PIP_FIND_LINKS:-$(setting_of_pip global.find-links)}
    cert=${PIP_CERT:-$(setting_of_pip global.cert)}
    one=${one%% } wheels=${wheels%% } cert=${cert%% }
    [ -n "${UV_DEFAULT_INDEX:-}${UV_INDEX_URL:-}" ] || [ -z "$one" ] || export UV_DEFAULT_INDEX="$one"
    [ -n "${UV_INDEX:-}${UV_EXTRA_INDEX_URL:-}" ] || [ -z "$more" ] || export UV_INDEX="$more"
    [ -n "${UV_FIND_LINKS:-}" ] || [ -z "$wheels" ] || {
        UV_FIND_LINKS=$(printf %s "$wheels" | tr ' ' ',')
        export UV_FIND_LINKS
    }
    [ -n "${SSL_CERT_FILE:-}" ] || [ -z "$cert" ] || export SSL_CERT_FILE="$cert"
    # Trust what the machine trusts, as pip does: behind a company's proxy nothing else works.
    export UV_SYSTEM_CERTS="${UV_SYSTEM_CERTS:-true}"
    export UV_INDEX_STRATEGY=unsafe-best-match
}

mkdir -p .tools
# Two makes at once would pull the folder from under each other.
exec 9> .tools/lock
flock 9
if [ "${1:-}" != lock ] && [ -f .venv/stamp ] && cat requirements.lock pyproject.toml | cmp -s - .venv/stamp; then
    touch .venv/stamp
    exit 0
fi
python=$(find_python)
export UV_PYTHON_DOWNLOADS=never UV_NO_PROGRESS=1
uv=.tools/uv/bin/uv
if [ "$("$uv" --version 2>/dev/null | cut -d' ' -f2)" != "$uv_version" ]; then
    say "installing uv $uv_version with pip"
    rm -rf .tools/uv
    # --target keeps out of the system's packages, so that PEP 668 does not object.
    PIP_ROOT_USER_ACTION=ignore PIP_DISABLE_PIP_VERSION_CHECK=1 \
        "$python" -m pip install -qq --no-warn-script-location \
        --target .tools/uv "uv==$uv_version"
fi
follow_pip
if [ "${1:-}" = lock ]; then
    say "resolving"
    # No index addresses, annotations or header: the lock names versions and hashes, no hosts.
    exec "$uv" pip compile pyproject.toml --quiet --universal --all-extras --generate-hashes \
        --no-emit-index-url --no-emit-find-links --no-annotate --no-header \
        --python-version 3.11 -o requirements.lock
fi
suits_venv() { .venv/bin/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }
say "installing what requirements.lock names into .venv (once)"
suits_venv || "$uv" venv --quiet --clear --python "$python" .venv
"$uv" pip sync --quiet --python .venv/bin/python --require-hashes requirements.lock
# Editable and without network: hatchling, which builds it, is in the lock.
"$uv" pip install --quiet --offline --python .venv/bin/python --no-deps --no-build-isolation -e .
cat requirements.lock pyproject.toml > .venv/stamp
