# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Quick start
#
# From a folder of films with boxes to two trained networks and their predictions. It runs the stages of the pipeline by
# themselves in a folder of its own, and changes nothing of the project. Research software, not a medical device.
#
# Open it in the project's environment: `.venv/bin/pip install jupyterlab && .venv/bin/jupyter lab notebooks`.

# %%
import subprocess
import sys
from pathlib import Path

import pandas as pd
from IPython.display import Image, display_png
from ruamel.yaml import YAML

import stages
from stages.common.core.files import new_folder
from stages.ingest.params import Sample
from stages.ingest.sources.sample import KAGGLE_SHARE, encode, patient_table, plan_films

# %% tags=["parameters"]
WORK = "quick_start"  # the folder to work in
FILMS, TRAIN, VALIDATION, TEST = 44, 32, 6, 12  # drawn; for training, of which for validation; for the test
SIZE, EPOCHS = 128, 30  # pixels of the network's square; passes over the training films

# %%
work = Path(WORK).resolve()
work.mkdir(parents=True, exist_ok=True)


def run(stage: str, *words: str) -> None:
    """Run a stage of the pipeline in the working folder and show what it says."""
    command = [sys.executable, "-m", f"stages.{stage}", *words]
    done = subprocess.run(command, cwd=work, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    print(done.stdout)
    done.check_returncode()


# %% [markdown]
# ## A folder of films
#
# Put your own into `quick_start/films`: films, the annotations of [any tool](../docs/how-to/data-sources.md) and, where
# you have one, a table of patients. Without that folder, films are drawn into it, with boxes as YOLO labels and a table
# of patients. A folder that exists stays as it is; remove it to draw again.

# %%
films = work / "films"
if films.exists():
    print(f"{WORK}/films exists; its films are used as they are")
else:
    plans = [plan for plan in plan_films(round(FILMS / KAGGLE_SHARE)) if plan.source == "kaggle"]
    with new_folder(films) as folder:
        for plan in plans:
            for name, content in encode(plan, Sample()).items():
                (folder / name).parent.mkdir(exist_ok=True)
                (folder / name).write_bytes(content)
        (folder / "patients.csv").write_text(patient_table(plans))
    display_png(Image(filename=next(films.glob("images/*.png")), width=240))

# %% [markdown]
# ## Parameters
#
# Those of the project, with another source, fewer films, a smaller square, one seed and one fold.

# %%
params = YAML(typ="safe").load((Path(stages.__file__).parents[1] / "params.yaml").read_text())
params["ingest"] |= {"inbox": "films", "sources": [{"source": "folder", "annotations": "auto"}]}
params["preprocess"]["size"] = SIZE
params["annotate"]["split"] |= {"train": TRAIN, "validation": VALIDATION, "test": TEST}
params["train"]["loop"]["epochs"] = EPOCHS
params["train"]["seeds"], params["evaluate"]["folds"] = [1], [1]
with (work / "params.yaml").open("w") as file:
    YAML().dump(params, file)

# %% [markdown]
# ## Read and look
#
# Look at the labels before you believe a score.

# %%
for stage in ("ingest", "preprocess", "threshold", "annotate"):
    run(stage)
Image(filename=work / "reports/labels.png")

# %% [markdown]
# ## Train
#
# Both weightings of the loss, from the same initial weights and on the same batches.

# %%
for variant in ("baseline", "adaptive"):
    run("train", variant, "1", "1")
    run("evaluate", variant, "1", "1")

# %%
curves = {
    variant: pd.read_csv(work / f"models/{variant}/seed-1-fold-1/history.csv")["validation_dice"]
    for variant in ("baseline", "adaptive")
}
axes = pd.DataFrame(curves).plot(xlabel="epoch", ylabel="mean Dice of the validation films", figsize=(6, 3))

# %% [markdown]
# ## Predictions
#
# Label, baseline and adaptive for four test films, at the quartiles of baseline's F1. `quick_start/reports/index.html`
# shows every test film in a viewer.

# %%
run("report")
print((work / "reports/comparison.md").read_text())
Image(filename=work / "reports/predictions.png")

# %% [markdown]
# Next: the whole pipeline with its records, `make repro` ([first run](../docs/start/first-run.md)); your own films
# ([docs](../docs/start/your-own-films.md)); new films ([predict](../docs/how-to/predict.md)).
