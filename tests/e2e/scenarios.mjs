// Twenty-three questions: ten from the catalogue, five with a pasted config.json, five with typed architectures, three that
// keep something outside the GPUs.
import { readFileSync } from "node:fs";

const config = (name) => JSON.parse(readFileSync(new URL(`configs/${name}.json`, import.meta.url), "utf8"));
const on = (gpu, num_gpus) => ({ gpu, num_gpus });

const catalogue = [
  ["llama-3.1-8b", "fsdp", on("h100-sxm-80gb", 8), { batch_size: 1, seq_length: 4096 }],
  ["llama-2-7b", "pytorch_ddp", on("a100-sxm-80gb", 1), { batch_size: 2, seq_length: 2048, precision_mode: "pure" }],
  ["qwen3-30b-a3b", "fsdp", on("h100-sxm-80gb", 16), { seq_length: 4096, activation_checkpointing: "full" }],
  ["mixtral-8x7b", "fsdp", on("h200-sxm-141gb", 16), { seq_length: 8192, activation_checkpointing: "full", loss: "chunked" }],
  ["gemma-2-9b", "fsdp", on("a100-sxm-80gb", 8), { seq_length: 4096, optimizer: "adamw_8bit_torchao" }],
  ["qwen2.5-7b", "pytorch_ddp", on("h100-sxm-80gb", 8), { seq_length: 1024, optimizer: "sgd", precision_mode: "pure" }],
  ["mistral-7b-v0.3", "fsdp", on("l40s", 4), { batch_size: 4, gradient_accumulation_steps: 4, loss: "fused" }],
  ["smollm2-135m", "pytorch_ddp", on("rtx-4090", 1), { batch_size: 16, seq_length: 1024, attention: "eager" }],
  ["olmoe-1b-7b", "fsdp", on("h100-sxm-80gb", 8), { seq_length: 2048, dtype: "fp32" }],
  ["phi-4", "fsdp", on("b200-sxm", 8), { batch_size: 2, seq_length: 4096, activation_checkpointing: "operations" }],
];

const pasted = [
  ["qwen3-30b-a3b", "fsdp", on("h100-sxm-80gb", 16), { seq_length: 4096 }],
  ["llama-wide-tied", "pytorch_ddp", on("a100-sxm-40gb", 1), { batch_size: 2, seq_length: 1024 }],
  ["mixtral-six-experts", "fsdp", on("h100-sxm-80gb", 8), { seq_length: 2048, activation_checkpointing: "full" }],
  ["gemma-2-deep", "fsdp", on("h100-sxm-80gb", 4), { seq_length: 4096 }],
  ["phi-3-mini", "pytorch_ddp", on("h100-sxm-80gb", 2), { seq_length: 2048, precision_mode: "pure" }],
];

const llama7b = {
  num_layers: 32,
  hidden_size: 4096,
  num_attention_heads: 32,
  num_key_value_heads: 32,
  intermediate_size: 11008,
  vocab_size: 32000,
};
const typed = [
  ["typed llama-2-7b", llama7b, "fsdp", on("h100-sxm-80gb", 8), { seq_length: 4096 }],
  ["typed grouped heads", { ...llama7b, num_key_value_heads: 8, head_dim: 128, tie_word_embeddings: true }, "fsdp", on("a100-sxm-80gb", 4), { seq_length: 2048 }],
  [
    "typed mixture",
    { num_layers: 16, hidden_size: 2048, num_attention_heads: 16, num_key_value_heads: 4, intermediate_size: 5632, vocab_size: 50304, moe_enabled: true, num_experts: 32, top_k: 4, expert_intermediate_size: 1024 },
    "fsdp",
    on("h100-sxm-80gb", 8),
    { seq_length: 4096 },
  ],
  [
    "typed without a gate",
    { num_layers: 24, hidden_size: 1024, num_attention_heads: 16, intermediate_size: 4096, vocab_size: 50257, mlp_gated: false, norm: "layer", hidden_act: "gelu" },
    "pytorch_ddp",
    on("rtx-4090", 1),
    { batch_size: 4, seq_length: 1024 },
  ],
  ["parameter count alone", { num_parameters: "7B" }, "fsdp", on("h100-sxm-80gb", 8), {}],
];

const outside = [
  ["zero-2 with its optimizer on the host", { type: "deepspeed", zero_stage: 2, offload_optimizer: "cpu" }],
  ["zero-3 with all on disk", { type: "deepspeed", zero_stage: 3, offload_optimizer: "nvme", offload_param: "nvme" }],
  ["fsdp with its shards on the host", { type: "fsdp", fsdp_version: "1", cpu_offload: "pinned" }],
].map(([name, engine]) => ({
  name,
  request: { model: { id: "llama-3.1-8b" }, engine, hardware: on("h100-sxm-80gb", 8), training: { seq_length: 2048 } },
}));

const request = (model, type, hardware, training) => ({ model, engine: { type }, hardware, training });

export const scenarios = [
  ...catalogue.map(([id, ...rest]) => ({ name: `catalogue ${id}`, request: request({ id }, ...rest) })),
  ...pasted.map(([file, ...rest]) => ({ name: `pasted ${file}`, request: request({ hf_config: config(file) }, ...rest) })),
  // On the page "none" is chosen first; on the command line there is simply no id.
  ...typed.map(([name, model, ...rest]) => ({ name, typed: true, request: request(model, ...rest) })),
  ...outside,
];
