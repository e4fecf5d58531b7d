"""Look after avatars.

python -m services.avatars list | show NAME | verify NAME | consent NAME "who, date, scope"
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from recipe.avatar_format import AvatarManifest
from recipe.errors import UserError
from services.avatars.avatar import list_avatars, open_avatar, record_consent


def describe(name: str, manifest: AvatarManifest) -> str:
    """The facts of an avatar for a person, one per line."""
    consent = manifest.consent
    if consent is not None:
        person = f"consent of {consent.who}, {consent.date}: {consent.scope}"
    else:
        person = "synthetic, depicts nobody" if manifest.synthetic else "no consent recorded: not for public servers"
    frames = "idle frames" if manifest.kind == "photo" else "frames"
    lines = [
        f"{name}: {manifest.frames} {frames} of {manifest.width}x{manifest.height} px, created {manifest.created}",
        f"  {person}",
        f"  licence: {manifest.licence}",
        f"  {'photo' if manifest.kind == 'photo' else 'recording'}: SHA-256 {manifest.source_sha256}",
        *(f"  {key}: {value}" for key, value in manifest.metrics.items()),
        *(f"  ONNX to torch, largest error of {key}: {value}" for key, value in manifest.onnx_max_abs_error.items()),
    ]
    return "\n".join(lines) + "\n"


def _list_text(avatars_dir: Path) -> str:
    entries = list_avatars(avatars_dir)
    if not entries:
        return f"no avatars in {avatars_dir}\n"
    lines = []
    for entry in entries:
        if entry.manifest is None:
            lines.append(f"{entry.name}: BROKEN: {entry.problem}\n")
        else:
            lines.append("\n".join(describe(entry.name, entry.manifest).splitlines()[:2]) + "\n")
    return "".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code, 0 or 2."""
    parser = argparse.ArgumentParser(prog="python -m services.avatars", description="Look after avatars.")
    parser.add_argument("--avatars_dir", type=Path, default=Path("avatars"), help="folder of the avatars")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="every avatar, broken ones with the reason")
    for command, text in (("show", "its facts and metrics"), ("verify", "check every file against its hash")):
        commands.add_parser(command, help=text).add_argument("name")
    consent = commands.add_parser("consent", help="record who agreed to the avatar")
    consent.add_argument("name")
    consent.add_argument("text", help='"who, YYYY-MM-DD, scope"')
    options = parser.parse_args(arguments)
    try:
        if options.command == "list":
            text = _list_text(options.avatars_dir)
        elif options.command == "consent":
            text = describe(options.name, record_consent(options.avatars_dir, options.name, options.text))
        else:
            manifest = open_avatar(options.avatars_dir, options.name).manifest
            verified = f"{options.name}: all {len(manifest.files)} files are as packaged\n"
            text = verified if options.command == "verify" else describe(options.name, manifest)
    except (UserError, OSError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    sys.stdout.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
