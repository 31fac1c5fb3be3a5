//! The Program as JSON, for other programs. The shape is versioned: a change that breaks a reader raises [`VERSION`].

use serde::Serialize;

use super::program::{
    Action, Chain, Control, Ct, DeviceBlocks, Filter, NatAddr, Placement, Program, Role, RuleRef, chain_number,
};
use super::tc::{KeyValue, ether_type};
use crate::ir::policy::{Limit, NatSide};

/// Version of the shape.
pub const VERSION: u32 = 1;

/// The Program with its place, as pretty JSON that ends in a newline.
///
/// # Errors
/// None in practice; the serializer's own, if a value had no JSON form.
pub fn json(program: &Program, placement: &Placement) -> serde_json::Result<String> {
    let mut text = serde_json::to_string_pretty(&document(program, placement))?;
    text.push('\n');
    Ok(text)
}

/// ```json
/// {"version": 1, "generation": 1, "devices": [...], "attach": [...], "rules": [...]}
/// ```
#[derive(Serialize)]
struct Document<'a> {
    version: u32,
    generation: u16,
    devices: Vec<DeviceJson<'a>>,
    attach: Vec<AttachJson<'a>>,
    rules: Vec<RuleJson<'a>>,
}

/// A device with its blocks, in every JSON that names one.
#[derive(Serialize)]
pub struct DeviceJson<'a> {
    device: &'a str,
    ingress_block: u32,
    egress_block: u32,
}

impl<'a> From<&'a DeviceBlocks> for DeviceJson<'a> {
    fn from(blocks: &'a DeviceBlocks) -> Self {
        Self { device: &blocks.device, ingress_block: blocks.ingress, egress_block: blocks.egress }
    }
}

#[derive(Serialize)]
struct AttachJson<'a> {
    policy: &'a str,
    devices: &'a [String],
    hook: &'static str,
    blocks: &'a [u32],
    /// The generation's chains, then chain 0.
    chains: Vec<ChainJson<'a>>,
}

#[derive(Serialize)]
struct ChainJson<'a> {
    chain: u32,
    title: &'a str,
    filters: Vec<FilterJson>,
}

#[derive(Serialize)]
struct FilterJson {
    prio: u16,
    handle: u32,
    protocol: String,
    keys: Vec<KeyJson>,
    actions: Vec<serde_json::Value>,
    /// Index into `rules`.
    rule: usize,
}

#[derive(Serialize)]
struct KeyJson {
    field: &'static str,
    /// As `tc` writes it.
    value: String,
}

#[derive(Serialize)]
struct RuleJson<'a> {
    policy: &'a str,
    position: usize,
    role: &'static str,
    text: &'a str,
    annotations: Vec<[&'a str; 2]>,
    /// Hexadecimal: JSON numbers end at 2^53.
    ident: String,
    meaning: String,
    place: &'a str,
}

/// The word for why a filter exists.
#[must_use]
pub const fn role_word(role: Role) -> &'static str {
    match role {
        Role::Rule => "rule",
        Role::Default => "default",
        Role::Implicit => "implicit",
        Role::Dispatch => "dispatch",
        Role::Entry => "entry",
    }
}

fn document<'a>(program: &'a Program, placement: &'a Placement) -> Document<'a> {
    let devices = placement.devices.iter();
    let attaches = program.attaches.iter().zip(&placement.blocks);
    Document {
        version: VERSION,
        generation: placement.generation,
        devices: devices.map(DeviceJson::from).collect(),
        attach: attaches
            .map(|(attached, blocks)| AttachJson {
                policy: &attached.name,
                devices: &attached.devices,
                hook: attached.hook.word(),
                blocks,
                chains: attached.chains.iter().chain([&attached.entry]).map(|c| chain(c, placement)).collect(),
            })
            .collect(),
        rules: program.rules.iter().map(rule).collect(),
    }
}

fn chain<'a>(chain: &'a Chain, placement: &Placement) -> ChainJson<'a> {
    let generation = placement.generation;
    ChainJson {
        chain: chain_number(generation, chain.index),
        title: &chain.title,
        filters: chain.filters.iter().map(|f| filter(f, generation)).collect(),
    }
}

fn filter(filter: &Filter, generation: u16) -> FilterJson {
    FilterJson {
        prio: filter.prio,
        handle: filter.handle,
        protocol: ether_type(filter.protocol).into_owned(),
        keys: filter
            .keys
            .iter()
            .map(|key| KeyJson { field: key.field.row().name, value: KeyValue(key).to_string() })
            .collect(),
        actions: filter.actions.iter().map(|a| action(a, generation)).collect(),
        rule: filter.rule,
    }
}

fn rule(rule: &RuleRef) -> RuleJson<'_> {
    RuleJson {
        policy: &rule.policy,
        position: rule.position,
        role: role_word(rule.role),
        text: &rule.text,
        annotations: rule.annotations.iter().map(|(key, value)| [key.as_str(), value.as_str()]).collect(),
        ident: format!("{:08x}", rule.ident),
        meaning: format!("{:016x}", rule.meaning),
        place: &rule.place,
    }
}

fn control(control: Control, generation: u16) -> serde_json::Value {
    match control {
        Control::Pass => "pass".into(),
        Control::Drop => "drop".into(),
        Control::Pipe => "pipe".into(),
        Control::Continue => "continue".into(),
        Control::Goto(index) => serde_json::json!({ "goto": chain_number(generation, index) }),
    }
}

fn action(action: &Action, generation: u16) -> serde_json::Value {
    use serde_json::json;
    match action {
        Action::Gact(then) => json!({ "kind": "gact", "then": control(*then, generation) }),
        Action::Ct(ct, then) => conntrack(ct, &control(*then, generation)),
        Action::Mirred(m) => json!({
            "kind": "mirred",
            "what": if m.redirect { "redirect" } else { "mirror" },
            "hook": if m.ingress { "ingress" } else { "egress" },
            "device": m.device,
        }),
        Action::Police(p) => {
            let then = control(p.conform, generation);
            let (unit, rate, burst) = match p.limit {
                Limit::Bytes { rate, burst } => ("bytes", rate, u64::from(burst)),
                Limit::Packets { rate, burst } => ("packets", rate, burst),
            };
            json!({ "kind": "police", "budget": p.budget, "unit": unit, "rate": rate, "burst": burst, "then": then })
        }
    }
}

fn conntrack(ct: &Ct, then: &serde_json::Value) -> serde_json::Value {
    use serde_json::json;
    let commit = match ct {
        Ct::Clear => return json!({ "kind": "ct", "what": "clear", "then": then }),
        Ct::Track { zone, nat } => {
            return json!({ "kind": "ct", "what": "track", "zone": zone, "nat": nat, "then": then });
        }
        Ct::Commit(commit) => commit,
    };
    let nat = commit.nat.map(|nat| {
        let (first, last) = match nat.addr {
            NatAddr::V4(first, last) => (first.to_string(), last.to_string()),
            NatAddr::V6(first, last) => (first.to_string(), last.to_string()),
        };
        let side = if nat.side == NatSide::Source { "src" } else { "dst" };
        json!({ "side": side, "first": first, "last": last, "ports": nat.ports })
    });
    json!({
        "kind": "ct",
        "what": "commit",
        "zone": commit.zone,
        "force": commit.force,
        "mark": commit.mark.map(|(value, mask)| [format!("{value:#x}"), format!("{mask:#x}")]),
        "label": commit.label.map(|(value, mask)| [format!("{value:#x}"), format!("{mask:#x}")]),
        "nat": nat,
        "helper": commit.helper.as_ref().map(|h| json!({ "name": h.name, "ipv6": h.v6, "proto": h.proto })),
        "then": then,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::emit::program::{Attached, Mirred};
    use crate::field::{Field, Key};
    use crate::ir::policy::Hook;

    #[test]
    fn a_program_reads_back_as_json() {
        let mirred = Mirred { device: "eth1".into(), ingress: false, redirect: true };
        let keys = vec![Key::exact(Field::DstPort, 80)];
        let filter = |actions: Vec<Action>, keys| Filter {
            prio: 1,
            handle: 1,
            protocol: 0x0800,
            keys,
            actions: actions.into(),
            rule: 0,
        };
        let chain = |index, filters| Chain { index, title: "rules".into(), filters };
        let attached = Attached {
            name: "web".into(),
            devices: vec!["eth0".into()],
            hook: Hook::Egress,
            entry: chain(0, vec![filter(vec![Action::Gact(Control::Goto(1))], Vec::new())]),
            chains: vec![chain(1, vec![filter(vec![Action::Mirred(mirred)], keys)])],
        };
        let program = Program { attaches: vec![attached], rules: Vec::new(), digest: 0 };
        let text = json(&program, &Placement::fresh(&program)).unwrap();
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["version"], 1);
        assert_eq!(value["attach"][0]["hook"], "egress");
        let filter = &value["attach"][0]["chains"][0]["filters"][0];
        assert_eq!(filter["keys"][0], serde_json::json!({ "field": "port.dst", "value": "80" }));
        assert_eq!(filter["actions"][0]["device"], "eth1");
        assert_eq!(value["attach"][0]["chains"][1]["filters"][0]["actions"][0]["then"]["goto"], 65537);
    }
}
