//! One filter, one line.

use std::fmt;

use super::action::ActionWords;
use super::value::{KeyWords, ether_type};
use crate::abi::COOKIE_MAX;
use crate::emit::program::{Filter, Role, RuleRef};
use crate::field::{Cond, Field, Key};

/// A filter with its place.
pub struct FilterLine<'a> {
    /// The filter.
    pub filter: &'a Filter,
    /// Its block and chain, as words.
    pub place: &'a str,
    /// Generation of the chains it jumps to.
    pub generation: u16,
    /// For its last action.
    pub cookie: [u8; COOKIE_MAX],
}

impl fmt::Display for FilterLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Filter { prio, handle, protocol, keys, actions, .. } = self.filter;
        write!(
            f,
            "filter add {} protocol {} prio {prio} handle {handle:#x} flower",
            self.place,
            ether_type(*protocol)
        )?;
        let network = network(*protocol, keys);
        keys.iter().try_for_each(|key| write!(f, " {}", KeyWords(key, network)))?;
        actions.iter().try_for_each(|action| write!(f, " {}", ActionWords(action, self.generation)))?;
        // On the last action only: in iproute2 an action's cookie leaks into all later actions of its filter.
        f.write_str(" cookie ")?;
        write!(f, "{:032x}", u128::from_be_bytes(self.cookie))
    }
}

/// The ethertype of what the frames carry: behind a VLAN tag, the one that the filter's keys name.
fn network(protocol: u16, keys: &[Key]) -> u16 {
    let inner = keys.iter().find_map(|key| match (key.field, key.cond) {
        (Field::VlanEthType, Cond::Bits { value, .. }) => u16::try_from(value).ok(),
        _ => None,
    });
    inner.unwrap_or(protocol)
}

/// `gateway rule 3: allow tcp to port 80`
#[must_use]
pub fn rule_title(rule: &RuleRef) -> String {
    let policy = if rule.policy.is_empty() { String::new() } else { format!("{} ", rule.policy) };
    match rule.role {
        Role::Rule => format!("{policy}rule {}: {}", rule.position, rule.text),
        Role::Default | Role::Implicit | Role::Dispatch | Role::Entry if policy.is_empty() => rule.text.clone(),
        Role::Default | Role::Implicit | Role::Dispatch | Role::Entry => {
            format!("{}: {}", rule.policy, rule.text)
        }
    }
}
