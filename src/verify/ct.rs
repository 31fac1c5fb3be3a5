//! act_ct, for all packets at once.

use super::commit::icmp;
use super::diagram::{FALSE, Full, Node};
use super::program::{At, Context, Kernel};
use super::vars::View;
use super::world::{Effect, Meaning};
use crate::emit::eval::{Fault, committed, translation};
use crate::emit::program::{Commit, Control, Ct};
use crate::ir::outcome::Translation;
use crate::ir::policy::{State, StateSet};

impl Kernel<'_> {
    /// What an act_ct and all behind it come to.
    pub(super) fn ct(&mut self, ct: &Ct, control: Control, at: At<'_>, context: &Context) -> Result<Node, Full> {
        match ct {
            Ct::Clear => self.clear(control, at, context),
            Ct::Track { zone, nat } => self.track(*zone, *nat, control, at, context),
            Ct::Commit(commit) => self.commit(commit, control, at, context),
        }
    }

    fn clear(&mut self, control: Control, at: At<'_>, context: &Context) -> Result<Node, Full> {
        let bare = Context { shown: None, ..context.clone() };
        let Some(view) = context.shown else { return self.control(control, at, &bare) };
        let cleared = Context { cleared: true, ..bare.clone() };
        let cleared = self.control(control, at, &cleared)?;
        if view != View::Carried {
            return Ok(cleared);
        }
        // Without an entry nothing changes.
        let bare = self.control(control, at, &bare)?;
        let untracked = self.world.states(view, StateSet::of(&[State::Untracked]))?;
        self.world.diagram.ite(untracked, bare, cleared)
    }

    /// nf_conntrack_in: another zone's entry is let go of. Fragments are held until the datagram is whole.
    fn look_up(context: &Context, zone: u16, again: bool) -> (Context, View) {
        let view = View::Pass { zone, again };
        (Context { shown: Some(view), zone, whole: true, cleared: false, ..context.clone() }, view)
    }

    fn track(&mut self, zone: u16, nat: bool, control: Control, at: At<'_>, context: &Context) -> Result<Node, Full> {
        let again = passes(context, zone) > 0;
        let (mut context, view) = Self::look_up(context, zone, again);
        let pass = context.passes.len();
        context.passes.push(zone);
        context.stale.remove(&zone);
        let mut node = self.control(control, at, &context)?;
        if nat {
            let known = self.world.states(view, KNOWN)?;
            node =
                self.rewritten(known, view, &context, node, |kernel, context| kernel.control(control, at, context))?;
            // `ct nat` leaves an ICMP error in the original direction as it is (kernel-facts 2.2).
            let waits = self.related_icmp(view, RELATED)?;
            let translated = self.world.after(&Effect::Translate(pass), node)?;
            node = self.world.diagram.ite(waits, node, translated)?;
        }
        self.ip_only(node, at.chain)
    }

    /// `node`, but what follows with all passes so far gone stale where the condition holds and there is a translation on
    /// record: no zone would find the header again.
    fn rewritten(
        &mut self,
        condition: Node,
        view: View,
        context: &Context,
        node: Node,
        follow: impl FnOnce(&mut Self, &Context) -> Result<Node, Full>,
    ) -> Result<Node, Full> {
        let mut stale = context.clone();
        stale.stale.extend(&context.passes);
        if !self.zones || stale == *context {
            return Ok(node);
        }
        let translated = self.world.translated(view)?;
        let condition = self.world.diagram.and(condition, translated)?;
        let stale = follow(self, &stale)?;
        self.world.diagram.ite(condition, stale, node)
    }

    /// An ICMP error about a connection that the view shows, which is in one of these states.
    fn related_icmp(&mut self, view: View, states: StateSet) -> Result<Node, Full> {
        let (related, icmp) = (self.world.states(view, states)?, icmp(self.world)?);
        self.world.diagram.and(related, icmp)
    }

    fn commit(&mut self, commit: &Commit, control: Control, at: At<'_>, context: &Context) -> Result<Node, Full> {
        let lost = context.zone != commit.zone && context.stale.contains(&commit.zone);
        // Another zone's entry is let go of for a lookup that finds what the last one in this zone found.
        let again = passes(context, commit.zone) > 1;
        let (context, view) = Self::look_up(context, commit.zone, again);
        let original = self.related_icmp(view, RELATED)?;
        let mut next = self.control(control, at, &context)?;
        if commit.nat.is_some() && !lost {
            next =
                self.rewritten(original, view, &context, next, |kernel, context| kernel.control(control, at, context))?;
            // Once another zone has looked at the packet, it is too late.
            if context.passes.last() == Some(&commit.zone) {
                let translated = self.world.after(&Effect::Translate(context.passes.len() - 1), next)?;
                next = self.world.diagram.ite(original, translated, next)?;
            }
        }
        let stored = self.stored(commit, view, original, next)?;
        // There is no entry to commit for an invalid packet, and nothing new behind an ICMP error.
        let error = self.related_icmp(view, RELATED.or(StateSet::of(&[State::RelatedReply])))?;
        let bare = commit.mark.is_none() && commit.label.is_none() && !commit.force;
        let idle = if bare { error } else { FALSE };
        let invalid = self.world.states(view, StateSet::of(&[State::Invalid]))?;
        let nothing = self.world.diagram.or(invalid, idle)?;
        let mut node = self.world.diagram.ite(nothing, next, stored)?;
        if lost {
            let fault = self.world.meaning(Meaning::Fault(Fault::Rewritten(commit.zone)))?;
            let known = self.world.states(view, KNOWN)?;
            let known = self.world.diagram.or(known, error)?;
            let fails = self.world.diagram.ite(idle, FALSE, known)?;
            node = self.world.diagram.ite(fails, fault, node)?;
        }
        self.ip_only(node, at.chain)
    }

    /// `next` after what the commit stores. `original`: the packet is an ICMP error in the original direction.
    fn stored(&mut self, commit: &Commit, view: View, original: Node, next: Node) -> Result<Node, Full> {
        let with = |nat| Effect::Commit(committed(commit, nat));
        let plain = self.world.after(&with(None), next)?;
        let Some(nat) = commit.nat else { return Ok(plain) };
        let ranged = self.world.after(&with(Some(translation(nat))), next)?;
        let on_record = self.world.after(&with(Some(Translation::OnRecord)), next)?;
        let (related, translated) = (self.world.states(view, RELATED)?, self.world.translated(view)?);
        let takes = self.world.diagram.and(related, translated)?;
        let node = self.world.diagram.ite(takes, on_record, ranged)?;
        self.world.diagram.ite(original, plain, node)
    }
}

/// Related, in the original direction.
const RELATED: StateSet = StateSet(1 << State::Related as u8);
/// States of packets whose header the kernel rewrites in a pass with `nat`.
const KNOWN: StateSet =
    StateSet(1 << State::Established as u8 | 1 << State::EstablishedReply as u8 | 1 << State::RelatedReply as u8);

/// Passes through this zone so far.
fn passes(context: &Context, zone: u16) -> usize {
    context.passes.iter().filter(|passed| **passed == zone).count()
}
