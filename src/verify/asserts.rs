//! Assertions: whether a packet that a file says is never allowed is let through all the same.
//!
//! What an assertion speaks of is what a rule with its matches would match if it stood alone in the policy: so that policy's diagram
//! is the set of packets. ARP and neighbour discovery, accepted by themselves, are left out.

use std::sync::Arc;

use super::diagram::{FALSE, Full};
use super::matching::neighbour_talk;
use super::names::Names;
use super::pieces::in_pieces;
use super::possible::seen;
use super::report::rule_of;
use super::vars::Vars;
use super::world::World;
use super::{Budget, not, policy, show};
use crate::abi::eth;
use crate::diag::{Diagnostic, Diagnostics};
use crate::ir::eval::eval;
use crate::ir::outcome::{Fate, Origin, Outcome};
use crate::ir::packet::Packet;
use crate::ir::policy::{Assertion, Attach, Link, Policy, Rule, State, StateSet, Verdict};
use crate::ir::resolve::EMPTY_ASSERTION;

crate::declare_lints! {
    /// An assertion that a packet breaks.
    pub BROKEN_ASSERTION: Error = "broken-assertion", "a packet is let through that an assertion says is never allowed",
        "`assert \"NAME\" never allow MATCHES` is asked of every policy of the file, or of those on the devices and the hook behind `on`. It holds \
         where no packet that a rule with these matches would match is accepted or redirected; that is proven for all packets at once, and where it fails, a packet \
         shows it.\n\nWithout a state word an assertion speaks of packets that begin something (`new`), for the replies of a connection the other way round \
         come from the same addresses. `never allow tracked ...` speaks of packets in every state, `never allow { new, related } ...` also of what helpers and ICMP errors \
         bring. Frames that are not IP, and policies that track nothing, know no state: there every packet counts. A packet within its `limit` is \
         allowed. ARP and neighbour discovery, which are accepted by themselves, are not spoken of.\n\nExample:\n\n    \
         assert \"no database from outside\" on wan ingress never allow tcp to port { 3306, 5432 }\n    \
         policy in on wan ingress zone 1 {\n        allow established\n        allow tcp to port 1024-65535\n        default drop\n    }\n\n\
         Remedy: drop these packets before the rule that lets them through, narrow that rule, or correct the assertion.";
    /// An assertion that takes too much to decide.
    pub UNDECIDED_ASSERTION: Error = "undecided-assertion", "the policy is too large to tell whether an assertion holds",
        "Assertions are decided for all packets at once. Where that grows too large, the packets are split into pieces; at a stated number of pieces \
         it is given up. Nothing is then known of the assertion.\n\nRemedy: split the policy into several, or use sets instead of many overlapping rules.";
}

/// What became of an assertion in one policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// No packet breaks it.
    Holds,
    /// This one does, and this becomes of it.
    Broken(Box<(Packet, Outcome)>),
    /// It speaks of no packet.
    Empty,
    /// Too large: pieces of the packets that were looked at, and pieces left.
    Undecided(usize, usize),
}

/// Decides the assertions of a file, and reports those that do not hold.
pub fn check(policy: &Policy, budget: Budget, diags: &mut Diagnostics) {
    for (block, attach) in policy.attaches.iter().enumerate() {
        let of_block = |assertion: &Assertion| assertion.rules.iter().any(|(at, _)| *at == block);
        let asked: Vec<&Assertion> = policy.asserts.iter().filter(|assertion| of_block(assertion)).collect();
        for (assertion, answer) in asked.iter().zip(answers(policy, block, budget)) {
            if let Some(finding) = finding(assertion, attach, &answer) {
                diags.push(finding);
            }
        }
    }
}

/// The answers for one block, in the order of the assertions that speak of it.
#[must_use]
pub fn answers(policy: &Policy, block: usize, budget: Budget) -> Vec<Answer> {
    let Some(attach) = policy.attaches.get(block) else { return Vec::new() };
    let rules = policy.asserts.iter().flat_map(|assertion| &assertion.rules);
    let asked: Vec<Attach> = rules.filter(|(at, _)| *at == block).map(|(_, rule)| alone(attach, rule)).collect();
    if asked.is_empty() {
        return Vec::new();
    }
    let mut names = Names::default();
    for attach in std::iter::once(attach).chain(&asked) {
        names.of_policy(attach, policy.nat_bits);
    }
    names.icmp_kinds();
    let vars = Vars::new(&names);
    // Every limit lets something through.
    let within = vars.within_limits();
    let mut found = vec![Answer::Empty; asked.len()];
    let done = in_pieces(&vars, within, budget, &mut |world| piece(world, policy, attach, &asked, &mut found));
    if let Err((done, left)) = done {
        for answer in found.iter_mut().filter(|answer| !matches!(answer, Answer::Broken(_))) {
            *answer = Answer::Undecided(done, left);
        }
    }
    found
}

/// One piece of the packets.
fn piece(
    world: &mut World,
    policy: &Policy,
    attach: &Attach,
    asked: &[Attach],
    found: &mut [Answer],
) -> Result<(), Full> {
    let meant = policy::meaning(world, policy, attach)?;
    let allowed = world.which(0, meant, &|outcome| outcome.verdict != Fate::Drop)?;
    let there = seen(world, policy, attach)?;
    let talk = neighbour_talk(world)?;
    let other = not(world, talk)?;
    let spoken = world.diagram.and(there, other)?;
    for (asked, answer) in asked.iter().zip(found) {
        let set = policy::meaning(world, policy, asked)?;
        let set = world.which(1, set, &|outcome| outcome.verdict == Fate::Drop)?;
        let set = world.diagram.and(set, spoken)?;
        if set != FALSE && *answer == Answer::Empty {
            *answer = Answer::Holds;
        }
        let broken = world.diagram.and(set, allowed)?;
        if let (Answer::Holds, Some((way, ..))) = (&*answer, world.diagram.difference(broken, FALSE)) {
            let packet = world.example(broken, &way, attach);
            let outcome = eval(policy, attach, &packet);
            *answer = Answer::Broken(Box::new((packet, outcome)));
        }
    }
    Ok(())
}

/// The block with nothing in it but a rule that drops what is asked for.
#[must_use]
pub fn alone(attach: &Attach, rule: &Rule) -> Attach {
    let is_ip = |link: Link| matches!(link, Link::Ip4 | Link::Ip6 | Link::Ether(eth::P_IP | eth::P_IPV6));
    let stateless = rule.states.contains(State::Untracked);
    let part = |ip: bool| Rule {
        verdict: Verdict::Drop,
        // Frames that are not IP have no state.
        states: if ip || !stateless { rule.states } else { StateSet::ALL },
        alts: rule.alts.iter().filter(|alt| is_ip(alt.link) == ip).cloned().collect(),
        actions: Arc::default(),
        ..rule.clone()
    };
    let rules = [true, false].map(part).into_iter().filter(|rule| !rule.alts.is_empty());
    Attach {
        name: attach.name.clone(),
        span: attach.span,
        devices: attach.devices.clone(),
        hook: attach.hook,
        passes: attach.passes.clone(),
        prefilter: Vec::new(),
        rules: rules.collect(),
        default: attach.default.clone(),
        default_allow: true,
    }
}

fn finding(assertion: &Assertion, attach: &Attach, answer: &Answer) -> Option<Diagnostic> {
    let name = &assertion.name;
    let block = show::block(&attach.name, &attach.devices, attach.hook);
    let (packet, outcome) = match answer {
        Answer::Holds => return None,
        Answer::Empty => {
            let message = format!("no packet could break `{name}`: none satisfies all of its matches in {block}");
            let finding = new_only(assertion, attach, Diagnostic::new(&EMPTY_ASSERTION, assertion.span, message));
            return Some(finding.help("correct the matches, or take the assertion out"));
        }
        Answer::Undecided(done, left) => {
            let message = format!("{block} is too large to tell whether `{name}` holds");
            let finding = Diagnostic::new(&UNDECIDED_ASSERTION, assertion.span, message)
                .note(format!("its packets were split into pieces: {done} were looked at, {left} are left"));
            return Some(finding.help("split the policy, or use sets instead of overlapping rules"));
        }
        Answer::Broken(shown) => &**shown,
    };
    let message = format!("`{name}` does not hold: {block} lets such a packet through");
    let mut finding = Diagnostic::new(&BROKEN_ASSERTION, assertion.span, message);
    if let Some(span) = rule_of(attach, outcome.rule) {
        let word = if matches!(outcome.verdict, Fate::Redirect(_)) { "redirects" } else { "accepts" };
        let what = if outcome.rule == Origin::Default { "the default" } else { "this rule" };
        finding = finding.because(span, format!("{what} {word} it"));
    }
    finding = finding.note(format!("packet: {}", show::packet(packet, &attach.devices, attach.hook)));
    let finding = new_only(assertion, attach, finding);
    Some(finding.help("drop such packets before that rule, narrow the rule, or correct the assertion"))
}

/// Says so where the assertion has no state word.
fn new_only(assertion: &Assertion, attach: &Attach, finding: Diagnostic) -> Diagnostic {
    let mut rules = assertion.rules.iter().map(|(_, rule)| rule);
    if attach.tracked() && rules.any(|rule| rule.states == StateSet::of(&[State::New, State::Untracked])) {
        return finding
            .note("without a state word an assertion speaks of new packets only; `tracked` widens it to all");
    }
    finding
}
