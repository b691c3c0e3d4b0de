# Sourced by script/server and script/test: find Python, make .venv, install what the given files pin.
# POSIX sh. Call from the repository's root: prepare FILE...

fail() {
    printf '%s\n' "$*" >&2
    exit 1
}

find_python() {
    for candidate in python3.12 python3.11 python3.13 python3.14 python3 python; do
        if command -v "$candidate" >/dev/null 2>&1 &&
            "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$candidate"
            return 0
        fi
    done
    return 1
}

prepare() {
    # pip is the last thing that a new .venv gets: without it the making was interrupted.
    if ! [ -x .venv/bin/pip ] || ! .venv/bin/python -c '' 2>/dev/null; then
        python=$(find_python) ||
            fail "Python 3.11 or newer is needed and was not found. Install it, then run this again."
        "$python" -c 'import venv, ensurepip' 2>/dev/null ||
            fail "$python lacks the module venv. Install it (Debian, Ubuntu: apt install python3-venv), then run this again."
        echo "Making .venv with $("$python" --version)"
        rm -rf .venv
        "$python" -m venv .venv || fail "The folder .venv could not be made in $(pwd). Is the disk full, or the folder read-only?"
    fi
    .venv/bin/python script/install.py "$@" || exit 1
}
