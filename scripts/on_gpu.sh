#!/usr/bin/env bash
# What only a GPU can tell, in some minutes: the tests that need one, what a frame and a training step cost, and a training
# of preset `full` as far as it comes, packaged. A step that fails is named at the end and keeps nothing from the others.
#
#   bash scripts/on_gpu.sh NAME OUT [MINUTES]
#
#   NAME     a prepared dataset: python -m data_prep NAME
#   OUT      a folder: a log of every step, its numbers as JSON, metrics.csv of the training, and the avatar
#   MINUTES  for all of it (default 10); what the rest leaves belongs to the training
#
# environment: DEVICE (default cuda:0; cpu tries the script itself), PRESET (default full), PYTHON (default .venv/bin/python,
#              as scripts/setup.sh leaves it)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

[[ $# -eq 2 || $# -eq 3 ]] && [[ ${3:-10} =~ ^[1-9][0-9]*$ ]] || { sed -n '2,12s/^# \{0,1\}//p' "$0" >&2; exit 2; }
readonly NAME=$1 OUT=$2 ENDS=$((SECONDS + 60 * ${3:-10})) DEVICE=${DEVICE:-cuda:0} PRESET=${PRESET:-full}
readonly PYTHON=${PYTHON:-.venv/bin/python} PACKAGING_S=90 # with its test
[[ -f dataset/$NAME/manifest.json ]] || { echo "on_gpu.sh: dataset/$NAME is not prepared: $PYTHON -m data_prep $NAME" >&2; exit 2; }
mkdir -p "$OUT"
[[ $DEVICE == cpu ]] && RUNTIMES=(onnxruntime) SERVED=onnxruntime STREAMS=(1 2) || RUNTIMES=(onnxruntime cuda-fp16 tensorrt) SERVED=cuda-fp16 STREAMS=(1 4 16)

FAILED=()
# step NAME SECONDS COMMAND...: at most so long, and never into the packaging's time; SIGTERM saves what is trained (130)
step() {
    local name=$1 most=$2 left=$((ENDS - PACKAGING_S - SECONDS)) code=0
    shift 2
    [[ $name != package ]] || left=$((ENDS - SECONDS > 0 ? ENDS - SECONDS : PACKAGING_S))
    ((most < left)) || most=$left
    ((most > 0)) || { FAILED+=("$name: no time left") && return; }
    printf '=== %s, at most %d s\n' "$name" "$most"
    timeout --signal=TERM --kill-after=30 "$most" "$@" >"$OUT/$name.log" 2>&1 || code=$?
    tail -n 5 "$OUT/$name.log"
    ((code == 0)) || { [[ $name == train-* ]] && ((code == 124 || code == 130)); } || FAILED+=("$name: exit code $code")
}

if [[ $DEVICE != cpu ]]; then
    nvidia-smi >"$OUT/gpu.txt"
    step tests 120 "$PYTHON" -m pytest -q -m gpu -p no:cacheprovider
fi
step frame 60 "$PYTHON" -m benchmarks.per_frame --name demo-unet --size 720x720 --runtimes "${RUNTIMES[@]}" --json "$OUT/frame.json"
step service 120 "$PYTHON" -m benchmarks.service --name demo-unet --size 720x720 --runtime "$SERVED" \
    --words 10 --streams "${STREAMS[@]}" --stream_words 20 --json "$OUT/service.json"
step step 60 "$PYTHON" -m benchmarks.training_step --name "$NAME" --preset "$PRESET" --device "$DEVICE" --json "$OUT/step.json"
step train-syncnet 120 "$PYTHON" train_328.py --name "$NAME" --device "$DEVICE" --preset "${PRESET/full/quick}" --stage syncnet
step train-unet 100000 "$PYTHON" train_328.py --name "$NAME" --device "$DEVICE" --preset "$PRESET" --stage unet
step package "$PACKAGING_S" "$PYTHON" train_328.py --name "$NAME" --stage package --avatars_dir "$OUT"
[[ ! -f checkpoint/$NAME/unet/metrics.csv ]] || cp "checkpoint/$NAME/unet/metrics.csv" "$OUT/"

((${#FAILED[@]} == 0)) || { printf 'failed: %s\n' "${FAILED[@]}" >&2; exit 1; }
