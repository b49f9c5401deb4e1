"""NNI's experiment keys and what becomes of each (reference R1)."""

from __future__ import annotations

from collections.abc import Mapping

SUPPORTED = (
    "experimentName",
    "searchSpaceFile",
    "searchSpace",
    "trialCommand",
    "trialCodeDirectory",
    "trialConcurrency",
    "maxExperimentDuration",
    "maxTrialNumber",
    "maxTrialDuration",
    "tuner",
    "assessor",
    "trainingService",
)
NO_MEANING: Mapping[str, str] = {
    "experimentWorkingDirectory": "experiments live in the store, logs in Airflow",
    "debug": "Airflow's logging settings decide",
    "logLevel": "Airflow's logging settings decide",
    "nniManagerIp": "there is no NNI manager",
    "trialGpuNumber": "-Dcluster in the ini gives a job its resources",
    "tunerGpuIndices": "the tuner needs no GPU",
}
REFUSED: Mapping[str, str] = {
    "advisor": "advisors aren't supported; give a tuner and an assessor",
    "sharedStorage": "jobs read and write OSS, as the ini says",
}
VERSION_1: Mapping[str, str] = {
    "authorName": "leave it out",
    "trialPlatform": "write trainingService: {platform: local}",
    "trainingServicePlatform": "write trainingService: {platform: local}",
    "maxExecDuration": "write maxExperimentDuration",
    "maxTrialNum": "write maxTrialNumber",
    "searchSpacePath": "write searchSpaceFile",
    "trial": "write trialCommand: <command>",
    "logDir": "leave it out",
    "localConfig": "leave it out",
    "multiPhase": "leave it out",
}
SERVICE_NO_MEANING = (
    "trialCommand",
    "trialCodeDirectory",
    "trialGpuNumber",
    "nniManagerIp",
    "useActiveGpu",
    "maxTrialNumberPerGpu",
    "gpuIndices",
    "reuseMode",
    "debug",
)
CLASS_KEYS = ("name", "className", "codeDirectory", "classArgs")
CLASS_VERSION_1 = {
    "builtinTunerName": "write name",
    "builtinAssessorName": "write name",
    "codeDir": "write codeDirectory",
    "classFileName": "write className: <file without .py>.<class>",
    "gpuIndices": "leave it out",
}
