"""Check all of params.yaml, each group by itself and the groups against one another.

Every stage does this before it begins: under `dvc repro` any of them may be the first that runs, and a fault
in a later one's params is not to be found hours later. No result depends on it: dvc.yaml lists it nowhere,
and `stages.run` imports it.
"""

from overtone.core.params import check_groups, read
from overtone.data.catalog import SelectSettings, SplitSettings
from overtone.data.dataset.segments import SegmentSettings
from overtone.data.pairs.degradation import DegradeSettings
from overtone.data.sources.provide import DownloadSettings
from overtone.evaluation.comparison import named_systems
from overtone.evaluation.comparison.chunks import EvaluateSettings
from overtone.evaluation.metrics import visqol
from overtone.models.registry import ModelSettings
from overtone.training.checks import check_params
from overtone.training.settings import TrainSettings

GROUPS = ("download", "select", "split", "degrade", "segment", "model", "train", "evaluate")


def check_all() -> None:
    """Read every group of params.yaml and check it.

    Raises:
        OvertoneError: the first fault; or a model is not there, or ViSQOL is asked for and not installed.
    """
    check_groups(GROUPS)
    read("download", DownloadSettings)
    read("select", SelectSettings)
    read("split", SplitSettings)
    degrade = read("degrade", DegradeSettings)
    segment = read("segment", SegmentSettings)
    check_params(read("train", TrainSettings), read("model", ModelSettings), segment, degrade)
    evaluate = read("evaluate", EvaluateSettings)
    evaluate.check_cutoffs(degrade.cutoff_hz, degrade.rate)
    named_systems.check_names(evaluate.systems)
    if evaluate.visqol:
        visqol.check()
