"""LiteRT files that are read back: missing, foreign and contradictory ones are refused."""

import io
import zipfile
from pathlib import Path

import pytest
from classifier_work import tiny_model

from trashnet.errors import PipelineError
from trashnet.exported import ExportedClassifier, load_exported, save_exported
from trashnet.litert import convert


def test_a_missing_file_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match=r"no model at .*dvc repro"):
        load_exported(tmp_path / "missing.tflite")


def zip_of(**members: str) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        for name, text in members.items():
            file.writestr(name.replace("_", "."), text)
    return content.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not a model",
        convert(tiny_model()),
        zip_of(labels_txt="a\nb\n"),
        zip_of(labels_txt="a\nb\n", model_json="[]"),
        zip_of(labels_txt="a\nb\n", model_json='{"model": "MobileNet", "image_size": [4, 4]}'),
    ],
    ids=["empty", "text", "foreign model", "foreign archive", "list", "no model inside"],
)
def test_foreign_files_are_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(content)

    with pytest.raises(PipelineError, match="is not a LiteRT model that this pipeline exported"):
        load_exported(path)


@pytest.mark.parametrize(("classes", "size"), [(["a"], (4, 4)), (["a", "b"], (5, 5))])
def test_a_file_that_contradicts_itself_is_refused(
    classes: list[str], size: tuple[int, int], tmp_path: Path
) -> None:
    path = tmp_path / "model.tflite"
    flat_buffer = convert(tiny_model())
    save_exported(ExportedClassifier(flat_buffer, "MobileNet", classes, size), path)

    with pytest.raises(PipelineError, match="it takes"):
        load_exported(path)
