#!/usr/bin/env bash
# Rebuild avatars/demo, demo-man and demo-unet from nothing: render the presenter, fit, train, package, render unseen
# speech, evaluate.
# What is already done is not done again; stop it at any time.
#
#   bash scripts/build_demo.sh GPU      index of the GPU, or cpu (two cores: about three hours)
#
# environment: PRESET of demo-unet (see training_328.sh; default here: full on a GPU, cpu on a CPU), MINUTES (default 5)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

[[ $# -eq 1 ]] || { sed -n '2,8s/^# \{0,1\}//p' "$0" >&2; exit 2; }
[[ $1 == cpu ]] && default=cpu || default=full
NETWORK=${PRESET:-$default}
export SYNTHETIC=1
export AVATAR328_LICENCE="CC0 1.0; depicts no real person; see NOTICE"
readonly HELD_OUT=artefacts/heldout

AVATAR328_EXTRAS=lab bash scripts/setup.sh
PYTHON=.venv/bin/python
mkdir -p dataset/demo dataset/demo-man dataset/demo-unet
[[ -f dataset/demo/demo.mp4 ]] ||
    "$PYTHON" -m presenter render --minutes "${MINUTES:-5}" --seed 1 --samples 0 --out dataset/demo/demo.mp4
[[ -f dataset/demo-man/demo-man.mp4 ]] ||
    "$PYTHON" -m presenter render --person man --voice flite:rms --minutes 1.4 --seed 3 --samples 0 --out dataset/demo-man/demo-man.mp4
# The avatars are committed: short templates keep them below 25 MB.
PRESET=film AVATAR328_TEMPLATE_S=16 bash training_328.sh demo "$1"
PRESET=film AVATAR328_TEMPLATE_S=16 bash training_328.sh demo-man "$1"
[[ -e dataset/demo-unet/demo-unet.mp4 ]] || ln dataset/demo/demo.mp4 dataset/demo-unet/demo-unet.mp4
PRESET=$NETWORK AVATAR328_TEMPLATE_S=8 bash training_328.sh demo-unet "$1"
"$PYTHON" -m presenter heldout --samples 0 --seed 2 --out "$HELD_OUT"
for name in demo demo-unet; do
    "$PYTHON" -m evaluation "$name" --against dataset/demo/ground_truth.npz --sets "$HELD_OUT"/*/
done
