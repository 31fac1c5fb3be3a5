//! What must hold of every Program, whatever the packet: what the proof asks of its form, and that nothing depends on the order in
//! which filters of one prio are tried.

use ctpolicy::emit::program::{Attached, Filter, Program};
use ctpolicy::field::Field;
use ctpolicy::ir::policy::{Policy, State};
use ctpolicy::verify::form;

/// What is wrong with the form of a Program of this policy.
pub fn faults(policy: &Policy, program: &Program) -> Vec<String> {
    let mut list: Vec<String> = form::faults(policy, program).into_iter().map(|fault| fault.text).collect();
    for chain in program.attaches.iter().flat_map(Attached::all_chains) {
        for prio in chain.filters.chunk_by(|a, b| a.prio == b.prio) {
            for (index, filter) in prio.iter().enumerate() {
                for other in prio[index + 1..].iter().filter(|other| overlap(filter, other)) {
                    list.push(format!(
                        "chain {} prio {}: one packet fits {:?} and {:?}",
                        chain.index, filter.prio, filter.keys, other.keys
                    ));
                }
            }
        }
    }
    list
}

fn overlap(a: &Filter, b: &Filter) -> bool {
    a.keys.iter().all(|key| {
        b.keys.iter().filter(|other| other.field == key.field).all(|other| {
            if key.field == Field::CtState {
                let both = |bits: u128| key.cond.matches(bits) && other.cond.matches(bits);
                return State::ALL.iter().any(|state| both(u128::from(state.bits())));
            }
            key.cond.overlaps(other.cond)
        })
    })
}
