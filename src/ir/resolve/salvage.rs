//! What can still be checked of statements that could not be read, so that one run tells of both kinds of mistake.
//!
//! Each part stands for itself: nothing here depends on what the unreadable rest may have said.

use super::Cx;
use super::actions;
use super::draft::Draft;
use super::flatten;
use super::matches;
use super::rule::{self, Place, Stage};
use crate::parse::ast::{Ast, Item, ItemKind, Salvage};

/// Looks for mistakes in all that is left of unreadable statements.
pub fn check<'a>(asts: &'a [Ast], cx: &mut Cx<'a>) {
    for ast in asts {
        items(&ast.items, cx);
    }
}

fn items<'a>(list: &'a [Item], cx: &mut Cx<'a>) {
    for item in list {
        match &item.kind {
            ItemKind::Group(block) | ItemKind::Prefilter(block) => items(&block.items, cx),
            ItemKind::Policy(policy) => items(&policy.block.items, cx),
            ItemKind::Error(salvage) => {
                parts(item, salvage, cx);
                // A block with a broken header: its rules, as those of a group that nothing uses.
                let scope = flatten::loose("", item.span, &salvage.items, cx);
                rule::attach(&scope, cx);
                items(&salvage.items, cx);
            }
            _ => {}
        }
    }
}

/// The parts of a broken rule.
fn parts<'a>(item: &'a Item, salvage: &'a Salvage, cx: &mut Cx<'a>) {
    let scope = flatten::loose("", item.span, &[], cx);
    let place = Place { scope: &scope, stage: Stage::Tracked, has_zone: false };
    for part in &salvage.matches {
        matches::read(part, &place, &mut Draft::default(), cx);
    }
    for action in &salvage.actions {
        actions::alone(action, &place, cx);
    }
}
