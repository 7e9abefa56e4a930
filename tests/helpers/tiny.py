"""A DVC project whose stages take milliseconds, and the git and DVC remotes from which other machines get it."""

from pathlib import Path

from tests.helpers.processes import run
from tests.helpers.projects import use_own_site_cache
from tests.helpers.remotes import publish

PIPELINE = """
stages:
  source:
    cmd: mkdir source && echo 1 > source/film && echo 2 > source/table
    outs: [source]
  data:
    cmd: mkdir data && cp source/film data/film
    deps: [source]
    outs: [data]
  train:
    cmd: exec python train.py
    deps: [data, train.py]
    params: [value]
    outs: [model]
"""
TRAIN = """
import os, pathlib, sys, time
value = pathlib.Path("params.yaml").read_text()
shared = pathlib.Path({shared!r})
with (shared / "log").open("a") as log:
    log.write(f"{{os.getppid()}} {{os.environ['DVC_EXP_NAME']}}\\n")
while (shared / "block").exists():
    time.sleep(0.05)
if "9" in value:
    sys.exit("nine is no value")
pathlib.Path("model").write_text(value + pathlib.Path("data/film").read_text())
"""


def tiny_project(folder: Path) -> Path:
    """A project `folder/here` that is pushed to `folder/git` and `folder/store`.

    Its training writes a line into `folder/log`, waits while there is a file `folder/block`, and fails for 9.
    """
    here = folder / "here"
    here.mkdir(parents=True)
    (folder / "log").touch()
    run(here, "git", "init", "-q", "-b", "main")
    for key, value in (("user.name", "t"), ("user.email", "t@example.org")):
        run(here, "git", "config", key, value)
    run(here, "dvc", "init", "-q")
    use_own_site_cache(here)
    (here / "dvc.yaml").write_text(PIPELINE)
    (here / "params.yaml").write_text("value: 1\n")
    (here / "train.py").write_text(TRAIN.format(shared=str(folder)))
    (here / ".gitignore").write_text("/source\n/data\n/model\n/.dvc/site-cache\n")
    run(here, "dvc", "repro", "-q", "data")
    publish(here, str(folder / "store"))
    return here
