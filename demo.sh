#!/usr/bin/env bash
# A talking avatar: sets up, and lets the avatar that comes with the repository say a sentence.
#
#   bash demo.sh                       says a sentence
#   bash demo.sh "Any other sentence"
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

if [[ ${1:-} == -h || ${1:-} == --help ]]; then
    sed -n '2,5s/^# \{0,1\}//p' "${BASH_SOURCE[0]##*/}"
    exit 0
fi
if (($# > 1)) || [[ ${1:-} == -* ]]; then
    echo "demo.sh: give one text in quotes, or nothing; see bash demo.sh --help" >&2
    exit 2
fi

readonly TEXT=${1:-"Good morning. I am made of numbers: nobody was filmed for this, and nobody ever said it."}

bash scripts/setup.sh --serve # an environment for training stays one
.venv/bin/python inference_328.py --name demo --text "$TEXT" --out result/demo.mp4 --overwrite

cat <<'NEXT'

Watch result/demo.mp4, or talk to her in the browser:
    .venv/bin/python api.py        and open http://localhost:8000
Train an avatar of your own: README.md, "Record" and "Train".
NEXT
