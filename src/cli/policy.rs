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

impl PolicyArgs {
    /// How the filters are proven; `None` where that is left out.
    #[must_use]
    pub fn proving(&self) -> Option<Proving> {
        (!self.no_proof).then(|| Proving { accept_unproven: self.accept_unproven, ..Proving::default() })
    }

    /// What the resolver asks for.
    #[must_use]
    pub fn options(&self) -> Options {
        Options { filters_max: self.max_filters, ..self.reading.options() }
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
        Options { bare, default_allow, addresses, filters_max: None }
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
