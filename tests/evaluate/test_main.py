import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from stages.common.core.device_lock import lock_devices, lock_folder
from stages.common.core.errors import UserError
from stages.common.core.files import read_png, write_json, write_png
from stages.common.data.dataset import load_films
from stages.common.data.layout import dataset_file
from stages.common.data.tables import SPLIT, write_table
from stages.common.model.architecture import Pyramid
from stages.common.model.calibration import to_probabilities
from stages.common.model.network import build, load_model, predict_logits, save_weights
from stages.evaluate.curves import best_temperature, best_threshold, levels_of
from stages.evaluate.image_level import fit_calibration
from stages.evaluate.main import main
from stages.evaluate.params import Params
from tests.helpers.films import squares
from tests.helpers.gpus import hide_gpus, pretend_gpus, pretend_moves
from tests.helpers.tables import filled


@pytest.fixture
def project(here: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Four test films, the last without a fracture, three validation films, and a network that has learnt nothing."""
    hide_gpus(monkeypatch)
    rows = []
    for split, count in (("test", 4), ("validation", 3)):
        films, side = squares(count, len(split)), "test" if split == "test" else "train"
        for i, (image, mask) in enumerate(zip(films.inputs[:, 0], films.masks, strict=True)):
            fractured = split != "test" or i < 3
            write_png(here / f"data/dataset/{side}/{split}{i}.png", image)
            write_png(here / f"data/dataset/{side}_mask/{split}{i}.png", mask & fractured)
            top, left = np.argwhere(mask)[0]
            box = f"{left} {top} {left + 12} {top + 12}" if fractured else ""
            size = 0.5 if i == 0 else ""
            rows.append({"image_id": f"{split}{i}", "split": split, "boxes": box, "row_mm": size, "column_mm": size})
    SPLIT.write(here / "data/dataset", filled(SPLIT, rows))
    torch.manual_seed(0)
    network = Pyramid(channels=[16, 8, 8])
    model = here / "models/adaptive/seed-1-fold-1"
    save_weights(model / "weights.safetensors", build(network).state_dict())
    write_json(model / "model.json", {"network": network.model_dump(), "machine": {"threads": 1}})
    return here


def test_what_it_writes_can_be_recomputed(project: Path) -> None:
    main(Params(folds=[1], threshold=0.5, temperature="none", mirror=False, boundary_px=3.0), "adaptive")
    out = project / "reports/evaluation/adaptive/seed-1-fold-1"
    table, found = pd.read_csv(out / "per_image.csv"), json.loads((out / "metrics.json").read_text())
    assert list(table["image_id"]) == ["test0", "test1", "test2", "test3"]
    assert (table[["tp", "fp", "fn", "tn"]].sum(axis=1) == 32 * 32).all()
    assert found["pooled"]["recall"] == table["tp"].sum() / (table["tp"] + table["fn"]).sum()
    assert found["detection"]["fractures"] == 3
    assert found["threshold"] == {"value": 0.5, "from": "params"}
    assert found["test_set"]["only_label_empty"] + found["test_set"]["both_empty"] == 1
    assert table["hd95_mm"].notna().tolist() == [True, False, False, False]  # one film has a known spacing
    assert table["auprc"].isna().tolist() == [False, False, False, True]  # one has no fracture
    masks = [read_png(out / "mask" / f"test{i}.png") > 0 for i in range(4)]
    assert [int(mask.sum()) for mask in masks] == (table["tp"] + table["fp"]).tolist()
    assert pd.read_csv(out / "reliability.csv")["pixels"].sum() == 4 * 32 * 32
    assert pd.read_csv(out / "froc.csv")["probability"].max() == table["probability_max"].max()
    image_level, highest = found["image_level"], table["probability_max"]
    assert (image_level["with_fracture"], image_level["without_fracture"]) == (3, 1)
    assert image_level["auroc"] == pytest.approx((highest[:3] > highest[3]).mean())
    assert image_level["calibration"] is None  # all validation films have a fracture


def test_films_are_calibrated_where_validation_has_both_kinds(project: Path) -> None:
    rows = pd.read_csv("data/dataset/split.csv")
    films = load_films(Path("data/dataset"), "validation")
    highest = to_probabilities(predict_logits(load_model(Path("models/adaptive/seed-1-fold-1")), films.inputs))
    highest = highest.max(axis=(1, 2))
    rows.loc[rows["image_id"] == films.ids[int(np.argmin(highest))], "boxes"] = np.nan
    write_table(Path("data/dataset/split.csv"), rows)
    main(Params(folds=[1], threshold=0.5, temperature="none", mirror=False, boundary_px=3.0), "adaptive")
    found = json.loads((project / "reports/evaluation/adaptive/seed-1-fold-1/metrics.json").read_text())["image_level"]
    assert found["calibration"] == fit_calibration(highest, highest > highest.min())
    assert 0 < found["brier"] < 1


def test_test_films_of_one_kind_have_no_image_level(project: Path) -> None:
    rows = pd.read_csv("data/dataset/split.csv")
    rows["boxes"] = rows["boxes"].fillna("1 1 5 5")
    write_table(Path("data/dataset/split.csv"), rows)
    main(Params(folds=[1], threshold=0.5, temperature="none", mirror=False, boundary_px=3.0), "adaptive")
    out = project / "reports/evaluation/adaptive/seed-1-fold-1"
    assert json.loads((out / "metrics.json").read_text())["image_level"] is None


def test_a_threshold_from_validation_is_the_best_there(project: Path) -> None:
    main(Params(folds=[1], threshold="validation", temperature="none", mirror=False, boundary_px=3.0), "adaptive")
    found = json.loads((project / "reports/evaluation/adaptive/seed-1-fold-1/metrics.json").read_text())["threshold"]
    films = load_films(Path("data/dataset"), "validation")
    logits = predict_logits(load_model(Path("models/adaptive/seed-1-fold-1")), films.inputs)
    expected = best_threshold(levels_of(to_probabilities(logits), films.masks))
    assert found == {"value": expected, "from": "validation"}
    assert expected != 0.5


def test_a_threshold_that_no_fracture_of_the_validation_films_can_choose_is_refused(project: Path) -> None:
    for name in load_films(Path("data/dataset"), "validation").ids:
        path = dataset_file(Path("data/dataset"), "validation", name, "mask")
        write_png(path, np.zeros_like(read_png(path)))
    settings = Params(folds=[1], threshold="validation", temperature="none", mirror=False, boundary_px=3.0)
    with pytest.raises(UserError, match="expected validation films with a fracture to choose it by, found none"):
        main(settings, "adaptive")


def test_mirrored_probabilities_are_means_over_film_and_mirror_image_also_for_the_threshold(project: Path) -> None:
    main(Params(folds=[1], threshold="validation", temperature="none", mirror=True, boundary_px=3.0), "adaptive")
    out, network = Path("reports/evaluation/adaptive/seed-1-fold-1"), load_model(Path("models/adaptive/seed-1-fold-1"))

    def mirrored(films: np.ndarray) -> np.ndarray:
        plain, other = (to_probabilities(predict_logits(network, one.copy())) for one in (films, films[..., ::-1]))
        return (plain + other[..., ::-1]) / 2

    validation, test = (load_films(Path("data/dataset"), side) for side in ("validation", "test"))
    found = json.loads((out / "metrics.json").read_text())
    assert found["mirror"] is True
    assert found["threshold"]["value"] == best_threshold(levels_of(mirrored(validation.inputs), validation.masks))
    for name, chances in zip(test.ids, mirrored(test.inputs), strict=True):
        np.testing.assert_array_equal(read_png(out / f"probability/{name}.png"), np.round(chances * 255))


def test_a_temperature_from_validation_scales_probabilities_and_leaves_masks(project: Path) -> None:
    out = project / "reports/evaluation/adaptive/seed-1-fold-1"
    main(Params(folds=[1], threshold=0.5, temperature="none", mirror=False, boundary_px=3.0), "adaptive")
    read = [read_png(out / f"mask/test{i}.png") for i in range(4)]
    plain = pd.read_csv(out / "per_image.csv")
    main(Params(folds=[1], threshold=0.5, temperature="validation", mirror=False, boundary_px=3.0), "adaptive")
    found = json.loads((out / "metrics.json").read_text())["temperature"]
    films = load_films(Path("data/dataset"), "validation")
    logits = predict_logits(load_model(Path("models/adaptive/seed-1-fold-1")), films.inputs)
    assert found == {"value": best_temperature(logits.numpy(), films.masks), "from": "validation"}
    assert found["value"] != 1
    for before, i in zip(read, range(4), strict=True):
        np.testing.assert_array_equal(before, read_png(out / f"mask/test{i}.png"))
    scaled = pd.read_csv(out / "per_image.csv")
    assert (scaled["brier"] != plain["brier"]).all()
    assert scaled["f1"].equals(plain["f1"])


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_gpu_computes_the_probabilities_while_it_is_locked_and_is_recorded(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On GPUs that are pretended, in whose place the processor computes: all but the record is the same."""
    monkeypatch.setenv("DEVICE_LOCK_DIR", str(project / "locks"))
    out, held = project / "reports/evaluation/adaptive/seed-1-fold-1", list[str]()
    settings = Params(folds=[1], threshold="validation", mirror=True, accelerator="auto")
    left_alone = settings.model_copy(update={"accelerator": "cpu"})
    main(settings, "adaptive")
    on_cpu = files(out)
    assert json.loads(on_cpu["metrics.json"])["device"] == torch.backends.cpu.get_cpu_capability()
    pretend_gpus(monkeypatch, "3", "7")
    moves = pretend_moves(monkeypatch)
    main(left_alone, "adaptive")
    assert files(out) == on_cpu
    assert (moves, capsys.readouterr().err) == ([], "")

    def watched(network: torch.nn.Module, inputs: np.ndarray) -> torch.Tensor:
        held.extend(path.name for path in lock_folder().glob("*.lock.holder"))
        return predict_logits(network, inputs)

    monkeypatch.setattr("stages.evaluate.main.predict_logits", watched)
    with lock_devices(["gpu-3"], 1):  # by a training
        main(settings, "adaptive")
    assert moves == ["cuda:1"]
    assert set(held) == {"gpu-3.lock.holder", "gpu-7.lock.holder"}
    said = "evaluate: Pretended 1: the same bytes only on the same card and driver; evaluate.accelerator: cpu gives"
    assert said in capsys.readouterr().err
    on_gpu = files(out)
    assert json.loads(on_gpu.pop("metrics.json")) == json.loads(on_cpu.pop("metrics.json")) | {"device": "Pretended 1"}
    assert on_gpu == on_cpu


def test_a_full_gpu_is_said_with_what_to_do(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEVICE_LOCK_DIR", str(project / "locks"))
    pretend_gpus(monkeypatch, "3")
    pretend_moves(monkeypatch)

    def full(network: torch.nn.Module, inputs: np.ndarray) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("stages.evaluate.main.predict_logits", full)
    expected = r"evaluate adaptive-1-1: the GPU memory is full .*; free it, or choose evaluate\.accelerator: cpu"
    with pytest.raises(UserError, match=expected):
        main(Params(), "adaptive")
    assert not list((project / "locks").glob("*.holder"))
