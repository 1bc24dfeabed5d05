"""What commands print."""

import pytest
import typer
from rich.table import Table

from ops.cli import output


def test_json_is_one_line_and_keeps_text_as_it_is(capsys):
    output.print_json({"pair": "₿/USDT", "price": "0.10"})
    assert capsys.readouterr().out == '{"pair": "₿/USDT", "price": "0.10"}\n'


def test_a_table_in_a_pipe_has_no_padding_and_is_not_folded(capsys):
    table = Table(box=None, pad_edge=False)
    table.add_column("A")
    table.add_row("x" * 300)
    table.add_row("y")
    output.show(table)
    lines = capsys.readouterr().out.splitlines()
    assert [line.rstrip() for line in lines] == lines
    assert "x" * 300 in lines


def test_a_note_is_not_on_stdout(capsys):
    output.note("careful")
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "fleet: careful\n")


def test_a_reader_that_went_away_ends_the_command_with_0(monkeypatch):
    class Gone:
        def write(self, _text: str) -> int:
            raise BrokenPipeError

        def flush(self) -> None:
            raise AssertionError("nothing was written")

    muted = []
    monkeypatch.setattr("sys.stdout", Gone())
    monkeypatch.setattr(output, "_mute", lambda: muted.append(True))
    with pytest.raises(typer.Exit) as ended:
        output.line("text")
    assert ended.value.exit_code == 0
    assert muted
