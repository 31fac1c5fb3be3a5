//! What other programs have put where ours would go: said, never touched.

use crate::abi::tcm;
use crate::emit::program::Program;
use crate::emit::tc::ether_type;

use super::dump;
use super::error::{ApplyError, during};
use super::live::{Live, LiveBlock, LiveFilter, OtherQdisc};
use super::message;
use super::socket::Socket;

/// Refuses devices of the Program whose filters belong to someone else.
///
/// # Errors
/// [`ApplyError::Foreign`], or what reading the details ran into.
pub fn check(socket: &mut Socket, program: &Program, live: &Live) -> Result<(), ApplyError> {
    let wanted = |name: &String| program.attaches.iter().any(|attached| attached.devices.contains(name));
    if let Some(other) = live.others.iter().find(|other| wanted(&other.device)) {
        return Err(other_qdisc(socket, other)?);
    }
    let ours = live.devices.iter().map(|device| &device.blocks).filter(|blocks| wanted(&blocks.device));
    for (blocks, number) in ours.flat_map(|blocks| [(blocks, blocks.ingress), (blocks, blocks.egress)]) {
        let strangers: Vec<&LiveFilter> = live.blocks.get(&number).into_iter().flat_map(LiveBlock::foreign).collect();
        if let Some(first) = strangers.first() {
            return Err(ApplyError::Foreign {
                device: blocks.device.clone(),
                what: format!("{} in its block {number}", summary(&strangers)),
                remedy: format!(
                    "if nothing needs it: `tc filter del block {number} chain {} protocol {} prio {}{} {}`",
                    first.chain,
                    ether_type(first.protocol),
                    first.prio,
                    handle(first),
                    first.kind()
                ),
            });
        }
    }
    Ok(())
}

fn other_qdisc(socket: &mut Socket, other: &OtherQdisc) -> Result<ApplyError, ApplyError> {
    let mut held = Vec::new();
    for parent in [tcm::PARENT_INGRESS, tcm::PARENT_EGRESS] {
        let request = message::dump_device_filters(other.ifindex, parent);
        held.extend(dump::filters(socket, &request).map_err(during("read the filters of other programs"))?);
    }
    let filters: Vec<&LiveFilter> = held.iter().collect();
    let OtherQdisc { device, kind, blocks, .. } = other;
    let blocks = match blocks.as_slice() {
        [] => String::new(),
        list => format!(" bound to block {}", list.iter().map(u32::to_string).collect::<Vec<_>>().join(" and ")),
    };
    let with = if filters.is_empty() { "no filters".to_owned() } else { summary(&filters) };
    Ok(ApplyError::Foreign {
        device: device.clone(),
        what: format!("a {kind} qdisc{blocks} with {with}"),
        remedy: format!(
            "ctpolicy shares a device's {kind} with nobody; if nothing needs it: `tc qdisc del dev {device} {kind}`"
        ),
    })
}

/// A filter of ours may stand in the same prio, so the handle has to be named. u32 writes its own otherwise.
fn handle(filter: &LiveFilter) -> String {
    if filter.kind() == "u32" { String::new() } else { format!(" handle {:#x}", filter.handle) }
}

/// `3 filters (bpf at prio 1, flower at prio 7, ...)`
fn summary(filters: &[&LiveFilter]) -> String {
    let mut list: Vec<String> =
        filters.iter().map(|filter| format!("{} at prio {}", filter.kind(), filter.prio)).collect();
    list.dedup();
    if list.len() > 3 {
        list.truncate(3);
        list.push("...".to_owned());
    }
    let count = filters.len();
    format!("{count} filter{} ({})", if count == 1 { "" } else { "s" }, list.join(", "))
}
