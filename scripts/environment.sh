# The Python environment of ./run, ./test and ./study, which source this file.
# shellcheck shell=bash

program=$(basename "$0")

say() {
    printf '%s: %s\n' "$program" "$*"
}

fail() {
    say "$*" >&2
    exit 1
}

check_machine() {
    [[ $(uname -sm) == "Linux x86_64" ]] ||
        fail "this needs Linux on x86-64, which the pinned packages are for, not $(uname -sm)."
    command -v git >/dev/null ||
        fail "git is missing, and DVC needs it; install it (on Debian and Ubuntu: apt-get install git)."
    # A clone that belongs to another user is good enough: DVC reads it, too.
    git -c safe.directory='*' rev-parse --git-dir >/dev/null 2>&1 ||
        fail "$PWD is no git clone, and DVC needs one; get it with 'git clone', or run 'git init' here."
}

# Print the newest Python that the pinned packages are made for, or the one that TRASHNET_PYTHON names.
find_python() {
    local candidate PATH=:$PATH: without_venv= candidates=(python3.13 python3.12 python3.11 python3)
    if [[ -n ${TRASHNET_PYTHON:-} ]]; then candidates=("$TRASHNET_PYTHON"); fi
    # What is about to be replaced cannot make its successor.
    PATH=${PATH//":$PWD/.venv/bin:"/:}
    for candidate in "${candidates[@]}"; do
        # Found is not enough: version managers put commands on the path that only complain.
        "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null || continue
        if "$candidate" -c 'import ensurepip, venv' 2>/dev/null; then
            command -v "$candidate"
            return
        fi
        without_venv=${without_venv:-$candidate}
    done
    [[ -z $without_venv ]] ||
        fail "$without_venv cannot make environments; install its venv package (on Debian and Ubuntu: apt-get install $("$without_venv" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])'))."
    fail "this needs Python 3.11, 3.12 or 3.13, and none of them is on the path; install one."
}

# True if .venv was finished, still stands where it was made, and its Python still starts.
environment_works() {
    [[ -f .venv/complete && $(<.venv/complete) == "$PWD" ]] && .venv/bin/python -c '' 2>/dev/null
}

make_environment() {
    local python
    python=$(find_python)
    say "making .venv with $("$python" --version)."
    rm -rf .venv
    "$python" -m venv .venv
}

# Install a lock file into .venv, unless just that was done before.
install() {
    local lock=$1 options=(--disable-pip-version-check --require-hashes)
    if environment_works; then
        cmp -s "$lock" ".venv/$lock" && return
        rm .venv/complete
    else
        make_environment
    fi
    # Only a person watches pip's progress bars; -qq keeps its warnings out of logs, not its errors.
    if [[ ! -t 1 || -n ${CI:-} ]]; then options+=(-qq); fi
    say "installing the packages of $lock; this takes a minute or two."
    .venv/bin/python -m pip install "${options[@]}" -r "$lock" ||
        fail "pip could not install $lock, see above; check that the package index can be reached and run the same command again."
    cp "$lock" .venv/
    pwd >.venv/complete
}

# Make .venv hold the packages of these lock files, and put it first on the path.
prepare_environment() {
    check_machine
    {
        local status=0
        # Without flock, or on a file system that has no such locks, nobody waits.
        flock --nonblock 9 2>/dev/null || status=$?
        if [[ $status == 1 ]]; then
            say "waiting for another run, test or study here to finish installing."
            flock 9
        fi
        local lock
        for lock in "$@"; do install "$lock"; done
    } 9<requirements.lock
    export PATH="$PWD/.venv/bin:$PATH"
}
