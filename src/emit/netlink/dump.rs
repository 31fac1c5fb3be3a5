//! Reading the kernel: qdiscs and filters into [`Live`].

use std::collections::{BTreeMap, BTreeSet};

use netlink_packet_core::Emitable;
use netlink_packet_route::tc::TcHeader;

use crate::abi::{rtm, tca, tcm};
use crate::emit::program::{BLOCK_BASE, DeviceBlocks};

use super::error::SocketError;
use super::live::{Live, LiveBlock, LiveDevice, LiveFilter, OtherQdisc};
use super::message;
use super::nla;
use super::socket::Socket;

/// Numbers above [`BLOCK_BASE`] that are ours.
const BLOCKS: u32 = 1 << 20;

/// Whether a block number is of our range.
#[must_use]
pub const fn is_our_block(number: u32) -> bool {
    number > BLOCK_BASE && number <= BLOCK_BASE + BLOCKS
}

/// Reads everything of ours, and who else has filters where ours would go.
///
/// # Errors
/// When the kernel refuses a dump, or does not answer.
pub fn live(socket: &mut Socket, links: &BTreeMap<String, u32>) -> Result<Live, SocketError> {
    let names: BTreeMap<u32, &str> = links.iter().map(|(name, index)| (*index, name.as_str())).collect();
    let mut live = Live::default();
    socket.dump(&message::dump_qdiscs(), &mut |kind, body| {
        if kind == rtm::NEWQDISC {
            read_qdisc(body, &names, &mut live);
        }
    })?;
    live.devices.sort_by(|a, b| a.blocks.device.cmp(&b.blocks.device));
    live.others.sort_by(|a, b| a.device.cmp(&b.device));
    let numbers: Vec<u32> =
        live.devices.iter().flat_map(|device| [device.blocks.ingress, device.blocks.egress]).collect();
    for number in BTreeSet::from_iter(numbers) {
        live.blocks.insert(number, block(socket, number, None)?);
    }
    Ok(live)
}

/// Reads a block: all its chains, or one.
///
/// # Errors
/// When the kernel refuses the dump, or does not answer.
pub fn block(socket: &mut Socket, number: u32, chain: Option<u32>) -> Result<LiveBlock, SocketError> {
    filters(socket, &message::dump_filters(number, chain)).map(|filters| LiveBlock { filters })
}

/// Reads the filters that a dump yields, sorted by chain, prio and handle.
///
/// # Errors
/// When the kernel refuses the dump, or does not answer.
pub fn filters(socket: &mut Socket, request: &message::Request) -> Result<Vec<LiveFilter>, SocketError> {
    let mut out = Vec::new();
    socket.dump(request, &mut |kind, body| {
        if kind == rtm::NEWTFILTER {
            out.extend(read_filter(body));
        }
    })?;
    out.sort_by_key(|filter| (filter.chain, filter.prio, filter.handle));
    Ok(out)
}

/// A filter; `None` for the entry without handle that stands for a whole prio.
fn read_filter(body: &[u8]) -> Option<LiveFilter> {
    let header = TcHeader::parse(body).ok()?;
    let handle = u32::from(header.handle);
    let attrs = body.get(header.buffer_len()..)?.to_vec();
    let chain = nla::find(&attrs, tca::CHAIN).and_then(nla::as_u32).unwrap_or_default();
    // Prio in the upper half, in the lower one the protocol in network order.
    let (prio, protocol) = (header.info >> 16, header.info & 0xffff);
    (handle != 0).then_some(LiveFilter {
        chain,
        prio: u16::try_from(prio).unwrap_or_default(),
        protocol: u16::from_be(u16::try_from(protocol).unwrap_or_default()),
        handle,
        attrs,
    })
}

fn read_qdisc(body: &[u8], names: &BTreeMap<u32, &str>, live: &mut Live) {
    let Ok(header) = TcHeader::parse(body) else { return };
    let attrs = body.get(header.buffer_len()..).unwrap_or_default();
    let kind = nla::find(attrs, tca::KIND).map(nla::as_text).unwrap_or_default();
    if u32::from(header.parent) != tcm::PARENT_CLSACT {
        return;
    }
    let number = |attr| nla::find(attrs, attr).and_then(nla::as_u32);
    let (ingress, egress) = (number(tca::INGRESS_BLOCK), number(tca::EGRESS_BLOCK));
    live.numbers.extend(ingress.iter().chain(&egress));
    let ifindex = header.index.cast_unsigned();
    let device = names.get(&ifindex).map_or_else(|| format!("#{ifindex}"), |name| (*name).to_owned());
    match (ingress, egress) {
        (Some(ingress), Some(egress)) if kind == "clsact" && is_our_block(ingress) && is_our_block(egress) => {
            live.devices.push(LiveDevice { ifindex, blocks: DeviceBlocks { device, ingress, egress } });
        }
        _ => {
            live.others.push(OtherQdisc { device, ifindex, kind, blocks: ingress.into_iter().chain(egress).collect() });
        }
    }
}
