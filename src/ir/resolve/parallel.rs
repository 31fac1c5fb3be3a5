//! Rules of a long list, worked out on all cores.
//!
//! The names are worked out by then, so a rule changes nothing that another one sees, as long as nothing is reported. Where
//! something is, what the threads found is thrown away and the rules are read again in order: so findings never depend on
//! the number of threads.

use std::collections::BTreeSet;
use std::num::NonZero;
use std::sync::Arc;
use std::thread;

use super::flatten::Placed;
use super::header::Scope;
use super::names::Names;
use super::rule::{self, Stage};
use super::shared::Shared;
use super::{Cx, Marks, Options};
use crate::diag::Diagnostics;
use crate::ir::policy::{Actions, Rule, RuleInfo};
use crate::source::SourceMap;

/// Rules that are handed to the threads at once.
pub const BLOCK: usize = 32_768;

/// Fewer rules are worked out in order: threads would cost more than they save.
const FEW: usize = 2_000;

/// What a thread made of its share.
struct Share {
    rules: Vec<Rule>,
    /// For each definition, whether a rule names it.
    used: Vec<bool>,
    translating: BTreeSet<u16>,
}

/// Adds the rules of a block, those without mistakes.
pub fn rules(
    placed: &[Placed<'_>],
    infos: Vec<RuleInfo>,
    scope: &Scope<'_>,
    stage: Stage,
    cx: &mut Cx<'_>,
    out: &mut Vec<Rule>,
) {
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    let few = placed.len() < FEW || threads == 1;
    let Some(shares) = (!few).then(|| on_threads(placed, &infos, scope, stage, cx, threads)).flatten() else {
        out.extend(placed.iter().zip(infos).filter_map(|(one, info)| rule::placed(one, info, scope, stage, cx)));
        return;
    };
    for share in shares {
        out.extend(share.rules);
        cx.translating.extend(share.translating);
        for (def, used) in cx.names.defs.iter_mut().zip(share.used) {
            def.used |= used;
        }
    }
}

/// The shares of all threads, in order; `None` where one of them has something to report.
fn on_threads(
    placed: &[Placed<'_>],
    infos: &[RuleInfo],
    scope: &Scope<'_>,
    stage: Stage,
    cx: &Cx<'_>,
    threads: usize,
) -> Option<Vec<Share>> {
    let length = placed.len().div_ceil(threads);
    thread::scope(|threads| {
        let parts = placed.chunks(length).zip(infos.chunks(length));
        let workers: Vec<_> = parts
            .map(|(placed, infos)| {
                let fresh = Fresh::of(cx);
                thread::Builder::new().spawn_scoped(threads, move || share(placed, infos, scope, stage, fresh))
            })
            .collect();
        workers.into_iter().map(|worker| worker.ok()?.join().ok()?).collect()
    })
}

/// What a thread begins with: all of a [`Cx`] but its findings.
struct Fresh<'a> {
    map: &'a SourceMap,
    options: &'a Options,
    names: Names<'a>,
    marks: Marks,
    nothing: Arc<Actions>,
}

impl<'a> Fresh<'a> {
    fn of(cx: &Cx<'a>) -> Self {
        let nothing = Arc::clone(&cx.nothing);
        Self { map: cx.map, options: cx.options, names: cx.names.clone(), marks: cx.marks, nothing }
    }
}

fn share(
    placed: &[Placed<'_>],
    infos: &[RuleInfo],
    scope: &Scope<'_>,
    stage: Stage,
    fresh: Fresh<'_>,
) -> Option<Share> {
    let Fresh { map, options, names, marks, nothing } = fresh;
    let mut diags = Diagnostics::default();
    let (translating, told) = (BTreeSet::new(), BTreeSet::new());
    let conds = Shared::default();
    let mut cx = Cx { map, options, diags: &mut diags, names, marks, translating, nothing, conds, told };
    let mut rules = Vec::with_capacity(placed.len());
    for (one, info) in placed.iter().zip(infos) {
        let rule = rule::placed(one, info.clone(), scope, stage, &mut cx);
        // A rule with a mistake that was told before reports nothing.
        rules.push(rule.filter(|_| cx.diags.list().is_empty())?);
    }
    let used = cx.names.defs.iter().map(|def| def.used).collect();
    Some(Share { rules, used, translating: cx.translating })
}
