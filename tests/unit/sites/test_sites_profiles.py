"""Profiles: what a file may say, where files are looked for, and what is said of a wrong one."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from textwrap import dedent

import platformdirs
import pytest

from tailrace._calls.retry_policy import RetryPolicy
from tailrace.errors import InvalidRequestError, ProfileError
from tailrace.sites._profiles import (
    MAX_FILE_BYTES,
    Profile,
    ProfileSettings,
    RetrySettings,
    load_profiles,
    parse_profiles,
    profile_files,
    read_profiles,
    user_file,
)
from tailrace.sites._software import SOFTWARE

FILE = Path("/somewhere/tailrace.toml")

WHOLE = """
[sites.shop]
url = "https://shop.example/help"
endpoint = "https://shop.example/sub/wp-admin/admin-ajax.php"
bot = "4711"
models = ["gpt-4o", "gpt-4"]
aliases = { best = "gpt-4o" }
default_model = "gpt-4"
cookies_env = "SHOP_COOKIES"
proxy = "socks5://127.0.0.1:9050"
timeout = 30
connect_timeout = 2.5
total_timeout = 600
max_reply_bytes = 1_000_000
bot_name = "Help"
native_history = true
retry = { attempts = 5, longest_wait = 4 }

[sites.shop.headers]
Accept-Language = "de"

[sites.shop.headers_env]
Authorization = "SHOP_TOKEN"

[sites.Gem]
url = "http://127.0.0.1:3000"
software = "geminiprochat"
secret_key_env = "GEM_KEY"
password_env = "GEM_PASSWORD"
proxy_env = "GEM_PROXY"
"""


def site(lines: str) -> str:
    return f'[sites.shop]\nurl = "https://shop.example/"\n{dedent(lines)}'


def test_everything_a_profile_may_say() -> None:
    shop, gem = parse_profiles(WHOLE, FILE)
    assert shop == Profile(
        "shop",
        ProfileSettings(
            url="https://shop.example/help",
            software="wordpress",
            endpoint="https://shop.example/sub/wp-admin/admin-ajax.php",
            bot="4711",
            models=["gpt-4o", "gpt-4"],
            aliases={"best": "gpt-4o"},
            default_model="gpt-4",
            cookies_env="SHOP_COOKIES",
            proxy="socks5://127.0.0.1:9050",
            timeout=30.0,
            connect_timeout=2.5,
            total_timeout=600.0,
            max_reply_bytes=1_000_000,
            bot_name="Help",
            native_history=True,
            retry=RetrySettings(attempts=5, longest_wait=4.0),
            headers={"Accept-Language": "de"},
            headers_env={"Authorization": "SHOP_TOKEN"},
        ),
        FILE,
    )
    assert shop.settings.retry is not None
    assert shop.settings.retry.policy() == RetryPolicy(attempts=5, longest_wait=4.0)
    assert shop.settings.variables() == {
        "SHOP_COOKIES": "cookies_env",
        "SHOP_TOKEN": "headers_env.Authorization",
    }
    assert (gem.name, gem.settings.software) == ("Gem", "geminiprochat")
    assert gem.settings.variables() == {
        "GEM_KEY": "secret_key_env",
        "GEM_PASSWORD": "password_env",
        "GEM_PROXY": "proxy_env",
    }


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "[sites]\n"])
def test_a_file_may_name_no_site(text: str) -> None:
    assert parse_profiles(text, FILE) == []


@pytest.mark.parametrize(
    ("text", "key", "expected"),
    [
        ("[site.shop]", "site", "unknown key: a site is a table [sites.NAME]"),
        ("sites = 3", "sites", "expected tables [sites.NAME]"),
        ("[model.x]", "model", "did you mean 'models'? unknown key"),
        ("models = 3", "models", "expected tables [models.NAME]"),
        ("[models.x]", "models.x.sites", "expected a list of sites, and it is missing"),
        ("[models.x]\nsites = []", "models.x.sites", "expected array of length >= 1"),
        ("[models.x]\nsites = ['']", "models.x.sites[0]", "expected str of length >= 1"),
        ("[models.x]\nsites = 'shop'", "models.x.sites", "expected array, got str"),
        ("[site.x]\nurl = 'http://a.example'", "site", "did you mean 'sites'? unknown key"),
        ("[shop]\nurl = 'http://a.example'", "shop", "did you mean [sites.shop]? unknown key"),
        (
            "[sites.shop]\nurl = 'http://a.example'\nmodel = 'x'",
            "sites.shop.model",
            "did you mean 'default_model'? unknown key",
        ),
        (
            "[sites.shop]\nurl = 'http://a.example'\nretries = 3",
            "sites.shop.retries",
            "did you mean 'retry'? unknown key",
        ),
        ("[chat]\nsit = 'x'", "chat.sit", "did you mean 'site'? unknown key"),
        ("[sites.x]\nulr = 'http://x'", "sites.x.ulr", "did you mean 'url'? unknown key"),
        ("[chat]\nkeep = 'no'", "chat.keep", "expected bool, got str"),
        ("chat = 5", "chat", "expected object, got int"),
        ("[models.x]\nsite = ['a']", "models.x.site", "did you mean 'sites'? unknown key"),
        ("[models.'a b']\nsites = ['a']", "models.a b", "a group's name is 1 to 128 letters"),
        ("[sites]\nshop = 'https://shop.example'", "sites.shop", "expected object, got str"),
        ("[sites.shop]", "sites.shop.url", "expected str, and it is missing"),
        ("[sites.shop]\nurl = 5", "sites.shop.url", "expected str, got int"),
        ("[sites.shop]\nurl = ''", "sites.shop.url", "expected str of length >= 1"),
        (
            "[sites.shop]\nurl = 'shop.example'",
            "sites.shop.url",
            "the URL has no scheme: write https://shop.example",
        ),
        ("[sites.shop]\nurl = 'ftp://shop.example'", "sites.shop.url", "must be http or https"),
        (
            "[sites.shop]\nurl = 'https://me:hunter2@shop.example'",
            "sites.shop.url",
            "without user and password",
        ),
        (
            site("urll = 'x'"),
            "sites.shop.urll",
            "unknown key; expected one of url, software, endpoint, bot, bot_name",
        ),
        (
            site("software = 'gopher'"),
            "sites.shop.software",
            f"expected one of {', '.join(SOFTWARE)}",
        ),
        (
            site("endpoint = 'https://other.example/x'"),
            "sites.shop.endpoint",
            "expected a URL at https://shop.example",
        ),
        (site("endpoint = '/wp-admin'"), "sites.shop.endpoint", "expected an http or https URL"),
        (site("bot = 5"), "sites.shop.bot", "expected str, got int"),
        (site("models = 'gpt-4'"), "sites.shop.models", "expected array, got str"),
        (site("models = ['gpt-4', 4]"), "sites.shop.models[1]", "expected str, got int"),
        (
            site("models = ['a']\ndefault_model = 'b'"),
            "sites.shop.default_model",
            "expected one of models: a",
        ),
        (
            site("models = ['a']\naliases = { x = 'b' }"),
            "sites.shop.aliases.x",
            "expected one of models: a",
        ),
        (
            site("secret_key_env = 'KEY'"),
            "sites.shop.secret_key_env",
            "a site of the software wordpress has no such",
        ),
        (
            site("software = 'geminiprochat'\nbot = '1'"),
            "sites.shop.bot",
            "a site of the software geminiprochat has no",
        ),
        (
            site("cookies_env = 'a=hunter2; c'"),
            "sites.shop.cookies_env",
            "expected str matching regex",
        ),
        (site("headers = { a = 1 }"), "sites.shop.headers", "expected str, got int"),
        (
            site("headers = { 'a b' = 'x' }"),
            "sites.shop.headers",
            "a character that no name may hold",
        ),
        (
            site("headers = { Cookie = 'x' }"),
            "sites.shop.headers",
            "the header Cookie is the transport's to set",
        ),
        (
            site("headers = { Authorization = 'hunter2' }"),
            "sites.shop.headers.authorization",
            "name its variable",
        ),
        (
            site("headers_env = { Host = 'X' }"),
            "sites.shop.headers_env",
            "the header Host is the transport's to set",
        ),
        (site("proxy = 'gopher://x:1'"), "sites.shop.proxy", "a proxy of kind 'gopher' is unknown"),
        (site("proxy = 'http://u:hunter2@x:1'"), "sites.shop.proxy", "without user and password"),
        (site("proxy = 'http://x:1'\nproxy_env = 'P'"), "sites.shop.proxy_env", "not both"),
        (site("timeout = 0"), "sites.shop.timeout", "expected float > 0.0"),
        (site("timeout = -1"), "sites.shop.timeout", "expected float > 0.0"),
        (site("timeout = nan"), "sites.shop.timeout", "expected float"),
        (site("timeout = inf"), "sites.shop.timeout", "expected float <= 1000000.0"),
        (site("concurrency = 0"), "sites.shop.concurrency", "expected int >= 1"),
        (site("concurrency = 1.5"), "sites.shop.concurrency", "expected int, got float"),
        (site("rate = 0.5"), "sites.shop.rate", "expected float >= 1.0"),
        (site("rate = 5\nper = 0"), "sites.shop.per", "expected float > 0.0"),
        (site("retry = 3"), "sites.shop.retry", "expected object, got int"),
        (site("retry = { attempts = 0 }"), "sites.shop.retry.attempts", "expected int >= 1"),
        (
            site("retry = { waits = 1 }"),
            "sites.shop.retry.waits",
            "unknown key; expected one of attempts, first_wait",
        ),
        (site("retry = { first_wait = nan }"), "sites.shop.retry.first_wait", "expected float"),
        (site("max_reply_bytes = 0"), "sites.shop.max_reply_bytes", "expected int >= 1"),
        (
            site("software = 'chatgpt-demo'\nnative_history = true"),
            "sites.shop.native_history",
            "software chatgpt-demo has no such",
        ),
        (
            site("dialect = 'aipkit'"),
            "sites.shop.dialect",
            'the key is now software; write software = "wordpress"',
        ),
        (
            site("dialect = 'geminiprochat'"),
            "sites.shop.dialect",
            'the key is now software; write software = "geminiprochat"',
        ),
        (
            site("dialect = 5"),
            "sites.shop.dialect",
            'the key is now software; write software = "wordpress"',
        ),
        (
            site("software = 'ai-power'"),
            "sites.shop.software",
            "'ai-power' is now called wordpress: write software = \"wordpress\"",
        ),
        (
            site("software = 'aipkit'"),
            "sites.shop.software",
            "'aipkit' is now called wordpress",
        ),
        (
            site("software = 'openai'\nbot_name = 'x'"),
            "sites.shop.bot_name",
            "software openai has no such",
        ),
        (site("per = 5"), "sites.shop.per", "expected together with rate"),
        (site("timeout = '5'"), "sites.shop.timeout", "expected float, got str"),
        (site("connect_timeout = true"), "sites.shop.connect_timeout", "expected float, got bool"),
        (
            "[sites.'my shop']\nurl = 'https://a.example'",
            "sites.my shop",
            "1 to 64 letters, digits, - and _",
        ),
        ("[sites.'-x']\nurl = 'https://a.example'", "sites.-x", "1 to 64 letters, digits, - and _"),
        (
            "[sites.chatgptt]\nurl = 'https://a.example'",
            "sites.chatgptt",
            "belongs to the provider ChatGptt",
        ),
        (
            "[sites.a]\nurl = 'https://a.example'\n[sites.A]\nurl = 'https://a.example'",
            "sites.A",
            "in another case",
        ),
        ("[sites.shop\nurl = 5", "", "it is not TOML:"),
        ("a = " + "[" * 20_000, "", "nested too deeply"),
        ("a = " + "9" * 20_000, "", "it is not TOML:"),
    ],
)
def test_a_wrong_file_is_refused_with_file_key_and_what_was_expected(
    text: str, key: str, expected: str
) -> None:
    with pytest.raises(ProfileError) as caught:
        parse_profiles(text, FILE)
    error = caught.value
    assert (error.file, error.key) == (str(FILE), key)
    assert str(error).startswith(f"{FILE}: {key}: " if key else f"{FILE}: ")
    assert expected in str(error)
    assert "hunter2" not in str(error)
    assert isinstance(error, InvalidRequestError)
    for copied in (copy.copy(error), pickle.loads(pickle.dumps(error))):  # noqa: S301 - ours
        assert (copied.file, copied.key, str(copied)) == (error.file, error.key, str(error))


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    large, binary = tmp_path / "large.toml", tmp_path / "binary.toml"
    large.write_bytes(b"#" * (MAX_FILE_BYTES + 1))
    binary.write_bytes(b"\xff\xfe")
    for file, says in (
        (tmp_path / "none.toml", "No such file"),
        (tmp_path, "Is a directory"),
        (large, f"larger than {MAX_FILE_BYTES} bytes"),
        (binary, "not UTF-8"),
    ):
        with pytest.raises(ProfileError, match=says) as caught:
            read_profiles(file)
        assert (caught.value.file, caught.value.key) == (str(file), "")


def test_a_file_of_the_largest_size_is_read(tmp_path: Path) -> None:
    file = tmp_path / "tailrace.toml"
    file.write_text(
        WHOLE.replace("\n", "\r\n") + "#" * (MAX_FILE_BYTES - len(WHOLE) - WHOLE.count("\n")),
        newline="",
    )
    assert file.stat().st_size == MAX_FILE_BYTES
    assert [each.name for each in read_profiles(file)] == ["shop", "Gem"]


# -- where files are looked for --------------------------------------------------------------------


def written(file: Path, url: str = "https://a.example", name: str = "shop") -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f'[sites.{name}]\nurl = "{url}"\n')
    return file


def test_the_projects_file_comes_before_the_users(tmp_path: Path) -> None:
    project = written(tmp_path / "project" / "tailrace.toml", "https://project.example")
    user = written(tmp_path / "user" / "tailrace.toml", "https://user.example")
    files = profile_files(environ={}, folder=project.parent, user_folder=user.parent)
    assert files == [project, user]
    assert load_profiles(files)["shop"].settings.url == "https://project.example"
    written(user, "https://user.example", "Mine")
    profiles = load_profiles(files)
    assert {name: each.name for name, each in profiles.items()} == {"shop": "shop", "mine": "Mine"}
    assert profiles["mine"].file == user


def test_folders_above_are_looked_at_inside_a_repository_only(tmp_path: Path) -> None:
    above = written(tmp_path / "tailrace.toml")
    below = tmp_path / "repository" / "a" / "b"
    below.mkdir(parents=True)

    def found(folder: Path) -> list[Path]:
        return profile_files(environ={}, folder=folder, user_folder=tmp_path / "nobody")

    assert found(below) == []
    assert found(tmp_path) == [above]
    (tmp_path / "repository" / ".git").mkdir()
    assert found(below) == []  # the one above stands outside the repository
    root = written(tmp_path / "repository" / "tailrace.toml")
    assert found(below) == [root]
    nearest = written(tmp_path / "repository" / "a" / "tailrace.toml")
    assert found(below) == [nearest]


def test_the_variable_names_the_only_file(tmp_path: Path) -> None:
    project = written(tmp_path / "tailrace.toml")
    named = tmp_path / "mine.toml"
    places = {"folder": tmp_path, "user_folder": tmp_path}
    assert profile_files(environ={"TAILRACE_CONFIG": str(named)}, **places) == [named]
    assert profile_files(environ={"TAILRACE_CONFIG": ""}, **places) == [project, project]
    with pytest.raises(ProfileError, match="No such file"):
        load_profiles([named])


def test_nothing_is_needed(tmp_path: Path) -> None:
    assert profile_files(environ={}, folder=tmp_path, user_folder=tmp_path / "none") == []
    assert load_profiles([]) == {}


def test_the_users_file_is_where_the_system_keeps_settings() -> None:
    assert (
        user_file() == platformdirs.user_config_path("tailrace", appauthor=False) / "tailrace.toml"
    )
