"""Look after avatars.

python -m services.avatars list | show NAME | verify NAME | consent NAME "who, date, scope"
    | revoke NAME --yes | push NAME URL | pull NAME URL
"""

from __future__ import annotations

import argparse
import getpass
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from recipe.errors import UserError
from recipe.places import at_home

if TYPE_CHECKING:
    from recipe.avatar_format import AvatarManifest


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
    from services.avatars.avatar import list_avatars

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


def _add_revoke(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", help="of the avatar, its dataset and its checkpoints")
    parser.add_argument("--by", default="", help="who revokes it, for the tombstone (default: the user's name here)")
    parser.add_argument("--yes", action="store_true", help="do it: nothing that is removed comes back")
    parser.add_argument("--dataset_dir", type=Path, default=at_home("dataset"), help="folder of the datasets")
    parser.add_argument("--checkpoint_dir", type=Path, default=at_home("checkpoint"), help="folder of the checkpoints")
    for option, folder, setting in (
        ("--verdicts_dir", "cache/runtimes", "AVATAR328_MODELS__CACHE_DIR"),
        ("--animations_dir", "cache/animations", "AVATAR328_SERVER__CACHE_DIR"),
    ):
        text = f"{setting} of the server (default: {folder})"
        parser.add_argument(option, type=Path, default=at_home(folder), help=text)


def _revoke_text(options: argparse.Namespace) -> str:
    """Revoke an avatar, and tell what was done.

    Raises:
        UserError: it was not said that it shall be done, or see `revoke`.
    """
    from services.avatars.revocation import Places, revoke

    if not options.yes:
        raise UserError(
            f"this removes the avatar {options.name}, its recording, dataset and checkpoints for good; say --yes"
        )
    places = Places(
        options.avatars_dir,
        options.dataset_dir,
        options.checkpoint_dir,
        options.verdicts_dir,
        at_home("cache/tensorrt"),
        options.animations_dir,
    )
    done = revoke(places, options.name, options.by or getpass.getuser())
    lines = [f"removed {path}\n" for path in done.removed]
    lines += [f"tombstone {path}\n" for path in done.tombstones]
    lines += [f"of the same recording, and refused from now on: {other}; revoke it, too\n" for other in done.others]
    if not done.tombstones:
        lines.append("no hash of a recording was found: nothing keeps it from being made again\n")
    if done.original is not None:
        lines.append(f"the recording itself lies outside and stays: {done.original}\n")
    lines.append("videos that were made with it (result/, outputs/, debug/) do not tell whose they are: remove them\n")
    return "".join(lines)


def _moved_text(options: argparse.Namespace) -> str:
    from services.avatars.storage import pull, push

    if options.command == "push":
        return f"{push(options.avatars_dir, options.name, options.storage)}\n"
    return describe(options.name, pull(options.avatars_dir, options.name, options.storage))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code, 0 or 2."""
    parser = argparse.ArgumentParser(prog="python -m services.avatars", description="Look after avatars.")
    parser.add_argument("--avatars_dir", type=Path, default=at_home("avatars"), help="folder of the avatars")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="every avatar, broken ones with the reason")
    for command, text in (("show", "its facts and metrics"), ("verify", "check every file against its hash")):
        commands.add_parser(command, help=text).add_argument("name")
    consent = commands.add_parser("consent", help="record who agreed to the avatar")
    consent.add_argument("name")
    consent.add_argument("text", help='"who, YYYY-MM-DD, scope"')
    _add_revoke(commands.add_parser("revoke", help="remove it, its dataset, checkpoints and caches, for good"))
    for command, text in (("push", "put it on shared storage"), ("pull", "fetch it from there, checked")):
        moved = commands.add_parser(command, help=text)
        moved.add_argument("name")
        moved.add_argument("storage", help="folder of avatars there: a path, s3://bucket/avatars, what fsspec reads")
    options = parser.parse_args(arguments)
    from services.avatars.avatar import open_avatar, record_consent

    try:
        if options.command == "list":
            text = _list_text(options.avatars_dir)
        elif options.command == "revoke":
            text = _revoke_text(options)
        elif options.command in ("push", "pull"):
            text = _moved_text(options)
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
