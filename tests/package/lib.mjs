// What the tests share: their list, the folder of the project, and requests.

import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

export const tests = [];
export const test = (name, body) => tests.push([name, body]);

export const WORK = process.env.WORK;

/** The package as a program in the project has it, by `import`. */
export const imported = () => import(pathToFileURL(join(WORK, "node_modules/gpu-mem-calc/node.js")));

/** The same by `require`. */
export const required = () => createRequire(join(WORK, "program.cjs"))("gpu-mem-calc");

export const TRAINING = {
  model: { id: "llama-3.1-8b" },
  engine: { type: "fsdp" },
  hardware: { gpu: "h100-sxm-80gb", num_gpus: 8 },
  training: { seq_length: 4096, batch_size: 2 },
};

export const INFERENCE = {
  model: { id: "llama-3.1-8b" },
  hardware: { gpu: "l40s-48gb" },
  inference: { engine_type: "vllm", batch_size: 8, total_tokens: 4096 },
};

export const NODES = { ...TRAINING, hardware: { gpu: "h100-sxm-80gb", num_gpus: 16 }, node_config: { num_nodes: 2 } };

export const CONFIG = {
  model_type: "llama", vocab_size: 128256, hidden_size: 4096, intermediate_size: 14336, num_hidden_layers: 32,
  num_attention_heads: 32, num_key_value_heads: 8, max_position_embeddings: 8192,
};
