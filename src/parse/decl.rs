//! Statements other than rules, and the headers of blocks: from pairs to the tree.

use super::ast::{Annotation, Assertion, Define, DefineKind, ItemKind, Rule as RuleNode, Set, Verdict};
use super::grammar::{At, Pair, Rule};
use super::rule::{default_rule, parts, rule, value};
use super::set::{set, string};
use crate::source::{Span, Spanned};

/// What a block's header says.
#[derive(Debug)]
pub enum Head {
    /// `policy NAME on DEVICES HOOK zone Z then Z`
    Policy {
        /// Its name.
        name: Span,
        /// `on DEVICES`
        devices: Set,
        /// `ingress` or `egress`
        hook: Span,
        /// The zones, in order.
        zones: Vec<Span>,
    },
    /// `group NAME`
    Group(Span),
    /// `prefilter`
    Prefilter(Span),
    /// It could not be read; that was reported.
    Error,
}

/// One statement: the pairs of `Rule::statement`.
pub fn statement(pair: Pair<'_>, at: At) -> Option<ItemKind> {
    let pair = pair.into_inner().next()?;
    Some(match pair.as_rule() {
        Rule::rule => ItemKind::Rule(Box::new(rule(pair, at)?)),
        Rule::use_group => ItemKind::Use(name(pair, at)?),
        Rule::default_rule => ItemKind::Default(Box::new(default_rule(pair, at)?)),
        Rule::define => ItemKind::Define(Box::new(define(pair, at)?)),
        Rule::include => ItemKind::Include(string(pair, at)),
        Rule::assertion => ItemKind::Assert(Box::new(assertion(pair, at)?)),
        Rule::reserve => ItemKind::ReserveMark(value(pair, at)?),
        _ => return None,
    })
}

/// A block's header: the pairs of one of the `*_head` entries.
pub fn head(pair: Pair<'_>, at: At) -> Option<Head> {
    match pair.as_rule() {
        Rule::group_head => Some(Head::Group(name(pair, at)?)),
        Rule::prefilter_head => Some(Head::Prefilter(at.span(&pair.into_inner().next()?))),
        Rule::policy_head => {
            let name = name(pair.clone(), at)?;
            let mut devices = None;
            let mut values = Vec::new();
            for inner in pair.into_inner() {
                match inner.as_rule() {
                    Rule::set => devices = Some(set(inner, at)),
                    Rule::value => values.push(at.span(&inner)),
                    _ => {}
                }
            }
            let (hook, zones) = values.split_first()?;
            Some(Head::Policy { name, devices: devices?, hook: *hook, zones: zones.to_vec() })
        }
        _ => None,
    }
}

/// `@key value`
pub fn annotation(pair: Pair<'_>, at: At) -> Option<Annotation> {
    let mut key = None;
    let mut value = None;
    for inner in pair.into_inner() {
        match inner.as_rule() {
            Rule::key => key = Some(at.span(&inner)),
            Rule::note_word => value = Some(at.span(&inner)),
            Rule::string => value = Some(string(inner, at)),
            _ => {}
        }
    }
    Some(Annotation { key: key?, value: value? })
}

fn name(pair: Pair<'_>, at: At) -> Option<Span> {
    pair.into_inner().find(|inner| inner.as_rule() == Rule::name).map(|inner| at.span(&inner))
}

fn define(pair: Pair<'_>, at: At) -> Option<Define> {
    let mut kind = None;
    let mut name = None;
    let mut value = None;
    for inner in pair.into_inner() {
        match inner.as_rule() {
            Rule::define_kind => kind = define_kind(inner.as_str()),
            Rule::name => name = Some(at.span(&inner)),
            Rule::set => value = Some(set(inner, at)),
            _ => {}
        }
    }
    Some(Define { kind: kind?, name: name?, value: value? })
}

fn assertion(pair: Pair<'_>, at: At) -> Option<Assertion> {
    let (mut name, mut devices, mut hook, mut verdict) = (None, None, None, None);
    let mut matches = Vec::new();
    for inner in pair.into_inner() {
        match inner.as_rule() {
            _ if verdict.is_some() => parts(std::iter::once(inner), at, &mut matches, &mut Vec::new())?,
            Rule::string => name = Some(string(inner, at)),
            Rule::set => devices = Some(set(inner, at)),
            Rule::value => hook = Some(at.span(&inner)),
            Rule::ALLOW => verdict = Some(Spanned::new(Verdict::Allow, at.span(&inner))),
            _ => {}
        }
    }
    let rule = RuleNode { annotations: Vec::new(), verdict: verdict?, matches, actions: Vec::new() };
    Some(Assertion { name: name?, devices, hook, rule })
}

fn define_kind(word: &str) -> Option<DefineKind> {
    Some(match word {
        "interface" => DefineKind::Interface,
        "zone" => DefineKind::Zone,
        "net" => DefineKind::Net,
        "port" => DefineKind::Port,
        "service" => DefineKind::Service,
        _ => return None,
    })
}
