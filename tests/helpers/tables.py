"""Tables of which a test needs a few columns."""

from typing import Any

import pandas as pd

from stages.common.data.tables import Table

BLANK = {"int64": 0, "float64": 0.0, "bool": False}


def filled(table: Table[Any], columns: Any) -> pd.DataFrame:
    """A table of these columns, and of its others with 0, False or nothing in each cell.

    Args:
        columns: what pandas makes a table of, such as rows.
    """
    rows = pd.DataFrame(columns)
    others = {name: BLANK.get(dtype, "") for name, dtype in table.columns.items() if name not in rows}
    return rows.assign(**others)
