"""Give DVC a cache folder of the project's own: by default it notes paths in one that all users of a machine share.

Run: python scripts/site_cache.py     (make setup)

`dvc config` writes ASCII only, and cannot name a folder such as /home/jürgen.
"""

import os
from pathlib import Path

from configobj import ConfigObj


def main(root: Path = Path()) -> None:
    """Enter .dvc/site-cache in .dvc/config.local, whose other settings stay.

    Args:
        root: of the project.
    """
    folder = (root / ".dvc/site-cache").resolve()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.stat().st_uid == os.getuid():  # where it is gone, DVC makes it for everybody
        folder.chmod(0o700)
    config = ConfigObj(str(root / ".dvc/config.local"), encoding="utf-8")
    config.setdefault("core", {})["site_cache_dir"] = str(folder)
    config.write()


if __name__ == "__main__":
    main()
