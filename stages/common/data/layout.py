"""What stands where in the pipeline's folders and tables."""

import pandas as pd


def is_synthetic(manifest: pd.DataFrame) -> bool:
    return bool(manifest["source"].str.startswith("sample").all())
