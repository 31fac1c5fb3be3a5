//! Gathers all names of the files, before anything is worked out.

use std::collections::BTreeMap;

use super::names::{Def, Group, KINDS, Names, noun};
use super::{address, number, words};
use crate::diag::{Diagnostic, Diagnostics};
use crate::parse::ast::{Ast, Block, Define, Item, ItemKind};
use crate::parse::lints::TOO_MANY_ERRORS;
use crate::source::{SourceMap, Span};

crate::declare_lints! {
    /// Two definitions of one name.
    pub DUPLICATE_NAME: Error = "duplicate-name", "two definitions of one name",
        "Within one kind (nets, ports, services, zones, interfaces, groups, policies) a name stands for one thing, over all included files.\n\n\
         Example:\n\n    zone edge = 7\n    zone edge = 8\n\nRemedy: rename one of them, or delete it.";
    /// A name that is a word of the language, or that reads like a value.
    pub RESERVED_NAME: Error = "reserved-name", "a name that the language itself uses",
        "Nets, ports, services, zones and interfaces may not be called like a word of the language, nor like a number or an address: the \
         rule that uses it would read as something else. Policies and groups may.\n\nExample:\n\n    net new = 10.0.0.0/24\n\n\
         Remedy: choose another name.";
}

/// Gathers all names of the files; reports duplicate and reserved ones.
pub fn collect<'a>(asts: &'a [Ast], map: &'a SourceMap, diags: &mut Diagnostics) -> Names<'a> {
    // After too many mistakes of form the rest of a file was not read.
    let blind = diags.list().iter().any(|finding| std::ptr::eq(finding.lint, &raw const TOO_MANY_ERRORS));
    let mut names = Names::default();
    names.blind = blind;
    let mut policies: BTreeMap<&str, Span> = BTreeMap::new();
    for (number, ast) in asts.iter().enumerate() {
        for item in &ast.items {
            match &item.kind {
                ItemKind::Include(path) => {
                    names.blind |= diags.list().iter().any(|finding| finding.primary.span == *path);
                }
                ItemKind::Define(define) => names.define(define, number == 0, map, diags),
                ItemKind::Group(block) => names.group(block, number == 0, map, diags),
                ItemKind::Policy(policy) => {
                    names.has_rules = true;
                    let name = map.text(policy.block.name);
                    if let Some(first) = policies.get(name) {
                        diags.push(duplicate("policy", name, policy.block.name, *first));
                    } else {
                        policies.insert(name, policy.block.name);
                    }
                }
                ItemKind::Rule(_) | ItemKind::Use(_) | ItemKind::Prefilter(_) => names.has_rules = true,
                ItemKind::Error(_) => names.broken(item, map),
                ItemKind::ReserveMark(_) | ItemKind::Assert(_) | ItemKind::Default(_) => {}
            }
        }
    }
    names
}

fn duplicate(noun: &str, name: &str, span: Span, first: Span) -> Diagnostic {
    Diagnostic::new(&DUPLICATE_NAME, span, format!("a second {noun} called `{name}`"))
        .because(first, "the first is here")
        .help("rename one of them, or delete it")
}

impl<'a> Names<'a> {
    fn define(&mut self, define: &'a Define, own: bool, map: &'a SourceMap, diags: &mut Diagnostics) {
        let (kind, name) = (define.kind, map.text(define.name));
        let def = Def { own, ..Def::new(kind, name, define.name, Some(&define.value)) };
        let mut spoilt = false;
        let like_a_value = number::number(name).is_some() || address::looks_like_address(name);
        if words::is_word(name) || like_a_value {
            spoilt = true;
            let why = if like_a_value { "reads like a value" } else { "is a word of the language" };
            let message = format!("`{name}` cannot be the name of a {}: it {why}", noun(kind));
            diags.push(Diagnostic::new(&RESERVED_NAME, define.name, message).help("choose another name"));
        } else if let Some(first) = self.index.get(&(kind, name)).and_then(|index| self.defs.get(*index)) {
            diags.push(duplicate(noun(kind), name, define.name, first.span));
            // Kept for its value's mistakes only.
            self.defs.push(Def { spoilt: true, used: true, ..def });
            return;
        }
        self.index.insert((kind, name), self.defs.len());
        self.defs.push(Def { spoilt, used: spoilt, ..def });
    }

    fn group(&mut self, block: &'a Block, own: bool, map: &'a SourceMap, diags: &mut Diagnostics) {
        let name = map.text(block.name);
        if let Some(first) = self.groups.get(name) {
            diags.push(duplicate("group", name, block.name, first.span));
        } else {
            self.groups.insert(name, Group { block: Some(block), span: block.name, used: false, own });
        }
    }

    /// A statement that could not be read: if it was to define a name, that name's uses stay silent.
    fn broken(&mut self, item: &Item, map: &'a SourceMap) {
        let mut tokens = map
            .text(item.span)
            .split(|c: char| c.is_whitespace() || matches!(c, '=' | '{' | ';' | ':'))
            .filter(|t| !t.is_empty());
        let (Some(word), Some(name)) = (tokens.next(), tokens.next()) else { return };
        if word == "group" {
            self.groups.entry(name).or_insert(Group { block: None, span: item.span, used: true, own: false });
        } else if word == "include" {
            self.blind = true;
        } else if let Some((_, kind)) = KINDS.iter().find(|(known, _)| *known == word)
            && !self.index.contains_key(&(*kind, name))
        {
            self.index.insert((*kind, name), self.defs.len());
            self.defs.push(Def { spoilt: true, used: true, ..Def::new(*kind, name, item.span, None) });
        }
    }
}
