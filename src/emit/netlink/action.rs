//! A filter's actions as attributes.

use std::collections::BTreeMap;

use crate::abi::{act, af, ct, gact, mirred, police, tc_act, tc_gen};
use crate::emit::program::{
    Action, Commit, Control, Ct, CtNat, Mirred, NatAddr, POLICE_MTU, Police, chain_number, police_index,
};
use crate::ir::policy::{Limit, NatSide};

use super::nla::Attr;

/// What relative numbers and names of a Program stand for in one kernel.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// Generation, for chains and police indices.
    pub generation: u16,
    /// Device indices.
    pub links: &'a BTreeMap<String, u32>,
}

/// The payload of `TCA_FLOWER_ACT`. The cookie goes on the last action only: iproute2 cannot write it otherwise, and both
/// emitters make the same filters.
///
/// # Errors
/// The name of a device that has no index.
pub fn actions(actions: &[Action], cookie: &[u8], context: Context) -> Result<Vec<Attr>, String> {
    let last = actions.len();
    (1u16..)
        .zip(actions)
        .map(|(number, action)| {
            let options = match action {
                Action::Gact(control) => vec![generic(gact::PARMS, *control, context)],
                Action::Ct(what, control) => ct_options(what, *control, context),
                Action::Mirred(what) => vec![mirred_parms(what, context)?],
                Action::Police(what) => police_options(what, context),
            };
            let mut attrs = vec![Attr::text(act::KIND, kind(action)), Attr::flagged_nest(act::OPTIONS, options)];
            if usize::from(number) == last {
                attrs.push(Attr::bytes(act::COOKIE, cookie));
            }
            Ok(Attr::nest(number, attrs))
        })
        .collect()
}

/// The kernel's name of an action's kind.
#[must_use]
pub const fn kind(action: &Action) -> &'static str {
    match action {
        Action::Gact(_) => "gact",
        Action::Ct(..) => "ct",
        Action::Mirred(_) => "mirred",
        Action::Police(_) => "police",
    }
}

/// The kernel's control value.
fn control_value(control: Control, context: Context) -> i32 {
    match control {
        Control::Pass => tc_act::OK,
        Control::Drop => tc_act::SHOT,
        Control::Pipe => tc_act::PIPE,
        Control::Continue => tc_act::UNSPEC,
        Control::Goto(chain) => tc_act::GOTO_CHAIN | chain_number(context.generation, chain).cast_signed(),
    }
}

/// `struct tc_gen` with only the control set: index 0 lets the kernel allot one.
fn gen_bytes(control: i32) -> Vec<u8> {
    let mut bytes = vec![0; tc_gen::SIZE];
    put(&mut bytes, tc_gen::ACTION.start, &control.to_ne_bytes());
    bytes
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    if let Some(slot) = bytes.get_mut(at..at + value.len()) {
        slot.copy_from_slice(value);
    }
}

fn generic(kind: u16, control: Control, context: Context) -> Attr {
    Attr::bytes(kind, gen_bytes(control_value(control, context)))
}

fn mirred_parms(what: &Mirred, context: Context) -> Result<Attr, String> {
    let index = context.links.get(&what.device).ok_or_else(|| what.device.clone())?;
    let (control, action) = match (what.redirect, what.ingress) {
        (true, false) => (tc_act::STOLEN, mirred::EGRESS_REDIR),
        (true, true) => (tc_act::STOLEN, mirred::INGRESS_REDIR),
        (false, false) => (tc_act::PIPE, mirred::EGRESS_MIRROR),
        (false, true) => (tc_act::PIPE, mirred::INGRESS_MIRROR),
    };
    let mut bytes = gen_bytes(control);
    bytes.extend(action.to_ne_bytes());
    bytes.extend(index.to_ne_bytes());
    Ok(Attr::bytes(mirred::PARMS, bytes))
}

fn ct_options(what: &Ct, control: Control, context: Context) -> Vec<Attr> {
    let mut out = Vec::new();
    match what {
        Ct::Clear => out.push(Attr::u16(ct::ACTION, ct::ACT_CLEAR)),
        Ct::Track { zone, nat } => {
            out.push(Attr::u16(ct::ZONE, *zone));
            out.push(Attr::u16(ct::ACTION, if *nat { ct::ACT_NAT } else { 0 }));
        }
        Ct::Commit(commit) => commit_options(commit, &mut out),
    }
    out.push(generic(ct::PARMS, control, context));
    out
}

fn commit_options(commit: &Commit, out: &mut Vec<Attr>) {
    out.push(Attr::u16(ct::ZONE, commit.zone));
    let mut bits = ct::ACT_COMMIT;
    if commit.force {
        bits |= ct::ACT_FORCE;
    }
    if let Some((value, mask)) = commit.mark {
        out.push(Attr::u32(ct::MARK, value));
        out.push(Attr::u32(ct::MARK_MASK, mask));
    }
    if let Some((value, mask)) = commit.label {
        out.push(Attr::bytes(ct::LABELS, value.to_le_bytes()));
        out.push(Attr::bytes(ct::LABELS_MASK, mask.to_le_bytes()));
    }
    if let Some(nat) = &commit.nat {
        bits |= ct::ACT_NAT;
        bits |= match nat.side {
            NatSide::Source => ct::ACT_NAT_SRC,
            NatSide::Destination => ct::ACT_NAT_DST,
        };
        nat_options(nat, out);
    }
    if let Some(helper) = &commit.helper {
        out.push(Attr::text(ct::HELPER_NAME, &helper.name));
        out.push(Attr::u8(ct::HELPER_FAMILY, if helper.v6 { af::INET6 } else { af::INET }));
        out.push(Attr::u8(ct::HELPER_PROTO, helper.proto));
    }
    out.push(Attr::u16(ct::ACTION, bits));
}

fn nat_options(nat: &CtNat, out: &mut Vec<Attr>) {
    match nat.addr {
        NatAddr::V4(first, last) => {
            out.push(Attr::bytes(ct::NAT_IPV4_MIN, first.octets()));
            out.push(Attr::bytes(ct::NAT_IPV4_MAX, last.octets()));
        }
        NatAddr::V6(first, last) => {
            out.push(Attr::bytes(ct::NAT_IPV6_MIN, first.octets()));
            out.push(Attr::bytes(ct::NAT_IPV6_MAX, last.octets()));
        }
    }
    if let Some((first, last)) = nat.ports {
        out.push(Attr::be16(ct::NAT_PORT_MIN, first));
        out.push(Attr::be16(ct::NAT_PORT_MAX, last));
    }
}

fn police_options(what: &Police, context: Context) -> Vec<Attr> {
    let index = police_index(context.generation, what.budget);
    let result = Attr::u32(police::RESULT, control_value(what.conform, context).cast_unsigned());
    match what.limit {
        Limit::Packets { rate, burst } => vec![
            Attr::bytes(police::TBF, tbf(index, 0, 0, None)),
            result,
            Attr::u64(police::PKTRATE64, rate),
            Attr::u64(police::PKTBURST64, u64::from(ticks(burst, rate))),
        ],
        Limit::Bytes { rate, burst } => {
            let cell = CellLog::of(POLICE_MTU);
            let mut out = vec![Attr::bytes(
                police::TBF,
                tbf(index, ticks(u64::from(burst), rate), POLICE_MTU, Some((rate, cell))),
            )];
            if rate > u64::from(u32::MAX) {
                out.push(Attr::u64(police::RATE64, rate));
            }
            out.push(Attr::bytes(police::RATE, rate_table(rate, cell)));
            out.push(result);
            out
        }
    }
}

/// Binary logarithm of the packet sizes per entry of a rate table.
#[derive(Clone, Copy)]
struct CellLog(u8);

impl CellLog {
    /// The smallest with which the table reaches `mtu`, as iproute2 counts it.
    fn of(mtu: u32) -> Self {
        Self((0u8..31).find(|log| mtu >> log < police::RTAB_ENTRIES).unwrap_or(31))
    }
}

/// `struct tc_police`: index, action, limit, burst, mtu, rate and peak rate (`struct tc_ratespec`), bookkeeping.
fn tbf(index: u32, burst: u32, mtu: u32, rate: Option<(u64, CellLog)>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(police::TBF_SIZE);
    for word in [index, tc_act::SHOT.cast_unsigned(), 0, burst, mtu] {
        bytes.extend(word.to_ne_bytes());
    }
    if let Some((rate, cell)) = rate {
        bytes.extend([cell.0, police::LINKLAYER_ETHERNET, 0, 0]);
        // cell_align -1 (unused since 2.6), mpu 0.
        bytes.extend([0xff, 0xff, 0, 0]);
        bytes.extend(u32::try_from(rate).unwrap_or(u32::MAX).to_ne_bytes());
    }
    bytes.resize(police::TBF_SIZE, 0);
    bytes
}

/// The time that `amount` takes at `rate` a second, in ticks. Counted as iproute2 does (microseconds first, both steps
/// rounded down, in doubles), so that both emitters ask for the same burst.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "iproute2's own arithmetic; `as` saturates where C's overflows"
)]
fn ticks(amount: u64, rate: u64) -> u32 {
    let micros = (1_000_000.0 * (amount as f64 / rate.max(1) as f64)) as u32;
    (f64::from(micros) * (1_000.0 / f64::from(police::TICK_NS))) as u32
}

/// The table of transmission times per packet size. The kernel checks that it is there and reads the rate instead.
fn rate_table(rate: u64, cell: CellLog) -> Vec<u8> {
    (1..=police::RTAB_ENTRIES).flat_map(|entry| ticks(u64::from(entry) << cell.0, rate).to_ne_bytes()).collect()
}
