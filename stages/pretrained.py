"""Fetch a backbone's weights once, so that dvc.lock names them and reruns need no network."""

from pathlib import Path

from trashnet.errors import PipelineError, is_out_of_memory
from trashnet.files import atomic_file
from trashnet.params import load_params
from trashnet.stage import log, run_model_stage
from trashnet.storage import fetch_file
from trashnet.weights import (
    random_weights_seed,
    save_weights,
    weights_file,
    write_random_weights_note,
)


def main(model: str) -> None:
    """Write data/pretrained/<model>.weights.h5 from where `pretrained` points."""
    params = load_params()
    source, target = params.data.pretrained, weights_file(model)
    parameter = f"datasets.{params.dataset}.pretrained"
    if source == "none":
        write_random_weights_note(target)
    elif source == "imagenet":
        save_imagenet_weights(model, target, parameter)
    else:
        fetch_file(f"{source.rstrip('/')}/{model}.weights.h5", target, parameter=parameter)
    random_weights_seed(target)  # refuses what is not a weights file
    log(f"{model}: weights from {source}, {target.stat().st_size / 1e6:.1f} MB")


def save_imagenet_weights(model: str, target: Path, parameter: str) -> None:
    """Let Keras download its ImageNet weights and save them without the classifier."""
    import keras  # noqa: PLC0415 - five seconds that the other sources need not spend

    try:
        architecture = getattr(keras.applications, model)
        backbone = architecture(include_top=False, weights="imagenet")
    except Exception as error:  # Keras wraps whatever its download met in a bare Exception
        if is_out_of_memory(error):
            raise
        raise PipelineError(
            f"Keras could not download the ImageNet weights of {model} "
            f"({' '.join(str(error).split())}); connect this machine, or point {parameter} at a "
            f"folder or URL with {model}.weights.h5."
        ) from None
    with atomic_file(target) as partial:
        save_weights(backbone, partial)


if __name__ == "__main__":
    run_model_stage(main)
