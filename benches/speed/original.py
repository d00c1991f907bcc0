"""How long the original calculator takes for the questions of cases.json, as JSON: case to microseconds, and "start" to the
milliseconds of its whole command. `cargo xtask bench compare --original PLACE` installs it into an environment of its own and runs
this. Dictionaries in and JSON text out, as its web interface does it."""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from gpu_mem_calculator.core.calculator import GPUMemoryCalculator
from gpu_mem_calculator.core.models import (
    EngineConfig,
    GPUConfig,
    HybridParallelismConfig,
    InferenceConfig,
    InferenceEngineType,
    ModelConfig,
    NodeConfig,
    ParallelismConfig,
    TrainingConfig,
)
from gpu_mem_calculator.core.multinode import MultiNodeCalculator
from gpu_mem_calculator.huggingface.mapper import HuggingFaceConfigMapper
from gpu_mem_calculator.inference.calculator import InferenceMemoryCalculator

SECONDS = 1.0


def training(question):
    return GPUMemoryCalculator(
        ModelConfig(**question["model"]),
        TrainingConfig(**question["training"]),
        ParallelismConfig(**question["parallelism"]),
        EngineConfig(**question["engine"]),
        GPUConfig(**question["hardware"]),
    ).calculate()


def inference(question):
    return InferenceMemoryCalculator(
        ModelConfig(**question["model"]),
        InferenceConfig(**question["inference"]),
        GPUConfig(**question["hardware"]),
    ).calculate(InferenceEngineType(question["server"]))


def network(question):
    return MultiNodeCalculator(
        ModelConfig(**question["model"]),
        TrainingConfig(**question.get("training", {})),
        ParallelismConfig(**question.get("parallelism", {})),
        NodeConfig(**question["node"]),
        EngineConfig(**question.get("engine", {})),
    )


def ask(question, config):
    kind = question["kind"]
    if kind == "import":
        return json.dumps(HuggingFaceConfigMapper().map_to_model_config(config))
    if kind == "traffic":
        answer = network(question).calculate_network_overhead()
    elif kind == "plan":
        hybrid = HybridParallelismConfig(**question["hybrid"])
        answer = network(question).optimize_hybrid_parallelism(hybrid)
    else:
        answer = {"training": training, "inference": inference}[kind](question)
    return answer.model_dump_json()


def median(run):
    """The median duration of a call in microseconds, over a second of calls."""
    times = []
    end = time.perf_counter() + SECONDS
    while time.perf_counter() < end or len(times) < 5:
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1e6


def command(question):
    """The milliseconds of its command for a training question."""
    whole = {key: question[key] for key in ("model", "training", "parallelism", "engine", "hardware")}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "question.json"
        path.write_text(json.dumps(whole))
        program = Path(sys.executable).with_name("gpu-mem-calc")
        run = [program, "calculate", "--config", path, "--format", "json"]
        times = []
        for _ in range(20):
            start = time.perf_counter()
            subprocess.run(run, check=True, stdout=subprocess.DEVNULL)
            times.append(time.perf_counter() - start)
    return statistics.median(times) * 1e3


def main():
    cases = json.loads(Path(sys.argv[1]).read_text())
    found = {}
    for case in cases:
        question = case["original"]
        config = case["arguments"][0] if question["kind"] == "import" else None
        found[case["name"]] = median(lambda: ask(question, config))
    print(json.dumps({"calls": found, "command": command(cases[0]["original"])}))


main()
