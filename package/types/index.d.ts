/**
 * GPU Memory Calculator: what training or serving an LLM needs on a GPU, tensor by tensor and instant by instant.
 *
 * The functions are declared here by hand. The data that they take and give are in `data.d.ts`, which is made of the types
 * that compute them.
 *
 * Sizes with the suffix `_gb` are GiB (2^30 bytes); those with `_bytes` are exact whole numbers below 2^53.
 */

import type * as data from "./data.js";

export type * from "./data.js";

/** A request: an object with the sections of {@link data.Request}, or its text as JSON or YAML. */
export type RequestInput = data.Request | string;

/** Kinds of failure. */
export type ErrorType =
  /** The request is refused; `errors` says why, by field. */
  | "validation_error"
  /** There is nothing of this name. */
  | "not_found"
  /** A config.json cannot be read as a model. */
  | "invalid_config"
  /** The hub wants a token, or does not accept it. */
  | "auth_error"
  /** The hub answered with an error, or too late. */
  | "api_error"
  /** The hub cannot be reached. */
  | "offline"
  /** A fault of the calculator itself; never the answer to wrong input. */
  | "internal_error";

/** What every function throws. */
export class CalculatorError extends Error {
  readonly name: "CalculatorError";
  /** What kind of failure it is. */
  readonly type: ErrorType;
  /** The same, under the key of the error object. */
  readonly error: ErrorType;
  /** Every issue by field, warnings included. */
  readonly errors: readonly data.Issue[];
  toJSON(): { error: ErrorType; message: string; type: ErrorType; errors: readonly data.Issue[] };
}

/** How strictly a request is read. */
export interface ReadOptions {
  /** Refuse keys that are not known, where else a warning names them. */
  strict?: boolean;
}

/** Options of {@link Calculator.fetchHfModel}. */
export interface FetchOptions {
  /** Sent to the hub's host alone, and kept nowhere. */
  token?: string;
  /** Branch, tag or commit; `main` by default. */
  revision?: string;
  /** Also reads index and headers of the weights, a few kilobytes of each file: the exact count by the shapes of the tensors. */
  weights?: boolean;
  /** Stops the request. */
  signal?: AbortSignal;
  /** Milliseconds; 30,000 by default. */
  timeout?: number;
  /** In place of the global `fetch`. */
  fetch?: typeof fetch;
}

/** The calculator. Every function is pure: the same arguments give the same answer, and nothing is kept between calls. */
export interface Calculator {
  /** Memory of training: verdict, meters, instants, every tensor. */
  calculate(request: RequestInput, options?: ReadOptions): data.Answer;
  /** Memory of serving. */
  calculateInference(request: RequestInput, options?: ReadOptions): data.InferenceAnswer;
  /** What travels between GPUs and nodes in a step, and how long the step takes. */
  calculateMultiNode(request: RequestInput, options?: ReadOptions): data.MultiNodeAnswer;
  /** The answers of all inference engines to one question. */
  sideBySide(request: RequestInput): data.SideBySide;
  /** The best plans: of serving where inputs of section `inference` are given, else of training. It takes seconds for large spaces: call it in a worker. */
  plan(request: RequestInput): data.Planned;
  /** The best plans of training, under the name of the original. */
  optimizeHybridParallelism(request: RequestInput): data.PlanAnswer;
  /** The parts of an answer, each with its formula, the numbers put in, the result and the source. */
  explainFormula(request: RequestInput): data.Explanation;
  /** The largest micro-batch that fits, with the answer at it. */
  optimizeBatchSize(request: RequestInput): data.BatchSizeResult;
  /** The best value of one input with which the request fits. */
  solve(request: RequestInput, variable: "batch_size" | "seq_length" | "num_gpus"): data.Solution;
  /** The smallest card on which the request fits. */
  smallestCard(request: RequestInput): data.Cards;
  /** Of each GPU the least number that works, by numbers, GPU-hours or typed prices. */
  cheapest(request: RequestInput, options?: { sort?: "gpus" | "gpu_hours" | "cost"; whole_nodes?: boolean }): data.Cheapest;
  /** Changes that lower the need, each with the new need and what it costs. */
  fixes(request: RequestInput): data.Fixes;
  /** Every issue of a request, without an answer. Throws nothing for a wrong request. */
  validate(request: RequestInput): data.ValidationResult;

  /** The request as the file of a framework, a command, or a table of its result; {@link exportFormats} lists the names. */
  exportConfig(format: string, request: RequestInput): data.ExportResult;
  /** All formats, or those of a request. */
  exportFormats(request?: RequestInput): data.ExportFormats;
  /** Reads a configuration, command line, log or message of another program over a request. */
  importText(text: string, base?: RequestInput): data.ImportResult;
  /** A request from JSON or YAML. */
  parseConfig(text: string): data.Request;
  /** A request as text that `parseConfig` reads back exactly. */
  toConfig(request: RequestInput, format?: "json" | "yaml"): string;
  /** A link to the page with this request; `base` is the page's address. */
  shareUrl(request: RequestInput, base?: string): string;
  /** The request of a link. */
  parseShareUrl(url: string): data.SharedRequest;
  /** An exact count from `7B`, `124M` or a number. */
  parseParameterCount(text: string | number | null): data.ParameterCount;

  /** What a config.json says, as text or as an object. */
  importHfConfig(config: string | object, options?: { model_id?: string }): data.HfImport;
  /** Fetches a model's config.json from the hub; with `weights` also what the headers of its files say. The only function that reaches the network. */
  fetchHfModel(id: string, options?: FetchOptions): Promise<data.HfImport & { weights?: data.ImportResult | null }>;
  /** Architecture and exact counts of the request's model; with `tensors` every weight tensor. */
  modelReport(request: RequestInput, options?: { tensors?: boolean }): data.ModelReport;
  /** The catalogue, or the models whose names contain every word. */
  models(search?: string): data.Models;
  /** The built-in requests by their ids. */
  presets(): data.Presets;
  /** One of them, or a model of the catalogue with every default. */
  preset(id: string): data.Preset;

  /** The GPUs of the table, or those whose names contain every word. */
  gpus(search?: string): data.Gpus;
  /** Shapes of nodes. */
  nodes(): data.Nodes;
  /** Links between GPUs and between nodes. */
  links(): data.Links;
  /** Training engines: ids with their names. */
  engines(): data.Labels;
  /** Inference engines. */
  inferenceEngines(): data.Labels;
  /** Optimizers. */
  optimizers(): data.Labels;
  /** Element types. */
  dtypes(): data.Labels;
  /** Links between nodes. */
  interconnects(): data.Labels;
  /** Bytes of one element: 4 of fp32, 0.5 of int4 without its scales. */
  dtypeBytes(dtype: string): number;
  /** A JSON Schema: `request`, `responses`, `error`, or the answer of a call by its name. */
  schema(name: string): data.Schema;
  /** The calculator's version. */
  version(): string;
}

/** What the WebAssembly module can be taken from. In Node nothing need be given. */
export type WasmSource = URL | string | Request | Response | Promise<Response> | BufferSource | WebAssembly.Module;

/** Loads the module once and gives the calculator. */
export function load(wasm?: WasmSource): Promise<Calculator>;

/** The same at once: from bytes or a compiled module; in Node also without. */
export function loadSync(wasm?: BufferSource | WebAssembly.Module): Calculator;
