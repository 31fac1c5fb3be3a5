//! The counts by hand on small Programs, and bounds against exact walks.

use std::collections::BTreeMap;

use super::report::{Account, Stats};
use super::walk::Walker;
use super::*;
use crate::abi::eth;
use crate::emit::eval;
use crate::emit::linearize::FILTERS_MAX;
use crate::field::Field;
use crate::ir::packet::{CtView, Packet};
use crate::ir::resolve::Options;
use crate::optimize::price::Scale;

/// The Program of a text, and its Policy. The stages are called one by one: the pipeline is above this room.
fn compiled(text: &str) -> (Program, Policy) {
    let files = BTreeMap::from([("p.pol".to_owned(), text.as_bytes().to_vec())]);
    let (mut map, mut diags) = (crate::source::SourceMap::default(), crate::diag::Diagnostics::default());
    let asts = crate::parse::load("p.pol", &files, &mut map, &mut diags).unwrap();
    let policy = crate::ir::resolve::resolve(&asts, &map, &Options::default(), &mut diags);
    assert!(!diags.has_errors(), "{:?}", diags.list());
    let graph = crate::ir::lower::lower(&policy, &map);
    let program = crate::emit::linearize::linearize(graph, &policy, Scale::PLAIN, FILTERS_MAX, &mut diags);
    assert!(!diags.has_errors(), "{:?}", diags.list());
    (program, policy)
}

fn policy_of(rules: impl Iterator<Item = String>) -> String {
    format!("policy p on lo ingress {{\n{}\ndefault drop\n}}\n", rules.collect::<Vec<_>>().join("\n"))
}

fn costs(text: &str) -> Cost {
    let (program, policy) = compiled(text);
    cost(&program, &policy)
}

fn tcp(src: u32, port: u16) -> Packet {
    let fields = [(Field::IpProto, 6), (Field::Ipv4Src, src.into()), (Field::DstPort, port.into())];
    Packet::new(eth::P_IP, "lo", &fields)
}

#[test]
fn rules_of_one_shape_cost_one_mask_however_many() {
    let text = |rules: u32| policy_of((0..rules).map(|n| format!("allow tcp from 10.0.0.{n} to port 80")));
    let (few, many) = (costs(&text(1)), costs(&text(200)));
    assert_eq!(many.filters, few.filters + 199);
    assert_eq!(many.policies[0].worst, few.policies[0].worst);
}

#[test]
fn an_established_packet_pays_the_entry_one_goto_and_one_state_mask() {
    let cost = costs(
        "policy p on lo ingress zone 1 {\nallow established\ndrop invalid\nallow tcp to port 80\ndefault drop\n}\n",
    );
    let worst = cost.policies[0].worst;
    let (four, six) = (worst.established_ip4.unwrap(), worst.established_ip6.unwrap());
    assert_eq!((four.gotos, four.masks), (1, 2), "{four:?}");
    // Neighbour discovery comes before conntrack, and then the filter that runs conntrack on all the rest.
    assert_eq!((six.gotos, six.masks), (2, 4), "{six:?}");
    assert!(four.instructions < worst.new_ip4.unwrap().instructions);
    assert_eq!(four.conntrack, model::CT_KNOWN);
    assert!(cost.policies[0].worst.dropped.is_some());
}

#[test]
fn an_untracked_policy_has_no_established_packets() {
    let cost = costs("policy p on lo ingress {\ndrop from 10.0.0.1\ndefault allow\n}\n");
    let worst = cost.policies[0].worst;
    assert_eq!((worst.established_ip4, worst.new_ip6), (None, None));
    assert!(worst.dropped.is_some() && worst.any.unwrap().conntrack == 0);
}

#[test]
fn a_rule_that_explodes_is_named_with_what_it_lists() {
    let cost = costs(
        "policy p on lo ingress {\nallow tcp to port 22\n\
         allow tcp from { 10.0.0.1, 10.0.1.1, 10.0.2.1 } to { 10.1.0.1, 10.1.1.1, 10.1.2.1 } port { 1, 3, 5 }\ndefault drop\n}\n",
    );
    let most = &cost.rules[0];
    assert_eq!((most.filters, most.lists), (27, 9), "{most:?}");
    assert!(most.text.starts_with("allow tcp from {") && most.place == "p.pol:3:1", "{most:?}");
}

#[test]
fn ranges_cost_what_their_list_is_long() {
    let text = |rules: u32| policy_of((0..rules).map(|n| format!("allow tcp to 10.0.0.{n} port 1000-1010")));
    let of = |rules| costs(&text(rules)).policies[0].worst.any.unwrap().instructions;
    // All of them contain port 1000: each is compared, and looked up.
    assert_eq!(of(12) - of(2), 10 * (model::RANGE_FILTER + model::RANGE_LOOKUP));
}

#[test]
fn before_stands_beside_after() {
    let cheap = costs("policy p on lo ingress {\nallow tcp to port 22\ndefault drop\n}\n");
    let dear = costs("policy p on lo ingress {\nallow tcp to port 22\nallow from 10.0.0.0/8\ndefault drop\n}\n");
    let text = Stats { before: Some(dear.clone()), after: cheap.clone(), frontier: Vec::new() }.to_string();
    assert!(text.contains(&format!("filters {} -> {}", dear.filters, cheap.filters)), "{text}");
    let json: serde_json::Value = serde_json::from_str(
        &Account { notes: None, stats: Some(&Stats { before: None, after: cheap, frontier: Vec::new() }) }
            .json()
            .unwrap(),
    )
    .unwrap();
    assert_eq!((&json["version"], &json["before"]), (&1.into(), &serde_json::Value::Null));
    assert!(json["after"]["policies"][0]["worst"]["any"]["masks"].is_u64(), "{json}");
}

const MIXED: &str = "policy p on lo ingress zone 1 {\n\
    prefilter {\ndrop from 10.66.0.0/16\n}\n\
    allow established\ndrop invalid\nallow related\n\
    allow tcp from { 10.0.0.0/24, 10.0.1.0/28 } to port { 22, 80, 1000-2000 }\n\
    drop tcp from 10.0.0.0/16\n\
    allow tcp to port 80, set mark 7\n\
    allow tcp from 10.0.0.0/8 to port 1500-1600\n\
    default drop\n}\n";

#[test]
fn a_walk_ends_where_the_evaluator_says_and_costs_no_more_than_the_bound() {
    let (program, policy) = compiled(MIXED);
    let cost = cost(&program, &policy);
    let attached = &program.attaches[0];
    let walker = Walker::new(attached);
    let view = |state| CtView { state, mark: 0, label: 0, translated: false };
    let mut dearest = 0;
    for src in [0x0a00_0001, 0x0a00_0101, 0x0a00_0111, 0x0a42_0001, 0x0b00_0001, 0x0aff_0001] {
        for port in [22, 80, 443, 1000, 1500, 1600, 1601, 2000] {
            for state in State::ALL.into_iter().filter(|state| *state != State::Untracked) {
                let mut packet = tcp(src, port);
                packet.zones.insert(1, view(state));
                let walk = walker.walk(&packet);
                let (outcome, gotos) = eval::trace(&program, attached, &packet).unwrap();
                assert_eq!(walk.cost.gotos as usize, gotos);
                let rule = &program.rules[walk.rule.unwrap()];
                if let crate::ir::outcome::Origin::Rule { ident, .. } = outcome.rule {
                    assert_eq!(rule.ident, ident, "{packet:?}");
                }
                let worst = cost.policies[0].worst;
                let bound = match state {
                    State::Established | State::EstablishedReply => worst.established_ip4.unwrap(),
                    State::New => worst.new_ip4.unwrap(),
                    _ => worst.any.unwrap(),
                };
                let own = |cost: PacketCost| cost.instructions - cost.conntrack;
                assert!(own(walk.cost) <= own(bound), "{packet:?}: {walk:?}, bound {bound:?}");
                assert!(walk.cost.masks <= worst.any.unwrap().masks);
                dearest = dearest.max(own(walk.cost));
            }
        }
    }
    // The bound is not far off.
    let any = cost.policies[0].worst.any.unwrap();
    assert!(dearest * 2 > any.instructions - any.conntrack, "{dearest}, bound {any:?}");
}
