//! Shapes of nodes: how many of which card, network ports and host memory, each with its source. A shape fills what a question
//! leaves open.

use std::sync::OnceLock;

use serde::{Deserialize, Serialize};

use super::Gpu;
use crate::units::{Bytes, BytesPerSecond};

const NODES: &str = include_str!("../../assets/hardware/nodes.json");

/// A node as it is sold or rented.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct NodeShape {
    /// Stable key: `dgx-h100`.
    pub id: String,
    /// The name that people use.
    pub name: String,
    /// Id of its card.
    pub gpu: String,
    /// How many of it are joined by the scale-up link.
    pub gpus: u64,
    /// Memory of the host, GiB.
    pub host_gib: f64,
    /// Network ports that GPUs use.
    pub ports: u64,
    /// One port in one direction, Gbit/s.
    pub port_gbit: f64,
    /// Where this comes from.
    pub source: String,
}

impl NodeShape {
    /// Memory of the host.
    pub fn host_memory(&self) -> Bytes {
        Bytes::from_gib(self.host_gib)
    }

    /// Out of the node in one direction.
    pub fn between(&self) -> BytesPerSecond {
        BytesPerSecond::from_gbit(self.port_gbit * self.ports as f64)
    }
}

/// Every shape of the table.
pub fn nodes() -> &'static [NodeShape] {
    static TABLE: OnceLock<Vec<NodeShape>> = OnceLock::new();
    TABLE.get_or_init(|| serde_json::from_str(NODES).unwrap_or_default())
}

/// The shape with this id.
pub fn find_node(id: &str) -> Option<&'static NodeShape> {
    nodes().iter().find(|shape| shape.id == id)
}

/// GPUs that a server takes where no node of the table has the card (boards of eight: the vendors' HGX and the PCIe servers of
/// the table's clouds).
pub const OF_A_SERVER: u64 = 8;

/// In what machine a card stands where nobody says: how many are together, and the node of the table, the first of those that
/// have it. Fewer of them share one machine, also cards of which a desktop has one.
pub fn usual_machine(gpu: &Gpu) -> (u64, Option<&'static NodeShape>) {
    let shape = nodes().iter().find(|shape| shape.gpu == gpu.id);
    let usual = gpu.node_gpus.map_or(OF_A_SERVER, u64::from);
    (shape.map_or(usual.max(OF_A_SERVER), |shape| shape.gpus), shape)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hardware::find;

    #[test]
    fn every_shape_has_a_card_of_the_table_and_a_source() {
        assert!(nodes().len() >= 20);
        for shape in nodes() {
            let gpu = find(&shape.gpu).unwrap_or_else(|| unreachable!("{}: {}", shape.id, shape.gpu));
            assert_eq!(gpu.id, shape.gpu, "{}", shape.id);
            assert!(!shape.source.is_empty() && shape.gpus > 0 && shape.ports > 0);
            assert!(shape.host_memory() > Bytes::from_gib(500.0));
            if let Some(usual) = gpu.node_gpus {
                assert!(u64::from(usual) <= shape.gpus || usual == 8, "{}", shape.id);
            }
        }
    }

    #[test]
    fn a_card_stands_in_a_node_of_the_table_or_in_a_server_of_eight() {
        let usual = |id: &str| find(id).map(|gpu| usual_machine(gpu).0);
        assert_eq!(usual("h100-sxm-80gb"), Some(8));
        assert_eq!(usual("gb200-nvl72-per-gpu"), Some(72));
        assert_eq!(usual("rtx-4090"), Some(8));
        assert_eq!(usual("a10g"), Some(8));
    }

    #[test]
    fn ports_add_up() {
        let total = |id: &str| find_node(id).map(|shape| shape.between().to_gb());
        assert_eq!(total("dgx-h100"), Some(400.0));
        assert_eq!(total("aws-p5"), Some(400.0));
        assert_eq!(total("aws-p4d"), Some(50.0));
        assert_eq!(total("no such node"), None);
    }
}
