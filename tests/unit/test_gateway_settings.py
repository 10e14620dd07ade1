"""A gateway's settings and keys: what cannot be safe is refused when it is made, and no key is ever
shown.
"""

from __future__ import annotations

import hashlib
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tailrace.errors import InvalidRequestError
from tailrace.gateway import Key, Settings, keys_of_environment, read_keys
from tailrace.gateway._key_files import check_secrecy
from tailrace.gateway._keys import KeyRing

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "sk-tailrace-0123456789abcdef"
OTHER = "sk-tailrace-fedcba9876543210"
ANY = ".".join("0000")


def named(ring: KeyRing, secret: bytes) -> str | None:
    found = ring.find(secret)
    return None if found is None else found.name


def test_it_listens_on_loopback_unless_told() -> None:
    settings = Settings()
    assert settings.host == "127.0.0.1"
    assert settings.hosts == {"localhost", "127.0.0.1", "[::1]"}


@pytest.mark.parametrize("host", ["127.0.0.1", "127.3.2.1", "::1", "localhost", "LOCALHOST"])
def test_loopback_needs_no_key(host: str) -> None:
    Settings(host=host)


@pytest.mark.parametrize(
    "host", [ANY, "::", "192.0.2.7", "gateway.example", "localhost.example", "127.0.0.1.example"]
)
def test_any_other_address_needs_one(host: str) -> None:
    with pytest.raises(InvalidRequestError, match="without a key it is not served"):
        Settings(host=host)
    assert len(Settings(host=host, keys=(Key.of("ops", SECRET),)).ring) == 1


def test_hosts_are_those_bound_and_those_allowed() -> None:
    keys = (Key.of("ops", SECRET),)
    assert Settings(host=ANY, keys=keys, allowed_hosts=("Chat.example",)).hosts == {"chat.example"}
    assert Settings(host="192.0.2.7", keys=keys).hosts == {"192.0.2.7"}
    assert Settings(host="::1").hosts == {"localhost", "127.0.0.1", "[::1]"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"port": 65_536},
        {"port": -1},
        {"port": True},
        {"max_body_bytes": 0},
        {"header_timeout": 0},
        {"body_timeout": float("nan")},
        {"idle_timeout": float("inf")},
        {"send_timeout": 0},
        {"max_connections": 0},
        {"rate": 0},
        {"rate": float("nan")},
        {"concurrency": 0},
        {"grace": -1},
        {"workers": 0},
        {"cors_origins": ("*",)},
        {"cors_origins": ("https://app.example/",)},
        {"cors_origins": ("https://app.example:443",)},
        {"cors_origins": ("https://App.example",)},
        {"cors_origins": ("https://user@app.example",)},
        {"cors_origins": ("app.example",)},
        {"cors_origins": ("https://app.example:port",)},
        {"cors_origins": ("null",)},
        {"allowed_hosts": ("*",)},
        {"allowed_hosts": ("https://chat.example",)},
        {"allowed_hosts": ("chat.example/path",)},
        {"allowed_hosts": ("a:b:c",)},
        {"allowed_hosts": ("",)},
    ],
)
def test_a_wrong_setting_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequestError):
        Settings(**wrong)


@pytest.mark.parametrize(
    "origin", ["https://app.example", "http://127.0.0.1:5173", "http://[::1]:5173"]
)
def test_an_origin_is_written_as_browsers_do(origin: str) -> None:
    assert Settings(cors_origins=(origin,)).cors_origins == (origin,)


def test_a_ring_knows_each_key_by_its_name() -> None:
    ring = KeyRing([Key.of("first", SECRET), Key.of("second", OTHER)])
    assert named(ring, SECRET.encode()) == "first"
    assert named(ring, OTHER.encode()) == "second"
    for wrong in (
        b"",
        SECRET[:-1].encode(),
        SECRET.encode() + b"x",
        SECRET.upper().encode(),
        "sk-é".encode(),
        b"\xff",
    ):
        assert named(ring, wrong) is None


def test_every_key_is_compared_whichever_is_right(monkeypatch: pytest.MonkeyPatch) -> None:
    import hmac  # noqa: PLC0415

    seen: list[tuple[int, int]] = []
    real = hmac.compare_digest

    def counted(given: bytes, known: bytes) -> bool:
        seen.append((len(given), len(known)))
        return real(given, known)

    monkeypatch.setattr(hmac, "compare_digest", counted)
    ring = KeyRing([Key.of(f"key{number}", f"{SECRET}{number}") for number in range(5)])
    for given in (f"{SECRET}0", f"{SECRET}4", "no key at all"):
        seen.clear()
        ring.find(given.encode())
        assert seen == [(32, 32)] * 5


def test_names_and_keys_stand_once() -> None:
    with pytest.raises(InvalidRequestError, match="only once"):
        KeyRing([Key.of("a", SECRET), Key.of("a", OTHER)])
    with pytest.raises(InvalidRequestError, match="only once"):
        KeyRing([Key.of("a", SECRET), Key.of("b", SECRET)])


def test_no_repr_shows_a_key() -> None:
    key = Key.of("ops", SECRET)
    settings = Settings(keys=(key,))
    for shown in (repr(key), str(key), repr(settings), repr(settings.ring)):
        assert SECRET not in shown
        assert key.digest.hex() not in shown
        assert repr(key.digest) not in shown


def test_a_file_of_keys(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(f"# who may ask\n\nops:{SECRET}\n laptop : {OTHER} \n")
    assert [key.name for key in read_keys(file)] == ["ops", "laptop"]
    ring = KeyRing(read_keys(file))
    assert named(ring, OTHER.encode()) == "laptop"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "holds no key"),
        ("# nothing\n", "holds no key"),
        (SECRET, "line 1: expected name:key"),
        (f"ops:{SECRET}\nlaptop {OTHER}", "line 2: expected name:key"),
        (f"a name:{SECRET}", "a key's name is"),
        (f":{SECRET}", "a key's name is"),
        ("ops:short", "must be 16 to 512 visible"),
        (f"ops:{SECRET} {SECRET}", "must be 16 to 512 visible"),
        (f"ops:{SECRET}é", "must be 16 to 512 visible"),
        (f"ops:{'k' * 513}", "must be 16 to 512 visible"),
    ],
)
def test_a_bad_file_is_named_with_its_line_and_without_its_keys(
    tmp_path: Path, text: str, says: str
) -> None:
    file = tmp_path / "keys"
    file.write_text(text)
    with pytest.raises(InvalidRequestError) as raised:
        read_keys(file)
    assert says in str(raised.value)
    assert str(file) in str(raised.value)
    for secret in (SECRET, OTHER, "short", "k" * 20):
        assert secret not in str(raised.value)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequestError, match="cannot be read"):
        read_keys(tmp_path / "none")


@pytest.mark.skipif(sys.platform == "win32", reason="a file's mode says nothing of others there")
def test_a_file_others_may_read_is_warned_about(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(f"ops:{SECRET}")
    file.chmod(0o644)
    warning = check_secrecy(file)
    assert warning is not None
    assert "mode 644" in warning
    file.chmod(0o600)
    assert check_secrecy(file) is None


def test_keys_of_the_environment() -> None:
    assert keys_of_environment({}) == []
    found = keys_of_environment({"TAILRACE_KEYS": f"ops:{SECRET},laptop:{OTHER}"})
    assert [key.name for key in found] == ["ops", "laptop"]
    with pytest.raises(InvalidRequestError, match="TAILRACE_KEYS, line 1: expected name:key"):
        keys_of_environment({"TAILRACE_KEYS": SECRET})


# -- keys with limits ------------------------------------------------------------------------------

TABLES = f"""
# who may ask
[keys.ops]
key = "{SECRET}"

[keys.shop]
key_sha256 = "{hashlib.sha256(OTHER.encode()).hexdigest()}"
models = ["shop/*", "gpt-4o"]
rate = 60
concurrency = 4
expires = 2027-01-01
"""


def test_a_file_of_tables(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(TABLES)
    ops, shop = read_keys(file)
    assert (ops.name, ops.models, ops.rate, ops.concurrency, ops.expiry) == (
        *("ops", (), None, None, ""),
    )
    assert ops.may_ask_for("anything/at all")
    assert KeyRing([ops, shop]).find(OTHER.encode()) is shop
    assert (shop.rate, shop.concurrency, shop.expiry) == (60, 4, "2027-01-01 00:00 UTC")
    asked = ("shop/x", "shop/x/y", "gpt-4o", "gem/x", "gpt-4o-mini", "SHOP/x")
    assert [shop.may_ask_for(each) for each in asked] == [True, True, True, False, False, False]
    moment = 1_798_761_600_000
    assert [shop.has_expired(now) for now in (moment - 1, moment)] == [False, True]
    assert not ops.has_expired(moment)


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ("", "table 1: expected either key or key_sha256"),
        (f'key = "{SECRET}"\nkey_sha256 = "{"0" * 64}"', "expected either key or key_sha256"),
        ('key = "short"', "must be 16 to 512 visible"),
        ('key_sha256 = "123"', "key_sha256: expected str matching regex"),
        (f'key = "{SECRET}"\nmodel = ["x"]', "model: did you mean 'models'? unknown key"),
        (f'key = "{SECRET}"\nmodels = []', "models: expected array of length >= 1"),
        (f'key = "{SECRET}"\nmodels = [""]', "each of 1 to 256 characters"),
        (f'key = "{SECRET}"\nrate = 0', "rate of the key 'ops' must be a number"),
        (f'key = "{SECRET}"\nrate = nan', "rate of the key 'ops' must be a number"),
        (f'key = "{SECRET}"\nconcurrency = 0', "concurrency of the key 'ops' must be a whole"),
        (f'key = "{SECRET}"\nconcurrency = "4"', "concurrency: expected int, got str"),
        (f'key = "{SECRET}"\nexpires = "soon"', "expires: expected a day"),
        (f'key = "{SECRET}"\nexpires = 2027-01-01T00:00:00', "a time with its offset"),
        (f'key = "{SECRET}"\nexpires = 0001-01-01T00:00:00+05:00', "between the years 1 and"),
        (f'key = "{SECRET}', "it is not TOML at line 2"),
        ("rate = " + "9" * 20_000, "it is not TOML"),
        (f'key = "{SECRET}"\n[other]', "other: unknown key: a key is a table [keys.NAME]"),
    ],
)
def test_a_bad_table_is_named_without_its_key(tmp_path: Path, table: str, says: str) -> None:
    file = tmp_path / "keys"
    file.write_text(f"[keys.ops]\n{table}\n")
    with pytest.raises(InvalidRequestError) as raised:
        read_keys(file)
    assert says in str(raised.value)
    assert str(file) in str(raised.value)
    assert not [secret for secret in (SECRET, OTHER, "short") if secret in str(raised.value)]
