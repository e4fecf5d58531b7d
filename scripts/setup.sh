#!/usr/bin/env bash
# Make .venv ready: system libraries, uv, and the Python packages that uv.lock pins.
# Safe to run at any time; takes a fraction of a second when nothing is to be done, and takes no package away.
#
#   bash scripts/setup.sh              everything: to prepare, train, serve and test
#   bash scripts/setup.sh --serve      what serving needs: no torch, no CUDA, and Python 3.13 will do
#
#   AVATAR328_PYTHON=/path/to/python3.12 bash ...    with this interpreter
#   AVATAR328_GPU=1 (or 0) bash ...                  for a machine with (without) an NVIDIA GPU, whatever is seen here
#   AVATAR328_EXTRAS="lab" bash ...                  and these extras of pyproject.toml
#   AVATAR328_PROGRAMS="chromium" bash ...           and these Debian programs, where an administrator runs it
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

export UV_PYTHON_DOWNLOADS=never UV_PYTHON_PREFERENCE=only-system UV_PROJECT_ENVIRONMENT=.venv
export UV_HTTP_TIMEOUT="${UV_HTTP_TIMEOUT:-300}"
unset VIRTUAL_ENV

readonly UV_OLDEST=0.8.0
readonly UV_HOME="${XDG_CACHE_HOME:-$HOME/.cache}/avatar328/uv"

say() { printf 'setup: %s\n' "$*"; }
fail() {
    printf 'setup: %s\n' "$@" >&2
    exit 1
}

installed() { compgen -G ".venv/lib/python3*/site-packages/$1.dist-info" >/dev/null; }

# --- what is wanted -------------------------------------------------------------------------------
case ${1:-} in
    --serve) mode=serve ;;
    '') mode=everything ;;
    *) fail "unknown argument $1; the only one there is: --serve" ;;
esac
# Half of an environment is never renewed: its packages have to fit each other.
! installed 'torch-*' || mode=everything

# True if the driver reports an NVIDIA GPU; nvidia-smi is asked last, because it takes a second where there is one.
has_gpu() {
    case ${AVATAR328_GPU:-} in
        0) return 1 ;;
        1) return 0 ;;
        '') compgen -G '/proc/driver/nvidia/gpus/*' >/dev/null || [[ $(nvidia-smi -L 2>/dev/null) == GPU* ]] ;;
        *) fail "AVATAR328_GPU=$AVATAR328_GPU is unknown; say 1 or 0" ;;
    esac
}

# --- Python ---------------------------------------------------------------------------------------
# Prints the interpreter's own path (not that of an environment or of a shim around it) if it is supported.
[[ $mode == serve ]] && newest_minor=13 || newest_minor=12
supported() {
    "$1" -c "import sys; (3, 11) <= sys.version_info[:2] <= (3, $newest_minor) or sys.exit(1); print(sys._base_executable)" 2>/dev/null
}

# The interpreter asked for, else the one that an existing .venv has, else the first supported one of the system.
find_python() {
    local candidate
    if [[ -n "${AVATAR328_PYTHON:-}" ]]; then
        supported "$AVATAR328_PYTHON" || fail "AVATAR328_PYTHON=$AVATAR328_PYTHON is not a working Python 3.11 to 3.$newest_minor."
        return
    fi
    for candidate in .venv/bin/python python3 /usr/bin/python3 python3.12 python3.11 python3.13; do
        supported "$candidate" && return
    done
    fail "no Python 3.11 to 3.$newest_minor was found (python3 here is: $(python3 --version 2>&1 || echo missing))." \
        "mediapipe, whose networks find the face in a recording, has no package for Python 3.13 and newer; serving does without." \
        "Debian 12 and Ubuntu 24.04 bring a supported one: apt-get install python3." \
        "Elsewhere get 3.12 from pyenv, conda or 'uv python install 3.12', then run" \
        "    AVATAR328_PYTHON=/path/to/python3.12 bash scripts/setup.sh"
}

# --- uv -------------------------------------------------------------------------------------------
recent() {
    local found
    found=$("$1" --version 2>/dev/null | cut -d' ' -f2) && [[ -n "$found" ]] || return 1
    [[ $(printf '%s\n%s\n' "$UV_OLDEST" "$found" | sort -V | head -1) == "$UV_OLDEST" ]]
}

find_uv() {
    local candidate
    for candidate in uv "$UV_HOME/bin/uv"; do
        if recent "$candidate"; then
            echo "$candidate"
            return
        fi
    done
    return 1
}

has_pip() { "$python" -m pip --version >/dev/null 2>&1; }

# Into a folder of its own, so that no Python on the machine is changed.
install_uv() {
    say "installing uv with pip into $UV_HOME"
    PIP_ROOT_USER_ACTION=ignore "$python" -m pip install --quiet --disable-pip-version-check --upgrade --target "$UV_HOME" "uv>=$UV_OLDEST" ||
        fail "pip could not install uv; see its message above. Is a package index within reach?"
}

# --- Debian packages ------------------------------------------------------------------------------
loads() { "$python" -c 'import ctypes, sys; ctypes.CDLL(sys.argv[1])' "$1" 2>/dev/null; }

# Prints the packages that are missing: libraries that OpenCV's wheel expects on the system, and pip to get uv.
missing_packages() {
    local entry
    for entry in libxcb.so.1:libxcb1 libGL.so.1:libgl1 libgthread-2.0.so.0:libglib2.0-0; do
        loads "${entry%%:*}" || echo "${entry##*:}"
    done
    find_uv >/dev/null || has_pip || echo python3-pip
}

install_packages() {
    if [[ $(id -u) -ne 0 ]] || ! command -v apt-get >/dev/null; then
        fail "system packages are missing. As an administrator run" "    apt-get install $*" \
            "(these are Debian's names: OpenCV needs the libraries, uv is installed with pip)"
    fi
    say "installing $* with apt-get"
    export DEBIAN_FRONTEND=noninteractive
    apt-get -qq -o DPkg::Lock::Timeout=300 update || say "apt-get update reported a problem; going on with the lists there are"
    apt-get -qq -o DPkg::Lock::Timeout=300 install -y --no-install-recommends "$@" >/dev/null ||
        fail "apt-get could not install $*; see its message above."
}

# flite is a voice more natural than the one that comes with the Python packages; nothing fails without a program.
install_programs() {
    local program missing=()
    for program in flite ${AVATAR328_PROGRAMS:-}; do
        command -v "$program" >/dev/null || missing+=("$program")
    done
    ((${#missing[@]})) || return 0
    if [[ $(id -u) -eq 0 ]] && command -v apt-get >/dev/null; then
        (install_packages "${missing[@]}") && return 0
    fi
    say "going on without ${missing[*]}; on Debian: apt-get install ${missing[*]}"
}

# --- Python packages ------------------------------------------------------------------------------
# --inexact: packages that somebody added to .venv stay. The project itself runs from this folder, uninstalled.
sync_packages() {
    "$uv" sync --frozen --inexact --no-install-project --python "$python" "${wanted[@]}" "${skipped[@]}" "$@"
}

locked_version() {
    awk -F'"' -v name="$1" '/^name = /{ found = $2 == name } found && /^version = /{ print $2; exit }' uv.lock
}

skip() {
    local package
    for package in "$@"; do
        skipped+=(--no-install-package "$package")
    done
}

# The locked torch links every CUDA library and cannot do without them; only Triton, which compiles for GPUs, can go.
skip_triton() {
    skipped=()
    skip triton
}

skip_torch() {
    readarray -t cuda < <(awk -F'"' '/^name = "(nvidia|cuda)-/ { print $2 }' uv.lock)
    skip torch torchvision triton "${cuda[@]}"
}

# PyTorch's own builds for CPUs come without CUDA. No package index has them, but uv knows where they are. That place
# may be out of reach: looking costs a few seconds at most.
install_cpu_torch() {
    local install=("$uv" pip install --python .venv --torch-backend cpu --no-deps "${cpu_torch[@]/-/==}")
    UV_HTTP_CONNECT_TIMEOUT=5 UV_HTTP_TIMEOUT=5 UV_HTTP_RETRIES=0 "${install[@]}" --quiet --dry-run 2>/dev/null &&
        "${install[@]}"
}

# `python -m evaluation` and the like work from every folder: the environment knows where the code lies.
know_this_folder() {
    local packages
    for packages in .venv/lib/python3*/site-packages; do
        [[ -d $packages ]] || continue
        [[ "$(cat "$packages/avatar328.pth" 2>/dev/null)" == "$PWD" ]] || echo "$PWD" >"$packages/avatar328.pth"
    done
}

# --- the steps ------------------------------------------------------------------------------------
[[ "$(uname -sm)" == "Linux x86_64" ]] ||
    fail "this is $(uname -sm); the packages that are pinned exist for Linux x86_64 only."
python=$(find_python)
readarray -t missing < <(missing_packages)
((${#missing[@]} == 0)) || install_packages "${missing[@]}"
install_programs
find_uv >/dev/null || install_uv
uv=$(find_uv) || fail "the uv in $UV_HOME does not work; delete that folder and run this again."

wanted=(--no-dev --extra serve) skipped=() needed_gb=2 cpu_torch=() look_for_cpu_torch=
[[ $mode == serve ]] || wanted=(--extra train) needed_gb=8
if has_gpu; then
    wanted+=(--extra serve-gpu)
    [[ $mode != serve ]] || needed_gb=4
elif [[ $mode == everything ]]; then
    needed_gb=7
    cpu_torch=("torch-$(locked_version torch)" "torchvision-$(locked_version torchvision)")
    if installed "${cpu_torch[0]}+cpu" && installed "${cpu_torch[1]}+cpu"; then
        skip_torch
    elif installed 'torch-*' && ! installed 'torch-*+cpu'; then
        skip_triton
    else
        skip_torch
        look_for_cpu_torch=1
    fi
fi
for extra in ${AVATAR328_EXTRAS:-}; do
    wanted+=(--extra "$extra")
done

if [[ -d .venv && -z $look_for_cpu_torch ]] && sync_packages --check --quiet 2>/dev/null; then
    know_this_folder
    say "everything is in place"
    exit 0
fi
if [[ ! -d .venv ]] || { [[ $mode == everything ]] && ! installed 'torch-*'; }; then # else little is renewed
    free_gb=$(($(df -Pk . | awk 'NR == 2 { print $4 }') / 1024 / 1024))
    ((free_gb >= needed_gb)) || fail "only $free_gb GB are free here; the Python packages may need $needed_gb GB."
    say "installing the Python packages into .venv (up to $needed_gb GB; the first time this takes a while)"
fi
readonly FAILED="the Python packages could not be installed; see the message above. Running this again continues."
sync_packages || fail "$FAILED"
if [[ -n $look_for_cpu_torch ]]; then
    if install_cpu_torch; then
        say "there is no GPU here: torch is PyTorch's own build for CPUs, without CUDA"
    else
        say "PyTorch's own builds for CPUs are out of reach: installing the locked torch, which brings CUDA (4 GB)"
        skip_triton
        sync_packages || fail "$FAILED"
    fi
fi
know_this_folder
say "ready"
