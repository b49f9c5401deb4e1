# Sourced by ./demo and ./test: makes .venv from a committed lock, quickly when it is there already.
# usage: bootstrap <lock file>

say() { printf '%s\n' "$*" >&2; }

asks_for_help() {
    for argument in "$@"; do
        case $argument in -h | --help) return 0 ;; esac
    done
    return 1
}

find_python() {
    for candidate in "${PYTHON:-}" python3 python3.13 python3.12 python3.11 python3.10; do
        [ -n "$candidate" ] || continue
        if "$candidate" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    say "No Python 3.10 to 3.13 found. Install one (Debian/Ubuntu: apt-get install python3 python3-venv)"
    say "or name it: PYTHON=/path/to/python3.12 $0"
    exit 1
}

bootstrap() {
    lock=$1
    stamp=.venv/.installed-${lock%.lock}
    # Bytecode matters: without it every Airflow task pays seconds of compiling.
    unset PYTHONDONTWRITEBYTECODE
    if [ -x .venv/bin/python ] && cmp -s "$lock" "$stamp"; then
        return
    fi
    if [ ! -x .venv/bin/python ] || ! .venv/bin/python -c '' 2>/dev/null; then
        python=$(find_python) || exit 1
        say "Making .venv with $("$python" --version) ..."
        rm -rf .venv
        if ! "$python" -m venv .venv; then
            rm -rf .venv
            say "Python's venv module does not work here (Debian/Ubuntu: apt-get install python3-venv)."
            exit 1
        fi
    fi
    say "Installing $lock into .venv (a few minutes the first time) ..."
    if ! .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --compile -r "$lock"; then
        say "pip could not install $lock: its last lines above say which package. It needs a package index"
        say "(pip's own settings are used: pip config list) and about 2 GB of disk ($(df -h . | awk 'NR==2{print $4}') free)."
        exit 1
    fi
    .venv/bin/python -m compileall -q include plugins dags scripts || exit 1
    cp "$lock" "$stamp"
}
