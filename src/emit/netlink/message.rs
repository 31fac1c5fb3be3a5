//! Whole messages: a header of netlink-packet-route, our attributes.

use netlink_packet_core::{Emitable, NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NLM_F_REQUEST, NetlinkHeader};
use netlink_packet_route::tc::TcHeader;

use crate::abi::{rtm, tca, tcm};
use crate::emit::program::{Chain, DeviceBlocks, Filter, Program};

use super::action::{self, Context};
use super::filter;
use super::nla::Attr;

/// Bytes of `struct nlmsghdr`.
pub const HEADER: usize = 16;

/// A traffic control request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// `RTM_*`.
    pub kind: u16,
    /// `NLM_F_*` besides REQUEST and ACK.
    pub flags: u16,
    /// `struct tcmsg`.
    pub header: TcHeader,
    /// What follows it.
    pub attrs: Vec<Attr>,
}

impl Request {
    /// How many bytes it takes.
    #[must_use]
    pub fn length(&self) -> usize {
        HEADER + self.header.buffer_len() + self.attrs.as_slice().buffer_len()
    }

    /// The message's bytes.
    #[must_use]
    pub fn bytes(&self, sequence: u32, ack: bool) -> Vec<u8> {
        let length = self.length();
        let mut header = NetlinkHeader::default();
        // Messages are far below 4 GiB: an attribute's length has 16 bits.
        header.length = u32::try_from(length).unwrap_or(u32::MAX);
        header.message_type = self.kind;
        header.flags = NLM_F_REQUEST | self.flags | if ack { NLM_F_ACK } else { 0 };
        header.sequence_number = sequence;
        let mut bytes = vec![0; length];
        header.emit(&mut bytes);
        if let Some(rest) = bytes.get_mut(HEADER..) {
            self.header.emit(rest);
        }
        if let Some(rest) = bytes.get_mut(HEADER + self.header.buffer_len()..) {
            self.attrs.as_slice().emit(rest);
        }
        bytes
    }
}

/// A filter of a Program at its place in the kernel.
#[derive(Clone, Copy, Debug)]
pub struct Slot<'a> {
    /// Block.
    pub block: u32,
    /// Chain of the Program.
    pub chain: &'a Chain,
    /// The kernel's number of the chain that the filter goes into.
    pub number: u32,
    /// Filter.
    pub filter: &'a Filter,
}

fn block_header(block: u32, prio: u16, protocol: u16, handle: u32) -> TcHeader {
    TcHeader {
        index: tcm::IFINDEX_MAGIC_BLOCK.cast_signed(),
        handle: handle.into(),
        parent: block.into(),
        // The kernel keeps the protocol in network order.
        info: u32::from(prio) << 16 | u32::from(protocol.to_be()),
        ..TcHeader::default()
    }
}

fn qdisc_header(ifindex: u32) -> TcHeader {
    TcHeader {
        index: ifindex.cast_signed(),
        handle: tcm::HANDLE_CLSACT.into(),
        parent: tcm::PARENT_CLSACT.into(),
        ..TcHeader::default()
    }
}

/// Make a filter, or replace the one of this handle: the kernel never looks at `NLM_F_REPLACE`.
///
/// # Errors
/// The name of a device that an action sends to and that has no index.
pub fn new_filter(slot: Slot, program: &Program, context: Context) -> Result<Request, String> {
    let Slot { block, chain, number, filter } = slot;
    let cookie = program.cookie(chain, filter, context.generation);
    let actions = action::actions(&filter.actions, &cookie, context)?;
    Ok(Request {
        kind: rtm::NEWTFILTER,
        flags: NLM_F_CREATE,
        header: block_header(block, filter.prio, filter.protocol, filter.handle),
        attrs: vec![
            Attr::u32(tca::CHAIN, number),
            Attr::text(tca::KIND, "flower"),
            Attr::nest(tca::OPTIONS, filter::options(filter, actions)),
        ],
    })
}

/// Put back a filter that was read from the kernel: its options as [`super::compare::Canonical::options`] gives them.
#[must_use]
pub fn put_back(block: u32, chain: u32, prio: u16, protocol: u16, handle: u32, options: Vec<Attr>) -> Request {
    Request {
        kind: rtm::NEWTFILTER,
        flags: NLM_F_CREATE,
        header: block_header(block, prio, protocol, handle),
        attrs: vec![Attr::u32(tca::CHAIN, chain), Attr::text(tca::KIND, "flower"), Attr::nest(tca::OPTIONS, options)],
    }
}

/// Remove one filter. Naming the kind keeps the kernel off its global lock.
#[must_use]
pub fn del_filter(block: u32, chain: u32, prio: u16, protocol: u16, handle: u32) -> Request {
    Request {
        kind: rtm::DELTFILTER,
        flags: 0,
        header: block_header(block, prio, protocol, handle),
        attrs: vec![Attr::u32(tca::CHAIN, chain), Attr::text(tca::KIND, "flower")],
    }
}

/// Remove all filters of a chain; a chain that does not exist is fine.
#[must_use]
pub fn flush_chain(block: u32, chain: u32) -> Request {
    Request {
        kind: rtm::DELTFILTER,
        flags: 0,
        header: block_header(block, 0, 0, 0),
        attrs: vec![Attr::u32(tca::CHAIN, chain)],
    }
}

/// Make a device's clsact. Its blocks cannot be changed later.
#[must_use]
pub fn new_clsact(ifindex: u32, blocks: &DeviceBlocks) -> Request {
    Request {
        kind: rtm::NEWQDISC,
        flags: NLM_F_CREATE | NLM_F_EXCL,
        header: qdisc_header(ifindex),
        attrs: vec![
            Attr::text(tca::KIND, "clsact"),
            Attr::u32(tca::INGRESS_BLOCK, blocks.ingress),
            Attr::u32(tca::EGRESS_BLOCK, blocks.egress),
        ],
    }
}

/// Remove a device's clsact, and with the last device of a block all its filters.
#[must_use]
pub fn del_clsact(ifindex: u32) -> Request {
    Request {
        kind: rtm::DELQDISC,
        flags: 0,
        header: qdisc_header(ifindex),
        attrs: vec![Attr::text(tca::KIND, "clsact")],
    }
}

/// Dump all qdiscs.
#[must_use]
pub fn dump_qdiscs() -> Request {
    Request { kind: rtm::GETQDISC, flags: NLM_F_DUMP, header: TcHeader::default(), attrs: Vec::new() }
}

/// Dump a block's filters: of all chains, or of one.
#[must_use]
pub fn dump_filters(block: u32, chain: Option<u32>) -> Request {
    Request {
        kind: rtm::GETTFILTER,
        flags: NLM_F_DUMP,
        header: block_header(block, 0, 0, 0),
        attrs: chain.map(|number| Attr::u32(tca::CHAIN, number)).into_iter().collect(),
    }
}

/// Dump the filters of one side of a device.
#[must_use]
pub fn dump_device_filters(ifindex: u32, parent: u32) -> Request {
    Request {
        kind: rtm::GETTFILTER,
        flags: NLM_F_DUMP,
        header: TcHeader { index: ifindex.cast_signed(), parent: parent.into(), ..TcHeader::default() },
        attrs: Vec::new(),
    }
}
