#!/usr/bin/env bash
# From a recording to an avatar: prepare, train the sync network, train the face network, package.
# Every step picks up where it was stopped, so the same command also resumes.
set -euo pipefail

usage() {
    cat >&2 <<'USAGE'
usage: bash training_328.sh NAME GPU

  NAME   the person; the recording is dataset/NAME/NAME.mp4 (or .mov, .mkv, ...)
  GPU    index of the GPU to train on (0, 1, ...), or cpu

environment:
  VIDEO      path of the recording, if it is not in dataset/NAME/ yet
  PRESET     full, cpu, quick or tiny (default: full on a GPU, quick on cpu)
  CONSENT    "who, YYYY-MM-DD, scope": who agreed to be shown, when, and to what; stored in the avatar
  SYNTHETIC  1 if the recording shows no real person

example: CONSENT="Ada Example, 2026-11-20, our web site" bash training_328.sh ada 0
USAGE
    exit 2
}

refuse() {
    echo "training_328.sh: $*" >&2
    exit 2
}

[[ $# -eq 2 && -n "$1" && "$1" != -* ]] || usage
readonly NAME=$1
case $2 in
    cpu) DEVICE=cpu DEFAULT_PRESET=quick ;;
    *[!0-9]* | '') usage ;;
    *) GPU=$((10#$2)) && DEVICE=cuda:$GPU DEFAULT_PRESET=full ;;
esac
PRESET=${PRESET:-$DEFAULT_PRESET}
[[ $PRESET =~ ^(full|cpu|quick|tiny)$ ]] || refuse "PRESET=$PRESET is unknown; choose full, cpu, quick or tiny"
[[ -z "${VIDEO:-}" || -f "$VIDEO" ]] || refuse "there is no file VIDEO=$VIDEO"
RECORDING=$NAME
[[ -z "${VIDEO:-}" ]] || RECORDING=$(realpath -- "$VIDEO")
case ${SYNTHETIC:-0} in
    0 | 1) ;;
    *) refuse "SYNTHETIC=$SYNTHETIC is unknown; say 1 if the recording shows no real person, else 0" ;;
esac
[[ -z "${CONSENT:-}" || $CONSENT =~ ^.*[^[:space:]].*,\ *[0-9]{4}-[0-9]{2}-[0-9]{2}\ *,.*[^[:space:]] ]] ||
    refuse "CONSENT=\"$CONSENT\" is not of the form \"who, YYYY-MM-DD, scope\""
ORIGIN=()
[[ -z "${CONSENT:-}" ]] || ORIGIN+=(--consent "$CONSENT")
[[ ${SYNTHETIC:-0} == 0 ]] || ORIGIN+=(--synthetic)
[[ -z "${CONSENT:-}" || ${SYNTHETIC:-0} == 0 ]] ||
    refuse "CONSENT and SYNTHETIC=1 exclude each other: a synthetic person consents to nothing"

cd "$(dirname "${BASH_SOURCE[0]}")"
bash scripts/setup.sh
PYTHON=$PWD/.venv/bin/python
if [[ $DEVICE != cpu ]]; then
    GPUS=$("$PYTHON" -c 'import torch; print(torch.cuda.device_count())')
    ((GPU < GPUS)) || refuse "GPU $GPU is not here: this machine has $GPUS usable GPU(s). 'cpu' trains without one"
fi

clock() { printf '%d:%02d:%02d' $(($1 / 3600)) $(($1 / 60 % 60)) $(($1 % 60)); }

STAGE=
on_exit() {
    local code=$?
    ((code == 0)) || [[ -z $STAGE ]] ||
        echo "=== stopped in '$STAGE' after $(clock $SECONDS) (exit code $code); the same command continues from here" >&2
}
trap on_exit EXIT

stage() {
    STAGE=$1
    printf '\n=== %s  [%s, %s, %s; %s since the start]\n' "$STAGE" "$NAME" "$PRESET" "$DEVICE" "$(clock $SECONDS)"
    shift
    "$@"
}

stage "1/4 prepare the recording" "$PYTHON" -m data_prep "$RECORDING" --name "$NAME"
stage "2/4 train the sync network" "$PYTHON" train_328.py --name "$NAME" --stage syncnet --preset "$PRESET" --device "$DEVICE"
# What was trained until a late failure still makes an avatar; whoever stops the training wants to go on later.
failure=0
stage "3/4 train the face network" "$PYTHON" train_328.py --name "$NAME" --stage unet --preset "$PRESET" --device "$DEVICE" ||
    failure=$?
if ((failure)); then
    ((failure < 128)) && [[ -f checkpoint/$NAME/unet/last.pt ]] || exit "$failure"
    echo "=== training ended early (exit code $failure): packaging what there is" >&2
fi
stage "4/4 package the avatar" "$PYTHON" package_328.py --name "$NAME" "${ORIGIN[@]}"
((failure == 0)) || exit "$failure"

printf '\n=== done in %s: avatars/%s\n' "$(clock $SECONDS)" "$NAME"
echo "make it speak: .venv/bin/python inference_328.py --name '$NAME' --audio_path SPEECH.wav"
