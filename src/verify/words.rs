//! A set of packets in words, as short as can be said exactly; where that is too long, what all of its packets have in common.

mod values;

use super::diagram::{FALSE, Full, Node, TRUE};
use super::names::Symbols;
use super::vars::{Vars, View, states_of};
use super::world::World;
use crate::abi::eth;
use crate::field::Field;
use crate::ir::policy::State;
use crate::source::braced;
use values::{Words, spell};

/// A set of packets in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packets {
    /// `tcp to port { 80, 443 }, new in zone 7`; several descriptions are joined by `; or `.
    pub text: String,
    /// Whether it is exactly these packets; else these, but not all of them.
    pub exact: bool,
}

/// Descriptions that are joined at most.
pub const PARTS: usize = 4;

/// Describes a set, which is a part of `possible`.
///
/// # Errors
/// [`Full`]
pub fn describe(world: &mut World, set: Node, possible: Node) -> Result<Packets, Full> {
    let whole = product(world, set, possible)?;
    if whole.exact {
        return Ok(whole);
    }
    let families = split(world, vec![set], &world.vars.ethertypes.clone())?;
    if let Some(texts) = each(world, &families, possible)? {
        return Ok(texts);
    }
    let protocols = split(world, families, &world.vars.protos.clone())?;
    Ok(each(world, &protocols, possible)?.unwrap_or(whole))
}

/// All of these parts in words; `None` where they are too many, or cannot be said exactly.
fn each(world: &mut World, parts: &[Node], possible: Node) -> Result<Option<Packets>, Full> {
    if parts.len() > PARTS {
        return Ok(None);
    }
    let mut texts: Vec<String> = Vec::with_capacity(parts.len());
    for part in parts {
        let part = product(world, *part, possible)?;
        if !part.exact {
            return Ok(None);
        }
        texts.push(part.text);
    }
    Ok(Some(Packets { text: texts.join("; or "), exact: true }))
}

/// The sets by what these symbols are; those that do not ask them stay whole.
fn split(world: &mut World, sets: Vec<Node>, symbols: &Symbols) -> Result<Vec<Node>, Full> {
    let mut parts = Vec::new();
    for set in sets {
        if world.diagram.project(set, &|level| !symbols.levels().contains(&level))? == set {
            parts.push(set);
            continue;
        }
        let mut rest = set;
        for value in symbols.values() {
            let Some(literals) = symbols.literals(*value) else { continue };
            let cube = world.diagram.cube(&literals, TRUE, FALSE)?;
            parts.push(world.diagram.and(cube, set)?);
            rest = world.diagram.ite(cube, FALSE, rest)?;
        }
        parts.push(rest);
        parts.retain(|part| *part != FALSE);
    }
    Ok(parts)
}

/// The set as a product of what it says of each part of a packet.
fn product(world: &mut World, set: Node, possible: Node) -> Result<Packets, Full> {
    let mut all = Product { set, possible, said: possible, exact: true, words: Words::default() };
    all.kinds(world)?;
    let place = all.words.more.len();
    all.header(world)?;
    all.views(world)?;
    all.icmp_type(world, place)?;
    let exact = all.exact && all.said == set;
    Ok(Packets { text: all.words.text(), exact })
}

struct Product {
    set: Node,
    possible: Node,
    /// What the words so far say.
    said: Node,
    /// Whether all could be said.
    exact: bool,
    words: Words,
}

impl Product {
    /// What the set says of these variables; `None` where nothing, or where all has been said.
    fn about(&mut self, world: &mut World, keep: &dyn Fn(u32) -> bool) -> Result<Option<Node>, Full> {
        if self.said == self.set {
            return Ok(None);
        }
        let here = world.diagram.project(self.set, keep)?;
        if here == TRUE || here == world.diagram.project(self.possible, keep)? {
            return Ok(None);
        }
        self.said = world.diagram.and(self.said, here)?;
        Ok(Some(here))
    }

    /// Tag, ethertype, IP protocol, fragment, device.
    fn kinds(&mut self, world: &mut World) -> Result<(), Full> {
        if let Some(tag) = self.about(world, &|level| level == Vars::TAG)? {
            // A rule that does not say `vlan` speaks of untagged frames only: so do these words.
            self.words.tagged = world.diagram.value(tag, |_| true) == 1;
        } else {
            self.words.any_tag = true;
        }
        let symbols = world.vars.ethertypes.clone();
        if let Some(here) = self.about(world, &|level| symbols.levels().contains(&level))? {
            self.words.ethertypes = Some(taken(world, &symbols, here));
        }
        let symbols = world.vars.protos.clone();
        if let Some(here) = self.about(world, &|level| symbols.levels().contains(&level))? {
            self.words.protos = Some(taken(world, &symbols, here));
        }
        let level = world.vars.fragment();
        if let Some(here) = self.about(world, &|other| other == level || other == level + 1)? {
            let holds = |piece: bool, first: bool| {
                let set = |other: u32| if other == level { piece } else { first };
                world.diagram.value(here, set) == 1
            };
            self.words.fragment = Some([holds(false, false), holds(true, true), holds(true, false)]);
        }
        let symbols = world.vars.devices.clone();
        if let Some(here) = self.about(world, &|level| symbols.levels().contains(&level))? {
            let name = |value: &u128| String::from_utf8_lossy(&value.to_be_bytes()).trim_end_matches('\0').to_owned();
            let (names, others) = taken(world, &symbols, here);
            let out: Vec<u128> = symbols.values().iter().copied().filter(|value| !names.contains(value)).collect();
            let (not, list) = if others { ("not ", out) } else { ("", names) };
            self.words.more.push(format!("{not}in {}", braced(&list.iter().map(name).collect::<Vec<_>>())));
        }
        Ok(())
    }

    fn header(&mut self, world: &mut World) -> Result<(), Full> {
        for field in values::ORDER {
            let Some((alphabet, base)) = world.vars.field(field).map(|(alphabet, base)| (alphabet.clone(), base))
            else {
                continue;
            };
            let levels = base..base + alphabet.width();
            let Some(here) = self.about(world, &|level| levels.contains(&level))? else { continue };
            match spell(world, field, &alphabet, base, here)? {
                Some(text) => self.words.field(field, text),
                None => self.exact = false,
            }
        }
        Ok(())
    }

    /// The type of ICMP, unless the states say as much: no error is new.
    fn icmp_type(&mut self, world: &mut World, place: usize) -> Result<(), Full> {
        let field = Field::IcmpType;
        let Some((alphabet, base)) = world.vars.field(field).map(|(alphabet, base)| (alphabet.clone(), base)) else {
            return Ok(());
        };
        let levels = base..base + alphabet.width();
        let Some(here) = self.about(world, &|level| levels.contains(&level))? else { return Ok(()) };
        match spell(world, field, &alphabet, base, here)? {
            Some(text) => self.words.more.insert(place, format!("type {text}")),
            None => self.exact = false,
        }
        Ok(())
    }

    /// What conntrack says.
    fn views(&mut self, world: &mut World) -> Result<(), Full> {
        let zones = world.vars.zones().to_vec();
        let passes = zones.iter().flat_map(|zone| [false, true].map(|again| View::Pass { zone: *zone, again }));
        for view in std::iter::once(View::Carried).chain(passes) {
            let place = match view {
                View::Carried => "in the host's conntrack".to_owned(),
                View::Pass { zone, again: false } => format!("in zone {zone}"),
                View::Pass { zone, again: true } => format!("in zone {zone} at the second pass"),
            };
            let base = world.vars.state(view);
            if let Some(here) = self.about(world, &|level| (base..base + 3).contains(&level))? {
                self.words.states.push(format!("{} {place}", states(world, view, base, here)));
            }
            let level = world.vars.translated(view);
            if let Some(here) = self.about(world, &|other| other == level)? {
                let not = if world.diagram.value(here, |_| true) == 1 { "" } else { "not " };
                self.words.states.push(format!("{not}translated {place}"));
            }
            for field in [Field::CtMark, Field::CtLabel] {
                let info = world.vars.info(view, field).map(|(alphabet, base)| (alphabet.clone(), base));
                let Some((alphabet, base)) = info else { continue };
                let levels = base..base + alphabet.width();
                let Some(here) = self.about(world, &|level| levels.contains(&level))? else { continue };
                let name = if field == Field::CtMark { "mark" } else { "label" };
                match spell(world, field, &alphabet, base, here)? {
                    Some(text) => self.words.states.push(format!("{name} {text} {place}")),
                    None => self.exact = false,
                }
            }
        }
        for ident in world.vars.limits().to_vec() {
            let level = world.vars.exceeds(ident);
            if let Some(here) = self.about(world, &|other| other == level)? {
                let side = if world.diagram.value(here, |_| true) == 1 { "above" } else { "within" };
                self.words.states.push(format!("{side} the limit"));
            }
        }
        Ok(())
    }
}

/// The symbols named that are in the set, and whether the others are.
fn taken(world: &World, symbols: &Symbols, set: Node) -> (Vec<u128>, bool) {
    let holds = |value: u128| {
        let ones: Vec<u32> = symbols.set(value).collect();
        world.diagram.value(set, |level| ones.contains(&level)) == 1
    };
    let named = symbols.values().iter().copied().filter(|value| holds(*value)).collect();
    let other =
        (0..=symbols.values().len() as u128).find(|value| !symbols.values().contains(value)).unwrap_or_default();
    // Where every value is named, there are no others.
    let room = 1_usize << symbols.levels().len();
    (named, symbols.values().len() < room && holds(other))
}

/// The states of a set, in their order.
fn states(world: &World, view: View, base: u32, set: Node) -> String {
    let holds = |number: usize| world.diagram.value(set, |level| number >> (base + 2 - level) & 1 == 1) == 1;
    let shown: Vec<State> = (0..).zip(states_of(view)).filter(|(number, _)| holds(*number)).map(|(_, s)| *s).collect();
    let mut words: Vec<&str> = Vec::new();
    for state in State::ALL.into_iter().filter(|state| shown.contains(state)) {
        // As in the language, `established` and `related` are both directions.
        let (other, one) = match state {
            State::Established => (State::EstablishedReply, "established original"),
            State::Related => (State::RelatedReply, "related original"),
            State::EstablishedReply if shown.contains(&State::Established) => continue,
            State::RelatedReply if shown.contains(&State::Related) => continue,
            _ => (state, state.word()),
        };
        words.push(if shown.contains(&other) { state.word() } else { one });
    }
    words.join(" or ")
}

/// Whether packets of this ethertype are IP.
const fn is_ip(ethertype: u128) -> bool {
    ethertype == eth::P_IP as u128 || ethertype == eth::P_IPV6 as u128
}
