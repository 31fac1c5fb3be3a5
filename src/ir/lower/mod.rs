//! Policy -> Graph.
//!
//! For each policy and each class of frames (IPv4, IPv6, 802.1Q, other) the list of rules is *specialised* step by step,
//! as facts about the packet become known, until what is left can be written as lines of one table:
//!
//! 1. prefilter rules and the implicit ARP / neighbour discovery rules, on the packet as it came;
//! 2. per conntrack pass: one table that tests the state once, in one mask, and goes on with the rules of that state
//!    ([`passes`]); before the next pass replaces what the kernel shows, marks and labels that rules ask of this zone
//!    are branched on;
//! 3. the rules that are left, first match ([`list`]).
//!
//! Since each branch only removes rules that cannot match there (or conditions that hold there), first-match order is
//! kept by construction.

mod actions;
mod commits;
mod facts;
mod list;
mod passed;
mod passes;
mod settle;

use std::rc::Rc;

use crate::abi::{eth, ipproto};
use crate::emit::program::{Role, RuleRef};
use crate::field::{Cond, Conds, Field};
use crate::source::SourceMap;

use super::graph::{End, Frame, Graph, HookGraph, Line, Table, Tail};
use super::policy::{Attach, Link, Policy, Rule, RuleInfo};
use facts::Facts;

/// ICMPv6 types of neighbour discovery and MLD (RFC 4861, 2710, 3810). Conntrack calls them invalid (kernel-facts 2.2),
/// and no firewall user means that.
pub const ND_TYPES: [u8; 8] = [130, 131, 132, 133, 134, 135, 136, 143];

/// Lowers every policy of the file.
#[must_use]
pub fn lower(policy: &Policy, map: &SourceMap) -> Graph {
    let mut graph = Graph::default();
    let mut budgets = 0;
    for attach in &policy.attaches {
        let mut lowering = Lowering::new(policy, attach, map, &mut graph, &mut budgets);
        let entries = lowering.entries();
        let (dispatch, deep) = (lowering.dispatch_rule, lowering.deep);
        graph.hooks.push(HookGraph {
            name: attach.name.clone(),
            devices: attach.devices.clone(),
            hook: attach.hook,
            entries,
            dispatch,
            needed: 0,
            deep,
        });
    }
    graph
}

/// The lowering of one policy.
struct Lowering<'a> {
    policy: &'a Policy,
    attach: &'a Attach,
    graph: &'a mut Graph,
    /// Index into `Graph::rules` of the policy's first prefilter rule.
    first_rule: usize,
    /// The same of the roles that are no rules.
    default_rule: usize,
    implicit_rule: usize,
    dispatch_rule: usize,
    /// For each rule (prefilter first) its police budget, where it limits.
    budgets: Vec<Option<u32>>,
    /// As [`HookGraph::deep`].
    deep: usize,
}

/// Which list of rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// Before conntrack.
    Prefilter,
    /// After it.
    Rules,
}

/// A rule with what is still unknown about it.
#[derive(Clone, Debug)]
struct Live<'a> {
    /// Position among the rules of its list.
    index: usize,
    /// The rule.
    rule: &'a Rule,
    /// Conditions on the mark that the kernel shows now, any of.
    mark: Option<Vec<Cond>>,
    /// Conditions on the label that the kernel shows now, any of.
    label: Option<Vec<Cond>>,
}

impl<'a> Lowering<'a> {
    fn new(policy: &'a Policy, attach: &'a Attach, map: &SourceMap, graph: &'a mut Graph, budgets: &mut u32) -> Self {
        let first_rule = graph.rules.len();
        let rules = || attach.all_rules();
        let origins = Rc::make_mut(&mut graph.rules);
        // Room for all of them, and for the three that are added: there may be very many.
        origins.reserve_exact(rules().count() + 3);
        origins.extend(rules().map(|rule| rule_ref(&rule.info, Role::Rule, map)));
        let default_rule = origins.len();
        origins.push(rule_ref(&attach.default, Role::Default, map));
        let mut added = |role, text: &str| {
            origins.push(RuleRef {
                policy: attach.name.clone(),
                position: 0,
                text: text.to_owned(),
                annotations: Vec::new(),
                role,
                ident: 0,
                meaning: 0,
                place: String::new(),
            });
            origins.len() - 1
        };
        let implicit_rule = added(Role::Implicit, "allow arp and neighbour discovery (implicit)");
        let dispatch_rule = added(Role::Dispatch, if attach.tracked() { "conntrack and branches" } else { "branches" });
        let budgets = rules()
            .map(|rule| {
                rule.actions.limit.map(|_| {
                    *budgets += 1;
                    *budgets - 1
                })
            })
            .collect();
        Self { policy, attach, graph, first_rule, default_rule, implicit_rule, dispatch_rule, budgets, deep: 0 }
    }

    /// What the entry filters do, by class of frames.
    fn entries(&mut self) -> Vec<(Frame, Tail)> {
        let ip4 = self.frame(Frame::Ip4);
        let ip6 = self.frame(Frame::Ip6);
        let names_tags = self.attach.all_rules().flat_map(|rule| &rule.alts).any(|alt| alt.vlan.is_some());
        let tagged = if !names_tags && !self.attach.default_allow {
            self.default_tail(&self.facts(Frame::TaggedOther), &[])
        } else {
            self.tagged()
        };
        let other = self.frame(Frame::Other);
        vec![(Frame::Ip4, ip4), (Frame::Ip6, ip6), (Frame::Tagged, tagged), (Frame::Other, other)]
    }

    /// 802.1Q frames: IPv4, IPv6 and the rest apart, where they do not all meet the same.
    fn tagged(&mut self) -> Tail {
        let mut lines = Vec::new();
        for (frame, ether) in [(Frame::TaggedIp4, eth::P_IP), (Frame::TaggedIp6, eth::P_IPV6)] {
            let sets = vec![(Field::VlanEthType, Cond::exact(Field::VlanEthType, u128::from(ether)).into())];
            lines.push(Line { ether: None, sets, tail: self.frame(frame) });
        }
        let otherwise = self.frame(Frame::TaggedOther);
        lines.retain(|line| line.tail != otherwise);
        self.table_or_tail(Frame::Tagged, "by ethertype", lines, otherwise)
    }

    /// Everything that happens to frames of one class.
    fn frame(&mut self, frame: Frame) -> Tail {
        let facts = self.facts(frame);
        self.list(Part::Prefilter, &facts)
    }

    /// Nothing is known but the class.
    fn facts(&self, frame: Frame) -> Facts {
        Facts::new(frame, self.attach, self.policy.nat_bits)
    }

    /// What follows the prefilter.
    fn after_prefilter(&mut self, facts: &Facts) -> Tail {
        if facts.frame.is_ip() { self.track(facts, &self.passes()) } else { self.rules_tail(facts) }
    }

    /// ARP, neighbour discovery and MLD.
    fn implicit_lines(&self, frame: Frame) -> Vec<Line> {
        let mut sets = Vec::new();
        if frame.is_tagged() {
            let ids: Conds =
                self.attach.tags_served().into_iter().map(|id| Cond::exact(Field::VlanId, id.into())).collect();
            if ids.is_empty() {
                return Vec::new();
            }
            sets.push((Field::VlanId, ids));
        }
        let mut ether = None;
        match frame {
            Frame::Ip6 | Frame::TaggedIp6 => {
                sets.push((Field::IpProto, Cond::exact(Field::IpProto, u128::from(ipproto::ICMPV6)).into()));
                let types = ND_TYPES.iter().map(|t| Cond::exact(Field::IcmpType, u128::from(*t))).collect();
                sets.push((Field::IcmpType, types));
            }
            Frame::Other => ether = Some(eth::P_ARP),
            Frame::TaggedOther => {
                sets.push((Field::VlanEthType, Cond::exact(Field::VlanEthType, u128::from(eth::P_ARP)).into()));
            }
            Frame::Ip4 | Frame::TaggedIp4 | Frame::Tagged => return Vec::new(),
        }
        vec![Line { ether, sets, tail: Tail { steps: Vec::new(), end: End::Pass, rule: self.implicit_rule } }]
    }

    /// A goto to a new (or equal) table.
    fn goto(&mut self, table: Table) -> Tail {
        Tail { steps: Vec::new(), end: End::Goto(self.graph.table(table)), rule: self.dispatch_rule }
    }

    /// A goto to a table of these lines; just its last tail where there are none.
    fn table_or_tail(&mut self, frame: Frame, what: &str, lines: Vec<Line>, otherwise: Tail) -> Tail {
        if lines.is_empty() {
            return otherwise;
        }
        let title = self.title(frame, what);
        self.goto(Table { frame, title, lines, otherwise })
    }

    fn title(&self, frame: Frame, what: &str) -> String {
        let name = if self.attach.name.is_empty() { "rules" } else { &self.attach.name };
        format!("{name}: {}: {what}", frame.word())
    }

    /// Indices of the passes, in the header's order.
    fn passes(&self) -> Vec<usize> {
        (0..self.attach.passes.len()).collect()
    }

    fn zone(&self, pass: usize) -> u16 {
        self.attach.passes.get(pass).copied().unwrap_or_default()
    }

    fn translates(&self, zone: u16) -> bool {
        self.policy.translating.contains(&zone)
    }
}

/// Whether an alternative speaks of this class of frames.
fn fits(link: Link, vlan: bool, frame: Frame) -> bool {
    vlan == frame.is_tagged()
        && match link {
            Link::Ip4 => matches!(frame, Frame::Ip4 | Frame::TaggedIp4),
            Link::Ip6 => matches!(frame, Frame::Ip6 | Frame::TaggedIp6),
            Link::Ether(_) => matches!(frame, Frame::Other | Frame::TaggedOther),
        }
}

/// A rule as people are shown it.
#[must_use]
pub fn rule_ref(info: &RuleInfo, role: Role, map: &SourceMap) -> RuleRef {
    let place = map
        .find(info.span)
        .zip(map.line_col(info.span))
        .map(|((_, file), at)| format!("{}:{}:{}", file.name, at.line, at.col));
    RuleRef {
        policy: info.policy.to_string(),
        position: info.position,
        text: info.text(map),
        annotations: info.annotations.clone(),
        role,
        ident: info.ident,
        meaning: info.meaning,
        place: place.unwrap_or_default(),
    }
}
