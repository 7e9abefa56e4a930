"""A trained network with all that a film goes through before it, and what it says, on the film's own grid."""

import os
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from stages import read_params
from stages.common.core.arithmetic import require_pinned
from stages.common.core.errors import UserError
from stages.common.core.hashing import sha256
from stages.common.data.geometry import Affine
from stages.common.data.layout import DESCRIPTION, MODELS, PARAMS, WEIGHTS
from stages.common.data.records import read_model_record
from stages.common.data.run_id import VARIANTS, Run
from stages.common.model.calibration import LogitFunction, film_probability, mean_probabilities
from stages.common.model.out_of_distribution import distances
from stages.preprocess.steps import Frame, prepare
from stages.threshold.process_film import level_map
from tools.predict.label_next import disagreement, uncertainty
from tools.predict.recipe import MODEL, RECIPE, Recipe, read_export, read_recipe
from tools.predict.together import ROOM, Together

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # before onnxruntime is loaded, which reports its use else

if TYPE_CHECKING:  # an exported model runs without it
    import torch
    from torch import nn

    from stages.common.model.devices import Accelerator

ONNX_INPUT, ONNX_OUTPUT = "film", "logit"
CUDA = "CUDAExecutionProvider"
ON_CPU = "--device cpu"


@dataclass(frozen=True)
class Model:
    """Networks whose probabilities are averaged, and what goes with them.

    recipe: how films are prepared and judged; it holds a temperature for each network.
    weights: SHA-256 of the weights, of several networks one after the other.
    device: that computes: the GPU's name or the instruction set of the CPU, as in model.json; of an export the name of
    onnxruntime's execution provider.
    """

    name: str
    networks: list[LogitFunction]
    recipe: Recipe
    weights: str
    device: str

    def probabilities_of_each(self, inputs: np.ndarray) -> np.ndarray:
        """Of fracture in every pixel, by each network: float32 (M, N, S, S) for uint8 inputs (N, C, S, S)."""
        each = zip(self.networks, self.recipe.temperatures, strict=True)
        return np.stack([mean_probabilities([network], [t], inputs, self.recipe.mirror) for network, t in each])

    def probabilities(self, inputs: np.ndarray) -> np.ndarray:
        """Of fracture in every pixel: float32 (N, S, S) for uint8 inputs (N, C, S, S)."""
        return np.asarray(self.probabilities_of_each(inputs).mean(axis=0))


@dataclass(frozen=True)
class Region:
    """One connected marked region. box: left, top, right, bottom in pixels. area_mm2: None without spacing."""

    box: tuple[int, int, int, int]
    area_px: int
    area_mm2: float | None
    probability_max: float
    probability_mean: float


@dataclass(frozen=True)
class Prediction:
    """probability: float32 (H, W), mask: bool (H, W), both on the film's own grid; what the crop left out has 0.

    grid: float32 (S, S), the probabilities on the network's grid, to which `affine` maps the film.
    fracture_probability: that the film has a fracture, from the largest of these; None without calibration.
    uncertainty, disagreement: of `tools.predict.label_next`.
    distance, limit: of `stages.common.model.out_of_distribution`.
    """

    probability: np.ndarray
    mask: np.ndarray
    regions: list[Region]
    grid: np.ndarray
    affine: Affine
    fracture_probability: float | None
    uncertainty: float
    disagreement: float | None
    distance: float
    limit: float

    @property
    def familiar(self) -> bool:
        """Whether the film looks like those that the network was trained on."""
        return self.distance <= self.limit


def open_model(
    name: str,
    root: Path = Path(),
    average: bool = False,
    flip: bool = False,
    threads: int | None = None,
    accelerator: "Accelerator" = "auto",
) -> Model:
    """The model that a user names.

    Args:
        name: baseline or adaptive (the first seed and fold of params.yaml), or a folder: a run below models/, or what
            `export` wrote, which needs no torch.
        root: the repository.
        average: the mean probability over all seeds and folds of a variant, each of which costs a forward pass.
        flip: the mean over the film and its mirror image, which costs another pass, also where the model was
            evaluated without.
        threads: of one forward pass, in this process from now on; None: as the training had, or ONNX Runtime chooses.
        accelerator: auto takes a GPU where there is one, and never waits for it.
    Raises:
        UserError: there is none, or it is damaged.
    """
    folder = Path(name)
    if name not in VARIANTS and (folder / MODEL).is_file():
        model = from_onnx(folder, threads, accelerator)
    else:
        model = from_runs(name, run_folders(name, root)[: None if average else 1], root, threads, accelerator)
    if average and name not in VARIANTS:
        raise UserError(f"--average: expected baseline or adaptive as the model, whose runs are averaged, found {name}")
    if not flip or model.recipe.mirror:
        return model
    return replace(model, recipe=replace(model.recipe, mirror=True, film_calibration=None))  # fitted without mirroring


def run_folders(name: str, root: Path) -> list[Path]:
    """The folders of a variant's runs, by seed and fold as params.yaml has them, or that of one run.

    Args:
        name: baseline or adaptive, or a run below models/.
        root: the repository.
    Raises:
        UserError: there is no such run.
    """
    if name in VARIANTS:
        params = read_params(root / PARAMS)
        runs = product(params["train"]["seeds"], params["evaluate"]["folds"])
        return [root / MODELS / Run(name, seed, fold).folder for seed, fold in runs]
    folder = Path(name)
    if not (folder / DESCRIPTION).exists() or not folder.resolve().is_relative_to((root / MODELS).resolve()):
        raise UserError(
            f"{name or 'a blank name'}: expected baseline, adaptive or a run below models/ (`wrist predict` also takes "
            "a folder with model.onnx), found none of them; from another repository, export the model there"
        )
    return [folder]


def from_runs(
    name: str, folders: list[Path], root: Path, threads: int | None = None, accelerator: "Accelerator" = "cpu"
) -> Model:
    """The networks of one or more folders of models/, whose probabilities are averaged.

    Args:
        name: of the model, for the prediction's record.
        folders: below models/.
        root: the repository.
        threads: of one forward pass; None: as the training had.
        accelerator: auto takes the first GPU, if there is one.
    Raises:
        UserError: a folder lacks its weights, or another version of the project wrote it.
    """
    import torch  # an exported model runs without it

    from stages.common.model.devices import device_name, takes_gpu
    from stages.common.model.network import load_model, predict_logits

    require_pinned("predict")
    records = [read_model_record(folder) for folder in folders]
    networks = [load_model(folder) for folder in folders]
    threads = threads or records[0]["machine"]["threads"]
    torch.set_num_threads(threads)
    recipe = read_recipe(folders, records[0], root)
    weights = " ".join(sha256(folder / WEIGHTS) for folder in folders)
    if takes_gpu(accelerator):
        device = torch.device("cuda", 0)
        return Model(name, on_gpu(networks, device, threads), recipe, weights, device_name(device))
    functions: list[LogitFunction] = [partial(predict_logits, network) for network in networks]
    return Model(name, functions, recipe, weights, device_name(torch.device("cpu")))


def on_gpu(networks: "list[nn.Module]", device: "torch.device", threads: int) -> list[LogitFunction]:
    """Networks as functions that compute on a GPU, for the films of several threads at once.

    Args:
        networks: on the CPU.
        device: the GPU.
        threads: of what the processor does.
    """
    import torch

    from stages.common.model.devices import explain_gpu_errors, to_gpu
    from stages.common.model.network import predict_logits

    def logits(network: "nn.Module", films: np.ndarray) -> np.ndarray:
        with explain_gpu_errors("predict", ON_CPU):
            return predict_logits(network, films, ROOM).numpy()

    def tensors(together: Together, films: np.ndarray) -> "torch.Tensor":
        return torch.from_numpy(together(films))  # whose sigmoid is that of `evaluate`

    with explain_gpu_errors("predict", ON_CPU):
        to_gpu("predict", networks, device, threads, ON_CPU)
    return [partial(tensors, Together(partial(logits, network))) for network in networks]


def from_onnx(folder: Path, threads: int | None = None, accelerator: "Accelerator" = "cpu") -> Model:
    """What `export` wrote.

    Args:
        threads: of one forward pass; None: ONNX Runtime chooses.
        accelerator: auto takes a GPU if this onnxruntime can.
    Raises:
        UserError: model.onnx is damaged, or not the one that recipe.json is about.
    """
    network, provider = onnx_network(folder, threads, accelerator)
    exported = read_export(folder)
    if (found := sha256(folder / MODEL)) != exported.onnx:
        raise UserError(
            f"{folder / MODEL}: expected the SHA-256 {exported.onnx[:12]} of {RECIPE}, found {found[:12]}; export again"
        )
    return Model(folder.name, [network], exported.recipe, exported.weights, provider)


def onnx_network(folder: Path, threads: int | None, accelerator: "Accelerator") -> tuple[LogitFunction, str]:
    """The network of an export by onnxruntime, and the execution provider that it computes with.

    Raises:
        UserError: model.onnx is damaged, or its output is not `logit`.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or 0  # 0: as many as there are cores
    providers: list[str | tuple[str, dict[str, str]]] = ["CPUExecutionProvider"]
    if accelerator == "auto" and CUDA in onnxruntime.get_available_providers():
        options.use_deterministic_compute = True
        providers.insert(0, (CUDA, {"cudnn_conv_algo_search": "DEFAULT", "use_tf32": "0"}))  # not what is fast today
    try:
        session = onnxruntime.InferenceSession(str(folder / MODEL), options, providers=providers)
    except Exception as error:  # onnxruntime raises its own types, which it does not export
        raise UserError(f"{folder / MODEL}: expected an ONNX model, found {error!s:.120}; export it again") from None
    outputs = [output.name for output in session.get_outputs()]
    if outputs != [ONNX_OUTPUT]:
        raise UserError(
            f"{folder / MODEL}: expected the output {ONNX_OUTPUT}, found {', '.join(outputs)}; export it again"
        )

    def logits(inputs: np.ndarray) -> np.ndarray:
        films = inputs.astype(np.float32) / np.float32(127.5) - np.float32(1)
        return np.asarray(session.run(outputs, {ONNX_INPUT: films})[0])

    def logits_of_gpu(inputs: np.ndarray) -> np.ndarray:
        try:
            return logits(inputs)
        except Exception as error:  # as above
            raise UserError(f"predict: onnxruntime fails on the GPU ({error!s:.120}); choose {ON_CPU}") from error

    used = str(session.get_providers()[0])  # the CPU's where CUDA's libraries are missing, as onnxruntime says itself
    return (Together(logits_of_gpu) if used == CUDA else logits), used


def predict(image: np.ndarray, model: Model, spacing: tuple[float, float] | None = None) -> Prediction:
    """What a model sees on a film. Research software, not a medical device.

    Args:
        image: uint8 or uint16 (H, W), bone bright, of any size from 16 pixels a side.
        spacing: height and width of a pixel in mm, where known.
    Raises:
        UserError: another type or shape, or a film that is nearly blank where the model needs its grey levels.
    """
    frame, inputs = prepared(image, model)
    return finished(image.shape, frame, inputs, model.probabilities_of_each(inputs[None])[:, 0], model, spacing)


def prepared(image: np.ndarray, model: Model) -> tuple[Frame, np.ndarray]:
    """The pipeline's steps up to the network: the frame with its affine, and the input uint8 (C, S, S)."""
    if image.ndim != 2 or image.dtype not in (np.uint8, np.uint16) or min(image.shape) < 16:
        raise UserError(
            f"expected a grey image, uint8 or uint16, of at least 16 x 16, found {image.dtype} {image.shape}; "
            "convert it first"
        )
    recipe = model.recipe
    film, frame = prepare(image, recipe.preprocess)
    if recipe.input == "image":
        return frame, film[None]
    try:
        levels, _ = level_map(film, frame.film, recipe.threshold)
    except ValueError as error:
        raise UserError(f"{error}; the film is nearly blank") from None
    return frame, levels[None] if recipe.input == "levels" else np.stack([film, levels])


def finished(
    shape: tuple[int, ...],
    frame: Frame,
    inputs: np.ndarray,
    each: np.ndarray,
    model: Model,
    spacing: tuple[float, float] | None = None,
) -> Prediction:
    """From the network's grid back to the film.

    Args:
        shape: of the film.
        frame: of `prepared`.
        inputs: of `prepared`, uint8 (C, S, S).
        each: probabilities of each network, float32 (M, S, S).
        model: whose threshold and reference apply.
        spacing: height and width of a pixel in mm, where known.
    """
    grid = each.mean(axis=0)
    probability = to_film(grid, frame.affine, (shape[0], shape[1]))
    mask = probability >= model.recipe.cut
    familiar = model.recipe.familiar
    far = float(distances(inputs[:1], familiar)[0])
    calibration = model.recipe.film_calibration
    fracture = None if calibration is None else float(film_probability(grid.max(), calibration))
    regions = regions_of(mask, probability, spacing)
    unsure, apart = uncertainty(each), disagreement(each)
    limit = familiar["limit"]
    return Prediction(probability, mask, regions, grid, frame.affine, fracture, unsure, apart, far, limit)


def to_film(grid: np.ndarray, affine: Affine, shape: tuple[int, int]) -> np.ndarray:
    """Values of the network's grid on the film's, bilinear between pixel centres, 0 beyond the grid; float32 (H, W).

    Args:
        grid: float32 (S, S).
        affine: the map from the film to the grid.
        shape: height and width of the film.
    """
    # The centre of the film's pixel (j, i) lies at (j + 0.5, i + 0.5); OpenCV counts from the centre of the first.
    matrix = np.array(
        [
            [affine.scale_x, 0, affine.shift_x + (affine.scale_x - 1) / 2],
            [0, affine.scale_y, affine.shift_y + (affine.scale_y - 1) / 2],
        ]
    )
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(grid, matrix, (shape[1], shape[0]), flags=flags, borderValue=0))


def regions_of(mask: np.ndarray, probability: np.ndarray, spacing: tuple[float, float] | None) -> list[Region]:
    """The connected regions of a mask (over edges and corners), the most probable first."""
    regions = []
    count, numbers, facts, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    for number in range(1, count):  # 0 is what is not marked
        left, top, width, height, area = facts[number].tolist()
        box = (left, top, left + width, top + height)
        part = (slice(top, top + height), slice(left, left + width))
        values = probability[part][numbers[part] == number]
        mm2 = None if spacing is None else area * spacing[0] * spacing[1]
        regions.append(Region(box, area, mm2, float(values.max()), float(values.mean())))
    return sorted(regions, key=lambda region: (-region.probability_max, region.box))
