"""The stage on a real Dask cluster: the same bytes as here, also when a worker is killed in the middle."""

import os
import signal
import threading
from pathlib import Path

import numpy as np
import pytest
from distributed import LocalCluster

from stages.common.core.files import write_png
from stages.common.data.layout import PREPROCESSED
from stages.common.data.tables import MANIFEST, write_table
from stages.preprocess.main import main
from stages.preprocess.params import Params
from tests.helpers.files import tree_hash
from tests.helpers.params import merge, read_yaml
from tests.helpers.paths import ROOT
from tests.helpers.tables import filled


@pytest.mark.slow
def test_a_cluster_gives_the_same_bytes_and_survives_a_killed_worker(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Params.model_validate(merge(read_yaml(ROOT / "params.yaml")["preprocess"], {"size": 64}))
    rng = np.random.default_rng(0)
    rows = []
    for number in range(120):
        write_png(Path(f"data/raw/images/f{number}.png"), rng.integers(0, 65535, (300, 250), dtype=np.uint16))
        rows.append({"image_id": f"f{number}", "file": f"images/f{number}.png"})
    write_table(Path("data/raw/manifest.csv"), filled(MANIFEST, rows))
    main(settings)
    local = tree_hash(PREPROCESSED)
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:  # type: ignore[no-untyped-call]
        monkeypatch.setenv("DASK_SCHEDULER_ADDRESS", cluster.scheduler_address)
        main(settings)
        assert tree_hash(PREPROCESSED) == local
        victim = next(iter(cluster.workers.values())).pid
        threading.Timer(0.2, os.kill, (victim, signal.SIGKILL)).start()
        main(settings)
        assert tree_hash(PREPROCESSED) == local
