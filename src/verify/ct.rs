//! act_ct, for all packets at once.

use super::commit::icmp;
use super::diagram::{Full, Node};
use super::program::{At, Context, Kernel};
use super::vars::View;
use super::world::{Effect, Meaning};
use crate::emit::eval::{Fault, translation};
use crate::emit::program::{Commit, Control, Ct};
use crate::ir::outcome::{Committed, Translation};
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
        context.passes.push((zone, nat));
        context.stale.remove(&zone);
        let mut node = self.control(control, at, &context)?;
        if nat && self.zones {
            context.stale.extend(context.passes.iter().map(|(passed, _)| *passed));
            let rewritten = self.control(control, at, &context)?;
            let known = StateSet::of(&[State::Established, State::EstablishedReply, State::RelatedReply]);
            let (known, translated) = (self.world.states(view, known)?, self.world.translated(view)?);
            let condition = self.world.diagram.and(known, translated)?;
            node = self.world.diagram.ite(condition, rewritten, node)?;
        }
        self.ip_only(node, at.chain)
    }

    fn commit(&mut self, commit: &Commit, control: Control, at: At<'_>, context: &Context) -> Result<Node, Full> {
        let lost = context.zone != commit.zone && context.stale.contains(&commit.zone);
        // Another zone's entry is let go of for a lookup that finds what the last one in this zone found.
        let again = passes(context, commit.zone) > 1;
        let (context, view) = Self::look_up(context, commit.zone, again);
        let next = self.control(control, at, &context)?;
        let committed = |nat| {
            Effect::Commit(Committed {
                zone: commit.zone,
                force: commit.force,
                mark: commit.mark,
                label: commit.label,
                nat,
                helper: commit.helper.as_ref().map(|helper| (helper.name.clone(), helper.v6, helper.proto)),
            })
        };
        let mut node = self.world.after(&committed(commit.nat.map(translation)), next)?;
        if commit.nat.is_some() {
            let on_record = self.world.after(&committed(Some(Translation::OnRecord)), next)?;
            let related = self.world.states(view, StateSet::of(&[State::Related]))?;
            let (icmp, translated) = (icmp(self.world)?, self.world.translated(view)?);
            let taken = self.world.diagram.or(icmp, translated)?;
            let taken = self.world.diagram.and(related, taken)?;
            node = self.world.diagram.ite(taken, on_record, node)?;
        }
        // There is no entry to commit for an invalid packet.
        let invalid = self.world.states(view, StateSet::of(&[State::Invalid]))?;
        node = self.world.diagram.ite(invalid, next, node)?;
        if lost {
            let fault = self.world.meaning(Meaning::Fault(Fault::Rewritten(commit.zone)))?;
            let established = self.world.states(view, StateSet::of(&[State::Established, State::EstablishedReply]))?;
            node = self.world.diagram.ite(established, fault, node)?;
        }
        self.ip_only(node, at.chain)
    }
}

/// Passes through this zone so far.
fn passes(context: &Context, zone: u16) -> usize {
    context.passes.iter().filter(|(passed, _)| *passed == zone).count()
}
