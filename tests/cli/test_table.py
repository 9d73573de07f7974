"""The table: columns that are empty everywhere go, and what is left fits."""

from hypothesis import given
from hypothesis import strategies as st

from bgjob_cli.table import Cell, Column, render
from bgjob_cli.terminal_text import display_width

COLUMNS = (
    Column("ID"),
    Column("NAME", enough=8, least=4),
    Column("CPU", right=True, rank=2),
    Column("OUT", right=True, rank=1),
    Column("COMMAND", enough=12, least=7),
)


def plain(text: str, _style: str) -> str:
    return text


def table(rows: list[list[str]], width: int | None) -> list[str]:
    return render(COLUMNS, [[Cell(text) for text in row] for row in rows], width, plain)


def test_columns_line_up_and_lines_have_no_spaces_at_their_end() -> None:
    assert table([["aa", "build", "1s", "12 B", "make"], ["bb", "x", "10s", "3 B", ""]], None) == [
        "ID  NAME   CPU   OUT  COMMAND",
        "aa  build   1s  12 B  make",
        "bb  x      10s   3 B",
    ]


def test_a_column_that_is_empty_everywhere_is_dropped() -> None:
    assert table([["aa", "", "", "1 B", "make"]], None)[0] == "ID  OUT  COMMAND"


def test_the_command_is_cut_to_the_width() -> None:
    lines = table([["aa", "n", "1s", "1 B", "x" * 100]], 40)
    assert lines[1].endswith("x…")
    assert max(map(display_width, lines)) == 40


def test_columns_of_little_use_leave_before_the_command_is_lost() -> None:
    row = ["aa", "name", "1s", "1 B", "x" * 40]
    assert table([row], 34)[0].split() == ["ID", "NAME", "CPU", "OUT", "COMMAND"]
    assert table([row], 31)[0].split() == ["ID", "NAME", "OUT", "COMMAND"]
    assert table([row], 24)[0].split() == ["ID", "NAME", "COMMAND"]
    assert table([row], 17)[1] == "aa  name  xxxxxx…"


def test_the_room_that_a_column_leaves_is_used() -> None:
    assert table([["aa", "name", "1s", "1 B", "x" * 40]], 31)[1] == f"aa  name  1 B  {'x' * 15}…"


def test_a_pipe_gets_everything() -> None:
    assert table([["aa", "n", "1s", "1 B", "x" * 500]], None)[1].endswith("x" * 500)


@given(
    st.lists(
        st.tuples(*[st.text(alphabet=st.sampled_from("ab日 "), max_size=30)] * 4).map(lambda row: ["id", *row]),
        min_size=1,
        max_size=5,
    ),
    st.integers(min_value=20, max_value=200),
)
def test_no_line_is_wider_than_the_terminal(rows: list[list[str]], width: int) -> None:
    assert max(map(display_width, table(rows, width))) <= width


def test_styles_do_not_change_the_layout() -> None:
    rows = [[Cell("aa", "good"), Cell("n"), Cell(""), Cell(""), Cell("make")]]
    painted = render(COLUMNS, rows, None, lambda text, style: f"<{text}>" if style else text)
    assert painted == ["<ID>  <NAME>  <COMMAND>", "<aa>  n     make"]
