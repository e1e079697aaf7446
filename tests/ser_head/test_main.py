"""Console script `ser`: every command as a subcommand."""

import pytest

from ser_embed import __version__
from ser_head.__main__ import COMMANDS, main
from tests.test_rules import commands


def test_every_command_is_a_subcommand():
    assert sorted(module for module, _ in COMMANDS.values()) == sorted(commands())


@pytest.mark.parametrize("name", COMMANDS)
def test_a_subcommand_is_called_by_its_name(name, capsys):
    with pytest.raises(SystemExit) as stopped:
        main([name, "--help"])
    assert stopped.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: ser {name} ")
    with pytest.raises(SystemExit) as stopped:
        main([name, "--no-such-flag"])
    assert stopped.value.code == 2
    assert f"(see ser {name} --help)" in capsys.readouterr().err


def test_without_a_command_it_lists_them(capsys):
    assert main([]) == 2
    assert "usage: ser COMMAND" in capsys.readouterr().out
    assert main(["--help"]) == 0
    listed = capsys.readouterr().out
    assert all(f"  {name} " in listed for name in COMMANDS)
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"twostage-ser {__version__}\n"


def test_an_unknown_command_is_one_line(capsys):
    assert main(["trian"]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err == f"error: no command 'trian'; expected one of {', '.join(COMMANDS)}\n"


def test_a_failure_is_the_commands_own(capsys, tmp_path):
    assert main(["inspect", str(tmp_path / "no.h5")]) == 2
    assert capsys.readouterr().err.startswith("error: no store at ")
