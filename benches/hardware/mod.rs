//! Whether a Program fits what hardware takes: a pure check, no driver is asked.
//!
//! The limits are those of mlx5 without `ignore_flow_level` (Linux 6.12: `fs_core.h` for chains and prios, `en_tc.c` for keys, `en/tc_ct.c`
//! for conntrack states); see performance.md 0. Chains are counted as the Program numbers them, from 0.

use std::fmt;

use ctpolicy::abi::ct_state;
use ctpolicy::emit::program::{Attached, Filter, Program};
use ctpolicy::field::{Cond, Field};

/// Highest chain.
const CHAIN_MAX: u32 = 3;
/// Highest prio.
const PRIO_MAX: u16 = 16;

/// What stands in the way: how many filters, and the first rule concerned.
#[derive(Debug, Default)]
pub struct Fit {
    filters: usize,
    refused: Vec<(&'static str, usize, String)>,
}

impl Fit {
    /// Checks every filter.
    pub fn of(program: &Program) -> Self {
        let mut fit = Self::default();
        for chain in program.attaches.iter().flat_map(Attached::all_chains) {
            for filter in &chain.filters {
                fit.filters += 1;
                let ranges = filter.keys.iter().any(|key| matches!(key.cond, Cond::Range { .. }));
                let limits = [
                    ("chains above 3", chain.index > CHAIN_MAX),
                    ("prios above 16", filter.prio > PRIO_MAX),
                    ("port ranges", ranges),
                    ("+rel or +inv", in_software(filter)),
                ];
                for (limit, _) in limits.into_iter().filter(|(_, broken)| *broken) {
                    fit.refuse(limit, program, filter);
                }
            }
        }
        fit
    }

    fn refuse(&mut self, limit: &'static str, program: &Program, filter: &Filter) {
        if let Some((_, count, _)) = self.refused.iter_mut().find(|(known, ..)| *known == limit) {
            *count += 1;
        } else {
            let text =
                program.rules.get(filter.rule).map(|rule| rule.text.chars().take(60).collect()).unwrap_or_default();
            self.refused.push((limit, 1, text));
        }
    }
}

/// Asks for a state that the driver refuses: what meets it stays in software.
fn in_software(filter: &Filter) -> bool {
    let software = u128::from(ct_state::REL | ct_state::INV);
    filter.keys.iter().any(|key| match key.cond {
        Cond::Bits { value, .. } => key.field == Field::CtState && value & software != 0,
        Cond::Range { .. } => false,
    })
}

impl fmt::Display for Fit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.refused.is_empty() {
            return write!(f, "fits ({} filters)", self.filters);
        }
        for (at, (limit, count, rule)) in self.refused.iter().enumerate() {
            let comma = if at == 0 { "" } else { "; " };
            write!(f, "{comma}{limit}: {count} filters, first for `{rule}`")?;
        }
        Ok(())
    }
}
