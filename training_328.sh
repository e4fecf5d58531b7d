#!/usr/bin/env bash
# From a recording to an avatar. In minutes: prepare, fit the ears, package the film itself. Then, unless PRESET=film: train
# the sync network, train the face network, package again; the film stays where the trained face is worse.
# Every step picks up where it was stopped, so the same command also resumes.
set -euo pipefail

usage() {
    cat >&2 <<'USAGE'
usage: bash training_328.sh NAME GPU

  NAME   the person; the recording is dataset/NAME/NAME.mp4 (or .mov, .mkv, ...)
  GPU    index of the GPU to train on (0, 1, ...), or cpu

environment:
  VIDEO      path of the recording, if it is not in dataset/NAME/ yet
  PRESET     full, cpu, quick, tiny or film (default: full on a GPU, film on cpu)
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
    cpu) DEVICE=cpu DEFAULT_PRESET=film ;;
    *[!0-9]* | '') usage ;;
    *) GPU=$((10#$2)) && DEVICE=cuda:$GPU DEFAULT_PRESET=full ;;
esac
PRESET=${PRESET:-$DEFAULT_PRESET}
[[ $PRESET =~ ^(full|cpu|quick|tiny|film)$ ]] ||
    refuse "PRESET=$PRESET is unknown; choose full, cpu, quick, tiny or film"
[[ -z "${VIDEO:-}" || -f "$VIDEO" ]] || refuse "there is no file VIDEO=$VIDEO (looked from $PWD)"
RECORDING=$NAME
[[ -z "${VIDEO:-}" ]] || RECORDING=$(realpath -- "$VIDEO")
case ${SYNTHETIC:-0} in
    0 | 1) ;;
    *) refuse "SYNTHETIC=$SYNTHETIC is unknown; say 1 if the recording shows no real person, else 0" ;;
esac
ORIGIN=()
[[ -z "${CONSENT:-}" ]] || ORIGIN+=(--consent "$CONSENT")
[[ ${SYNTHETIC:-0} == 0 ]] || ORIGIN+=(--synthetic)
[[ -z "${CONSENT:-}" || ${SYNTHETIC:-0} == 0 ]] ||
    refuse "CONSENT and SYNTHETIC=1 exclude each other: a synthetic person consents to nothing"

cd "$(dirname "${BASH_SOURCE[0]}")"
bash scripts/setup.sh
PYTHON=$PWD/.venv/bin/python
[[ -z "${CONSENT:-}" ]] || "$PYTHON" -m recipe.check_consent "$CONSENT" || refuse "CONSENT=\"$CONSENT\" cannot be recorded"
if [[ $DEVICE != cpu ]]; then
    GPUS=$("$PYTHON" -c 'import torch; print(torch.cuda.device_count())')
    ((GPU < GPUS)) || refuse "GPU $GPU is not here: this machine has $GPUS usable GPU(s). 'cpu' trains without one"
fi

clock() { printf '%d:%02d:%02d' $(($1 / 3600)) $(($1 / 60 % 60)) $(($1 % 60)); }

STAGE=
on_exit() {
    local code=$? next='the same command continues from here'
    ((code != 2)) || next='mend what the error above names; then the same command continues from here' # bad input
    ((code == 0)) || [[ -z $STAGE ]] ||
        echo "=== stopped in '$STAGE' after $(clock $SECONDS) (exit code $code); $next" >&2
}
trap on_exit EXIT

# A child in the foreground would keep bash from hearing a signal, and live on when bash has died of it. So it runs in the
# background, where it ignores Ctrl-C, and hears of both signals from here, as SIGTERM. A second one does not wait.
CHILD='' HEARD=0 STOPPED=0
pass_on() {
    HEARD=1 STOPPED=1
    [[ -n $CHILD ]] || exit 130
    kill -TERM "$CHILD" 2>/dev/null || true
}
trap pass_on INT TERM

stage() {
    STAGE=$1
    printf '\n=== %s  [%s, %s, %s; %s since the start]\n' "$STAGE" "$NAME" "$PRESET" "$DEVICE" "$(clock $SECONDS)"
    shift
    local code=0 waited
    "$@" &
    CHILD=$!
    while HEARD=0; do
        wait "$CHILD" && waited=0 || waited=$?
        ((waited == 127)) || code=$waited # 127: it had ended when the signal came
        ((HEARD)) || break
    done
    CHILD=
    ((!STOPPED)) || exit 130
    return "$code"
}

LAST=6
[[ $PRESET != film ]] || LAST=3
stage "1/$LAST prepare the recording" "$PYTHON" -m data_prep "$RECORDING" --name "$NAME"
stage "2/$LAST fit the ears" "$PYTHON" train_328.py --name "$NAME" --stage film --preset "${PRESET/film/quick}" --device "$DEVICE"
stage "3/$LAST package the film" "$PYTHON" train_328.py --name "$NAME" --stage package --picture film "${ORIGIN[@]}"
echo "=== avatars/$NAME speaks from now on"
if [[ $PRESET != film ]]; then
    stage "4/6 train the sync network" "$PYTHON" train_328.py --name "$NAME" --stage syncnet --preset "$PRESET" --device "$DEVICE"
    # What was trained until a late failure still makes an avatar; whoever stops the training wants to go on later.
    failure=0
    stage "5/6 train the face network" "$PYTHON" train_328.py --name "$NAME" --stage unet --preset "$PRESET" --device "$DEVICE" ||
        failure=$?
    if ((failure)); then
        ((failure < 128)) && [[ -f checkpoint/$NAME/unet/last.pt ]] || exit "$failure"
        echo "=== training ended early (exit code $failure): packaging what there is" >&2
    fi
    stage "6/6 package the avatar" "$PYTHON" train_328.py --name "$NAME" --stage package --keep_film "${ORIGIN[@]}"
    ((failure == 0)) || exit "$failure"
fi

printf '\n=== done in %s: avatars/%s\n' "$(clock $SECONDS)" "$NAME"
echo "make it speak: .venv/bin/python inference_328.py --name '$NAME' --audio_path SPEECH.wav"
