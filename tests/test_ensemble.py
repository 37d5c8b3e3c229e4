"""The ensemble stage: which names it takes; what it makes is tested in test_classifier."""

from pathlib import Path

import pytest
from params_work import write_params

from stages import ensemble
from trashnet.errors import PipelineError


def test_a_name_that_is_no_ensemble_is_told_from_those_that_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    members = ["MobileNet", "MobileNetV2"]
    write_params({"models": members, "ensembles": {"Pair": members}})

    with pytest.raises(PipelineError, match=r"does not name MobileNet \(but Pair\)"):
        ensemble.main("MobileNet")
