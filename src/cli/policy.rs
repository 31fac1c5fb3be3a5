//! Options that say how a policy file is to be read.

use std::collections::BTreeMap;
use std::net::IpAddr;

use clap::ValueEnum;

use super::Out;
use crate::ir::policy::Hook;
use crate::ir::resolve::{Addresses, BareAttach, Options};
use crate::pipeline::{Compiled, Proving};

/// How policies are compiled.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct PolicyArgs {
    /// How they are read.
    #[command(flatten)]
    pub reading: ReadingArgs,
    /// Refuse a policy that becomes more than N filters (without it: more than a million)
    #[arg(long, value_name = "N")]
    pub max_filters: Option<usize>,
    /// Spend at most so many times the filters that the rules need, to save packets lookups (1x to 10x; without it: 2x)
    ///
    /// A filter is loaded once and held in memory, a lookup is paid by every packet. `compile --stats --frontier` shows what other budgets give. Give `plan` and
    /// `apply` the same.
    #[arg(long, value_name = "TIMES", value_parser = growth, allow_hyphen_values = true)]
    pub filter_budget: Option<u32>,
    /// Leave out the proof that the filters treat every packet as the policy says
    #[arg(long)]
    pub no_proof: bool,
    /// Use a policy that is too large for the proof
    #[arg(long, conflicts_with = "no_proof")]
    pub accept_unproven: bool,
}

/// The attach point of bare rules, and what the machine would know.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct ReadingArgs {
    /// Device for rules that stand in no policy (again or with commas for several)
    #[arg(long, value_name = "DEV", value_delimiter = ',', requires = "hook")]
    pub on: Vec<String>,
    /// Hook for rules that stand in no policy
    #[arg(long, value_name = "HOOK", requires = "on")]
    pub hook: Option<HookArg>,
    /// Conntrack zone for rules that stand in no policy
    #[arg(long, value_name = "N", requires = "on")]
    pub zone: Option<u16>,
    /// What becomes of packets that no bare rule decides (without it: drop)
    #[arg(long, value_name = "VERDICT", requires = "on")]
    pub default: Option<DefaultArg>,
    /// Address of a device for `masquerade` (again for IPv6 or other devices)
    #[arg(long, value_name = "DEV=ADDR", value_parser = address)]
    pub address: Vec<(String, IpAddr)>,
}

/// `ingress` or `egress`
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum HookArg {
    /// Packets that the device receives
    Ingress,
    /// Packets that the device sends
    Egress,
}

/// `allow` or `drop`
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DefaultArg {
    /// Accept them
    Allow,
    /// Drop them
    Drop,
}

fn address(text: &str) -> Result<(String, IpAddr), String> {
    let (device, address) = text.split_once('=').ok_or("write DEV=ADDR, as in eth0=192.0.2.1")?;
    if device.is_empty() {
        return Err("the device is missing before `=`".to_owned());
    }
    let address = address.parse().map_err(|_| format!("`{address}` is no IP address"))?;
    Ok((device.to_owned(), address))
}

/// What `1.5x` adds, in percent: 50.
fn growth(text: &str) -> Result<u32, String> {
    let (whole, part) =
        text.strip_suffix('x').map(|text| text.split_once('.').unwrap_or((text, "0"))).unwrap_or_default();
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let percent = || {
        let known = digits(whole) && digits(part) && part.len() <= 2;
        let part = format!("{part:0<2}");
        known.then_some(()).and_then(|()| whole.parse::<u32>().ok()?.checked_mul(100)?.checked_add(part.parse().ok()?))
    };
    let percent = percent().filter(|percent| (100..=1_000).contains(percent));
    percent.map(|percent| percent - 100).ok_or_else(|| "write 1x to 10x, as in 2x or 1.5x".to_owned())
}

impl PolicyArgs {
    /// How the filters are proven; `None` where that is left out.
    #[must_use]
    pub fn proving(&self) -> Option<Proving> {
        (!self.no_proof).then(|| Proving { accept_unproven: self.accept_unproven, ..Proving::default() })
    }

    /// What the resolver asks for.
    #[must_use]
    pub fn options(&self) -> Options {
        Options { filters_max: self.max_filters, growth: self.filter_budget, ..self.reading.options() }
    }
}

impl ReadingArgs {
    /// What the resolver asks for, but for what it may become.
    #[must_use]
    pub fn options(&self) -> Options {
        let hook = self.hook.map(|hook| match hook {
            HookArg::Ingress => Hook::Ingress,
            HookArg::Egress => Hook::Egress,
        });
        let bare = hook.map(|hook| BareAttach { devices: self.on.clone(), hook, zone: self.zone });
        let mut addresses: BTreeMap<String, Addresses> = BTreeMap::new();
        for (device, address) in &self.address {
            let known = addresses.entry(device.clone()).or_default();
            match address {
                IpAddr::V4(v4) => known.v4 = Some(*v4),
                IpAddr::V6(v6) => known.v6 = Some(*v6),
            }
        }
        let default_allow = self.default == Some(DefaultArg::Allow);
        Options { bare, default_allow, addresses, ..Options::default() }
    }
}

/// Says so where a file becomes no policy at all: perhaps it is one of those that are only included.
pub fn tell_if_empty(file: &str, compiled: &Compiled, out: Out) {
    if compiled.program.as_ref().is_some_and(|program| program.attaches.is_empty()) {
        out.message(&format!("warning: `{file}` holds no policy and no rule: with it, nothing is filtered\n"));
    }
}

/// Says so where a proof was not of one piece.
pub fn tell_of_pieces(file: &str, compiled: &Compiled, out: Out) {
    let blocks = compiled.proof.iter().flat_map(|proof| &proof.blocks);
    let pieces = blocks.map(|block| block.pieces).max().unwrap_or_default();
    if pieces > 1 {
        out.message(&format!("note: `{file}` was proven in {pieces} pieces, so large is it\n"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budgets_are_times() {
        assert_eq!(["1x", "1.5x", "2.25x", "10x"].map(growth), [Ok(0), Ok(50), Ok(125), Ok(900)]);
        for bad in
            ["2", "0.5x", "11x", "x", "1.x", "1.234x", "0x", "-1", "-1x", "abc", "+2x", "1.+5x", "", "99999999999x"]
        {
            assert!(growth(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn addresses_of_both_families_meet() {
        let pairs = ["eth0=192.0.2.1", "eth0=2001:db8::1", "eth1=192.0.2.9"].map(|text| address(text).unwrap());
        let args = ReadingArgs { address: pairs.to_vec(), ..ReadingArgs::default() };
        let options = args.options();
        let eth0 = options.addresses.get("eth0").unwrap();
        assert!(eth0.v4.is_some() && eth0.v6.is_some());
        assert!(options.addresses.get("eth1").unwrap().v6.is_none());
        assert!(address("eth0").is_err() && address("=1.2.3.4").is_err() && address("eth0=x").is_err());
    }
}
