//! Inputs of sections `hardware` and `node_config`: the card, its capacity, nodes and links.

use super::{Choice, FormGroup, Input, InputId, InputKind, Section};
use crate::cite::{Citation, Evidence};

const GIB: InputKind = InputKind::Number {
    min: 0.0,
    max: 65_536.0,
    positive: true,
};

const fn card(
    id: InputId,
    key: &'static str,
    flag: &'static str,
    url: &'static str,
    label: &'static str,
    kind: InputKind,
) -> Input {
    Input::new(
        id,
        (Section::Hardware, FormGroup::Hardware),
        key,
        flag,
        url,
        label,
        kind,
    )
}

const fn node(
    id: InputId,
    key: &'static str,
    flag: &'static str,
    url: &'static str,
    label: &'static str,
    kind: InputKind,
) -> Input {
    Input::new(
        id,
        (Section::NodeConfig, FormGroup::Nodes),
        key,
        flag,
        url,
        label,
        kind,
    )
    .advanced()
}

pub(super) const GPU: Input = card(
    InputId::Gpu,
    "hardware.gpu",
    "--gpu",
    "g",
    "GPU",
    InputKind::Text { max_len: 100 },
)
.derived("h100-sxm-80gb, unless a memory size is typed")
.help("Id of a GPU in the table, for example h100-sxm-80gb, l4-24gb or a MIG slice. It gives the memory that a program really sees, which is less than the number on the box.");

pub(super) const NUM_GPUS: Input = card(
    InputId::NumGpus,
    "hardware.num_gpus",
    "--gpus",
    "gn",
    "GPUs",
    InputKind::Integer {
        min: 1,
        max: 1_048_576,
    },
)
.fixed("1")
.help("GPUs of the whole job. One GPU needs no communication; on several, DDP copies the states and FSDP divides them.");

pub(super) const GPU_MEMORY_GB: Input = card(
    InputId::GpuMemoryGb,
    "hardware.gpu_memory_gb",
    "--gpu-memory-gb",
    "gm",
    "Memory per GPU",
    GIB,
)
.derived("the torch-visible memory of the GPU")
.unit("GiB")
.help("Memory that a program can use on one card, in GiB, for cards that are not in the table. It overrides the capacity of the GPU and is taken as it stands.");

pub(super) const USED_MEMORY_GB: Input = card(
    InputId::UsedMemoryGb,
    "hardware.used_memory_gb",
    "--used-memory-gb",
    "gu",
    "Already in use per GPU",
    InputKind::Number {
        min: 0.0,
        max: 65_536.0,
        positive: false,
    },
)
.fixed("0")
.unit("GiB")
.advanced()
.help("Memory of each card that something else holds already: a display, another job, a monitoring process. It is taken off the usable capacity.");

pub(super) const ECC: Input = card(
    InputId::Ecc,
    "hardware.ecc",
    "--ecc",
    "ec",
    "ECC",
    InputKind::Toggle,
)
.derived("as the card is shipped")
.advanced()
.help("Error correction on cards with GDDR6 memory takes one sixteenth of it. Cards with HBM lose nothing, and this does nothing there.")
.cite(Citation::new(
    Evidence::Measured,
    "nvidia-smi of an A40: 46,068 MiB with ECC, 49,140 MiB without",
));

pub(super) const UNIFIED_MEMORY_GB: Input = card(
    InputId::UnifiedMemoryGb,
    "hardware.unified_memory_gb",
    "--unified-memory-gb",
    "um",
    "Unified memory for the GPU",
    GIB,
)
.derived("the share that the system gives the GPU by default")
.unit("GiB")
.advanced()
.help("Machines where CPU and GPU share one memory (Apple, Strix Halo, DGX Spark): how much of it the GPU may use. Other cards do not use it.");

pub(super) const TOTAL_GPU_MEMORY_GB: Input = card(
    InputId::TotalGpuMemoryGb,
    "hardware.total_gpu_memory_gb",
    "--total-gpu-memory-gb",
    "gt2",
    "Memory of all GPUs",
    InputKind::Number {
        min: 0.0,
        max: 1e11,
        positive: true,
    },
)
.derived("GPUs times memory per GPU")
.unit("GiB")
.advanced()
.help("Derived from the number of GPUs and their memory. A different value is only reported: the capacity of one GPU decides.");

pub(super) const NUM_NODES: Input = node(
    InputId::NumNodes,
    "node_config.num_nodes",
    "--nodes",
    "nn",
    "Nodes",
    InputKind::Integer {
        min: 1,
        max: 1_048_576,
    },
)
.derived("as many as the GPUs fill of the card's usual machine")
.help("Machines among which the GPUs are divided evenly; 8 GPUs in each where nothing is said, 72 for NVL72. Memory per GPU hardly depends on it for DDP and FSDP.");

pub(super) const GPUS_PER_NODE: Input = node(
    InputId::GpusPerNode,
    "node_config.gpus_per_node",
    "--gpus-per-node",
    "gp",
    "GPUs per node",
    InputKind::Integer {
        min: 1,
        max: 1_048_576,
    },
)
.derived("GPUs divided by nodes")
.help("Derived from GPUs and nodes; a value that contradicts them is refused.");

pub(super) const INTERCONNECT_TYPE: Input = node(
    InputId::InterconnectType,
    "node_config.interconnect_type",
    "--interconnect",
    "ic",
    "Link between nodes",
    InputKind::Choice(&[
        Choice::new(
            "infiniband",
            "InfiniBand HDR",
            &["ib", "infiniband_hdr"],
            "200 Gbit/s per port.",
        ),
        Choice::new(
            "infiniband_ndr",
            "InfiniBand NDR",
            &["ndr"],
            "400 Gbit/s per port.",
        ),
        Choice::new(
            "infiniband_xdr",
            "InfiniBand XDR",
            &["xdr"],
            "800 Gbit/s per port.",
        ),
        Choice::new(
            "nvlink",
            "NVLink",
            &[],
            "Multi-node NVLink, at the rate of the GPU's generation.",
        ),
        Choice::new("ethernet_10g", "Ethernet 10G", &[], "10 Gbit/s."),
        Choice::new("ethernet_25g", "Ethernet 25G", &[], "25 Gbit/s."),
        Choice::new("ethernet_100g", "Ethernet 100G", &[], "100 Gbit/s."),
        Choice::new("ethernet_200g", "Ethernet 200G", &[], "200 Gbit/s."),
        Choice::new("ethernet_400g", "Ethernet 400G", &[], "400 Gbit/s."),
        Choice::new("ethernet_800g", "Ethernet 800G", &[], "800 Gbit/s."),
    ]),
)
.fixed("infiniband")
.help("The network between nodes. It decides communication time, not memory, and means nothing on one node.");

pub(super) const INTERCONNECT_BANDWIDTH_GBPS: Input = node(
    InputId::InterconnectBandwidthGbps,
    "node_config.interconnect_bandwidth_gbps",
    "--interconnect-bandwidth-gbps",
    "ib",
    "Bandwidth per port",
    InputKind::Number {
        min: 0.0,
        max: 1e6,
        positive: true,
    },
)
.derived("from the kind of link")
.unit("Gbit/s")
.help("Bandwidth of one port in one direction, overriding that of the kind of link. It decides communication time, not memory.");

pub(super) const PORTS_PER_NODE: Input = node(
    InputId::PortsPerNode,
    "node_config.ports_per_node",
    "--ports-per-node",
    "po",
    "Ports per node",
    InputKind::Integer { min: 1, max: 1024 },
)
.derived("one per GPU for InfiniBand and NVLink, one for Ethernet")
.help("Network ports of one node that its GPUs use. They decide communication time, not memory.");

pub(super) const HOST_MEMORY_GB: Input = node(
    InputId::HostMemoryGb,
    "node_config.host_memory_gb",
    "--host-memory-gb",
    "hm",
    "Host memory per node",
    GIB,
)
.unit("GiB")
.help("Memory of one machine, as far as the job may use it. What is offloaded is judged against it; absent, the need is only told.");

pub(super) const HOST_DISK_GB: Input = node(
    InputId::HostDiskGb,
    "node_config.host_disk_gb",
    "--host-disk-gb",
    "hd",
    "Disk per node",
    GIB,
)
.unit("GiB")
.advanced()
.help("Free disk of one machine for states offloaded to NVMe. They are judged against it; absent, the need is only told.");
