//! What is seen of a Program's chains without a look at packets: how they lead to each other, and in which order filters are tried.

use std::collections::{BTreeMap, HashMap};

use crate::abi::GOTO_MAX;
use crate::emit::eval::{Masked, mask_of};
use crate::emit::program::{Action, Attached, Chain, Control, Filter};

/// Whether some way may make too many gotos, go round in circles, or to a chain that is not there.
pub fn is_deep(attached: &Attached) -> bool {
    depth(attached).is_none_or(|depth| depth > GOTO_MAX)
}

/// Gotos on the longest way; `None` where ways go round in circles or to chains that are not there.
fn depth(attached: &Attached) -> Option<usize> {
    fn visit(attached: &Attached, chain: &Chain, known: &mut HashMap<u32, Option<usize>>) -> Option<usize> {
        if let Some(depth) = known.get(&chain.index) {
            return *depth;
        }
        // Until it is known, a way back here is a circle.
        known.insert(chain.index, None);
        let mut deepest = 0;
        for next in chain.filters.iter().flat_map(gotos) {
            let next = attached.chain(next)?;
            deepest = deepest.max(1 + visit(attached, next, known)?);
        }
        known.insert(chain.index, Some(deepest));
        Some(deepest)
    }
    visit(attached, &attached.entry, &mut HashMap::new())
}

/// The prios of a chain, and the filters of each in the order in which the kernel tries them.
pub fn prios(chain: &Chain) -> Vec<Vec<&Filter>> {
    let mut prios: BTreeMap<u16, Vec<&Filter>> = BTreeMap::new();
    for filter in &chain.filters {
        prios.entry(filter.prio).or_default().push(filter);
    }
    for filters in prios.values_mut() {
        // A mask is as old as the first filter that has it; the kernel tries the oldest first.
        let mut masks: HashMap<Vec<Masked>, usize> = HashMap::new();
        let ages = filters.iter().enumerate().map(|(at, filter)| *masks.entry(mask_of(filter)).or_insert(at));
        let mut order: Vec<(usize, &Filter)> =
            ages.collect::<Vec<usize>>().into_iter().zip(filters.iter().copied()).collect();
        order.sort_by_key(|(age, _)| *age);
        *filters = order.into_iter().map(|(_, filter)| filter).collect();
    }
    prios.into_values().collect()
}

/// Where each of a filter's actions may send a packet.
pub fn controls(filter: &Filter) -> impl Iterator<Item = Control> {
    filter.actions.iter().map(Action::control)
}

/// The chains that they may send it to.
pub fn gotos(filter: &Filter) -> impl Iterator<Item = u32> {
    controls(filter).filter_map(|control| if let Control::Goto(next) = control { Some(next) } else { None })
}
