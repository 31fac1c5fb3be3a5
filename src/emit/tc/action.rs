//! Actions of a filter, as `tc` writes them.

use std::fmt;

use super::value::{Mark, MaskedLabel, ip_proto};
use crate::emit::program::{
    Action, Commit, Control, Ct, CtHelper, CtNat, Mirred, NatAddr, POLICE_MTU, Police, chain_number, police_index,
};
use crate::ir::policy::{Limit, NatSide};

/// An action of generation `.1`: `action ct zone 7 nat goto chain 65538`.
pub struct ActionWords<'a>(pub &'a Action, pub u16);

impl fmt::Display for ActionWords<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(action, generation) = *self;
        f.write_str("action ")?;
        match action {
            Action::Gact(control) => self::control(f, *control, generation),
            Action::Ct(ct, control) => {
                conntrack(f, ct)?;
                f.write_str(" ")?;
                self::control(f, *control, generation)
            }
            Action::Mirred(mirred) => redirect(f, mirred),
            Action::Police(police) => limit(f, police, generation),
        }
    }
}

fn control(f: &mut fmt::Formatter<'_>, control: Control, generation: u16) -> fmt::Result {
    match control {
        Control::Pass => f.write_str("pass"),
        Control::Drop => f.write_str("drop"),
        Control::Pipe => f.write_str("pipe"),
        Control::Continue => f.write_str("continue"),
        Control::Goto(index) => write!(f, "goto chain {}", chain_number(generation, index)),
    }
}

fn conntrack(f: &mut fmt::Formatter<'_>, ct: &Ct) -> fmt::Result {
    match ct {
        Ct::Clear => f.write_str("ct clear"),
        Ct::Track { zone, nat } => write!(f, "ct zone {zone}{}", if *nat { " nat" } else { "" }),
        Ct::Commit(commit) => self::commit(f, commit),
    }
}

fn commit(f: &mut fmt::Formatter<'_>, commit: &Commit) -> fmt::Result {
    write!(f, "ct commit {}zone {}", if commit.force { "force " } else { "" }, commit.zone)?;
    if let Some((value, mask)) = commit.mark {
        write!(f, " mark {}", Mark(value, mask))?;
    }
    if let Some((value, mask)) = commit.label {
        write!(f, " label {}", MaskedLabel(value, mask))?;
    }
    if let Some(nat) = &commit.nat {
        translation(f, nat)?;
    }
    if let Some(helper) = &commit.helper {
        write!(f, " helper {}", HelperName(helper))?;
    }
    Ok(())
}

fn translation(f: &mut fmt::Formatter<'_>, nat: &CtNat) -> fmt::Result {
    let side = match nat.side {
        NatSide::Source => "src",
        NatSide::Destination => "dst",
    };
    write!(f, " nat {side} addr ")?;
    match nat.addr {
        NatAddr::V4(first, last) => range(f, &first, &last)?,
        NatAddr::V6(first, last) => range(f, &first, &last)?,
    }
    if let Some((first, last)) = nat.ports {
        f.write_str(" port ")?;
        range(f, &first, &last)?;
    }
    Ok(())
}

fn range<T: fmt::Display + PartialEq>(f: &mut fmt::Formatter<'_>, first: &T, last: &T) -> fmt::Result {
    if first == last { write!(f, "{first}") } else { write!(f, "{first}-{last}") }
}

/// `ipv4-tcp-ftp`
pub struct HelperName<'a>(pub &'a CtHelper);

impl fmt::Display for HelperName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let family = if self.0.v6 { "ipv6" } else { "ipv4" };
        write!(f, "{family}-{}-{}", ip_proto(self.0.proto), self.0.name)
    }
}

fn redirect(f: &mut fmt::Formatter<'_>, mirred: &Mirred) -> fmt::Result {
    let hook = if mirred.ingress { "ingress" } else { "egress" };
    // A redirect steals the packet by itself.
    let (verb, control) = if mirred.redirect { ("redirect", "") } else { ("mirror", " pipe") };
    write!(f, "mirred {hook} {verb} dev {}{control}", mirred.device)
}

fn limit(f: &mut fmt::Formatter<'_>, police: &Police, generation: u16) -> fmt::Result {
    f.write_str("police ")?;
    match police.limit {
        Limit::Bytes { rate, burst } => write!(f, "rate {} burst {burst} mtu {POLICE_MTU}", Rate(rate))?,
        Limit::Packets { rate, burst } => write!(f, "pkts_rate {rate} pkts_burst {burst}")?,
    }
    f.write_str(" conform-exceed drop/")?;
    control(f, police.conform, generation)?;
    write!(f, " index {}", police_index(generation, police.budget))
}

/// Bytes per second in the largest unit that holds them without a fraction; `tc` counts bits in powers of ten.
struct Rate(u64);

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = u128::from(self.0) * 8;
        let units = [(1_000_000_000, "gbit"), (1_000_000, "mbit"), (1_000, "kbit")];
        let (scale, unit) = units.into_iter().find(|(scale, _)| bits % scale == 0).unwrap_or((1, "bit"));
        write!(f, "{}{unit}", bits / scale)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn words(action: &Action) -> String {
        ActionWords(action, 1).to_string()
    }

    fn plain(zone: u16) -> Commit {
        Commit { zone, force: false, mark: None, label: None, nat: None, helper: None }
    }

    #[test]
    fn conntrack_actions_carry_their_own_control() {
        assert_eq!(
            words(&Action::Ct(Ct::Track { zone: 7, nat: true }, Control::Goto(2))),
            "action ct zone 7 nat goto chain 65538"
        );
        assert_eq!(words(&Action::Ct(Ct::Clear, Control::Pipe)), "action ct clear pipe");
        assert_eq!(words(&Action::Ct(Ct::Commit(plain(0)), Control::Pass)), "action ct commit zone 0 pass");
    }

    #[test]
    fn a_commit_says_all_that_it_stores() {
        let addr = NatAddr::V4(Ipv4Addr::new(203, 0, 113, 2), Ipv4Addr::new(203, 0, 113, 9));
        let commit = Commit {
            force: true,
            mark: Some((0x1, 0xff)),
            label: Some((10, u128::MAX)),
            nat: Some(CtNat { side: NatSide::Source, addr, ports: Some((1024, 65535)) }),
            helper: Some(CtHelper { name: "ftp".into(), v6: false, proto: 6 }),
            ..plain(7)
        };
        assert_eq!(
            words(&Action::Ct(Ct::Commit(commit), Control::Pass)),
            "action ct commit force zone 7 mark 0x1/0xff label 0a000000000000000000000000000000 \
             nat src addr 203.0.113.2-203.0.113.9 port 1024-65535 helper ipv4-tcp-ftp pass"
        );
    }

    #[test]
    fn budgets_are_shared_by_index() {
        let police = |limit| Action::Police(Police { budget: 0, limit, conform: Control::Pipe });
        assert_eq!(
            words(&police(Limit::Bytes { rate: 1_250_000, burst: 65536 })),
            "action police rate 10mbit burst 65536 mtu 131072 conform-exceed drop/pipe index 2148007936"
        );
        assert_eq!(
            words(&police(Limit::Packets { rate: 20000, burst: 200 })),
            "action police pkts_rate 20000 pkts_burst 200 conform-exceed drop/pipe index 2148007936"
        );
    }

    #[test]
    fn rates_lose_nothing() {
        assert_eq!(Rate(1).to_string(), "8bit");
        assert_eq!(Rate(125_000_000_000).to_string(), "1000gbit");
        assert_eq!(Rate(u64::MAX).to_string(), "147573952589676412920bit");
    }

    #[test]
    fn mirrors_go_on_and_redirects_do_not() {
        let mirred = |redirect| Action::Mirred(Mirred { device: "eth1".into(), ingress: false, redirect });
        assert_eq!(words(&mirred(false)), "action mirred egress mirror dev eth1 pipe");
        assert_eq!(words(&mirred(true)), "action mirred egress redirect dev eth1");
    }
}
