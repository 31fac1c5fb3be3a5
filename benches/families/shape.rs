//! What a set looks like before anyone optimises it: its masks, and runs of neighbours with one mask.

use std::collections::BTreeSet;

use super::Set;
use super::rule::{Net, Ports, Rule};

/// What decides which filters share a hash table: family, protocol or none, prefix lengths, and for each port whether it is
/// asked, and as a range.
pub type Mask = (bool, bool, u8, u8, PortMask, PortMask);

/// A port's part of a mask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PortMask {
    /// Not asked.
    None,
    /// One port.
    Exact,
    /// A range.
    Range,
}

/// Counts of a set whose rules are taken one by one ([`Rule::singles`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Rules.
    pub rules: usize,
    /// Filters, a range counting as one.
    pub filters: usize,
    /// Distinct masks: no order of the rules visits fewer.
    pub masks: usize,
    /// Runs of neighbours with one mask: the prios of a layout that never moves a rule.
    pub runs: usize,
}

impl Set {
    /// The set's counts.
    pub fn shape(&self) -> Shape {
        let mut masks = BTreeSet::new();
        let (mut filters, mut runs, mut last) = (0, 0, None);
        for rule in &self.rules {
            filters += rule.product();
            for mask in rule.masks() {
                masks.insert(mask);
                if last.replace(mask) != Some(mask) {
                    runs += 1;
                }
            }
        }
        Shape { rules: self.rules.len(), filters, masks: masks.len(), runs }
    }
}

impl Rule {
    /// The masks of its filters, without repetition.
    pub fn masks(&self) -> BTreeSet<Mask> {
        let mut masks = BTreeSet::new();
        for src in lens(&self.src) {
            for dst in lens(&self.dst) {
                for sport in kinds(&self.sport) {
                    for dport in kinds(&self.dport) {
                        masks.insert((self.is_v6(), self.proto.is_some(), src, dst, sport, dport));
                    }
                }
            }
        }
        masks
    }
}

fn lens(nets: &[Net]) -> BTreeSet<u8> {
    if nets.is_empty() { BTreeSet::from([0]) } else { nets.iter().map(|net| net.len).collect() }
}

fn kinds(ports: &[Ports]) -> BTreeSet<PortMask> {
    let kind = |ports: &Ports| if ports.0 == ports.1 { PortMask::Exact } else { PortMask::Range };
    if ports.is_empty() { BTreeSet::from([PortMask::None]) } else { ports.iter().map(kind).collect() }
}
