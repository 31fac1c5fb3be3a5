//! What must hold of a packet for a line of a policy or a filter to apply, as literals (cheap) and diagrams (the rest).

use super::diagram::{FALSE, Full, Literal, NONE, Node, TRUE};
use super::list::Line;
use super::vars::Vars;
use super::world::{World, truth};
use crate::abi::{eth, ip_flags, ipproto};
use crate::field::{Cond, Field};

/// A conjunction.
#[derive(Clone, Debug, Default)]
pub struct Guard {
    literals: Vec<Literal>,
    nodes: Vec<Node>,
    never: bool,
}

/// What a line or filter says of a packet besides the field in question.
#[derive(Clone, Copy, Debug, Default)]
pub struct Facts {
    /// Its ethertype, behind the tag.
    pub ethertype: Option<u16>,
    /// Its IP protocol.
    pub proto: Option<u128>,
    /// It is no piece of a datagram (any more).
    pub whole: bool,
}

impl Guard {
    /// Nothing satisfies it.
    #[must_use]
    pub fn is_never(&self) -> bool {
        self.never
    }

    /// Everything satisfies it.
    fn is_always(&self) -> bool {
        !self.never && self.literals.is_empty() && self.nodes.is_empty()
    }

    /// Also this.
    pub fn and(&mut self, node: Node) {
        if node == FALSE {
            self.never = true;
        } else if node != TRUE {
            self.nodes.push(node);
        }
    }

    /// Also these; nothing where there are none to have (a value that no packet has).
    pub fn literals(&mut self, literals: Option<Vec<Literal>>) {
        match literals {
            Some(more) => self.literals.extend(more),
            None => self.never = true,
        }
    }

    /// Also that the frame has a tag, or has none.
    pub fn tag(&mut self, tagged: bool) {
        self.literals.push((Vars::TAG, tagged));
    }

    fn both(&mut self, other: Self) {
        self.literals.extend(other.literals);
        self.nodes.extend(other.nodes);
        self.never |= other.never;
    }

    /// A line of a first-match list: `inside` where it holds. `None` where it never does.
    ///
    /// # Errors
    /// [`Full`], as of all that makes nodes.
    pub fn line(mut self, world: &mut World, inside: Node) -> Result<Option<Line>, Full> {
        if !self.settle() {
            return Ok(None);
        }
        // What conntrack says stands behind the header.
        let behind = world.vars.behind_header();
        let (conditions, late): (Vec<Node>, Vec<Node>) =
            self.nodes.into_iter().partition(|node| world.diagram.asks(*node, behind - 1));
        let mut node = inside;
        for condition in late {
            node = world.diagram.ite(condition, node, NONE)?;
        }
        Ok(Some(Line { literals: self.literals, conditions, inside: node }))
    }

    /// Its literals in order, and whether there is nothing else to it. `None` where it never holds.
    #[must_use]
    pub fn into_literals(mut self) -> Option<(Vec<Literal>, bool)> {
        self.settle().then_some((self.literals, self.nodes.is_empty()))
    }

    /// As a condition.
    ///
    /// # Errors
    /// [`Full`]
    pub fn node(mut self, world: &mut World) -> Result<Node, Full> {
        if !self.settle() {
            return Ok(FALSE);
        }
        let mut node = TRUE;
        for condition in self.nodes {
            node = world.diagram.ite(condition, node, FALSE)?;
        }
        world.diagram.cube(&self.literals, node, FALSE)
    }

    /// Puts the literals in order, each once. Whether anything can satisfy them.
    fn settle(&mut self) -> bool {
        self.literals.sort_unstable();
        self.literals.dedup();
        !self.never && !self.literals.array_windows().any(|[(a, _), (b, _)]| a == b)
    }

    /// Also that the packet has this field.
    ///
    /// # Errors
    /// [`Full`]
    pub fn present(&mut self, world: &mut World, field: Field, facts: Facts) -> Result<(), Full> {
        let presence = presence(world, field, facts)?;
        self.both(presence);
        Ok(())
    }

    /// Also that this field of the header satisfies one of these, where the packet has it.
    ///
    /// # Errors
    /// [`Full`]
    pub fn holds(&mut self, world: &mut World, field: Field, conds: &[Cond], facts: Facts) -> Result<(), Full> {
        let exact = |cond: &Cond| if let Cond::Bits { value, .. } = cond { Some(*value) } else { None };
        let whole: Vec<u128> = conds.iter().filter_map(exact).collect();
        let vars = &world.vars;
        match (field, conds, whole.as_slice()) {
            (Field::VlanEthType, _, [value]) => self.literals(vars.ethertypes.literals(*value)),
            (Field::VlanEthType, _, _) => {
                let values: Vec<u16> = whole.iter().filter_map(|value| u16::try_from(*value).ok()).collect();
                self.and(world.ethertype(&values)?);
            }
            (Field::IpProto, _, [value]) => self.literals(vars.protos.literals(*value)),
            (Field::IpProto, _, values) => self.and(world.proto(values)?),
            (Field::InDev, _, [value]) => self.literals(vars.devices.literals(*value)),
            (Field::InDev, _, values) => self.and(world.device(values)?),
            (Field::IpFlags, ..) => self.fragment(world, conds, facts)?,
            (_, [Cond::Bits { value, mask }], _) => {
                self.literals.extend(world.literals(field, None, *value, *mask)?);
            }
            _ => self.and(world.any(field, None, conds)?),
        }
        Ok(())
    }

    fn fragment(&mut self, world: &mut World, conds: &[Cond], facts: Facts) -> Result<(), Full> {
        let fits = |bits: u32| conds.iter().any(|cond| cond.matches(bits.into()));
        let (none, later, first) =
            (fits(0), fits(ip_flags::IS_FRAGMENT), fits(ip_flags::IS_FRAGMENT | ip_flags::FRAG_IS_FIRST));
        let level = world.vars.fragment();
        if facts.whole || (none == later && later == first) {
            self.never |= !none;
        } else if later == first {
            self.literals.push((level, later));
        } else {
            let piece = world.diagram.node(level + 1, truth(later), truth(first))?;
            self.and(world.diagram.node(level, truth(none), piece)?);
        }
        Ok(())
    }

    /// Also that flower's view of this field satisfies the condition: what the packet does not have is 0 there.
    ///
    /// # Errors
    /// [`Full`]
    pub fn dissected(&mut self, world: &mut World, field: Field, cond: Cond, facts: Facts) -> Result<(), Full> {
        let present = presence(world, field, facts)?;
        if !cond.matches(0) {
            self.both(present);
            return self.holds(world, field, &[cond], facts);
        }
        if present.is_always() {
            return self.holds(world, field, &[cond], facts);
        }
        let mut held = Self::default();
        held.holds(world, field, &[cond], facts)?;
        let (present, held) = (present.node(world)?, held.node(world)?);
        self.and(world.diagram.ite(present, held, TRUE)?);
        Ok(())
    }
}

/// Whether conditions on the fragment bits leave whole datagrams only.
#[must_use]
pub fn keeps_whole(conds: &[Cond]) -> bool {
    let piece = |bits: u32| conds.iter().any(|cond| cond.matches(bits.into()));
    !piece(ip_flags::IS_FRAGMENT) && !piece(ip_flags::IS_FRAGMENT | ip_flags::FRAG_IS_FIRST)
}

/// The one value that these conditions leave.
#[must_use]
pub fn only(conds: &[Cond]) -> Option<u128> {
    if let [Cond::Bits { value, .. }] = conds { Some(*value) } else { None }
}

/// When a packet has a field (`Packet::get`): tags, addresses by ethertype, layer 4 by IP protocol and not in fragments.
fn presence(world: &mut World, field: Field, facts: Facts) -> Result<Guard, Full> {
    let mut guard = Guard::default();
    let both = [eth::P_IP, eth::P_IPV6];
    let ports = [ipproto::TCP, ipproto::UDP, ipproto::SCTP].map(u128::from);
    match field {
        Field::VlanId | Field::VlanEthType => guard.tag(true),
        Field::InDev | Field::EthSrc | Field::EthDst => {}
        Field::Ipv4Src | Field::Ipv4Dst => guard.of_type(world, &both[..1], facts)?,
        Field::Ipv6Src | Field::Ipv6Dst => guard.of_type(world, &both[1..], facts)?,
        Field::IpProto | Field::IpTos | Field::IpTtl | Field::IpFlags => guard.of_type(world, &both, facts)?,
        Field::SrcPort | Field::DstPort => guard.behind(world, &both, &ports, facts)?,
        Field::TcpFlags => guard.behind(world, &both, &ports[..1], facts)?,
        Field::IcmpType | Field::IcmpCode => {
            let (mut v4, mut v6) = (Guard::default(), Guard::default());
            v4.behind(world, &both[..1], &[ipproto::ICMP.into()], facts)?;
            v6.behind(world, &both[1..], &[ipproto::ICMPV6.into()], facts)?;
            match (v4.never, v6.never) {
                (_, true) => guard = v4,
                (true, _) => guard = v6,
                _ => {
                    let (v4, v6) = (v4.node(world)?, v6.node(world)?);
                    guard.and(world.diagram.or(v4, v6)?);
                }
            }
        }
        // What conntrack shows is no field of the packet's own.
        Field::CtState | Field::CtZone | Field::CtMark | Field::CtLabel => guard.never = true,
    }
    Ok(guard)
}

impl Guard {
    fn of_type(&mut self, world: &mut World, values: &[u16], facts: Facts) -> Result<(), Full> {
        match (facts.ethertype, values) {
            (Some(known), _) => self.never |= !values.contains(&known),
            (None, [value]) => self.literals(world.vars.ethertypes.literals((*value).into())),
            (None, _) => self.and(world.ethertype(values)?),
        }
        Ok(())
    }

    /// Layer 4 of these protocols.
    fn behind(&mut self, world: &mut World, types: &[u16], protos: &[u128], facts: Facts) -> Result<(), Full> {
        self.of_type(world, types, facts)?;
        match facts.proto {
            Some(known) => self.never |= !protos.contains(&known),
            None => self.and(world.proto(protos)?),
        }
        if !facts.whole {
            self.literals.push((world.vars.fragment(), false));
        }
        Ok(())
    }
}
