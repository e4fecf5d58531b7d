#!/usr/bin/env bash
# Format, lint, types and tests; every stage runs even if an earlier one fails.
#
#   bash test.sh                 everything
#   bash test.sh -k face_crop    arguments go to pytest
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

# The page's tests drive Chromium, those of the integrations the real packages; what is not there is skipped.
AVATAR328_PROGRAMS=chromium AVATAR328_EXTRAS="gradio livekit pipecat webrtc" bash scripts/setup.sh
export PATH="$PWD/.venv/bin:$PATH"
# Container images like to set this. Without bytecode every run compiles all packages anew, and pytest rewrites 300
# modules: collecting the tests took three times as long.
unset PYTHONDONTWRITEBYTECODE
# Offline, quiet and repeatable.
export HF_HUB_OFFLINE=1 TRANSFORMERS_OFFLINE=1 TOKENIZERS_PARALLELISM=false
export MPLBACKEND=Agg PYTHONHASHSEED=0 CUBLAS_WORKSPACE_CONFIG=:4096:8
export TF_CPP_MIN_LOG_LEVEL=3 GLOG_minloglevel=3

results=()
failures=0
stage() {
    local name=$1 began=$SECONDS verdict=ok
    shift
    printf '\n--- %s\n' "$name"
    "$@" || { verdict=FAILED && failures=$((failures + 1)); }
    results+=("$(printf '%-8s %-7s %4d s' "$name" "$verdict" $((SECONDS - began)))")
}

stage format ruff format --check .
stage lint ruff check .
stage types mypy .
stage tests pytest "$@"

printf '\n--- total after %d s\n' "$SECONDS"
printf '%s\n' "${results[@]}"
if ((failures)); then
    echo "$failures of ${#results[@]} stages failed"
    exit 1
fi
echo "all ${#results[@]} stages passed"
