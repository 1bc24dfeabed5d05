#!/bin/sh
# Usage: ops/setup/venv.sh EXTRA      (embedded | test | dev)
# Makes .venv in the working directory, unless there is one, and installs the project into it, editable, with EXTRA.
# Uses uv where it is installed, else python -m venv and pip.
set -eu

extra=$1
venv=.venv

fail() {
    echo "setup: $*" >&2
    exit 1
}

works() { # works INTERPRETER: it runs (a version manager's shim may only say that it does not) and is new enough
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

find_python() {
    candidates="python3.14 python3.13 python3.12 python3.11 python3" # newest first
    for candidate in $candidates; do
        if works "$candidate"; then
            # the interpreter itself: a shim would depend on the shell's settings
            "$candidate" -c 'import sys; print(sys.executable)'
            return
        fi
    done
    return 1
}

make_venv() {
    if python=$(find_python); then
        echo "setup: making $venv with $("$python" --version) ($python)"
    elif command -v uv >/dev/null 2>&1; then
        python='>=3.11'
        echo "setup: making $venv with a Python that uv brings"
    else
        fail "Python 3.11 or newer is needed and was not found. Mend: apt-get install python3 python3-venv," \
            "or brew install python@3.12, or https://docs.astral.sh/uv"
    fi
    if command -v uv >/dev/null 2>&1; then
        uv venv --quiet --python "$python" "$venv"
    elif "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        "$python" -m venv "$venv"
    else
        fail "$python cannot make virtual environments. Mend: apt-get install python3-venv" \
            "(or python3.x-venv for that version)"
    fi
}

if ! works "$venv/bin/python"; then
    rm -rf "$venv" # half made, or its interpreter is gone or too old
    make_venv
fi

echo "setup: installing fleet[$extra] into $venv"
if command -v uv >/dev/null 2>&1; then
    uv pip install --quiet --python "$venv/bin/python" --editable ".[$extra]"
elif "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-input --root-user-action=ignore \
        --editable ".[$extra]"
else
    fail "$venv has neither pip nor uv to install with. Mend: rm -r $venv and run make again"
fi
