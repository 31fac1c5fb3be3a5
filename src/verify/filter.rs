//! When a filter hits, for all packets at once.

use super::diagram::{Full, Node, TRUE};
use super::guard::{Facts, Guard, keeps_whole, only};
use super::program::{Context, Kernel};
use super::vars::{Vars, View};
use super::world::truth;
use crate::abi::eth;
use crate::emit::program::Filter;
use crate::field::{Cond, Field};
use crate::ir::policy::{State, StateSet};

impl Kernel<'_> {
    /// When a filter hits.
    pub(super) fn guard(&mut self, filter: &Filter, context: &Context) -> Result<Guard, Full> {
        let mut guard = Guard::default();
        let of = |field: Field| filter.keys.iter().find(|key| key.field == field).map(|key| key.cond);
        let named = |field: Field| of(field).and_then(|cond| only(&[cond])).filter(|value| *value != 0);
        let mut facts = Facts { ethertype: None, proto: named(Field::IpProto), whole: context.whole };
        match filter.protocol {
            eth::P_ALL => {}
            eth::P_8021Q => {
                facts.ethertype = named(Field::VlanEthType).and_then(|value| u16::try_from(value).ok());
                let bare = self.world.ethertype(&[eth::P_8021Q])?;
                guard.and(self.world.diagram.node(Vars::TAG, bare, TRUE)?);
            }
            other => {
                facts.ethertype = Some(other);
                guard.tag(false);
                guard.literals(self.world.vars.ethertypes.literals(other.into()));
            }
        }
        let tested =
            Facts { whole: context.whole || of(Field::IpFlags).is_some_and(|cond| keeps_whole(&[cond])), ..facts };
        for key in &filter.keys {
            match key.field {
                Field::CtState | Field::CtZone | Field::CtMark | Field::CtLabel => {
                    let node = self.conntrack(key.field, key.cond, context)?;
                    guard.and(node);
                }
                Field::IpFlags => guard.dissected(self.world, key.field, key.cond, facts)?,
                _ => guard.dissected(self.world, key.field, key.cond, tested)?,
            }
        }
        Ok(guard)
    }

    /// When a key on what conntrack shows is satisfied.
    fn conntrack(&mut self, field: Field, cond: Cond, context: &Context) -> Result<Node, Full> {
        match (field, context.shown) {
            (Field::CtState, shown) => {
                let fits: Vec<State> =
                    State::ALL.into_iter().filter(|state| cond.matches(u128::from(state.bits()))).collect();
                let fits = StateSet::of(&fits);
                match shown {
                    Some(view) => self.world.states(view, fits),
                    None => Ok(truth(fits.contains(State::Untracked))),
                }
            }
            // No entry that we did not look up tells its zone.
            (Field::CtZone, Some(View::Pass { zone, .. })) => Ok(truth(cond.matches(zone.into()))),
            (Field::CtZone, _) | (_, None) => Ok(truth(cond.matches(0))),
            (_, Some(view)) => self.world.info(view, field, &[cond]),
        }
    }
}
