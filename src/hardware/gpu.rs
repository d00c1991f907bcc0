//! One accelerator as the table describes it: memory, arithmetic, links, sources. Slices (MIG) are accelerators too.

use serde::Serialize;

use super::link::{Link, LinkKind};
use super::table::links;
use crate::units::Bytes;

/// A range of sizes that differ between drivers or firmware.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Span {
    /// The smallest that was seen.
    pub low: Bytes,
    /// The largest that was seen.
    pub high: Bytes,
}

/// Error correction that takes a sixteenth of the memory of a GDDR6 board and can be switched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Ecc {
    /// The state in which the totals of the table were read, which is how the board usually runs.
    pub usual: bool,
}

/// A part of a card that appears as a card of its own (MIG).
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Slice {
    /// Id of the whole card.
    pub parent: String,
    /// The vendor's name of the profile: `3g.40gb`.
    pub profile: String,
    /// How many of this profile the card holds.
    pub instances: u32,
}

/// One accelerator. Missing figures are unknown, never zero.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Gpu {
    /// Stable key: `h100-sxm-80gb`, `h100-sxm-80gb-mig-3g.40gb`.
    pub id: String,
    /// Vendor.
    pub vendor: String,
    /// The name that people use.
    pub name: String,
    /// Other names under which [`super::find`] finds it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// The number on the box; its unit varies between GB and GiB.
    pub marketing_gb: f64,
    /// The total that `nvidia-smi` prints.
    pub driver_visible: Option<Bytes>,
    /// Other totals of the driver, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub driver_visible_note: Option<String>,
    /// `torch.cuda.get_device_properties().total_memory`; on Apple Metal's recommended working set.
    pub torch_visible: Option<Span>,
    /// Whether `torch_visible` was read from a log of this very card, or is only believed.
    pub torch_logged: bool,
    /// Whether its capacity is only estimated, because no log of it is known.
    pub estimated: bool,
    /// Switchable error correction that costs memory; `None` where there is none or it is free (HBM).
    pub ecc: Option<Ecc>,
    /// Whether the memory is shared with the CPU.
    pub unified: bool,
    /// Memory bandwidth, 10^9 B/s, datasheet.
    pub bandwidth_gb_per_s: Option<f64>,
    /// Dense bf16 with fp32 accumulation, 10^12 FLOP/s.
    pub bf16_tflops: Option<f64>,
    /// The best measured bf16 matrix product, 10^12 FLOP/s (stas00/ml-engineering, compute/accelerator).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub product_tflops: Option<f64>,
    /// Dense fp8, 10^12 FLOP/s.
    pub fp8_tflops: Option<f64>,
    /// Dense fp4, 10^12 FLOP/s.
    pub fp4_tflops: Option<f64>,
    /// The link between GPUs of a node; `None` where they meet only over PCIe.
    pub link: Option<String>,
    /// Rate of that link per GPU, both directions added, 10^9 B/s.
    pub link_gb_per_s: Option<f64>,
    /// Generation of the host link.
    pub pcie_generation: Option<u8>,
    /// Devices in a usual server.
    pub node_gpus: Option<u32>,
    /// Board power, W.
    pub watts: Option<f64>,
    /// Architecture: "Hopper".
    pub architecture: String,
    /// As torch prints it: "9.0"; a gfx name on AMD.
    pub compute_capability: Option<String>,
    /// Formats that the matrix unit takes: "bf16", "fp8", "fp4", or "bf16 in software".
    pub formats: Vec<String>,
    /// Where bandwidth, arithmetic, link and power come from.
    pub sources: Vec<String>,
    /// Where the memory totals come from.
    pub memory_sources: Vec<String>,
    /// What a reader must know.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notes: Option<String>,
    /// Set for a slice of a card.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slice: Option<Slice>,
}

impl Gpu {
    /// A card of a typed size, which is taken as what the program gets.
    pub fn custom(usable: Bytes) -> Self {
        Self {
            id: "custom".into(),
            vendor: "unknown".into(),
            name: format!("{:.2} GiB GPU", usable.to_gib()),
            aliases: Vec::new(),
            marketing_gb: usable.to_gib(),
            driver_visible: None,
            driver_visible_note: None,
            torch_visible: Some(Span {
                low: usable,
                high: usable,
            }),
            torch_logged: true,
            estimated: false,
            ecc: None,
            unified: false,
            bandwidth_gb_per_s: None,
            bf16_tflops: None,
            product_tflops: None,
            fp8_tflops: None,
            fp4_tflops: None,
            link: None,
            link_gb_per_s: None,
            pcie_generation: None,
            node_gpus: None,
            watts: None,
            architecture: String::new(),
            compute_capability: None,
            formats: Vec::new(),
            sources: Vec::new(),
            memory_sources: Vec::new(),
            notes: None,
            slice: None,
        }
    }

    /// Compute capability times ten (90 for Hopper, 121 for GB10); `None` for other vendors and where unknown.
    pub fn capability_times_ten(&self) -> Option<u16> {
        let (major, minor) = self.compute_capability.as_deref()?.split_once('.')?;
        let (major, minor) = (major.parse::<u16>().ok()?, minor.parse::<u16>().ok()?);
        Some(major.saturating_mul(10).saturating_add(minor))
    }

    /// The best measured matrix product as a share of the nominal rate.
    pub fn best_product_share(&self) -> Option<f64> {
        Some(self.product_tflops? / self.bf16_tflops.filter(|rate| *rate > 0.0)?)
    }

    /// The link between GPUs of a node as the table of links has it: of the same name and rate.
    pub fn scale_up(&self) -> Option<&'static Link> {
        let name = self.link.as_deref()?;
        let rate = self.link_gb_per_s?;
        let first = name.split([' ', '(']).next()?;
        let same =
            |link: &&Link| link.kind == LinkKind::ScaleUp && link.both_directions_gb_per_s == Some(rate);
        links()
            .iter()
            .filter(same)
            .find(|link| link.name.starts_with(first))
    }

    /// Whether its matrix unit takes this format (`bf16`, `fp8`, `fp4`).
    pub fn supports(&self, format: &str) -> bool {
        self.formats.iter().any(|known| known == format)
    }

    /// The total in `nvidia-smi` with error correction in this state; the usual state where the board has no switch.
    pub fn driver_visible_with_ecc(&self, on: bool) -> Option<Bytes> {
        let total = self.driver_visible?;
        Some(match self.ecc {
            Some(Ecc { usual: true }) if !on => Bytes::from_mib(mib(total).saturating_mul(16).div_ceil(15)),
            Some(Ecc { usual: false }) if on => Bytes::from_mib(mib(total).saturating_mul(15) / 16),
            _ => total,
        })
    }
}

/// Whole MiB.
pub(super) fn mib(bytes: Bytes) -> u64 {
    bytes.get() >> 20
}
