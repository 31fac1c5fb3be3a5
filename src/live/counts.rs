//! What the live rules counted, by policy.
//!
//! A filter's cookie names its rule, but not its policy, and an entry filter's names the Program: one whose actions are the
//! end already (tagged frames that meet the default, a policy of one rule) counts for a rule that only the [`Record`] knows.

use std::collections::BTreeMap;

use super::record::Record;
use crate::emit::netlink::Live;
use crate::emit::netlink::live::{Count, LiveFilter, Origin};
use crate::emit::program::{Role, RuleRef};
use crate::ir::policy::Hook;

/// Both hooks.
pub const HOOKS: [Hook; 2] = [Hook::Ingress, Hook::Egress];

/// A rule that is live.
#[derive(Clone, Debug)]
pub struct Counted<'a> {
    /// Its policy, as an index into the record; `None` where no record says.
    pub policy: Option<usize>,
    /// Block of its filters, where the policy is not known.
    pub block: Option<u32>,
    /// Why it exists.
    pub role: Role,
    /// Which rule.
    pub ident: u32,
    /// What it means.
    pub meaning: u64,
    /// What the record says of it.
    pub words: Option<&'a RuleRef>,
    /// Position in the record's order.
    pub order: Option<usize>,
    /// Filters, and what they counted.
    pub count: Count,
}

/// What tells a rule from others: policy or block, role, ident, meaning.
type Key = (Option<usize>, Option<u32>, Role, u32, u64);

/// Whether a record is that of what is live, and not only of a policy that looks like it.
#[must_use]
pub fn is_exact(live: &Live, record: &Record) -> bool {
    live.current().is_some_and(|(_, digest)| digest == record.digest)
}

/// The policy of each block of ours: by its devices, or, where these have other names now, by the rules that it holds.
#[must_use]
pub fn policies(live: &Live, record: &Record) -> BTreeMap<u32, usize> {
    let mut out = BTreeMap::new();
    // Rules with the same `@id` and words may stand in several policies: these tell nothing.
    let mut named: BTreeMap<(Role, u32, u64), Option<&str>> = BTreeMap::new();
    for rule in &record.rules {
        let policy = Some(rule.policy.as_str());
        let known = named.entry((rule.role, rule.ident, rule.meaning)).or_insert(policy);
        *known = known.filter(|known| Some(*known) == policy);
    }
    for (blocks, hook) in live.devices.iter().flat_map(|device| HOOKS.map(|hook| (&device.blocks, hook))) {
        let number = blocks.on(hook);
        let mut here = record.attaches.iter().enumerate().filter(|(_, attach)| attach.hook() == hook);
        let by_device = here.clone().find(|(_, attach)| attach.devices.contains(&blocks.device));
        let mut by_rules = || {
            let filters = live.blocks.get(&number).into_iter().flat_map(|block| &block.filters);
            let mut origins = filters.filter_map(LiveFilter::origin);
            let policy =
                origins.find_map(|origin| *named.get(&(origin.role, origin.ident, origin.meaning)).unwrap_or(&None))?;
            here.find(|(_, attach)| attach.policy == policy)
        };
        // A device that is named decides for all that share its block.
        if let Some((at, _)) = by_device {
            out.insert(number, at);
        } else if let Some((at, _)) = by_rules() {
            out.entry(number).or_insert(at);
        }
    }
    out
}

/// The live rules: in the record's order, then those that it does not know. Of a record that is exactly of what is live
/// also the rules that became no filter.
#[must_use]
pub fn counted<'a>(live: &Live, record: Option<&'a Record>) -> Vec<Counted<'a>> {
    let exact = record.filter(|record| is_exact(live, record));
    let policy_of = exact.map(|record| policies(live, record)).unwrap_or_default();
    let place = |block: u32| policy_of.get(&block).map_or((None, Some(block)), |at| (Some(*at), None));
    let key = |block: u32, filter: &LiveFilter, origin: Origin| -> Key {
        let (policy, block) = place(block);
        let entry = exact.zip(policy).filter(|_| filter.chain == 0);
        match entry.and_then(|(record, at)| record.of_entry(at, filter.prio, filter.handle)) {
            Some(rule) => (policy, block, rule.role, rule.ident, rule.meaning),
            None if origin.role == Role::Entry => {
                let role = if filter.leads_on() { Role::Dispatch } else { Role::Entry };
                (policy, block, role, u32::from(filter.prio), 0)
            }
            None => (policy, block, origin.role, origin.ident, origin.meaning),
        }
    };
    let mut counts = live.counts(key);
    let mut out = Vec::with_capacity(counts.len());
    let attaches = exact.iter().flat_map(|record| &record.attaches).enumerate();
    let named: BTreeMap<&str, usize> = attaches.map(|(at, attach)| (attach.policy.as_str(), at)).collect();
    for (at, rule) in exact.iter().flat_map(|record| record.rules.iter().enumerate()) {
        let policy = named.get(rule.policy.as_str()).copied();
        let count = counts.remove(&(policy, None, rule.role, rule.ident, rule.meaning)).unwrap_or_default();
        let RuleRef { role, ident, meaning, .. } = *rule;
        out.push(Counted { policy, block: None, role, ident, meaning, words: Some(rule), order: Some(at), count });
    }
    let known = marks(record);
    let rest = counts.into_iter().map(|((policy, block, role, ident, meaning), count)| {
        let words = known.get(&(role, ident, meaning));
        let (words, order) = (words.map(|(_, rule)| *rule), words.map(|(at, _)| *at));
        Counted { policy, block, role, ident, meaning, words, order, count }
    });
    let mut rest: Vec<Counted> = rest.collect();
    rest.sort_by_key(|rule| (rule.block, rule.order.unwrap_or(usize::MAX)));
    out.extend(rest);
    out
}

fn marks(record: Option<&Record>) -> BTreeMap<(Role, u32, u64), (usize, &RuleRef)> {
    let rules = record.iter().flat_map(|record| record.rules.iter().enumerate());
    rules.map(|(at, rule)| ((rule.role, rule.ident, rule.meaning), (at, rule))).collect()
}
