"""A profile written into a file: one table is added or replaced, the rest stays as it is.

The new text is parsed before it replaces the file. A file whose other content would change, because
its sites are written in a form that cannot be edited, is refused and left alone.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from tailrace.errors import ProfileError
from tailrace.sites._profiles import (
    CONFIG_VARIABLE,
    check_name,
    load_profiles,
    parse_document,
    parse_profiles,
    profile_files,
    read_bytes,
    read_text,
    user_file,
)
from tailrace.sites._trust import is_trusted, trust

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tailrace.sites._profiles import ProfileSettings

__all__ = ["file_for_saving", "save_found", "save_profile"]


def file_for_saving(
    *,
    environ: Mapping[str, str] | None = None,
    folder: Path | None = None,
    user_folder: Path | None = None,
) -> Path:
    """Return the file for a new profile: the first one that profiles are read from.

    Without any, the user's file, which does not exist then. `environ`, `folder` and `user_folder`
    are those of `profile_files`.
    """
    variables = os.environ if environ is None else environ
    if variables.get(CONFIG_VARIABLE):
        return Path(variables[CONFIG_VARIABLE])
    files = profile_files(environ=variables, folder=folder, user_folder=user_folder)
    return files[0] if files else user_file(user_folder)


def save_found(
    name: str,
    settings: ProfileSettings,
    file: Path,
    *,
    force: bool = False,
    environ: Mapping[str, str] | None = None,
    folder: Path | None = None,
    user_folder: Path | None = None,
    state_folder: Path | None = None,
) -> None:
    """Write a profile as `save_profile` does, into the file of `file_for_saving`.

    A file that the user trusts is trusted with the new site in it. Raises ProfileError also for a
    name that another file has: one of the two would hide the other. `state_folder`: the folder that
    keeps trust; the others are those of `profile_files`.
    """
    files = profile_files(environ=environ, folder=folder, user_folder=user_folder)
    taken = load_profiles([each for each in files if each != file]).get(name.lower())
    if taken is not None:
        raise ProfileError(
            str(taken.file),
            f"sites.{taken.name}",
            f"a site of this name is there: another one in {file} would hide it",
        )
    was_trusted = file.exists() and is_trusted(file, read_bytes(file), state_folder)
    save_profile(name, settings, file, force=force)
    if was_trusted:
        trust(file, read_bytes(file), state_folder)


def save_profile(name: str, settings: ProfileSettings, file: Path, *, force: bool = False) -> None:
    """Write a profile `name` with these `settings` into `file`, which is created if need be.

    Raises ProfileError for a name that the file has already, unless `force` replaces that profile;
    for a name that no site may have; and for a file that has an error, cannot be edited, or cannot
    be written.
    """
    check_name(name, file)
    original = read_text(file) if file.exists() else ""
    text = original.replace("\r\n", "\n")
    taken = [each.name for each in parse_profiles(text, file) if each.name.lower() == name.lower()]
    if taken and not force:
        raise ProfileError(
            str(file),
            f"sites.{taken[0]}",
            "a site of this name is there already; --force replaces it",
        )
    table = _table(settings)
    edited = _edited(text, taken, _written(name, table))
    expected = parse_document(text, file)
    sites = {key: value for key, value in expected.get("sites", {}).items() if key not in taken}
    if not _reads_as(edited, {**expected, "sites": {**sites, name: table}}, file):
        problem = (
            "the sites of this file are written in a form that cannot be edited here: change it by "
            "hand"
        )
        raise ProfileError(str(file), f"sites.{name}", problem)
    _replace(file, edited.replace("\n", "\r\n") if "\r\n" in original else edited)


def _table(settings: ProfileSettings) -> dict[str, Any]:
    given: dict[str, Any] = msgspec.to_builtins(settings)
    return {"url": settings.url, "software": settings.software, **given}


def _written(name: str, table: Mapping[str, Any]) -> str:
    return "".join(
        [f"[sites.{name}]\n", *(f"{key} = {_value(value)}\n" for key, value in table.items())]
    )


def _value(value: object) -> str:
    """Write a value in TOML, whose strings may be JSON strings once DEL is escaped."""
    if isinstance(value, dict):
        return (
            "{ "
            + ", ".join(f"{_value(key)} = {_value(each)}" for key, each in value.items())
            + " }"
        )
    if isinstance(value, list):
        return "[" + ", ".join(map(_value, value)) + "]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _edited(text: str, replaced: list[str], table: str) -> str:
    """Return `text` with the new `table` instead of the tables of the sites `replaced`.

    Where there are none to replace, the table is added at the end.
    """
    own = re.compile(
        rf"\s*\[\s*sites\s*\.\s*[\"']?({'|'.join(map(re.escape, replaced))})[\"']?\s*[].]"
    )
    kept: list[str] = []
    block: list[str] = []
    position: int | None = None
    for line in text.splitlines(keepends=True):
        if replaced and own.match(line):
            position = len(kept) if position is None else position
            block = [line]
        elif block and not line.lstrip().startswith("["):
            block.append(line)
        else:
            kept += _trailing(block)
            block = []
            kept.append(line)
    if position is None:
        gap = "" if not text else "\n" if text.endswith("\n") else "\n\n"
        return text + gap + table
    rest = kept[position:] + _trailing(block)
    gap = "\n" if rest and rest[0].strip() else ""
    return "".join([*kept[:position], table, gap, *rest])


def _trailing(block: list[str]) -> list[str]:
    """Return the comments and empty lines at a table's end, which belong to the next table."""
    end = len(block)
    while end and (not block[end - 1].strip() or block[end - 1].lstrip().startswith("#")):
        end -= 1
    return block[end:]


def _reads_as(text: str, expected: Mapping[str, Any], file: Path) -> bool:
    try:
        parse_profiles(text, file)
        return parse_document(text, file) == expected
    except ProfileError:
        return False


def _replace(file: Path, text: str) -> None:
    """Write the file whole or not at all; a link stays a link, and the mode stays."""
    target = file.resolve()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        temporary = Path(name)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as opened:
                opened.write(text)
            if target.exists():
                temporary.chmod(target.stat().st_mode & 0o7777)
            temporary.replace(target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise ProfileError(
            str(file), "", f"it cannot be written: {error.strerror or error}"
        ) from None
