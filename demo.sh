#!/usr/bin/env bash
# A talking avatar from nothing: trains a tiny network on the synthetic presenter that comes with the
# repository, and lets it say a sentence. What is already done is not done again.
#
#   bash demo.sh                       says a sentence that the presenter never said
#   bash demo.sh "Any other sentence"
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

readonly NAME=demo_presenter
readonly TEXT=${1:-"Good morning. I was made a few minutes ago, and nobody ever filmed me saying this."}

bash scripts/setup.sh
PYTHON=.venv/bin/python
DEVICE=$("$PYTHON" -c 'import torch; print(0 if torch.cuda.is_available() else "cpu")')

VIDEO=tests/data/presenter.mp4 PRESET=tiny SYNTHETIC=1 bash training_328.sh "$NAME" "$DEVICE"

mkdir -p result
"$PYTHON" scripts/say.py "$TEXT" result/demo_speech.wav
"$PYTHON" inference_328.py --name "$NAME" --audio_path result/demo_speech.wav --out result/demo.mp4
