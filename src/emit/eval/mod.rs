//! The kernel in miniature: what the filters of a Program do with a packet, after `kernel-facts.md` section 2.
//!
//! It knows flower, act_ct, gact, mirred and police as Linux 6.12 runs them, and nothing of policies. Where the kernel
//! would do what no policy means (accept by falling off a chain, drop ARP in act_ct), it answers with a [`Fault`].

mod mask;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use super::program::{Action, Attached, Chain, Commit, Control, Ct, CtNat, Filter, NatAddr, Program, Role};
use crate::abi::{GOTO_MAX, eth};
use crate::field::Field;
use crate::ir::outcome::{Committed, Fate, Origin, Outcome, Translation, is_error, is_icmp, takes_record};
use crate::ir::packet::{CtView, Packet};
use crate::ir::policy::{Out, State};

pub use mask::{Mask, Masked, mask_of};

/// Something that no packet of a right Program meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Fault {
    /// No filter of a chain decided: the kernel accepts.
    #[error("the packet fell off the end of chain {0} and is accepted")]
    FellThrough(u32),
    /// A goto to a chain that is not there: the kernel accepts.
    #[error("chain {0} does not exist, the packet is accepted")]
    NoChain(u32),
    /// The kernel drops at the 17th.
    #[error("more than {GOTO_MAX} gotos")]
    TooManyGotos,
    /// act_ct drops what is not IP.
    #[error("a frame that is not IP met act_ct in chain {0}")]
    NotIp(u32),
    /// The actions of a filter ended without a verdict: the kernel accepts.
    #[error("the actions of a filter in chain {0} end without a verdict")]
    NoVerdict(u32),
    /// A commit in a zone whose entry the packet no longer carries, behind a rewrite of the header: the kernel looks up
    /// again, does not find the connection, and commits another one (or drops the packet, where the two clash).
    #[error("a commit in zone {0} looks up a header that was translated since the pass")]
    Rewritten(u16),
    /// A filter whose rule is not in the Program.
    #[error("a filter in chain {0} belongs to no rule")]
    NoRule(u32),
}

/// What becomes of `packet` under the filters of `attached`.
///
/// # Errors
/// [`Fault`] where the Program is broken.
pub fn eval(program: &Program, attached: &Attached, packet: &Packet) -> Result<Outcome, Fault> {
    trace(program, attached, packet).map(|(outcome, _)| outcome)
}

/// As [`eval`], with the number of gotos made.
///
/// # Errors
/// [`Fault`] where the Program is broken.
pub fn trace(program: &Program, attached: &Attached, packet: &Packet) -> Result<(Outcome, usize), Fault> {
    let mut skb = Skb {
        program,
        packet: packet.clone(),
        zone: 0,
        view: packet.carried.unwrap_or(CtView::UNTRACKED),
        stale: BTreeSet::new(),
        outcome: Outcome {
            verdict: Fate::Drop,
            rule: Origin::Machinery,
            passes: Vec::new(),
            commits: Vec::new(),
            cleared: false,
            mirrors: Vec::new(),
            limits: Vec::new(),
        },
    };
    let mut chain = &attached.entry;
    let mut gotos = 0;
    while let Some(next) = skb.chain(chain)? {
        gotos += 1;
        if gotos > GOTO_MAX {
            return Err(Fault::TooManyGotos);
        }
        chain = attached.chains.iter().find(|chain| chain.index == next).ok_or(Fault::NoChain(next))?;
    }
    if skb.outcome.verdict == Fate::Drop {
        skb.outcome.passes.clear();
        skb.outcome.cleared = false;
    }
    Ok((skb.outcome, gotos))
}

/// The packet and what the kernel keeps beside it.
struct Skb<'a> {
    program: &'a Program,
    packet: Packet,
    /// Zone of the entry that it carries.
    zone: u16,
    /// What flower shows of that entry.
    view: CtView,
    /// Zones whose last lookup saw a header that has been rewritten since.
    stale: BTreeSet<u16>,
    outcome: Outcome,
}

/// What the actions of a filter came to.
enum Step {
    Done,
    Continue,
    Goto(u32),
}

impl Skb<'_> {
    /// Runs a chain. `None`: decided. `Some`: the chain to go to.
    fn chain(&mut self, chain: &Chain) -> Result<Option<u32>, Fault> {
        let mut prios: BTreeMap<u16, Vec<&Filter>> = BTreeMap::new();
        for filter in &chain.filters {
            prios.entry(filter.prio).or_default().push(filter);
        }
        for filters in prios.values() {
            let Some(filter) = self.classify(filters) else { continue };
            match self.actions(filter, chain.index)? {
                Step::Done => return Ok(None),
                Step::Goto(next) => return Ok(Some(next)),
                Step::Continue => {}
            }
        }
        Err(Fault::FellThrough(chain.index))
    }

    /// One prio: its masks in the order of their creation; within a mask, one filter at most but for ranges, which are
    /// tried in the order of their insertion.
    fn classify<'f>(&self, filters: &[&'f Filter]) -> Option<&'f Filter> {
        let hits: Vec<&Filter> = filters.iter().copied().filter(|filter| self.hits(filter)).collect();
        if hits.len() < 2 {
            return hits.first().copied();
        }
        // A mask is as old as the first filter that has it.
        let age = |filter: &Filter| filters.iter().position(|other| mask_of(other) == mask_of(filter));
        hits.into_iter().min_by_key(|filter| age(filter))
    }

    fn hits(&self, filter: &Filter) -> bool {
        (filter.protocol == eth::P_ALL || filter.protocol == self.packet.protocol())
            && filter.keys.iter().all(|key| key.cond.matches(dissect(&self.packet, self.view, self.zone, key.field)))
    }

    fn actions(&mut self, filter: &Filter, chain: u32) -> Result<Step, Fault> {
        for action in filter.actions.iter() {
            let control = match action {
                Action::Gact(control) => *control,
                Action::Ct(ct, control) => {
                    self.ct(ct, chain)?;
                    *control
                }
                Action::Mirred(mirred) => {
                    let out = Out { device: mirred.device.clone(), ingress: mirred.ingress };
                    if mirred.redirect {
                        return self.done(Fate::Redirect(out), filter, chain);
                    }
                    self.outcome.mirrors.push(out);
                    Control::Pipe
                }
                Action::Police(police) => {
                    let ident = self.ident(filter, chain)?;
                    self.outcome.limits.push(ident);
                    if self.packet.exceeds.contains(&ident) { Control::Drop } else { police.conform }
                }
            };
            match control {
                Control::Pass => return self.done(Fate::Accept, filter, chain),
                Control::Drop => return self.done(Fate::Drop, filter, chain),
                Control::Pipe => {}
                Control::Continue => return Ok(Step::Continue),
                Control::Goto(next) => return Ok(Step::Goto(next)),
            }
        }
        Err(Fault::NoVerdict(chain))
    }

    fn done(&mut self, verdict: Fate, filter: &Filter, chain: u32) -> Result<Step, Fault> {
        let rule = self.program.rules.get(filter.rule).ok_or(Fault::NoRule(chain))?;
        self.outcome.verdict = verdict;
        self.outcome.rule = match rule.role {
            Role::Rule => Origin::Rule { ident: rule.ident, meaning: rule.meaning },
            Role::Default => Origin::Default,
            Role::Implicit => {
                // Conntrack has left neighbour discovery without an entry: nothing of a pass stays with it.
                if matches!(self.view.state, State::Untracked | State::Invalid) {
                    self.outcome.passes.clear();
                }
                Origin::Implicit
            }
            Role::Dispatch | Role::Entry => Origin::Machinery,
        };
        Ok(Step::Done)
    }

    fn ident(&self, filter: &Filter, chain: u32) -> Result<u32, Fault> {
        self.program.rules.get(filter.rule).map(|rule| rule.ident).ok_or(Fault::NoRule(chain))
    }

    fn ct(&mut self, ct: &Ct, chain: u32) -> Result<(), Fault> {
        match ct {
            Ct::Clear => {
                // Without an entry nothing changes.
                self.outcome.cleared |= self.view.state != State::Untracked;
                self.view = CtView::UNTRACKED;
                return Ok(());
            }
            Ct::Track { zone, nat } => {
                self.look_up(*zone, self.passes(*zone), chain)?;
                // `ct nat` leaves an ICMP error in the original direction as it is (kernel-facts 2.2).
                let waits = self.view.state == State::Related && is_icmp(&self.packet);
                self.outcome.passes.push((*zone, *nat && !waits));
                self.stale.remove(zone);
                let known =
                    matches!(self.view.state, State::Established | State::EstablishedReply | State::RelatedReply);
                if *nat && known {
                    self.rewritten();
                }
            }
            Ct::Commit(commit) => self.commit(commit, chain)?,
        }
        Ok(())
    }

    fn commit(&mut self, commit: &Commit, chain: u32) -> Result<(), Fault> {
        let lost = self.zone != commit.zone && self.stale.contains(&commit.zone);
        // Another zone's entry is let go of for a lookup that finds what the last one in this zone found.
        self.look_up(commit.zone, self.passes(commit.zone).saturating_sub(1), chain)?;
        let error = is_error(&self.packet, self.view);
        let idle = error && commit.mark.is_none() && commit.label.is_none() && !commit.force;
        let known = matches!(self.view.state, State::Established | State::EstablishedReply | State::RelatedReply);
        if lost && (known || error) && !idle {
            return Err(Fault::Rewritten(commit.zone));
        }
        if commit.nat.is_some() && self.view.state == State::Related && error && !lost {
            // Once another zone has looked at the packet, it is too late.
            if let Some((_, applied)) = self.outcome.passes.last_mut().filter(|(zone, _)| *zone == commit.zone) {
                *applied = true;
            }
            self.rewritten();
        }
        // There is no entry to commit for an invalid packet, and nothing new behind an ICMP error.
        if self.view.state != State::Invalid && !idle {
            let committed = self.committed(commit);
            self.outcome.commits.push(committed);
        }
        Ok(())
    }

    /// The header is translated now, if there is a translation on record: no zone would find it again.
    fn rewritten(&mut self) {
        if self.view.translated {
            self.stale.extend(self.outcome.passes.iter().map(|(passed, _)| *passed));
        }
    }

    /// nf_conntrack_in: another zone's entry is let go of. Fragments are held until the datagram is whole.
    fn look_up(&mut self, zone: u16, before: usize, chain: u32) -> Result<(), Fault> {
        if !self.packet.is_ip() {
            return Err(Fault::NotIp(chain));
        }
        self.packet = self.packet.reassembled();
        self.zone = zone;
        self.view = self.packet.view_after(zone, before);
        self.outcome.cleared = false;
        Ok(())
    }

    /// Passes through this zone so far.
    fn passes(&self, zone: u16) -> usize {
        self.outcome.passes.iter().filter(|(passed, _)| *passed == zone).count()
    }

    fn committed(&self, commit: &Commit) -> Committed {
        let nat = commit.nat.filter(|_| !(self.view.state == State::Related && is_icmp(&self.packet)));
        let nat =
            nat.map(|nat| if takes_record(&self.packet, self.view) { Translation::OnRecord } else { translation(nat) });
        committed(commit, nat)
    }
}

/// Flower's view of a field: of the packet, of what its last pass showed, and of that pass's zone. What is not there is
/// zero, not absent: the kernel clears the key, then fills it.
#[must_use]
pub fn dissect(packet: &Packet, view: CtView, zone: u16, field: Field) -> u128 {
    match field {
        Field::CtState => u128::from(view.state.bits()),
        Field::CtZone if view.state == State::Untracked => 0,
        Field::CtZone => u128::from(zone),
        Field::CtMark => u128::from(view.mark),
        Field::CtLabel => view.label,
        _ => packet.get(field).unwrap_or(0),
    }
}

/// A commit in the terms of outcomes, with the translation that it comes to.
#[must_use]
pub fn committed(commit: &Commit, nat: Option<Translation>) -> Committed {
    Committed {
        zone: commit.zone,
        force: commit.force,
        mark: commit.mark,
        label: commit.label,
        nat,
        helper: commit.helper.as_ref().map(|helper| (helper.name.clone(), helper.v6, helper.proto)),
    }
}

/// The range that a commit asks for, in the terms of outcomes.
#[must_use]
pub fn translation(nat: CtNat) -> Translation {
    let addresses = match nat.addr {
        NatAddr::V4(first, last) => (first.into(), last.into()),
        NatAddr::V6(first, last) => (first.into(), last.into()),
    };
    Translation::To { side: nat.side, addresses, ports: nat.ports }
}
