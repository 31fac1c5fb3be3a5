//! The files that statements name.

use super::ast::{Item, ItemKind, Match, MatchKind, Set, SetItem};
use crate::source::{FileId, Span};

/// A file that a statement names.
pub enum Named<'a> {
    /// `include "..."`: the path.
    Include(Span),
    /// `file "..."`: the path, and the place for its text.
    Set(Span, &'a mut Option<FileId>),
}

/// Shows every named file to `see`.
pub fn walk<'a>(items: &'a mut [Item], see: &mut impl FnMut(Named<'a>)) {
    for item in items {
        match &mut item.kind {
            ItemKind::Include(path) => see(Named::Include(*path)),
            ItemKind::Define(define) => walk_set(&mut define.value, see),
            ItemKind::Group(block) | ItemKind::Prefilter(block) => walk(&mut block.items, see),
            ItemKind::Policy(policy) => {
                walk_set(&mut policy.devices, see);
                walk(&mut policy.block.items, see);
            }
            ItemKind::Assert(assertion) => {
                assertion.devices.iter_mut().for_each(|devices| walk_set(devices, see));
                walk_matches(&mut assertion.rule.matches, see);
            }
            ItemKind::Rule(rule) => walk_matches(&mut rule.matches, see),
            ItemKind::Default(rule) => walk_matches(&mut rule.matches, see),
            ItemKind::Error(salvage) => {
                walk_matches(&mut salvage.matches, see);
                walk(&mut salvage.items, see);
            }
            ItemKind::ReserveMark(_) | ItemKind::Use(_) => {}
        }
    }
}

fn walk_matches<'a>(matches: &'a mut [Match], see: &mut impl FnMut(Named<'a>)) {
    for node in matches {
        match &mut node.kind {
            MatchKind::FromZone(_) => {}
            MatchKind::End(end) => {
                for set in [&mut end.addr, &mut end.mac, &mut end.port].into_iter().flatten() {
                    walk_set(set, see);
                }
            }
            MatchKind::Icmp(icmp) => {
                walk_set(&mut icmp.types, see);
                if let Some(codes) = &mut icmp.codes {
                    walk_set(codes, see);
                }
            }
            MatchKind::Words(set)
            | MatchKind::Proto(set)
            | MatchKind::EtherType(set)
            | MatchKind::Service(set)
            | MatchKind::BarePort(set)
            | MatchKind::In(set)
            | MatchKind::Mark(set)
            | MatchKind::Label(set)
            | MatchKind::TcpFlags(set)
            | MatchKind::Dscp(set)
            | MatchKind::Ttl(set)
            | MatchKind::Vlan(set)
            | MatchKind::Fragment(set) => walk_set(set, see),
        }
    }
}

fn walk_set<'a>(set: &'a mut Set, see: &mut impl FnMut(Named<'a>)) {
    for item in set.items_mut() {
        match item {
            SetItem::Word { .. } => {}
            SetItem::Nested(inner) => walk_set(inner, see),
            SetItem::File(file) => see(Named::Set(file.path, &mut file.contents)),
        }
    }
}
