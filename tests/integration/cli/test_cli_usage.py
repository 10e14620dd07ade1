"""The command line as a whole: help, version, and the codes it documents."""

from __future__ import annotations

import pytest
from cli_process import run, run_process, run_without_reader

from tailrace import __version__
from tailrace._cli import cli, exits


async def test_version() -> None:
    end = await run_process("--version")
    assert (end.code, end.stdout, end.stderr) == (0, f"tailrace, version {__version__}\n", "")


async def test_help_names_every_command_and_every_code() -> None:
    end = await run("--help")
    assert (end.code, end.stderr) == (0, "")
    for name in cli.commands:
        assert f"\n  {name} " in end.stdout
    for code in (
        exits.OK,
        exits.USAGE,
        exits.SITE,
        exits.NETWORK,
        exits.INTERRUPTED,
        exits.BROKEN_PIPE,
    ):
        assert f" {code} " in end.stdout


@pytest.mark.parametrize("name", sorted(cli.commands))
async def test_every_option_is_explained(name: str) -> None:
    end = await run(name, "-h")
    assert (end.code, end.stderr) == (0, "")
    for parameter in cli.commands[name].params:
        record = parameter.to_info_dict()
        if record.get("hidden"):  # a former name, refused with the one it has now
            assert record["opts"][-1] not in end.stdout
        elif record["param_type_name"] == "option" and record["name"] != "help":
            assert record["opts"][-1] in end.stdout
            assert record["help"]


@pytest.mark.parametrize(
    ("arguments", "says"), [([], "Usage: tailrace"), (["sing"], "No such command 'sing'")]
)
async def test_without_a_command_it_is_2(arguments: list[str], says: str) -> None:
    end = await run(*arguments)
    assert (end.code, end.stdout) == (2, "")
    assert says in end.stderr


async def test_help_that_nobody_reads_is_141() -> None:
    for arguments in (["--help"], ["--version"], ["chat", "--help"]):
        end = await run_without_reader(*arguments)
        assert (end.code, end.stderr) == (141, "")
