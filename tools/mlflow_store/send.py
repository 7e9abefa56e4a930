"""A run of the local store, copied to a server once, however often that is tried."""

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, Run, RunTag
from mlflow.exceptions import MlflowException

from stages.common.core.busy import busy
from stages.common.core.errors import UserError
from stages.common.model.tracking import chosen_uri, describe, local_uri, open_client, shown, sweep_run
from tools.mlflow_store.summarise import BEST
from tools.temporary import temporary_folder

BATCH = 1000  # metrics of one call, MLflow's limit


@busy("send-run: copies the run")
def send(run_id: str) -> str:
    """Copy a run from the local store to the one that MLFLOW_TRACKING_URI names; returns its id there.

    What the server has of it already, from before it failed or from a call that was cut, is completed; a run that is
    finished there stays as it is.

    Raises:
        UserError: no server is named, there is no such run, or the server does not take it.
    """
    if chosen_uri() == local_uri():
        raise UserError("MLFLOW_TRACKING_URI: expected the address of a server to send to, found none; set it")
    source, _ = open_client(local_uri())
    try:
        run = source.get_run(run_id)
    except MlflowException:
        raise UserError(
            f"{run_id}: expected the id of a run in {local_uri()}, found none; see `mlflow ui --backend-store-uri "
            f"{local_uri()}`"
        ) from None
    target, experiment = open_client()
    try:
        copy = open_copy(source, run, target, experiment)
        if copy.info.status != "FINISHED":
            fill_copy(source, run, target, copy)
    except Exception as error:  # servers fail in the ways of HTTP, SQL, S3 and disks
        raise UserError(
            f"MLFLOW_TRACKING_URI: {shown(chosen_uri())} does not take run {run_id} ({describe(error)}); rerun the "
            "command, which then goes on with the same run"
        ) from None
    return str(copy.info.run_id)


def open_copy(source: MlflowClient, run: Run, target: MlflowClient, experiment: str) -> Run:
    """The run's copy on the server, made if it is not there, below the run of its sweep.

    Args:
        source: the local store.
        run: there.
        target: the server.
        experiment: its id there.
    """
    parent = run.data.tags.get("mlflow.parentRunId")
    below = {"mlflow.parentRunId": copy_sweep(source.get_run(parent), target, experiment)} if parent else {}
    record = run.data.tags.get("record", run.info.run_id)
    copies = target.search_runs([experiment], f"tags.record = '{record}'")
    if copies:
        return copies[0]
    tags = {key: value for key, value in run.data.tags.items() if key == "mlflow.runName" or key[:7] != "mlflow."}
    return target.create_run(experiment, run.info.start_time, tags | below | {"record": record})


def copy_sweep(run: Run, target: MlflowClient, experiment: str) -> str:
    """The id of a sweep's own run on the server, with the summary that the local store has, unless one is there.

    Args:
        run: of the local store.
        target: the server.
        experiment: its id there.
    """
    new = sweep_run(target, experiment, run.data.tags["sweep"])
    if run.data.metrics and not target.get_run(new).data.metrics:
        metrics = [Metric(name, value, run.info.start_time, 0) for name, value in run.data.metrics.items()]
        best = [RunTag(BEST, run.data.tags[BEST])]
        target.log_batch(new, metrics=metrics, tags=best)
    return new


def fill_copy(source: MlflowClient, run: Run, target: MlflowClient, copy: Run) -> None:
    """Write what the copy lacks, and end it as the run has ended.

    Args:
        source: the local store.
        run: there.
        target: the server.
        copy: the run there.
    """
    new = copy.info.run_id
    target.log_batch(new, params=[Param(key, value) for key, value in run.data.params.items()])
    target.log_batch(new, tags=[RunTag(key, value) for key, value in run.data.tags.items() if key[:7] != "mlflow."])
    there = {(metric.key, metric.step) for metric in history(target, copy)}
    metrics = [metric for metric in history(source, run) if (metric.key, metric.step) not in there]
    for start in range(0, len(metrics), BATCH):
        target.log_batch(new, metrics=metrics[start : start + BATCH])
    target.log_inputs(new, run.inputs.dataset_inputs if run.inputs else [])
    with temporary_folder() as folder:  # the report's pictures show films
        for item in source.list_artifacts(run.info.run_id):
            source.download_artifacts(run.info.run_id, item.path, str(folder))
        target.log_artifacts(new, str(folder))
    target.set_terminated(new, run.info.status, run.info.end_time)


def history(client: MlflowClient, run: Run) -> list[Metric]:
    """Every value of every metric of a run."""
    names = sorted(run.data.metrics)
    return [metric for name in names for metric in client.get_metric_history(run.info.run_id, name)]
