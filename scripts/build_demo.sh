#!/usr/bin/env bash
# Rebuild avatars/demo from nothing: render the presenter, train, package, render unseen speech, evaluate.
# What is already done is not done again; stop it at any time.
#
#   bash scripts/build_demo.sh GPU      index of the GPU, or cpu (two cores: about three hours)
#
# environment: PRESET (see training_328.sh; default here: full on a GPU, cpu on a CPU), MINUTES (default 5)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

[[ $# -eq 1 ]] || { sed -n '2,7s/^# \{0,1\}//p' "$0" >&2; exit 2; }
[[ $1 == cpu ]] && default=cpu || default=full
export PRESET=${PRESET:-$default} SYNTHETIC=1
export AVATAR328_TEMPLATE_S=8 # the avatar is committed: a short template keeps it below 25 MB
export AVATAR328_LICENCE="CC0 1.0; depicts no real person; see NOTICE"
readonly HELD_OUT=artefacts/heldout

AVATAR328_EXTRAS=lab bash scripts/setup.sh
PYTHON=.venv/bin/python
mkdir -p dataset/demo
[[ -f dataset/demo/demo.mp4 ]] ||
    "$PYTHON" -m presenter render --minutes "${MINUTES:-5}" --seed 1 --samples 0 --out dataset/demo/demo.mp4
bash training_328.sh demo "$1"
"$PYTHON" -m presenter heldout --samples 0 --seed 2 --out "$HELD_OUT"
"$PYTHON" -m evaluation demo --against dataset/demo/ground_truth.npz --sets "$HELD_OUT"/*/
