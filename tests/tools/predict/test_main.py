"""The command: what it writes, what it says, and what it does with bad films and second calls."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import highdicom
import numpy as np
import onnx
import onnxruntime
import pydicom
import pytest
import torch
from PIL import Image
from pydicom import dcmread
from pydicom.data import get_testdata_file

from stages.common.core.errors import UserError
from stages.common.core.files import read_json, read_png, write_png
from stages.common.data.layout import RAW
from stages.common.data.tables import MANIFEST
from stages.common.model.devices import MASKS_APART
from tests.helpers.commands import wrist
from tests.helpers.gpus import pretend_gpus, pretend_moves
from tests.helpers.paths import ROOT
from tests.helpers.processes import environment
from tools.predict.films import find_films
from tools.predict.model import onnx_network, open_model, predict
from tools.predict.outputs import WARNING

pytestmark = pytest.mark.slow


def films(project: Path, count: int = 3) -> list[Path]:
    names = MANIFEST.read(project / RAW)
    return [project / "data/raw" / file for file in names[names["modality"] == "OT"]["file"][:count]]


def test_a_folder_gives_a_folder_with_each_films_own_size(project: Path, tmp_path: Path) -> None:
    inbox = tmp_path / "inbox"
    for number, film in enumerate(films(project)):
        (inbox / f"ward{number}").mkdir(parents=True)
        shutil.copy(film, inbox / f"ward{number}" / "film.png")
    (inbox / "notes.txt").write_text("not a film")
    assert wrist("predict", str(inbox), "--output", str(tmp_path / "out")) == 0
    for number, film in enumerate(films(project)):
        folder, pixels = tmp_path / f"out/ward{number}/film.png", read_png(film)
        found = read_json(folder / "prediction.json")
        assert found["warning"] == WARNING
        assert (found["height"], found["width"]) == pixels.shape
        assert set(found["code"]) == {"version", "commit"}
        for name in ("probability", "mask"):
            assert read_png(folder / f"{name}.png").shape == pixels.shape
        mask = read_png(folder / "mask.png") > 0
        assert sum(region["area_px"] for region in found["regions"]) == mask.sum()
        overlay = np.asarray(Image.open(folder / "overlay.jpg"))
        assert overlay.shape[1] == pixels.shape[1]
        assert (overlay[pixels.shape[0] :] > 200).any(), "the warning stands below the film"
        assert not (folder / "segmentation.dcm").exists()


@pytest.mark.parametrize("workers", [1, 3])
def test_a_folder_gives_what_each_film_by_itself_gives(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    monkeypatch.setenv("WORKERS", str(workers))
    names = films(project, 10)
    assert wrist("predict", *map(str, names), "--output", str(tmp_path), "--format", "png") == 0
    model = open_model("adaptive")
    for film in names:
        alone = predict(read_png(film), model)
        np.testing.assert_array_equal(read_png(tmp_path / film.name / "mask.png") > 0, alone.mask)
        found = read_png(tmp_path / film.name / "probability.png")
        np.testing.assert_array_equal(found, np.round(alone.probability * 255))


def test_dicom_gives_the_mask_of_its_png_and_a_segmentation_that_others_open(project: Path, tmp_path: Path) -> None:
    table = MANIFEST.read(project / RAW)
    for modality in ("CR", "DX"):
        row = table[table["modality"] == modality].iloc[0]
        source = project / f"data/raw/dicom/{row['image_id']}.dcm"
        png = project / "data/raw" / row["file"]
        assert wrist("predict", str(source), str(png), "--output", str(tmp_path)) == 0
        folder = tmp_path / source.name
        mask = read_png(folder / "mask.png") > 0
        np.testing.assert_array_equal(mask, read_png(tmp_path / png.name / "mask.png") > 0)
        assert read_json(folder / "prediction.json")["spacing_from"] in ("PixelSpacing", "ImagerPixelSpacing")
        seg = highdicom.seg.segread(folder / "segmentation.dcm")
        original = pydicom.dcmread(source)
        assert seg.StudyInstanceUID == original.StudyInstanceUID
        assert (
            seg.ReferencedSeriesSequence[0].ReferencedInstanceSequence[0].ReferencedSOPInstanceUID
            == original.SOPInstanceUID
        )
        read = seg.get_pixels_by_source_instance([original.SOPInstanceUID], combine_segments=True)
        np.testing.assert_array_equal(read[0] > 0, mask)
        plain = pydicom.dcmread(folder / "segmentation.dcm")  # another reader
        np.testing.assert_array_equal(plain.pixel_array.squeeze() > 0, mask)
        assert plain.SOPClassUID.name == "Segmentation Storage"


def test_a_ct_slice_of_others_goes_through_with_its_segmentation(project: Path, tmp_path: Path) -> None:
    source = Path(get_testdata_file("CT_small.dcm"))  # type: ignore[arg-type]
    assert wrist("predict", str(source), "--output", str(tmp_path)) == 0
    folder = tmp_path / source.name
    assert pydicom.dcmread(folder / "segmentation.dcm").pixel_array.squeeze().shape == (128, 128)
    assert read_json(folder / "prediction.json")["no_dicom_seg"] is None


def test_a_film_without_a_frame_of_reference_keeps_its_other_outputs(
    project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = MANIFEST.read(project / RAW)
    name = table[table["modality"] == "CT"]["image_id"].iloc[0]
    slice_ = dcmread(project / f"data/raw/dicom/{name}.dcm")
    del slice_.FrameOfReferenceUID
    slice_.save_as(tmp_path / "slice.dcm")
    assert wrist("predict", str(tmp_path / "slice.dcm"), "--output", str(tmp_path / "out")) == 0
    assert "no DICOM SEG" in capsys.readouterr().out
    assert (tmp_path / "out/slice.dcm/mask.png").exists()
    assert "FrameOfReferenceUID" in read_json(tmp_path / "out/slice.dcm/prediction.json")["no_dicom_seg"]


def test_a_bad_film_is_said_and_the_others_go_on(
    project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, other, _ = films(project)
    damaged = {"cut.png": good.read_bytes()[:900], "text.png": b"no film", "cut.dcm": bytes(128) + b"DICMxx"}
    for name, content in damaged.items():
        (tmp_path / name).write_bytes(content)
    bad = [str(tmp_path / name) for name in damaged]
    assert wrist("predict", str(good), *bad, str(other), "--output", str(tmp_path / "out")) == 1
    said = capsys.readouterr()
    assert len(said.err.splitlines()) == 1 + 3
    for path in bad:
        assert f"{path}: expected" in said.err
    assert "2 of 5 films" in said.out
    folders = [path.name for path in (tmp_path / "out").iterdir() if path.is_dir()]
    assert sorted(folders) == sorted([good.name, other.name])


def test_a_second_call_does_only_what_is_missing_or_changed(
    project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [str(film) for film in films(project)]
    call = [*names, "--output", str(tmp_path)]
    wrist("predict", *call)
    first = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("prediction.json")}
    victim = tmp_path / Path(names[1]).name
    shutil.rmtree(victim)
    (tmp_path / f".{victim.name}-partial-1").mkdir()  # what a killed call leaves
    capsys.readouterr()
    assert wrist("predict", *call) == 0
    assert capsys.readouterr().out.count("done before") == 3  # two films and the closing line
    again = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("prediction.json")}
    assert {path.parent for path in first if again[path] != first[path]} == {victim}
    assert not list(tmp_path.glob(".*partial*"))
    (victim / "prediction.json").write_text("{")  # damaged
    for change in ([], ["--tta"], ["--model", "models/adaptive/seed-2-fold-1"]):
        capsys.readouterr()
        wrist("predict", *call, *change)
        assert capsys.readouterr().out.count("done before") == (0 if change else 3)


def test_a_gpu_computes_and_is_recorded_and_another_device_predicts_again(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a GPU that is pretended, in whose place the processor computes."""
    monkeypatch.setenv("WORKERS", "3")
    names = films(project, 10)
    call = ["predict", *map(str, names), "--output", str(tmp_path), "--format", "png"]

    def read() -> tuple[set[str], np.ndarray]:
        found = {read_json(tmp_path / name.name / "prediction.json")["device"] for name in names}
        return found, np.concatenate([read_png(tmp_path / name.name / "mask.png").ravel() for name in names])

    assert wrist(*call) == 0
    devices, masks = read()
    assert devices == {torch.backends.cpu.get_cpu_capability()}
    pretend_gpus(monkeypatch, "3")
    moves = pretend_moves(monkeypatch)
    for chosen, done in (("cpu", 10), ("auto", 0), ("auto", 10)):
        capsys.readouterr()
        assert wrist(*call, "--device", chosen) == 0
        said = capsys.readouterr()
        assert said.out.count(": done before") == done
        promise = "predict: Pretended 0: the same bytes only on the same card and driver; --device cpu gives those of"
        assert (promise in said.err) == (chosen == "auto")
    assert moves == ["cuda:0", "cuda:0"]
    devices, of_gpu = read()
    assert devices == {"Pretended 0"}
    assert masks.any()
    assert (masks != of_gpu).mean() <= MASKS_APART


def test_formats_are_chosen(project: Path, tmp_path: Path) -> None:
    film = films(project, 1)[0]
    wrist("predict", str(film), "--output", str(tmp_path), "--format", "json")
    assert [path.name for path in (tmp_path / film.name).iterdir()] == ["prediction.json"]
    assert wrist("predict", str(film), "--format", "jpeg") == 2


def test_names_that_match_nothing_or_clash_are_said(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        write_png(tmp_path / folder / "1.png", np.zeros((20, 20), np.uint8))
    assert [output.as_posix() for _, output in find_films([str(tmp_path)]).films] == ["a/1.png", "b/1.png"]
    assert len(find_films([str(tmp_path / "a/*.png")]).films) == 1
    with pytest.raises(UserError, match="expected films of different names"):
        find_films([str(tmp_path / "*/1.png")])
    with pytest.raises(UserError, match="found nothing"):
        find_films([str(tmp_path / "c*")])
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"expected films .* in this folder, found none"):
        find_films([str(tmp_path / "empty")])


def test_a_wards_folder_is_looked_through_by_content(tmp_path: Path) -> None:
    dicom = bytes(128) + b"DICM"
    content = {"1.2.840.3": dicom, "scan": dicom, "IM1.dcm": b"", "README": b"text", "report.pdf": b"%PDF"}
    for name, data in content.items():
        (tmp_path / name).write_bytes(data)
    (tmp_path / "predictions/1.2.840.3").mkdir(parents=True)
    for name in ("prediction.json", "overlay.jpg", "mask.png", "hand.png"):  # of an earlier call, but for hand.png
        (tmp_path / "predictions/1.2.840.3" / name).write_bytes(b"")
    for name in (".DS_Store", "._scan", "predictions/summary.csv"):
        (tmp_path / name).write_bytes(b"")
    found = find_films([str(tmp_path), str(tmp_path)])
    assert [film.name for film, _ in found.films] == ["1.2.840.3", "IM1.dcm", "scan"]
    assert [path.name for path, _ in found.others] == ["README", "hand.png", "report.pdf"]
    assert found.passed_over == {"of earlier predictions": 4, "of operating systems": 2}


def test_the_help_and_every_output_say_that_it_is_no_medical_device() -> None:
    done = subprocess.run(["wrist", "predict", "--help"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "not a medical device" in done.stdout
    assert "not a medical device" in WARNING


WITHOUT_TORCH = """
import sys
class NoTorch:
    def find_spec(self, name, *_):
        if name.split(".")[0] in ("torch", "segmentation_models_pytorch"):
            raise ImportError(name)
sys.meta_path.insert(0, NoTorch())
from tools.command_line import app
app(["predict", *sys.argv[1:]])
"""


def test_an_exported_model_predicts_the_same_without_torch(
    project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert wrist("export", "--output", str(tmp_path / "onnx")) == 0
    assert "of torch on 8 test films" in capsys.readouterr().out
    names = [str(film) for film in films(project)]
    wrist("predict", *names, "--output", str(tmp_path / "torch"))
    command = [sys.executable, "-c", WITHOUT_TORCH, *names, "--model", str(tmp_path / "onnx"), "--output", "bare"]
    home = tmp_path / "home"
    home.mkdir()
    place = environment() | {"PYTHONPATH": str(ROOT), "HOME": str(home)}
    place.pop("ORT_DISABLE_TELEMETRY", None)
    done = subprocess.run(command, cwd=tmp_path, env=place, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not [path for path in home.rglob("*") if "onnxruntime" in path.name], "which reports its use from there"
    for film in map(Path, names):
        a, b = (tmp_path / side / film.name / "probability.png" for side in ("torch", "bare"))
        assert np.abs(read_png(a).astype(int) - read_png(b)).max() <= 1
        hashes = [json.loads((p.parent / "prediction.json").read_text())["model"]["weights_sha256"] for p in (a, b)]
        assert hashes[0] == hashes[1]


def test_an_export_replaces_an_export_and_nothing_else(project: Path, tmp_path: Path) -> None:
    (tmp_path / "recipe.json").write_text("{}")
    (tmp_path / "letter.txt").write_text("dear")
    for target in (str(tmp_path), "models"):
        with pytest.raises(UserError, match="expected a new folder or one of this command's"):
            wrist("export", "--output", target)
    assert (tmp_path / "letter.txt").read_text() == "dear"
    changed = tmp_path / "changed"
    changed.mkdir()
    (changed / "recipe.json").write_text('{"recipe": {}, "weights": "ab", "onnx": "cd"}')
    (changed / "model.onnx").write_text("quantised")
    with pytest.raises(UserError, match=r"model\.onnx: expected the one that recipe\.json has"):
        wrist("export", "--output", str(changed))
    assert (changed / "model.onnx").read_text() == "quantised"
    assert (project / "models/adaptive").is_dir()


def test_an_export_of_probabilities_is_refused(tmp_path: Path) -> None:
    # Exports gave probabilities once, to which no temperature can be applied.
    film, probability = (onnx.helper.make_tensor_value_info(name, 1, ["n"]) for name in ("film", "probability"))
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Sigmoid", ["film"], ["probability"])], "g", [film], [probability]
    )
    onnx.save(onnx.helper.make_model(graph, ir_version=10), tmp_path / "model.onnx")
    with pytest.raises(UserError, match=r"model\.onnx: expected the output logit, found probability; export it again"):
        open_model(str(tmp_path))


def tiny_export(folder: Path) -> None:
    """A model that says of each pixel what it is given."""
    film = onnx.helper.make_tensor_value_info("film", 1, ["n", 1, "s", "s"])
    logit = onnx.helper.make_tensor_value_info("logit", 1, ["n", "s", "s"])
    axis = onnx.helper.make_tensor("axis", 7, [1], [1])
    node = onnx.helper.make_node("Squeeze", ["film", "axis"], ["logit"])
    graph = onnx.helper.make_graph([node], "g", [film], [logit], [axis])
    opset = [onnx.helper.make_opsetid("", 17)]
    onnx.save(onnx.helper.make_model(graph, ir_version=10, opset_imports=opset), folder / "model.onnx")


def test_an_export_computes_on_a_gpu_where_onnxruntime_can(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a pretended provider of onnxruntime, in whose place that of the processor computes."""
    tiny_export(tmp_path)
    asked: list[tuple[bool, Any]] = []
    cuda, real, falls_back = "CUDAExecutionProvider", onnxruntime.InferenceSession, False

    class Session:
        def __init__(self, path: str, options: Any, providers: Any) -> None:
            asked.append((options.use_deterministic_compute, providers))
            self.session = real(path, options, providers=["CPUExecutionProvider"])
            self.get_outputs = self.session.get_outputs

        def get_providers(self) -> list[str]:
            return [cuda, "CPUExecutionProvider"][falls_back:]

        def run(self, outputs: list[str], inputs: dict[str, np.ndarray]) -> Any:
            if inputs["film"].max() == 1:
                raise RuntimeError("CUDA failure 2: out of memory")
            return self.session.run(outputs, inputs)

    inputs = np.arange(3 * 16, dtype=np.uint8).reshape(3, 1, 4, 4)
    on_cpu, device = onnx_network(tmp_path, 1, "auto")
    assert device == "CPUExecutionProvider"  # the one that is installed here, whatever is asked for
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [cuda, "CPUExecutionProvider"])
    monkeypatch.setattr(onnxruntime, "InferenceSession", Session)
    on_gpu, device = onnx_network(tmp_path, 1, "auto")
    assert device == cuda
    options = {"cudnn_conv_algo_search": "DEFAULT", "use_tf32": "0"}
    assert asked == [(True, [(cuda, options), "CPUExecutionProvider"])]
    np.testing.assert_array_equal(on_gpu(inputs), on_cpu(inputs))
    with pytest.raises(UserError, match=r"onnxruntime fails on the GPU \(CUDA failure 2.*\); choose --device cpu"):
        on_gpu(inputs + np.uint8(208))
    falls_back = True  # its libraries are missing
    assert onnx_network(tmp_path, 1, "auto")[1] == "CPUExecutionProvider"
    assert onnx_network(tmp_path, 1, "cpu")[1] == "CPUExecutionProvider"
    assert asked[-1] == (False, ["CPUExecutionProvider"])


def test_a_damaged_export_is_said(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"nonsense")
    (tmp_path / "recipe.json").write_text("{}")
    with pytest.raises(UserError, match=r"model\.onnx: expected an ONNX model"):
        wrist("predict", str(tmp_path), "--model", str(tmp_path))


def test_a_turned_photograph_of_a_film_is_predicted_upright(project: Path, tmp_path: Path) -> None:
    film = Image.open(films(project, 1)[0]).convert("L")
    tag = Image.Exif()
    tag[0x0112] = 6  # to be shown turned by 90 degrees
    film.save(tmp_path / "upright.tif")
    film.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "turned.tif", exif=tag)
    wrist("predict", str(tmp_path / "*.tif"), "--output", str(tmp_path / "out"))
    masks = [read_png(tmp_path / f"out/{name}.tif/mask.png") for name in ("upright", "turned")]
    np.testing.assert_array_equal(*masks)


def test_monochrome1_is_the_same_film(project: Path, tmp_path: Path) -> None:
    table = MANIFEST.read(project / RAW)
    chosen = table[(table["modality"] == "CR") & (table["photometric_interpretation"] == "MONOCHROME2")].iloc[0]
    film = pydicom.dcmread(project / f"data/raw/dicom/{chosen['image_id']}.dcm")
    for word in ("WindowCenter", "WindowWidth"):
        film.pop(word, None)
    film.save_as(tmp_path / "two.dcm")
    film.PhotometricInterpretation = "MONOCHROME1"
    film.PresentationLUTShape = "INVERSE"
    film.PixelData = (2**film.BitsStored - 1 - film.pixel_array).astype(np.uint16).tobytes()
    film.save_as(tmp_path / "one.dcm")
    assert wrist("predict", str(tmp_path / "*.dcm"), "--output", str(tmp_path / "out")) == 0
    one, two = (read_png(tmp_path / f"out/{name}.dcm/probability.png") for name in ("one", "two"))
    np.testing.assert_array_equal(one, two)
