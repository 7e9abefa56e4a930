"""A trained network in MLflow's model registry, under an alias by which servers load it."""

import re

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from stages.common.core.busy import busy
from stages.common.core.errors import UserError
from stages.common.model.tracking import EXPERIMENT, chosen_uri, describe, open_client, shown

ALIAS = re.compile(r"(?!v\d+$|latest$)[\w-]+", re.ASCII | re.IGNORECASE)  # as MLflow takes them


@busy("register: asks MLflow's registry")
def register(weights_sha256: str, name: str, alias: str) -> str:
    """Register the model of the run that made some weights, once, and give it an alias, which leaves its former holder.

    Args:
        weights_sha256: of weights.safetensors.
        name: of the network, for a message.
        alias: such as champion.
    Returns:
        The address by which `mlflow.pyfunc.load_model` loads it.
    Raises:
        UserError: no run in the store made these weights, or the store refuses, or an alias that it cannot have.
    """
    if not ALIAS.fullmatch(alias):
        raise UserError(f"--alias {alias}: expected letters, digits, - and _, and neither latest nor v and a number")
    client, experiment = open_client()
    store = shown(chosen_uri())
    try:
        runs = client.search_runs([experiment], f"tags.`weights.sha256` = '{weights_sha256}'")
        if not runs:
            raise UserError(
                f"{name}: expected the run that trained it in {store}, found none; set MLFLOW_TRACKING_URI to the "
                "store that has it, send it from mlflow.db (`wrist send-run RUN_ID`), or train it here (`dvc repro "
                "--single-item --force train@...`)"
            )
        client.set_registered_model_alias(EXPERIMENT, alias, version_of(client, runs[0]))
    except MlflowException as error:
        raise UserError(f"{store}: expected a model registry that takes {name}, found {describe(error)}") from None
    return f"models:/{EXPERIMENT}@{alias}"


def version_of(client: MlflowClient, run: Run) -> str:
    """The version of the registered model that is a run's, made if it is not there."""
    if not client.search_registered_models(f"name = '{EXPERIMENT}'"):
        client.create_registered_model(EXPERIMENT)
    run_id = run.info.run_id
    for version in client.search_model_versions(f"name = '{EXPERIMENT}' and run_id = '{run_id}'"):
        return str(version.version)
    return str(client.create_model_version(EXPERIMENT, f"{run.info.artifact_uri}/model", run_id).version)
