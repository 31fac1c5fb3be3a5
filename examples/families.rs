//! Writes a rule set of `benches/families` to disk, for us and for the rivals:
//!
//!     cargo run --example families -- f7-acl1 10000 out/
//!     cargo run --example families -- f5 1000 out/ 7        # another seed than the published figures'
//!
//! It writes `NAME-SIZE.pol`, `.nft` (one rule each), `.best.nft` (the best set or map, where there is one), `.tc` (a prio
//! for each rule) and, where they can say it, `.iptables`, and for aerleon `.aerleon.pol` with `.net` and `.svc`.

#[path = "../benches/families/mod.rs"]
#[allow(dead_code, unused_imports, reason = "the benches use more of it")]
mod families;

use std::error::Error;
use std::fs;
use std::path::Path;

use families::{Family, SEED};

const USAGE: &str = "families NAME SIZE FOLDER [SEED], where NAME is one of";

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let names = || Family::ALL.map(Family::name).join(" ");
    let (name, size, folder, seed) = match words.as_slice() {
        [name, size, folder] => (*name, size.parse()?, Path::new(folder), SEED),
        [name, size, folder, seed] => (*name, size.parse()?, Path::new(folder), seed.parse()?),
        _ => return Err(format!("{USAGE} {}", names()).into()),
    };
    let family = Family::named(name).ok_or_else(|| format!("{USAGE} {}", names()))?;
    let set = family.generate(size, seed);
    fs::create_dir_all(folder)?;
    let write = |ending: &str, text: &str| fs::write(folder.join(format!("{name}-{size}.{ending}")), text);
    write("pol", &set.policy())?;
    write("nft", &set.nft_linear())?;
    if let Some(text) = set.nft_best() {
        write("best.nft", &text)?;
    }
    if let Some(text) = set.tc_naive() {
        write("tc", &text)?;
    }
    if let Some(text) = set.iptables() {
        write("iptables", &text)?;
    }
    if let Some([policy, networks, services]) = set.aerleon() {
        write("aerleon.pol", &policy)?;
        write("net", &networks)?;
        write("svc", &services)?;
    }
    Ok(())
}
