#!/usr/bin/env bash
# Render every *.puml beside this script to SVG. Needs Debian's plantuml (apt-get install plantuml).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
command -v plantuml >/dev/null || {
    echo "render.sh: plantuml is missing; as an administrator run: apt-get install plantuml" >&2
    exit 1
}
PLANTUML_LIMIT_SIZE=16384 plantuml -Djava.awt.headless=true -charset UTF-8 -tsvg ./*.puml
# The source stays in the picture's metadata (a test compares it); the Java version of whoever rendered it does not.
sed -i '/^PlantUML version/,/^Country/d' ./*.svg
echo "rendered: $(printf '%s ' ./*.svg)"
