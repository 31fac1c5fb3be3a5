//! What an allowed packet leaves in conntrack.

use super::Run;
use crate::abi::eth;
use crate::ir::outcome::{Committed, Sets, Translation, is_error, is_icmp, overtaken, takes_record};
use crate::ir::packet::CtView;
use crate::ir::policy::{Actions, State, Verdict};

impl Run<'_> {
    /// Commits for a rule (or default) that allows: in the zones that know the connection in the order of their passes,
    /// then in the others of the policy, then in zones that are no pass.
    pub(super) fn commit(&mut self, actions: &Actions, own: Option<u16>, verdict: Verdict) {
        let Some((own, state)) = own.and_then(|zone| Some((zone, self.views.get(&zone)?.state))) else { return };
        let stateless = verdict == Verdict::AllowStateless;
        let starts = matches!(state, State::New | State::Related | State::RelatedReply);
        let changes = state != State::Invalid && (Sets::of(actions).any() || actions.force);
        let named: Vec<u16> =
            actions.nat.iter().map(|(zone, _)| *zone).chain(actions.commit_zones.iter().copied()).collect();
        for zone in self.order(&named) {
            let view = self.views.get(&zone).copied().unwrap_or_else(|| self.packet.view(zone));
            let error = view.state == State::RelatedReply || is_error(&self.packet, view);
            if error && overtaken(&self.outcome.passes, zone) {
                continue;
            }
            let begun =
                self.views.contains_key(&zone) && matches!(view.state, State::Established | State::EstablishedReply);
            // `allow stateless` commits in the zones that it names, in no other.
            let by_name = starts && named.contains(&zone) && !begun;
            let mine = zone == own && !stateless;
            let mut sets = Sets::default();
            if !stateless || by_name {
                sets = self.pending.get(&zone).copied().unwrap_or_default();
            }
            let record = (!stateless || by_name) && self.record_matters(zone, view);
            let wanted = by_name || sets.any() || record || (mine && (starts || changes));
            // Of an invalid packet there is nothing that could be committed.
            if !wanted || view.state == State::Invalid {
                continue;
            }
            if mine {
                sets = sets.then(Sets::of(actions));
            }
            let asked = actions.nat.iter().find(|(other, _)| *other == zone).map(|(_, nat)| *nat);
            let asked = asked.filter(|_| matches!(state, State::New | State::Related) && !begun);
            if let Some(nat) = asked {
                sets = sets.then(Sets::reserved(self.policy, nat));
            }
            let nat = match asked {
                Some(_) if view.state == State::Related && is_icmp(&self.packet) => None,
                Some(_) if takes_record(&self.packet, view) => Some(Translation::OnRecord),
                Some(nat) => Translation::range(nat, self.packet.ethertype == eth::P_IPV6),
                None => record.then_some(Translation::OnRecord),
            };
            let force = actions.force && mine;
            if is_error(&self.packet, view) && !sets.any() && !force {
                continue;
            }
            let helper = actions.helper.as_ref().filter(|_| mine && state == State::New);
            self.outcome.commits.push(Committed {
                zone,
                force,
                mark: sets.mark,
                label: sets.label,
                nat,
                helper: helper.map(|h| (h.name.clone(), self.packet.ethertype == eth::P_IPV6, h.proto)),
            });
        }
    }

    /// Zones that a commit may be for, in order.
    fn order(&self, named: &[u16]) -> Vec<u16> {
        let knows = |zone: &u16| {
            self.views.get(zone).is_some_and(|view| match view.state {
                State::Established | State::EstablishedReply => true,
                State::RelatedReply => self.policy.translating.contains(zone),
                State::Related => is_icmp(&self.packet) && self.policy.translating.contains(zone),
                _ => false,
            })
        };
        let mut zones: Vec<u16> = Vec::new();
        // A zone's last pass is what counts.
        for (zone, _) in self.outcome.passes.iter().filter(|(zone, _)| knows(zone)) {
            zones.retain(|other| other != zone);
            zones.push(*zone);
        }
        for zone in self.attach.passes.iter().chain(named) {
            if !zones.contains(zone) {
                zones.push(*zone);
            }
        }
        zones
    }

    /// Whether this is the first packet of a helper's connection whose inherited mark says that its master is translated:
    /// no pass translates it, the commit must.
    fn record_matters(&self, zone: u16, view: CtView) -> bool {
        let marked = self.policy.nat_bits_used && view.mark & self.policy.nat_bits.both() != 0;
        let related = view.state == State::Related && !is_icmp(&self.packet) && marked;
        related && self.policy.translating.contains(&zone) && self.views.contains_key(&zone)
    }
}
