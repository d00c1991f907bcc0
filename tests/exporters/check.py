"""Loads every export with the framework that it is for.

    python check.py FOLDER RESULT.json [--sources NAME=PATH ...]

FOLDER holds one folder for each target, with the exports of many questions. RESULT.json gets one row for each target: the
framework, its version, how many files it loaded, and what it refused. A framework that is not installed is reported as
missing, never as passed. Nothing here needs a GPU or a network.
"""

import argparse
import ast
import contextlib
import datetime
import importlib.metadata
import io
import json
import os
import pathlib
import re
import shlex
import sys
import tempfile
import types
import unittest.mock

os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("DISABLE_VERSION_CHECK", "1")
os.environ.setdefault("WANDB_DISABLED", "true")


def version(package):
    return importlib.metadata.version(package)


def words(text):
    """The words of the last command of a shell script."""
    body = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    body = body.replace("\\\n", " ")
    lines = [line for line in body.splitlines() if line.strip() and not line.startswith("export ")]
    return shlex.split(lines[-1])


def accelerate():
    from accelerate.commands.config.config_args import load_config_from_file
    from accelerate.commands.launch import _validate_launch_command, launch_command_parser

    parser = launch_command_parser()
    flags = {option.lstrip("-") for action in parser._actions for option in action.option_strings}

    def load(path, text):
        config = load_config_from_file(str(path))
        assert config.num_processes >= 1
        for part in ("fsdp_config", "deepspeed_config", "megatron_lm_config", "parallelism_config"):
            unknown = [key for key in getattr(config, part) if key not in flags]
            assert not unknown, f"{part}: accelerate launch has no {unknown}"
        args = parser.parse_args(["--config_file", str(path), "train.py"])
        # The rest of its own checks look at the GPUs of this machine.
        with contextlib.suppress(RuntimeError):
            _validate_launch_command(args)

    return "accelerate", version("accelerate"), load


def deepspeed():
    from deepspeed.runtime.config import DeepSpeedConfig

    def load(path, text):
        raw = json.loads(text)
        replicas = raw["train_batch_size"] // (
            raw["train_micro_batch_size_per_gpu"] * raw["gradient_accumulation_steps"]
        )

        class Mesh:
            """Stands for the processes, of which there are none here."""

            def get_data_parallel_world_size(self):
                return replicas

            def get_sequence_data_parallel_world_size(self):
                return replicas

        with unittest.mock.patch("deepspeed.runtime.config.dist.get_rank", return_value=0):
            config = DeepSpeedConfig(raw, mpu=Mesh())
        assert config.zero_config.stage == raw["zero_optimization"]["stage"]

    return "deepspeed", version("deepspeed"), load


def axolotl():
    import yaml
    from axolotl.utils.dict import DictDefault
    from axolotl.utils.schemas.config import AxolotlConfigWCapabilities

    def load(path, text):
        raw = yaml.safe_load(text)
        # As `validate_config` does it, with the cards that the export is for.
        AxolotlConfigWCapabilities(
            **DictDefault(raw).to_dict(),
            capabilities={"bf16": True, "fp8": False, "tf32": True, "n_gpu": 8, "n_node": 1, "compute_capability": "sm_90"},
            env_capabilities={"torch_version": version("torch").split("+")[0]},
        )
        fields = AxolotlConfigWCapabilities.model_fields
        known = set(fields) | {str(field.alias) for field in fields.values()}
        unknown = set(raw) - known - {
            "liger_rope", "liger_rms_norm", "liger_glu_activation", "liger_fused_linear_cross_entropy"
        }
        assert not unknown, f"not in the schema: {sorted(unknown)}"

    return "axolotl", version("axolotl"), load


def parse(classes, text):
    import yaml
    from transformers import HfArgumentParser

    raw = yaml.safe_load(text)
    # Cards are not here: what asks for them is checked by name only.
    for key in ("bf16", "tf32"):
        raw.pop(key, None)
    config = raw.get("deepspeed")
    if config:
        config["bf16"] = {"enabled": False}
        config["fp16"] = {"enabled": False}
        config["zero_optimization"].pop("offload_optimizer", None)
        config["zero_optimization"].pop("offload_param", None)
    raw.update(use_cpu=True, fp16=False, torch_compile=False)
    if str(raw.get("optim", "")).endswith("_fused"):
        raw["optim"] = raw["optim"].removesuffix("_fused")
    with tempfile.TemporaryDirectory() as folder:
        raw["output_dir"] = folder
        return HfArgumentParser(classes).parse_dict(raw, allow_extra_keys=False)


def training_arguments():
    from transformers import TrainingArguments

    def load(path, text):
        (arguments,) = parse(TrainingArguments, text)
        assert arguments.per_device_train_batch_size >= 1

    return "transformers", version("transformers"), load


def trl():
    from trl import DPOConfig, ModelConfig, ScriptArguments, SFTConfig

    def load(path, text):
        kind = SFTConfig if re.search(r"^packing:", text, re.M) else DPOConfig
        parse((ScriptArguments, kind, ModelConfig), text)

    return "trl", version("trl"), load


def llama_factory():
    from llamafactory.hparams.data_args import DataArguments
    from llamafactory.hparams.finetuning_args import FinetuningArguments
    from llamafactory.hparams.model_args import ModelArguments
    from llamafactory.hparams.training_args import TrainingArguments

    def load(path, text):
        parse((ModelArguments, DataArguments, TrainingArguments, FinetuningArguments), text)

    return "llamafactory", version("llamafactory"), load


def module(text):
    made = types.ModuleType("exported")
    exec(compile(text, "exported.py", "exec"), made.__dict__)
    return made


def lightning():
    import lightning as L

    class Probe(L.Trainer):
        """Takes every argument, and looks at those that need cards without taking them."""

        def __init__(self, strategy, devices, num_nodes, accelerator, precision, **rest):
            from lightning.fabric.connector import _PRECISION_INPUT_STR
            from typing import get_args

            assert precision in get_args(_PRECISION_INPUT_STR), precision
            assert devices >= 1 and num_nodes >= 1
            self.strategy_asked = strategy
            super().__init__(accelerator="cpu", devices=1, logger=False, enable_checkpointing=False, **rest)

    def load(path, text):
        made = module(text)
        made.L = types.SimpleNamespace(Trainer=Probe)
        strategy = made.trainer("cpu").strategy_asked
        if strategy != "auto":
            assert isinstance(strategy, L.pytorch.strategies.Strategy), strategy

    return "lightning", version("lightning"), load


def tiny(made, text):
    """The model of the script as a random one of two layers."""
    import torch
    from transformers import AutoModelForCausalLM, LlamaConfig

    config = LlamaConfig(
        hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, vocab_size=64
    )
    dtype = getattr(torch, re.search(r"dtype=torch\.(\w+), attn", text).group(1))
    return AutoModelForCausalLM.from_config(config, attn_implementation="sdpa").to(dtype)


def torchrun():
    """Runs the script: one process on the CPU, a tiny model, two steps."""
    import torch
    import torch.distributed as dist

    if not dist.is_initialized():
        os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT="29512", RANK="0", WORLD_SIZE="1")
        dist.init_process_group("gloo")

    def load(path, text):
        text = re.sub(r"init_device_mesh\(device, \([\d, ]+\)", lambda found: "init_device_mesh(device, (" + ("1, 1" if ", " in found.group(0).split("(device, (")[1].rstrip(")").rstrip(",") else "1,") + ")", text)
        text = text.replace("fused=True", "fused=False")
        # No kernels for a CPU, and no cards to put weights on.
        if "bnb." in text or "FullyShardedDataParallel(" in text or "AdamW4bit(" in text or "AdamWFp8(" in text:
            compile(text, str(path), "exec")
            module(text)
            return
        text = re.sub(r"reshard_after_forward=\d+", "reshard_after_forward=True", text)
        text = text.replace("pin_memory=True", "pin_memory=False").replace("layer.compile()", "pass")
        made = module(text)
        made.SEQUENCE_LENGTH, made.MICRO_BATCH = 8, 1
        made.ACCUMULATION = min(made.ACCUMULATION, 2)
        made.dist.device_mesh = __import__("torch.distributed.device_mesh", fromlist=["x"])
        model = made.wrap(tiny(made, text), "cpu")
        made.train(model, made.make_optimizer(model), "cpu", steps=2)

    return "torch", version("torch"), load


def torchtitan():
    from torchtitan.config import ConfigManager

    def load(path, text):
        with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
            file.write(text)
            file.flush()
            config = ConfigManager().parse_args([f"--job.config_file={file.name}"])
        assert config.training.seq_len >= 1

    return "torchtitan", version("torchtitan"), load


def megatron(sources):
    import typing

    import typing_extensions

    # It wants a newer Python than some machines have, for this one name.
    typing.override = typing_extensions.override
    sys.path.insert(0, sources["megatron"])
    from megatron.training.arguments import add_megatron_arguments

    parser = argparse.ArgumentParser(allow_abbrev=False, exit_on_error=False)
    add_megatron_arguments(parser)

    def load(path, text):
        command = words(text)
        given = command[command.index("pretrain_gpt.py") + 1 :]
        arguments, unknown = parser.parse_known_args(given)
        assert not unknown, f"no such argument: {unknown}"
        assert arguments.hidden_size and arguments.global_batch_size

    return "Megatron-LM", sources.get("megatron-version", "sources"), load


def flags_of(text):
    return {word.split("=")[0] for word in words(text) if word.startswith("--")}


def known_flags(package, shown, known):
    """Where a server does not install without a GPU: each flag is one of those in its sources."""

    def load(path, text):
        unknown = flags_of(text) - known
        assert not unknown, f"no such flag: {sorted(unknown)}"

    return package, shown, load


def vllm(sources):
    text = pathlib.Path(sources["vllm"], "vllm/engine/arg_utils.py").read_text()
    known = set(re.findall(r'"(--[a-z0-9-]+)"', text))
    known |= {f"--no-{flag[2:]}" for flag in known}
    return known_flags("vllm (flags of its sources)", sources["vllm-version"], known)


def sglang(sources):
    root = pathlib.Path(sources["sglang"], "sglang/srt")
    known = {"--model-path"}
    for path in [*root.glob("arg_groups/fields/*.py"), root / "server_args.py"]:
        text = path.read_text()
        known |= {f"--{name.replace('_', '-')}" for name in re.findall(r"^    ([a-z_0-9]+): A\[", text, re.M)}
        known |= set(re.findall(r'"(--[a-z0-9-]+)"', text))
    return known_flags("sglang (flags of its sources)", sources["sglang-version"], known)


def tgi(sources):
    text = pathlib.Path(sources["tgi"], "launcher/src/main.rs").read_text()
    known = {f"--{name.replace('_', '-')}" for name in re.findall(r"^    ([a-z_]+): ", text, re.M)}
    return known_flags("text-generation-inference (flags of its sources)", sources["tgi-version"], known)


def python_only(package):
    """A script whose framework is not here: its syntax, and the names that it imports."""

    def load(path, text):
        ast.parse(text)

    return f"{package} (syntax only)", "none", load


def generate():
    import inspect

    from transformers import GenerationConfig, GenerationMixin

    known = set(GenerationConfig().to_dict()) | set(inspect.signature(GenerationMixin.generate).parameters)
    known |= {"input_ids", "attention_mask", "assistant_model"}

    def load(path, text):
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "generate":
                unknown = {keyword.arg for keyword in node.keywords} - known
                assert not unknown, f"generate has no {sorted(unknown)}"

    return "transformers", version("transformers"), load


def kubernetes():
    import yaml

    def load(path, text):
        raw = yaml.safe_load(text)
        assert raw["kind"] in ("Job", "Deployment")
        container = raw["spec"]["template"]["spec"]["containers"][0]
        assert all(isinstance(word, str) for word in container["command"])

    return "kubernetes (fields by hand)", "batch/v1, apps/v1", load


def shell():
    import subprocess

    def load(path, text):
        subprocess.run(["bash", "-n", str(path)], check=True, capture_output=True)

    return "bash -n", "any", load


def checks(sources):
    return {
        "accelerate": accelerate,
        "deepspeed": deepspeed,
        "lightning": lightning,
        "axolotl": axolotl,
        "training_arguments": training_arguments,
        "trl": trl,
        "llama_factory": llama_factory,
        "torchrun": torchrun,
        "torchtitan": torchtitan,
        "megatron": lambda: megatron(sources),
        "megatron_bridge": lambda: python_only("megatron-bridge"),
        "transformers": generate,
        "vllm": lambda: vllm(sources),
        "sglang": lambda: sglang(sources),
        "tgi": lambda: tgi(sources),
        "tensorrt_llm": shell,
        "llama_cpp": shell,
        "kubernetes": kubernetes,
        "slurm": shell,
    }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("result", type=pathlib.Path)
    parser.add_argument("--source", action="append", default=[], metavar="NAME=PATH")
    parser.add_argument("--date", default=datetime.date.today().isoformat())
    parser.add_argument("--only", action="append", default=[])
    given = parser.parse_args()
    sources = dict(item.split("=", 1) for item in given.source)
    hashes = json.loads((given.folder / "hashes.json").read_text())
    earlier = {}
    if given.result.exists():
        earlier = {row["target"]: row for row in json.loads(given.result.read_text())}
    rows = []
    for target, check in checks(sources).items():
        if given.only and target not in given.only:
            continue
        files = sorted((given.folder / target).glob("*"))
        row = {"target": target, "exports": hashes.get(target), "files": len(files), "loaded": 0, "refused": []}
        row["date"] = given.date
        before = earlier.get(target, {})
        same = before.get("exports") == row["exports"] and before.get("loaded") == len(files)
        noise = io.StringIO()
        try:
            with contextlib.redirect_stdout(noise), contextlib.redirect_stderr(noise):
                row["framework"], row["version"], load = check()
        except (ImportError, KeyError, importlib.metadata.PackageNotFoundError) as problem:
            row.update(framework=target, version="missing", refused=[repr(problem)])
            # What was loaded once stays loaded while the export is the same.
            rows.append(before if same else row)
            continue
        for path in files:
            try:
                with contextlib.redirect_stdout(noise), contextlib.redirect_stderr(noise):
                    load(path, path.read_text())
                row["loaded"] += 1
            except BaseException as problem:
                row["refused"].append(f"{path.name}: {type(problem).__name__}: {str(problem)[:300]}")
        rows.append(row)
    given.result.write_text(json.dumps(rows, indent=1) + "\n")
    for row in rows:
        print(f"{row['target']:20} {row['framework']} {row['version']}: {row['loaded']} of {row['files']} loaded")
        for line in row["refused"][:6]:
            print("   ", line)
    sys.exit(any(row["loaded"] < row["files"] or row["version"] == "missing" for row in rows))


if __name__ == "__main__":
    main()
