//! Skeletons for schedulers: a Kubernetes Job or Deployment and a Slurm batch script around the command of the engine. What
//! the command does not tell is named in the notes.

use serde_json::{Value, json};

use super::Body;
use super::common::machines;
use super::sheet::Sheet;
use super::{llama_cpp, megatron, sglang, tensorrt_llm, tgi, vllm};
use crate::interop::shell::Command;
use crate::request::{EngineId, InputId, ServerId};

/// The command of the engine on one machine.
fn command(sheet: &mut Sheet<'_>) -> Command {
    match sheet.server() {
        Some(ServerId::Vllm) => vllm::command(sheet),
        Some(ServerId::Sglang) => sglang::command(sheet),
        Some(ServerId::Tgi) => tgi::command(sheet),
        Some(ServerId::TensorRtLlm) => {
            let (command, extra) = tensorrt_llm::command(sheet);
            if !extra.is_empty() {
                sheet.note("extra_llm_api_options.yaml is part of the export tensorrt_llm.");
            }
            command
        }
        Some(ServerId::LlamaCpp) => llama_cpp::command(sheet),
        Some(ServerId::Huggingface) => {
            sheet.note("generate.py is the export transformers, which holds the settings.");
            Command::new(&["python3", "generate.py"])
        }
        None => training(sheet),
    }
}

fn training(sheet: &mut Sheet<'_>) -> Command {
    let (nodes, each) = machines(sheet);
    let mut command = Command::new(&["torchrun"]);
    command.flag("--nnodes", nodes);
    command.flag("--nproc-per-node", each);
    if nodes > 1 {
        command.flag("--node-rank", "$NODE_RANK");
        command.flag("--master-addr", "$MASTER_ADDR");
        command.flag("--master-port", 29500);
    }
    match sheet.trainer() {
        EngineId::MegatronLm => {
            command.append(Command::new(&["pretrain_gpt.py"]));
            command.append(megatron::arguments(sheet));
        }
        engine => {
            let (script, export) = match engine {
                EngineId::Deepspeed => ("train.py", "deepspeed"),
                _ => ("torchrun_train.py", "torchrun"),
            };
            sheet.note(format!(
                "The settings of {} are in the export {export}, which {script} reads or is.",
                engine.name()
            ));
            command.append(Command::new(&[script]));
            if engine == EngineId::Deepspeed {
                command.flag("--deepspeed_config", "ds_config.json");
            }
        }
    }
    command
}

const fn image(server: Option<ServerId>) -> &'static str {
    match server {
        Some(ServerId::Vllm) => "vllm/vllm-openai:latest",
        Some(ServerId::Sglang) => "lmsysorg/sglang:latest",
        Some(ServerId::Tgi) => "ghcr.io/huggingface/text-generation-inference:latest",
        Some(ServerId::TensorRtLlm) => "nvcr.io/nvidia/tensorrt-llm/release:latest",
        Some(ServerId::LlamaCpp) => "ghcr.io/ggml-org/llama.cpp:server-cuda",
        Some(ServerId::Huggingface) | None => "pytorch/pytorch:latest",
    }
}

pub(super) fn kubernetes(sheet: &mut Sheet<'_>) -> Body {
    let server = sheet.server();
    let command = command(sheet);
    let (nodes, each) = machines(sheet);
    let words: Vec<&str> = command.words().collect();
    // `$NAME` of a shell is `$(NAME)` here.
    let words: Vec<String> = words
        .into_iter()
        .map(|word| match word.strip_prefix('$') {
            Some(name) => format!("$({name})"),
            None => word.to_owned(),
        })
        .collect();
    let mut container = json!({
        "name": "main",
        "image": image(server),
        "command": words,
        "resources": {"limits": {"nvidia.com/gpu": each}},
        "volumeMounts": [{"name": "shm", "mountPath": "/dev/shm"}],
    });
    if let Some(gib) = sheet.typed_number(InputId::HostMemoryGb) {
        let memory = format!("{gib}Gi");
        if let Some(limits) = container
            .pointer_mut("/resources/limits")
            .and_then(Value::as_object_mut)
        {
            limits.insert("memory".to_owned(), memory.into());
        }
    }
    let volumes = json!([{"name": "shm", "emptyDir": {"medium": "Memory"}}]);
    sheet.note("Image, volumes with the checkpoint and selection of nodes are placeholders.");
    if sheet.typed(InputId::Gpu) {
        let gpu = sheet.word(InputId::Gpu);
        sheet.note(format!(
            "Select nodes with {gpu} (hardware.gpu), by the label of your cluster."
        ));
    }
    if server.is_some() {
        let spec = json!({"containers": [container], "volumes": volumes});
        return Body::Yaml(json!({
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "llm-server"},
            "spec": {
                "replicas": 1,
                "selector": {"matchLabels": {"app": "llm-server"}},
                "template": {"metadata": {"labels": {"app": "llm-server"}}, "spec": spec},
            },
        }));
    }
    if nodes > 1 {
        if let Some(fields) = container.as_object_mut() {
            let index = json!({"fieldRef": {"fieldPath": "metadata.annotations['batch.kubernetes.io/job-completion-index']"}});
            fields.insert(
                "env".to_owned(),
                json!([
                    {"name": "NODE_RANK", "valueFrom": index},
                    {"name": "MASTER_ADDR", "value": "llm-train-0.llm-train"},
                ]),
            );
        }
        sheet.note("Several pods find each other by a headless Service named llm-train.");
    }
    let spec = json!({
        "containers": [container],
        "volumes": volumes,
        "restartPolicy": "Never",
        "subdomain": "llm-train",
    });
    Body::Yaml(json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "llm-train"},
        "spec": {
            "completions": nodes,
            "parallelism": nodes,
            "completionMode": "Indexed",
            "backoffLimit": 0,
            "template": {"spec": spec},
        },
    }))
}

pub(super) fn slurm(sheet: &mut Sheet<'_>) -> Body {
    let command = command(sheet);
    let (nodes, each) = machines(sheet);
    let mut head = format!(
        "#SBATCH --job-name=gpu-mem-calc\n#SBATCH --nodes={nodes}\n#SBATCH --ntasks-per-node=1\n#SBATCH --gpus-per-node={each}\n"
    );
    match sheet.typed_number(InputId::HostMemoryGb) {
        Some(gib) => head.push_str(&format!("#SBATCH --mem={gib:.0}G\n")),
        None => head.push_str("#SBATCH --mem=0\n"),
    }
    head.push_str("#SBATCH --time=24:00:00\n\nset -euo pipefail\n");
    if sheet.typed(InputId::Gpu) {
        let gpu = sheet.word(InputId::Gpu);
        sheet.note(format!("Choose a partition with {gpu} (hardware.gpu)."));
    }
    if nodes == 1 {
        return Body::Shell(format!("{head}srun {}", command.text()));
    }
    head.push_str("export MASTER_ADDR=$(scontrol show hostnames \"$SLURM_JOB_NODELIST\" | head -n 1)\n");
    let inner = command.text().replace('\'', "'\\''");
    Body::Shell(format!(
        "{head}srun bash -c 'export NODE_RANK=$SLURM_NODEID; {}'\n",
        inner.trim_end()
    ))
}
