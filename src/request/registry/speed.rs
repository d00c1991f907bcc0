//! Inputs that decide how long a step takes and what it costs, and nothing about memory: the shape of a node, efficiencies,
//! collectives, overlap, budget and price.

use super::{Choice, EngineId, FormGroup, Input, InputId, InputKind, Section};
use crate::cite::{Citation, Evidence};

const SHARE: InputKind = InputKind::Number {
    min: 0.0,
    max: 1.0,
    positive: true,
};
const MEGATRON: &[EngineId] = &[EngineId::MegatronLm];

const fn speed(
    id: InputId,
    (section, group): (Section, FormGroup),
    key: &'static str,
    flag: &'static str,
    url: &'static str,
    label: &'static str,
    kind: InputKind,
) -> Input {
    Input::new(id, (section, group), key, flag, url, label, kind)
}

pub(super) const NODE_SHAPE: Input = speed(
    InputId::NodeShape,
    (Section::NodeConfig, FormGroup::Nodes),
    "node_config.node_shape",
    "--node-shape",
    "ns",
    "Node shape",
    InputKind::Choice(&[
        Choice::new("dgx-a100-640gb", "DGX A100 640GB", &[], "8 x a100-sxm-80gb, 8 x 200 Gbit/s."),
        Choice::new("dgx-h100", "DGX H100", &[], "8 x h100-sxm-80gb, 8 x 400 Gbit/s."),
        Choice::new("dgx-h200", "DGX H200", &[], "8 x h200-sxm-141gb, 8 x 400 Gbit/s."),
        Choice::new("dgx-b200", "DGX B200", &[], "8 x b200-sxm, 8 x 400 Gbit/s."),
        Choice::new("dgx-b300", "DGX B300", &[], "8 x b300-sxm6, 8 x 800 Gbit/s."),
        Choice::new("gb200-nvl72", "GB200 NVL72", &[], "72 x gb200-nvl72-per-gpu, 72 x 400 Gbit/s."),
        Choice::new("gb300-nvl72", "GB300 NVL72", &[], "72 x gb300-nvl72-per-gpu, 72 x 800 Gbit/s."),
        Choice::new("aws-p4d", "AWS p4d.24xlarge", &[], "8 x a100-sxm-40gb, 4 x 100 Gbit/s."),
        Choice::new("aws-p4de", "AWS p4de.24xlarge", &[], "8 x a100-sxm-80gb, 4 x 100 Gbit/s."),
        Choice::new("aws-p5", "AWS p5.48xlarge", &[], "8 x h100-sxm-80gb, 32 x 100 Gbit/s."),
        Choice::new("aws-p5en", "AWS p5en.48xlarge", &[], "8 x h200-sxm-141gb, 16 x 200 Gbit/s."),
        Choice::new("aws-p6-b200", "AWS p6-b200.48xlarge", &[], "8 x b200-sxm, 8 x 400 Gbit/s."),
        Choice::new("aws-g5-48xlarge", "AWS g5.48xlarge", &[], "8 x a10g, 1 x 100 Gbit/s."),
        Choice::new("aws-g6e-48xlarge", "AWS g6e.48xlarge", &[], "8 x l40s, 4 x 100 Gbit/s."),
        Choice::new("gcp-a2-ultragpu-8g", "Google Cloud a2-ultragpu-8g", &[], "8 x a100-sxm-80gb, 1 x 100 Gbit/s."),
        Choice::new("gcp-a3-highgpu-8g", "Google Cloud a3-highgpu-8g", &[], "8 x h100-sxm-80gb, 4 x 200 Gbit/s."),
        Choice::new("gcp-a3-megagpu-8g", "Google Cloud a3-megagpu-8g", &[], "8 x h100-sxm-80gb, 8 x 200 Gbit/s."),
        Choice::new("gcp-a3-ultragpu-8g", "Google Cloud a3-ultragpu-8g", &[], "8 x h200-sxm-141gb, 8 x 400 Gbit/s."),
        Choice::new("azure-nd-a100-v4", "Azure ND A100 v4", &[], "8 x a100-sxm-40gb, 8 x 200 Gbit/s."),
        Choice::new("azure-ndm-a100-v4", "Azure NDm A100 v4", &[], "8 x a100-sxm-80gb, 8 x 200 Gbit/s."),
        Choice::new("azure-nd-h100-v5", "Azure ND H100 v5", &[], "8 x h100-sxm-80gb, 8 x 400 Gbit/s."),
        Choice::new("azure-nd-h200-v5", "Azure ND H200 v5", &[], "8 x h200-sxm-141gb, 8 x 400 Gbit/s."),
        Choice::new("azure-nd-mi300x-v5", "Azure ND MI300X v5", &[], "8 x instinct-mi300x, 8 x 400 Gbit/s."),
    ]),
)
.help("A machine as it is sold or rented. It fills GPU, GPUs per node, network ports and host memory as far as they are left open.");

pub(super) const NETWORK_EFFICIENCY: Input = speed(
    InputId::NetworkEfficiency,
    (Section::NodeConfig, FormGroup::Nodes),
    "node_config.network_efficiency",
    "--network-efficiency",
    "ne",
    "Network efficiency",
    SHARE,
)
.fixed("0.85")
.advanced()
.help("The share of the ports' nominal bandwidth that large collectives reach. A typed value holds without a range.")
.cite(Citation::new(
    Evidence::Measured,
    "340 of 400 Gbit/s in all-reduce tests of a p4d node (stas00/ml-engineering@744d01e network/README.md)",
));

pub(super) const COLLECTIVES: Input = speed(
    InputId::Collectives,
    (Section::NodeConfig, FormGroup::Nodes),
    "node_config.collectives",
    "--collectives",
    "ca",
    "All-reduce algorithm",
    InputKind::Choice(&[
        Choice::new(
            "auto",
            "Fastest",
            &[],
            "Ring, tree or NVLink SHARP, as NCCL chooses.",
        ),
        Choice::new(
            "ring",
            "Ring",
            &[],
            "All bandwidth; latency grows with the ranks.",
        ),
        Choice::new(
            "tree",
            "Tree",
            &[],
            "Latency grows with the logarithm of the nodes.",
        ),
        Choice::new(
            "hierarchical",
            "Hierarchical",
            &["2d"],
            "Reduce-scatter inside nodes, all-reduce across, all-gather inside.",
        ),
        Choice::new(
            "in_network",
            "In the switches",
            &["sharp", "nvls"],
            "Switches add: NVLink SHARP inside, SHARP between nodes.",
        ),
    ]),
)
.fixed("auto")
.advanced()
.help("How sums over ranks are made. It decides communication time, not memory.")
.cite(Citation::new(
    Evidence::Source,
    "NVIDIA/nccl@5067397c src/graph/tuning.cc",
));

pub(super) const COMPUTE_EFFICIENCY: Input = speed(
    InputId::ComputeEfficiency,
    (Section::NodeConfig, FormGroup::Speed),
    "node_config.compute_efficiency",
    "--compute-efficiency",
    "ce",
    "Efficiency of matrix products",
    SHARE,
)
.derived("80 to 100 % of the best measured product of the card")
.help("The share of the card's nominal rate that large matrix products reach. Attention and memory have shares of their own. A typed value holds without a range.")
.cite(Citation::new(
    Evidence::Measured,
    "stas00/ml-engineering@744d01e compute/accelerator: 794.5 of 989 TFLOP/s on H100, 271.2 of 312 on A100",
));

pub(super) const ATTENTION_KERNELS: Input = speed(
    InputId::AttentionKernels,
    (Section::NodeConfig, FormGroup::Speed),
    "node_config.attention_kernels",
    "--attention-kernels",
    "ak",
    "Generation of fused attention",
    InputKind::Choice(&[
        Choice::new(
            "first",
            "FlashAttention",
            &["1", "triton"],
            "The first generation, also as Triton had it at first.",
        ),
        Choice::new(
            "second",
            "FlashAttention-2",
            &["2"],
            "What torch and the flash-attn package have.",
        ),
        Choice::new(
            "third",
            "FlashAttention-3 or cuDNN",
            &["3", "cudnn"],
            "What Transformer Engine calls on Hopper; the second generation on older cards.",
        ),
    ]),
)
.derived("the third under Megatron, else the second")
.advanced()
.help("Which share of the card's rate fused attention reaches. It decides time, not memory.")
.cite(Citation::new(
    Evidence::Published,
    "arXiv 2307.08691, arXiv 2407.08608: on H100 the second generation reaches 35 %, the third up to 65 %",
));

pub(super) const PEAK_TFLOPS: Input = speed(
    InputId::PeakTflops,
    (Section::NodeConfig, FormGroup::Speed),
    "node_config.peak_tflops",
    "--peak-tflops",
    "pf",
    "Rate of the card",
    InputKind::Number {
        min: 0.0,
        max: 1e6,
        positive: true,
    },
)
.derived("dense bf16 of the card")
.unit("TFLOP/s")
.advanced()
.help("Nominal rate of dense 16-bit products, for cards whose rate is not in the table.");

pub(super) const TOKEN_BUDGET: Input = speed(
    InputId::TokenBudget,
    (Section::NodeConfig, FormGroup::Speed),
    "node_config.token_budget",
    "--token-budget",
    "tkb",
    "Tokens to train on",
    InputKind::Count {
        min: 1,
        max: 1_000_000_000_000_000,
    },
)
.help("Length of the whole run, as a number or as 15T. It gives steps, days and GPU-hours.");

pub(super) const GPU_HOUR_PRICE: Input = speed(
    InputId::GpuHourPrice,
    (Section::NodeConfig, FormGroup::Speed),
    "node_config.price_per_gpu_hour",
    "--price-per-gpu-hour",
    "pr",
    "Price of a GPU-hour",
    InputKind::Number {
        min: 0.0,
        max: 1e6,
        positive: true,
    },
)
.help(
    "In any currency. It gives the cost of a billion tokens, and that of the run where its tokens are typed.",
);

pub(super) const GPU_PRICES: Input = speed(
    InputId::GpuPrices,
    (Section::Hardware, FormGroup::Speed),
    "hardware.gpu_prices",
    "--gpu-prices",
    "gpr",
    "Prices of GPU-hours by GPU",
    InputKind::List { max_len: 200 },
)
.advanced()
.help("Ids of GPUs with the price of an hour, such as h100-sxm-80gb=2.5, l40s=0.9, in any currency. The cheapest GPU is found by them; the price of a GPU-hour alone is that of the chosen GPU.");

const fn overlap(
    id: InputId,
    key: &'static str,
    flag: &'static str,
    url: &'static str,
    label: &'static str,
) -> Input {
    speed(
        id,
        (Section::Engine, FormGroup::Speed),
        key,
        flag,
        url,
        label,
        InputKind::Toggle,
    )
    .fixed("false")
    .only(MEGATRON)
    .advanced()
}

pub(super) const OVERLAP_GRAD_REDUCE: Input = overlap(
    InputId::OverlapGradReduce,
    "engine.overlap_grad_reduce",
    "--overlap-grad-reduce",
    "og",
    "Overlap gradient reduction",
)
.help("Reduces gradients bucket by bucket while backward of the last micro-batch runs. It saves time, not memory.")
.cite(Citation::new(
    Evidence::Source,
    "NVIDIA/Megatron-LM core/distributed/param_and_grad_buffer.py",
));

pub(super) const OVERLAP_PARAM_GATHER: Input = overlap(
    InputId::OverlapParamGather,
    "engine.overlap_param_gather",
    "--overlap-param-gather",
    "oa",
    "Overlap weight gather",
)
.help("Gathers updated weights while the next forward runs. Needs the distributed optimizer and overlapped reduction.")
.cite(Citation::new(
    Evidence::Source,
    "NVIDIA/Megatron-LM megatron/training/arguments.py",
));

pub(super) const TP_COMM_OVERLAP: Input = overlap(
    InputId::TpCommOverlap,
    "engine.tp_comm_overlap",
    "--tp-comm-overlap",
    "ot",
    "Overlap tensor parallel collectives",
)
.help("Cuts tensor-parallel collectives into pieces beside their products. Needs sequence parallelism.")
.cite(Citation::new(
    Evidence::Source,
    "NVIDIA/Megatron-LM megatron/training/arguments.py; TransformerEngine userbuffers",
));
