"""Every knob of ``params.yaml``, checked as a whole before any work is done."""

import re
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from trashnet.backbones import BACKBONES
from trashnet.errors import PipelineError

PARAMS_FILE = Path("params.yaml")

YAML_FAULTS = (YAMLError, ValueError, LookupError, TypeError, AttributeError)
"""What ruamel.yaml raises of a text: not all that looks like a date or has a tag is one."""


def _known_backbone(name: str) -> str:
    if name not in BACKBONES:
        raise ValueError(f"should be one of {', '.join(BACKBONES)}")
    return name


def _listed(mirrors: object) -> object:
    return mirrors if isinstance(mirrors, list) else [mirrors]


def _no_repeats(items: list[str]) -> list[str]:
    if len(set(items)) < len(items):
        raise ValueError("should name each model once")
    return items


def _in_corrections(path: str) -> str:
    if PurePosixPath(path).parts[:1] != ("corrections",) or ".." in PurePosixPath(path).parts:
        raise ValueError("should be a file in the folder corrections/, which DVC watches")
    return path


def _ascending(bounds: list[float]) -> list[float]:
    if bounds[0] > bounds[1]:
        raise ValueError("should be [lowest, highest]")
    return bounds


Seed = Annotated[int, Field(ge=0, lt=2**32)]
Share = Annotated[float, Field(ge=0, lt=1)]
Count = Annotated[int, Field(ge=0, le=1_000_000)]
PositiveCount = Annotated[int, Field(ge=1, le=1_000_000)]
LearningRate = Annotated[float, Field(gt=0)]
Url = Annotated[str, Field(min_length=1)]
CorrectionsFile = Annotated[str, AfterValidator(_in_corrections)]
FactorRange = Annotated[
    list[Annotated[float, Field(ge=0)]],
    Field(min_length=2, max_length=2),
    AfterValidator(_ascending),
]


Backbone = Annotated[str, AfterValidator(_known_backbone)]


Models = Annotated[list[Backbone], AfterValidator(_no_repeats)]


DatasetName = Annotated[str, Field(pattern=r"^[^.\[\]*?]+$")]
"""DVC takes a dot or bracket in a parameter's name for a level below it, a star for any name."""
EnsembleName = Annotated[str, Field(pattern="^[A-Za-z][A-Za-z0-9_-]*$")]


class Section(BaseModel):
    """A mapping in params.yaml: exact types, finite numbers, no unknown keys."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


class Dataset(Section):
    """What belongs to one dataset: where it is, and how its photos are shown.

    Attributes
    ----------
    urls : list of str
        The mirrors in the order to try them; in the file one ``url`` or a list.
    """

    urls: Annotated[list[Url], Field(alias="url", min_length=1), BeforeValidator(_listed)]
    content_sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None
    image_size: Annotated[
        list[Annotated[int, Field(ge=32, le=2048)]], Field(min_length=2, max_length=2)
    ]
    pretrained: Url
    corrections: CorrectionsFile | None
    license: str | None = None

    @model_validator(mode="after")
    def _mirrors_need_a_hash(self) -> Self:
        if len(self.urls) > 1 and self.content_sha256 is None:
            raise ValueError(
                "a list of mirrors in url needs content_sha256 to tell that they agree"
            )
        return self


class Prepare(Section):
    near_duplicate_bits: Annotated[int, Field(ge=0, le=64)]


class Split(Section):
    method: Literal["stratified", "kfold", "official"]
    seed: Seed
    test: Annotated[float, Field(gt=0, lt=1)]
    val: Annotated[float, Field(gt=0, lt=1)]
    folds: Annotated[int, Field(ge=2, le=1_000_000)]
    fold: PositiveCount
    files: Url | None
    listed_val: Annotated[float, Field(gt=0, le=1)]

    @model_validator(mode="after")
    def _leave_something_to_train_on(self) -> Self:
        if self.method == "stratified" and self.test + self.val >= 1:
            raise ValueError("test + val should leave a share for training, below 1 in sum")
        if self.method == "kfold" and 1 / self.folds + self.val >= 1:
            raise ValueError("1 / folds + val should leave a share for training, below 1 in sum")
        if self.fold > self.folds:
            raise ValueError("fold should be from 1 to folds")
        if self.method == "official" and self.files is None:
            raise ValueError("method official needs files, the folder or URL with the three lists")
        return self


class Augment(Section):
    seed: Seed
    views: Count
    rotation: Annotated[float, Field(ge=0, le=180)]
    zoom: Share
    shear: Annotated[float, Field(ge=0, lt=90)]
    shift: Share
    horizontal_flip: bool
    vertical_flip: bool
    brightness: FactorRange
    contrast: FactorRange
    color: Share


class Features(Section):
    max_gigabytes: Annotated[float, Field(gt=0)]


class Head(Section):
    units: list[PositiveCount]
    dropout: Share


class Initial(Section):
    epochs: PositiveCount
    learning_rate: LearningRate


class FineTune(Section):
    epochs: Count
    learning_rate: LearningRate
    layers: Count
    layers_for: dict[Backbone, Count]
    batch_norm: Literal["frozen", "learned"]

    def layers_of(self, model: str) -> int:
        """Return how many of this backbone's last layers may learn."""
        return self.layers_for.get(model, self.layers)


class EarlyStopping(Section):
    patience: PositiveCount
    monitor: Literal["val_loss", "val_accuracy"]


class Params(Section):
    """The whole of params.yaml; each key is explained there."""

    dataset: str
    datasets: Annotated[dict[DatasetName, Dataset], Field(min_length=1)]
    prepare: Prepare
    split: Split
    augment: Augment
    features: Features
    models: Annotated[Models, Field(min_length=1)]
    ensembles: dict[EnsembleName, Annotated[Models, Field(min_length=2, max_length=2)]]
    alpha: Annotated[float, Field(ge=0, le=1)]
    seed: Seed
    batch_size: PositiveCount
    head: Head
    optimizer: Literal["adam", "adamw"]
    weight_decay: Annotated[float, Field(ge=0)]
    learning_rate_schedule: Literal["constant", "cosine"]
    initial: Initial
    fine_tune: FineTune
    early_stopping: EarlyStopping
    label_smoothing: Share
    mixup: Annotated[float, Field(ge=0, le=100)]
    mirror_images: bool
    precision: Literal["float32", "bfloat16"]
    export: Models

    @model_validator(mode="after")
    def _dataset_has_an_entry(self) -> Self:
        if self.dataset not in self.datasets:
            raise ValueError(
                f"dataset should be one of {', '.join(self.datasets)}, not {self.dataset!r}"
            )
        return self

    @model_validator(mode="after")
    def _join_and_export_what_is_trained(self) -> Self:
        named = {"export": self.export}
        named |= {f"ensembles.{name}": members for name, members in self.ensembles.items()}
        for key, models in named.items():
            if others := set(models) - set(self.models):
                raise ValueError(
                    f"{key} names {', '.join(sorted(others))}, which `models` does not train"
                )
        return self

    @model_validator(mode="after")
    def _ensembles_have_names_of_their_own(self) -> Self:
        taken = {name.casefold() for name in (*BACKBONES, "best", "split")}
        if clash := [name for name in self.ensembles if name.casefold() in taken]:
            raise ValueError(f"ensembles.{clash[0]} should have a name of its own")
        return self

    @property
    def compared(self) -> list[str]:
        """The models that the report compares: those trained, then those joined of them."""
        return [*self.models, *self.ensembles]

    @property
    def data(self) -> Dataset:
        """The entry of `datasets` that `dataset` selects."""
        return self.datasets[self.dataset]


def load_params(path: Path = PARAMS_FILE) -> Params:
    """Read and check the parameters.

    Parameters
    ----------
    path : Path
        The YAML file; a relative path starts at the repository's root, where
        DVC runs every stage.

    Raises
    ------
    PipelineError
        If the file is missing, is not YAML, or if any key is missing,
        unknown, of a wrong type or out of range, all of these named at once;
        else if two of them contradict each other.
    """
    try:
        # The parser that DVC has: others read the 1e-05 that `dvc exp run -S` writes as text.
        raw = YAML(typ="safe").load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise PipelineError(f"{path} is missing; run this from the repository's root.") from None
    except YAML_FAULTS as error:
        raise PipelineError(f"{path} is not valid YAML ({' '.join(str(error).split())}).") from None
    return check_params(raw, str(path))


def check_params(raw: object, source: str) -> Params:
    """Check what was read from params.yaml, or would be.

    Parameters
    ----------
    raw : object
        What its YAML holds.
    source : str
        What errors call it.

    Raises
    ------
    PipelineError
        If any key is missing, unknown, of a wrong type or out of range, all of
        these named at once; else if two of them contradict each other.
    """
    try:
        return Params.model_validate(raw)
    except ValidationError as error:
        faults = "; ".join(_explain(fault) for fault in error.errors())
        raise PipelineError(f"{source} cannot be used: {faults}.") from None


def public_address(text: str) -> str:
    """Leave out of the addresses in a text what may be a password or a signature.

    Reports are published and logs are kept. An address may have any scheme or
    several (``simplecache::https://user:password@host/photos.zip?sig=secret``);
    in those of buckets a question mark is part of a name.
    """
    without_users = re.sub(r"(://)[^\s/?#\"']*:[^\s/?#\"']*@", r"\1", text)
    without_tokens = re.sub(r"(?i)(\bhttps?://)[^\s/?#\"']*@", r"\1", without_users)
    return re.sub(r"(?i)(\bhttps?://[^\n?#\"']*)[?#][^\s\"']*", r"\1", without_tokens)


def _explain(fault: ErrorDetails) -> str:
    """Say which key is at fault and what is allowed there."""
    key = ".".join(str(part) for part in fault["loc"] if part != "[key]") or "the file"
    match fault["type"]:
        case "missing":
            return f"{key} is missing"
        case "extra_forbidden":
            return f"{key} is not a known key"
        case "model_type" | "dict_type":
            return f"{key} should be a mapping of keys to values"
        case "too_short" | "too_long":
            bound = fault["ctx"].get("min_length", fault["ctx"].get("max_length"))
            return f"{key} has {fault['ctx']['actual_length']} entries and should have {bound}"
        case "value_error" if isinstance(fault["input"], dict):
            return f"{key}: {fault['ctx']['error']}"
    reason = re.sub("^(Value error, |Input |String )", "", fault["msg"])
    reason = reason.replace("a valid boolean", "true or false")
    return f"{key} {reason}, not {fault['input']!r}"
