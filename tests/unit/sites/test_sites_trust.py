"""Files of sites that come with a folder: what they may read before they are trusted, and hide."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest

from tailrace.errors import ProfileError
from tailrace.gateway import ModelRegistry
from tailrace.sites import site
from tailrace.sites._profiles import ProfileSettings, find_profiles
from tailrace.sites._saving import save_found
from tailrace.sites._trust import is_trusted, revoke_trust, trust

if TYPE_CHECKING:
    from pathlib import Path

NAMING = {
    "secret_key_env": "software = 'geminiprochat'\nsecret_key_env = 'SECRET'",
    "password_env": "software = 'geminiprochat'\npassword_env = 'SECRET'",
    "api_key_env": "software = 'openai'\napi_key_env = 'SECRET'",
    "cookies_env": "cookies_env = 'SECRET'",
    "proxy_env": "proxy_env = 'SECRET'",
    "headers_env.X-Key": "headers_env = { X-Key = 'SECRET' }",
}


@pytest.fixture
def places(tmp_path: Path) -> dict[str, Any]:
    """A folder with a file, a user with none, and a state folder."""
    (tmp_path / "project").mkdir()
    return {
        "environ": {"SECRET": "hunter2"},
        "folder": tmp_path / "project",
        "user_folder": tmp_path / "user",
        "state_folder": tmp_path / "state",
    }


def written(places: dict[str, Any], lines: str = "", *, whose: str = "folder") -> Path:
    file: Path = places[whose] / "tailrace.toml"
    file.parent.mkdir(exist_ok=True)
    file.write_text(f"[sites.Shop]\nurl = 'https://shop.example'\n{lines}\n")
    return file


@pytest.mark.parametrize("key", NAMING)
def test_a_folders_file_reads_no_variable_until_it_is_trusted(
    places: dict[str, Any], key: str
) -> None:
    file = written(places, NAMING[key])
    for _ in range(2):
        with pytest.raises(ProfileError) as refused:
            site("shop", **places)
        assert (refused.value.file, refused.value.key) == (str(file), f"sites.Shop.{key}")
        assert "SECRET is not read" in str(refused.value)
        assert "`tailrace trust`" in str(refused.value)
        assert "hunter2" not in str(refused.value)
    assert site("shop", trust=True, **places).name == "Shop"
    with pytest.raises(ProfileError):  # that was for once
        site("shop", **places)
    trust(file, file.read_bytes(), places["state_folder"])
    assert site("shop", **places).name == "Shop"
    file.write_text(file.read_text() + "# changed\n")
    with pytest.raises(ProfileError):
        site("shop", **places)


def test_a_site_without_variables_needs_no_trust(places: dict[str, Any]) -> None:
    written(places, "bot = '5'")
    assert site("shop", **places).bot == "5"


def test_the_users_own_files_are_trusted(places: dict[str, Any]) -> None:
    file = written(places, NAMING["cookies_env"], whose="user_folder")
    assert site("shop", **places).name == "Shop"
    named = {**places, "environ": {"TAILRACE_CONFIG": str(file)}, "user_folder": file.parent / "x"}
    assert site("shop", **named).name == "Shop"
    assert site("shop", **{**places, "folder": file.parent}).name == "Shop"  # one file, found twice


@pytest.mark.parametrize("trusted", [False, True])
def test_a_folders_file_hides_no_site_of_the_users(
    places: dict[str, Any], *, trusted: bool
) -> None:
    project, user = written(places), written(places, whose="user_folder")
    user.write_text(
        "[sites.sHOP]\nurl = 'https://mine.example'\n[sites.other]\nurl='http://o.example'"
    )
    with pytest.raises(ProfileError) as refused:
        site("shop", trust=trusted, **places)
    assert (refused.value.file, refused.value.key) == (str(project), "sites.Shop")
    assert f"hide the site of this name in {user}" in str(refused.value)
    assert site("other", **places).url == "http://o.example"
    found = find_profiles(**places)
    assert [(each.name, each.hides) for each in found.values()] == [
        ("Shop", user),
        ("other", None),
    ]


def test_a_gateway_serves_neither(places: dict[str, Any], tmp_path: Path) -> None:
    state = places.pop("state_folder")
    file = written(places, NAMING["cookies_env"])
    with pytest.raises(ProfileError, match="is not trusted"):
        ModelRegistry.load(created=0, **places)
    assert ModelRegistry.load(created=0, trust=True, **places).find("Shop/default")
    assert not is_trusted(file, file.read_bytes(), state)
    written(places, whose="user_folder")
    with pytest.raises(ProfileError, match="would hide the site"):
        ModelRegistry.load(created=0, trust=True, **places)
    assert tmp_path


def test_trust_is_of_one_file_and_ends(places: dict[str, Any], tmp_path: Path) -> None:
    file, state = written(places), places["state_folder"]
    data = file.read_bytes()
    copy = tmp_path / "copy.toml"
    copy.write_bytes(data)
    trust(file, data, state)
    assert [is_trusted(each, data, state) for each in (file, copy)] == [True, False]
    assert not is_trusted(file, data + b"\n", state)
    assert [revoke_trust(file, state) for _ in range(2)] == [True, False]
    assert not is_trusted(file, data, state)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such a name")
def test_a_folder_may_have_a_name_that_is_no_text(places: dict[str, Any], tmp_path: Path) -> None:
    places["folder"] = tmp_path / "no\udcfftext"
    file = written(places, NAMING["cookies_env"])
    with pytest.raises(ProfileError, match="SECRET is not read"):
        site("shop", **places)
    trust(file, file.read_bytes(), places["state_folder"])
    assert site("shop", **places).name == "Shop"
    assert revoke_trust(file, places["state_folder"])


@pytest.mark.parametrize("kept", [b"", b"{}", b'{"file": 5}', b"\xff" * 9, b"x" * 2**17])
def test_what_is_kept_and_makes_no_sense_is_no_trust(places: dict[str, Any], kept: bytes) -> None:
    file, state = written(places), places["state_folder"]
    trust(file, file.read_bytes(), state)
    (inside,) = (state / "trusted").iterdir()
    inside.write_bytes(kept)
    assert not is_trusted(file, file.read_bytes(), state)


def test_trust_that_cannot_be_kept_is_an_error(places: dict[str, Any], tmp_path: Path) -> None:
    file = written(places)
    (tmp_path / "a-file").touch()
    with pytest.raises(ProfileError, match="the trust in it cannot be kept"):
        trust(file, b"", tmp_path / "a-file")


def test_a_site_that_is_saved_leaves_the_file_trusted(places: dict[str, Any]) -> None:
    file, state = written(places, NAMING["cookies_env"]), places["state_folder"]
    new = ProfileSettings(url="https://new.example")
    save_found("new", new, file, **places)
    assert not is_trusted(file, file.read_bytes(), state)
    trust(file, file.read_bytes(), state)
    save_found("newer", new, file, **places)
    assert is_trusted(file, file.read_bytes(), state)


def test_a_site_that_would_hide_another_is_not_saved(places: dict[str, Any]) -> None:
    user = written(places, whose="user_folder")
    file = places["folder"] / "tailrace.toml"
    file.write_text("")
    with pytest.raises(ProfileError, match="would hide it") as refused:
        save_found("SHOP", ProfileSettings(url="https://new.example"), file, force=True, **places)
    assert refused.value.file == str(user)
    assert file.read_text() == ""
