//! One rule, and a policy's list of them.

use super::draft::{Draft, IMPOSSIBLE_MATCH};
use super::flatten::Placed;
use super::header::{MISSING_DEFAULT, Scope};
use super::info::{self, Infos};
use super::{Cx, actions, alts, checks, masked, matches, parallel};
use crate::diag::Diagnostic;
use crate::ir::policy::{Actions, Attach, Rule, RuleInfo, State, StateSet, Verdict};
use crate::parse::ast;

/// Where in a packet's way a rule stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Before conntrack.
    Prefilter,
    /// After it.
    Tracked,
    /// In a policy without conntrack.
    Untracked,
}

/// A rule's surroundings.
pub struct Place<'s, 'a> {
    /// The policy.
    pub scope: &'s Scope<'a>,
    /// Where in it.
    pub stage: Stage,
    /// The rule says `from zone`.
    pub has_zone: bool,
}

/// Resolves the rules of a policy.
pub fn attach<'a>(scope: &Scope<'a>, cx: &mut Cx<'a>) -> Attach {
    let mut infos = Infos::new(scope);
    let prefilter = list(&scope.flat.prefilter, true, &mut infos, scope, cx);
    let rules = list(&scope.flat.rules, false, &mut infos, scope, cx);
    let (default, default_allow) = default(&mut infos, scope, cx);
    let attach = Attach {
        name: scope.name.to_owned(),
        span: scope.span,
        devices: scope.devices.clone(),
        hook: scope.hook,
        passes: scope.passes.clone(),
        prefilter,
        rules,
        default,
        default_allow,
    };
    if !scope.loose {
        checks::run(&attach, cx);
    }
    attach
}

fn list<'a>(
    placed: &[Placed<'a>],
    prefilter: bool,
    infos: &mut Infos<'_, 'a>,
    scope: &Scope<'a>,
    cx: &mut Cx<'a>,
) -> Vec<Rule> {
    let stage = match (prefilter, scope.tracked()) {
        (true, _) => Stage::Prefilter,
        (false, true) => Stage::Tracked,
        (false, false) => Stage::Untracked,
    };
    let mut rules = Vec::with_capacity(placed.len());
    for block in placed.chunks(parallel::BLOCK) {
        let infos = block.iter().map(|one| infos.next(one.item.span, &one.rule.annotations, cx)).collect();
        parallel::rules(block, infos, scope, stage, cx, &mut rules);
    }
    rules
}

/// Resolves the rule at a place, with the hash of its meaning; `None` where it has a mistake.
pub fn placed(one: &Placed<'_>, info: RuleInfo, scope: &Scope<'_>, stage: Stage, cx: &mut Cx<'_>) -> Option<Rule> {
    let has_zone = one.rule.matches.iter().any(|part| matches!(part.kind, ast::MatchKind::FromZone(_)));
    let mut rule = rule(one.rule, info, &Place { scope, stage, has_zone }, cx)?;
    let zone = scope.passes.get(rule.pass).copied().filter(|_| stage == Stage::Tracked);
    rule.info.meaning = info::meaning(&rule, zone, stage == Stage::Prefilter);
    Some(rule)
}

fn default<'a>(infos: &mut Infos<'_, 'a>, scope: &Scope<'a>, cx: &mut Cx<'a>) -> (RuleInfo, bool) {
    let (span, allow, annotations) = match scope.flat.default {
        Some((item, default)) => (item.span, default.allow, default.annotations.as_slice()),
        None => (scope.span, scope.bare && cx.options.default_allow, [].as_slice()),
    };
    if scope.flat.default.is_none() && !scope.loose && !scope.flat.broken {
        missing_default(scope, allow, cx);
    }
    let mut info = infos.next(span, annotations, cx);
    info.said = Some(if allow { "default allow" } else { "default drop" });
    info.meaning = info::default_meaning(allow);
    (info, allow)
}

fn missing_default(scope: &Scope<'_>, allow: bool, cx: &mut Cx<'_>) {
    if !scope.bare {
        let finding =
            Diagnostic::new(&MISSING_DEFAULT, scope.span, format!("the policy `{}` has no `default`", scope.name));
        cx.report(finding.help("write `default drop` (or `default allow`) as its last line"));
    } else if !allow {
        let last = scope.flat.rules.iter().chain(&scope.flat.prefilter).map(|placed| placed.item.span).max();
        let message = "what no rule decides is dropped: the rules end in an implied `default drop`";
        let finding = Diagnostic::new(&super::header::IMPLIED_DEFAULT, last.unwrap_or(scope.span), message);
        cx.report(finding.help("write `default drop` as the last line, or add `--default allow` to the command"));
    }
}

/// Resolves one rule; `None` where it has a mistake.
pub fn rule(written: &ast::Rule, info: RuleInfo, place: &Place<'_, '_>, cx: &mut Cx<'_>) -> Option<Rule> {
    let mut draft = Draft::default();
    for part in &written.matches {
        matches::read(part, place, &mut draft, cx);
    }
    matches::fragments_without_ports(&mut draft, cx);
    let pass = pass(&draft, place);
    let zone = place.scope.passes.get(pass).copied().filter(|_| place.stage == Stage::Tracked);
    let read = actions::read(written, zone, place, &mut draft, cx);
    if draft.broken {
        return None;
    }
    let read = read?;
    let states = states(written, &draft, &read.actions, place, cx)?;
    let alts = alts::build(&draft, read.excluded, cx)?;
    let verdict = match written.verdict.node {
        // Where nothing is tracked, there is nothing to keep from being committed.
        ast::Verdict::AllowStateless if place.stage == Stage::Tracked => Verdict::AllowStateless,
        ast::Verdict::Allow | ast::Verdict::AllowStateless => Verdict::Allow,
        ast::Verdict::Drop => Verdict::Drop,
        ast::Verdict::Continue => Verdict::Continue,
    };
    let rule = Rule {
        info,
        verdict,
        pass,
        states,
        snat: draft.snat.map(|(wanted, _)| wanted),
        dnat: draft.dnat.map(|(wanted, _)| wanted),
        mark: draft.mark.map(|(pieces, _)| masked::conditions(&pieces)),
        label: draft.label.map(|(pieces, _)| masked::conditions(&pieces)),
        alts,
        actions: cx.shared(read.actions),
    };
    let rule = actions::finish(rule, &read.asked, cx)?;
    checks::rule(&rule, place, cx).then_some(rule)
}

/// Which pass the rule speaks of: that of its own zone, else the policy's.
fn pass(draft: &Draft, place: &Place<'_, '_>) -> usize {
    let passes = &place.scope.passes;
    let own = draft.zone.and_then(|(zone, _)| passes.iter().position(|known| *known == zone));
    own.or(place.scope.home).unwrap_or(passes.len().saturating_sub(1))
}

/// The states in which the rule matches: a rule that translates, sets or commits never sees invalid packets, which have no connection.
fn states(
    written: &ast::Rule,
    draft: &Draft,
    actions: &Actions,
    place: &Place<'_, '_>,
    cx: &mut Cx<'_>,
) -> Option<StateSet> {
    let states = draft.states.map_or(StateSet::ALL, |(states, _)| states);
    if place.stage != Stage::Tracked || !needs_connection(actions, written) {
        return Some(states);
    }
    let valid = states.and(StateSet::of(&[State::Invalid]).not());
    if let (true, Some((_, span))) = (valid == StateSet::EMPTY, draft.states) {
        let at = written.actions.first().map_or(span, |action| action.span);
        let message = format!("{} needs a connection, and an `invalid` packet has none", cx.quote(at));
        let finding =
            Diagnostic::new(&IMPOSSIBLE_MATCH, at, message).because(span, "the rule sees only invalid packets");
        cx.report(finding.help("take the action or the state word out"));
        return None;
    }
    Some(valid)
}

fn needs_connection(actions: &Actions, written: &ast::Rule) -> bool {
    let translates = |action: &ast::Action| {
        matches!(action.kind, ast::ActionKind::Snat(_) | ast::ActionKind::Dnat(_) | ast::ActionKind::Masquerade(_))
    };
    written.actions.iter().any(translates)
        || actions.set_mark.is_some()
        || actions.set_label.is_some()
        || actions.force
        || !actions.commit_zones.is_empty()
        || actions.helper.is_some()
        || written.actions.iter().any(|action| matches!(action.kind, ast::ActionKind::Helper(_)))
}
