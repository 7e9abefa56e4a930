"""What a terminal gets of names that hold more than letters."""

import pytest

from stages.common.core.errors import UserError
from stages.common.core.printed import one_line, plain_lines
from tools.predict.batch import errors_on_one_line


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Röntgen 1.png", "Röntgen 1.png"),
        ("a\nb", r"a\nb"),
        ("a\r\x1b[2Kb", r"a\r\x1b[2Kb"),
        ("\u202egnp.a\u2066", r"\u202egnp.a\u2066"),
        ("\udcff", r"\udcff"),
        ("\x85\u2028", r"\x85\u2028"),
    ],
)
def test_orders_to_a_terminal_become_escapes(name: str, shown: str) -> None:
    assert one_line(name) == shown
    assert plain_lines(f"{name}\n") == "\n".join(map(one_line, [*name.split("\n"), ""]))
    with pytest.raises(UserError) as refusal, errors_on_one_line():
        raise UserError(name)
    assert str(refusal.value) == shown
