"""What a sweep found, in its own MLflow run, above those of its trainings."""

import sys
import time

from mlflow.entities import Metric, RunTag

from stages.common.core.busy import busy
from stages.common.model.tracking import chosen_uri, describe, open_client, shown, sweep_run

BEST = "best_experiment"  # the tag that names it


def summarise(sweep: str, scores: dict[str, float]) -> None:
    """Write the number of experiments, the best score and whose it is; a store that fails costs a sentence.

    Args:
        sweep: its name.
        scores: mean validation Dice of each experiment by its name; at least one.
    """
    best = max(scores, key=scores.__getitem__)
    now = int(time.time() * 1000)
    values = {"experiments": len(scores), "best_validation_dice": scores[best]}
    metrics = [Metric(name, float(value), now, 0) for name, value in values.items()]
    try:
        with busy("sweep: writes its summary into MLflow"):
            client, experiment = open_client()
            run = sweep_run(client, experiment, sweep)
            client.log_batch(run, metrics=metrics, tags=[RunTag(BEST, best)])
    except Exception as error:  # stores fail in the ways of HTTP, SQL, S3 and disks
        print(
            f"mlflow: {shown(chosen_uri())} failed ({describe(error)}); its run lacks the summary, which `wrist sweep "
            f"report {sweep}` writes",
            file=sys.stderr,
        )
