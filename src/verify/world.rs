//! What both sides of a proof share: the diagrams, the variables, and the outcomes that stand in the leaves.

use std::collections::HashMap;
use std::sync::Arc;

use super::diagram::{Diagram, FALSE, Full, Leaf, Literal, Node, TRUE};
use super::vars::{Vars, View, states_of};
use crate::emit::eval::Fault;
use crate::field::{Cond, Field};
use crate::ir::outcome::{Committed, Origin, Outcome};
use crate::ir::policy::{Out, State, StateSet};

/// What becomes of a packet.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Meaning {
    /// This.
    Outcome(Outcome),
    /// The Program is broken.
    Fault(Fault),
}

/// Something that happens to a packet on its way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// A commit that took effect.
    Commit(Committed),
    /// A copy.
    Mirror(Out),
    /// This rule's budget was asked.
    Limit(u32),
    /// The translation on record was applied at this pass.
    Translate(usize),
    /// This decided.
    Decide(Origin),
}

/// Replacements of [`World::which`], downwards.
const WHICH: u32 = u32::MAX - 40;
/// Number of the first leaf that is a [`Meaning`].
const FIRST: Leaf = 3;

/// All of one proof.
pub struct World {
    /// The diagrams.
    pub diagram: Diagram,
    /// The variables.
    pub vars: Arc<Vars>,
    /// Whether outcomes tell which rule decided.
    pub attribute: bool,
    meanings: Vec<Meaning>,
    leaves: HashMap<Meaning, Leaf>,
    effects: HashMap<Effect, u32>,
    conds: HashMap<(Field, Option<View>, Vec<Cond>), Node>,
}

impl World {
    /// An empty one.
    #[must_use]
    pub fn new(vars: impl Into<Arc<Vars>>, attribute: bool, diagram: Diagram) -> Self {
        let vars = vars.into();
        let (leaves, effects, conds) = (HashMap::new(), HashMap::new(), HashMap::new());
        Self { diagram, vars, attribute, meanings: Vec::new(), leaves, effects, conds }
    }

    /// A constant outcome.
    pub fn meaning(&mut self, meaning: Meaning) -> Result<Node, Full> {
        let leaf = intern(&mut self.leaves, &mut self.meanings, meaning);
        self.diagram.leaf(leaf)
    }

    /// What a leaf stands for.
    #[must_use]
    pub fn of_leaf(&self, leaf: Leaf) -> Option<&Meaning> {
        self.meanings.get(usize::try_from(leaf.checked_sub(FIRST)?).ok()?)
    }

    /// The outcomes after this has happened before them.
    pub fn after(&mut self, effect: &Effect, node: Node) -> Result<Node, Full> {
        let next = u32::try_from(self.effects.len()).unwrap_or(u32::MAX);
        let id = *self.effects.entry(effect.clone()).or_insert(next);
        self.change(id, node, &mut |outcome| match effect {
            Effect::Commit(commit) => outcome.commits.insert(0, commit.clone()),
            Effect::Mirror(out) => outcome.mirrors.insert(0, out.clone()),
            Effect::Limit(ident) => outcome.limits.insert(0, *ident),
            Effect::Decide(origin) => outcome.rule = *origin,
            // Nothing of a pass outlives a dropped packet.
            Effect::Translate(at) => {
                if let Some((_, applied)) = outcome.passes.get_mut(*at) {
                    *applied = true;
                }
            }
        })
    }

    /// Each outcome changed. `id` names the change, as for [`Diagram::map`]; effects take the low numbers.
    pub fn change(&mut self, id: u32, node: Node, change: &mut dyn FnMut(&mut Outcome)) -> Result<Node, Full> {
        let Self { diagram, meanings, leaves, .. } = self;
        diagram.map(id, node, &mut |leaf| {
            let known = leaf.checked_sub(FIRST).and_then(|at| meanings.get(at as usize));
            let Some(Meaning::Outcome(outcome)) = known else { return leaf };
            let mut outcome = outcome.clone();
            change(&mut outcome);
            intern(leaves, meanings, Meaning::Outcome(outcome))
        })
    }

    /// Where the outcome is one of these. `id` (below 16) names the question: the same id must always mean the same.
    pub fn which(&mut self, id: u32, node: Node, holds: &dyn Fn(&Outcome) -> bool) -> Result<Node, Full> {
        let meanings = &self.meanings;
        self.diagram.map(WHICH - id, node, &mut |leaf| {
            let known = leaf.checked_sub(FIRST).and_then(|at| meanings.get(at as usize));
            Leaf::from(matches!(known, Some(Meaning::Outcome(outcome)) if holds(outcome)))
        })
    }

    /// The literals of a field's value under a mask; of what a view shows, for marks and labels.
    ///
    /// # Errors
    /// [`Full`] for what was not named when the variables were made, which is a mistake of ours: there is no proof then.
    pub fn literals(&self, field: Field, view: Option<View>, value: u128, mask: u128) -> Result<Vec<Literal>, Full> {
        let place = view.map_or_else(|| self.vars.field(field), |view| self.vars.info(view, field));
        place.and_then(|(alphabet, base)| alphabet.literals(base, value, mask)).ok_or(Full)
    }

    /// A field satisfies one of these conditions.
    ///
    /// # Errors
    /// [`Full`], as of all that makes nodes.
    pub fn any(&mut self, field: Field, view: Option<View>, conds: &[Cond]) -> Result<Node, Full> {
        if let Some(node) = self.conds.get(&(field, view, conds.to_vec())) {
            return Ok(*node);
        }
        let node = self.any_of(field, view, conds)?;
        self.conds.insert((field, view, conds.to_vec()), node);
        Ok(node)
    }

    /// The mark (`CtMark`) or label that a view shows satisfies one of these. Where there is no connection, it is 0.
    pub fn info(&mut self, view: View, field: Field, conds: &[Cond]) -> Result<Node, Full> {
        let shown = self.any(field, Some(view), conds)?;
        let zero = truth(conds.iter().any(|cond| cond.matches(0)));
        let nothing = self.states(view, StateSet::of(&[State::Untracked, State::Invalid]))?;
        self.diagram.ite(nothing, zero, shown)
    }

    /// A translation is on record for the connection that a view shows.
    pub fn translated(&mut self, view: View) -> Result<Node, Full> {
        let shown = self.variable(self.vars.translated(view))?;
        let nothing = self.states(view, StateSet::of(&[State::Untracked, State::Invalid]))?;
        self.diagram.ite(nothing, FALSE, shown)
    }

    /// A view shows one of these states.
    pub fn states(&mut self, view: View, states: StateSet) -> Result<Node, Full> {
        let base = self.vars.state(view);
        let mut row: Vec<Node> = states_of(view).iter().map(|state| truth(states.contains(*state))).collect();
        for level in (base..base + 3).rev() {
            let pairs = row.chunks(2).map(|pair| match pair {
                [low, high] => self.diagram.node(level, *low, *high),
                _ => Ok(FALSE),
            });
            row = pairs.collect::<Result<_, _>>()?;
        }
        Ok(row.first().copied().unwrap_or(FALSE))
    }

    /// This variable is set.
    pub fn variable(&mut self, level: u32) -> Result<Node, Full> {
        self.diagram.node(level, FALSE, TRUE)
    }

    /// The ethertype (behind the tag) is one of these.
    pub fn ethertype(&mut self, values: &[u16]) -> Result<Node, Full> {
        let cubes = values.iter().filter_map(|value| self.vars.ethertypes.literals((*value).into())).collect();
        self.any_cube(cubes)
    }

    /// The IP protocol is one of these.
    pub fn proto(&mut self, values: &[u128]) -> Result<Node, Full> {
        let cubes = values.iter().filter_map(|value| self.vars.protos.literals(*value)).collect();
        self.any_cube(cubes)
    }

    /// The packet arrived by one of these devices.
    pub fn device(&mut self, values: &[u128]) -> Result<Node, Full> {
        let cubes = values.iter().filter_map(|value| self.vars.devices.literals(*value)).collect();
        self.any_cube(cubes)
    }

    fn any_cube(&mut self, cubes: Vec<Vec<Literal>>) -> Result<Node, Full> {
        let mut node = FALSE;
        for cube in cubes {
            let one = self.diagram.cube(&cube, TRUE, FALSE)?;
            node = self.diagram.or(one, node)?;
        }
        Ok(node)
    }
}

fn intern(leaves: &mut HashMap<Meaning, Leaf>, meanings: &mut Vec<Meaning>, meaning: Meaning) -> Leaf {
    *leaves.entry(meaning).or_insert_with_key(|meaning| {
        meanings.push(meaning.clone());
        FIRST - 1 + u32::try_from(meanings.len()).unwrap_or(u32::MAX)
    })
}

/// A constant.
#[must_use]
pub fn truth(holds: bool) -> Node {
    if holds { TRUE } else { FALSE }
}
