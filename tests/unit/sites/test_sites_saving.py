"""A profile written into a file: what is added, what stays, what is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tailrace.errors import ProfileError
from tailrace.sites._profiles import MAX_FILE_BYTES, ProfileSettings, read_profiles
from tailrace.sites._saving import file_for_saving, save_profile

if TYPE_CHECKING:
    from pathlib import Path

SETTINGS = ProfileSettings(url="https://new.example/x", bot="7")
TABLE = '[sites.new]\nurl = "https://new.example/x"\nsoftware = "wordpress"\nbot = "7"\n'

BEFORE = """\
# my sites
[sites.a]
url = "https://a.example"   # the first

[sites.new]
url = "https://old.example"
models = [
    "x",
]
[sites.new.headers]
X = "y"

# about b
[sites.b]
url = "https://b.example"
"""
AFTER = f"""\
# my sites
[sites.a]
url = "https://a.example"   # the first

{TABLE}
# about b
[sites.b]
url = "https://b.example"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "tailrace.toml"


def test_a_file_is_made(file: Path) -> None:
    save_profile("new", SETTINGS, file)
    assert file.read_text() == TABLE
    assert [path.name for path in file.parent.iterdir()] == ["tailrace.toml"]


def test_everything_a_profile_may_say_is_read_back(file: Path) -> None:
    settings = ProfileSettings(
        url="https://new.example/x",
        endpoint="https://new.example/e",
        models=['a "b"', "c\\d", "é\x7f\t\u2028"],
        aliases={"x y": "c\\d"},
        timeout=2.5,
        headers={"X-A": "b=c"},
    )
    save_profile("New_1", settings, file)
    (profile,) = read_profiles(file)
    assert (profile.name, profile.settings) == ("New_1", settings)


@pytest.mark.parametrize(
    ("before", "gap"),
    [
        ("[sites.a]\nurl = 'http://a'\n", "\n"),
        ("[sites.a]\nurl = 'http://a'", "\n\n"),
        ("# x\n", "\n"),
        ("", ""),
    ],
)
def test_a_site_is_added_at_the_end(file: Path, before: str, gap: str) -> None:
    file.parent.mkdir()
    file.write_text(before)
    save_profile("new", SETTINGS, file)
    assert file.read_text() == before + gap + TABLE


@pytest.mark.parametrize("name", ["new", "NEW"])
def test_a_site_is_replaced_when_asked_to_and_all_else_stays(file: Path, name: str) -> None:
    file.parent.mkdir()
    file.write_text(BEFORE)
    file.chmod(0o640)
    mode = file.stat().st_mode
    with pytest.raises(ProfileError, match=r"sites\.new: a site of this name is there already"):
        save_profile(name, SETTINGS, file)
    assert file.read_text() == BEFORE
    save_profile(name, SETTINGS, file, force=True)
    assert file.read_text() == AFTER.replace("[sites.new]", f"[sites.{name}]")
    assert file.stat().st_mode == mode


def test_a_site_at_the_end_is_replaced(file: Path) -> None:
    file.parent.mkdir()
    file.write_text("[sites.b]\nurl = 'http://b'\n\n[sites.new]\nurl = 'http://n'\n# the end\n")
    save_profile("new", SETTINGS, file, force=True)
    assert file.read_text() == f"[sites.b]\nurl = 'http://b'\n\n{TABLE}\n# the end\n"


def test_line_ends_and_links_stay(file: Path, tmp_path: Path) -> None:
    real = tmp_path / "real.toml"
    real.write_text("# one\r\n[sites.a]\r\nurl = 'http://a'\r\n", newline="")
    file.parent.mkdir()
    file.symlink_to(real)
    save_profile("new", SETTINGS, file)
    assert file.is_symlink()
    assert real.read_bytes().count(b"\r\n") == real.read_bytes().count(b"\n") == 8
    assert [each.name for each in read_profiles(file)] == ["a", "new"]


@pytest.mark.parametrize(
    "text",
    [
        'sites = { new = { url = "http://a" } }\n',
        'sites.new.url = "http://a"\n',
        '[sites]\nnew = { url = "http://a" }\n',
        '[sites]\nnew.url = "http://a"\n',
        '["sites".new]\nurl = "http://a"\n',
        '[sites.new]\nurl = """http://a\\\n[sites.b]"""\n',
    ],
)
def test_what_cannot_be_edited_is_refused_and_left_alone(file: Path, text: str) -> None:
    file.parent.mkdir()
    file.write_text(text)
    with pytest.raises(ProfileError, match=r"change it by hand|expected") as caught:
        save_profile("new", SETTINGS, file, force=True)
    assert caught.value.file == str(file)
    assert file.read_text() == text
    assert [path.name for path in file.parent.iterdir()] == ["tailrace.toml"]


def test_a_wrong_file_or_name_is_refused(file: Path) -> None:
    for name in ("my.site", "GPROChat", ""):
        with pytest.raises(ProfileError):
            save_profile(name, SETTINGS, file)
    assert not file.exists()
    file.parent.mkdir()
    file.write_text("[sites.a]\nurl = 5\n")
    with pytest.raises(ProfileError, match=r"sites\.a\.url"):
        save_profile("new", SETTINGS, file)
    file.write_bytes(b"#" * (MAX_FILE_BYTES + 1))
    with pytest.raises(ProfileError, match="larger than"):
        save_profile("new", SETTINGS, file)


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a-file").touch()
    with pytest.raises(ProfileError, match="it cannot be written"):
        save_profile("new", SETTINGS, tmp_path / "a-file" / "tailrace.toml")


def test_where_a_new_site_goes(tmp_path: Path) -> None:
    user, project = tmp_path / "user", tmp_path / "project"
    project.mkdir()
    places = {"folder": project, "user_folder": user}
    assert file_for_saving(environ={}, **places) == user / "tailrace.toml"
    (project / "tailrace.toml").touch()
    assert file_for_saving(environ={}, **places) == project / "tailrace.toml"
    named = tmp_path / "named.toml"
    assert file_for_saving(environ={"TAILRACE_CONFIG": str(named)}, **places) == named
