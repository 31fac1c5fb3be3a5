use super::*;
use crate::abi::{eth, ipproto};
use crate::emit::program::{Commit, Control, CtHelper, Role};
use crate::field::{Cond, Field, Key};
use crate::ir::policy::Hook;

fn rule(role: Role, position: usize, text: &str) -> RuleRef {
    RuleRef {
        policy: "web".into(),
        position,
        text: text.into(),
        annotations: Vec::new(),
        role,
        ident: 0x11,
        meaning: 0x22,
        place: "web.pol:3:5".into(),
    }
}

fn filter(handle: u32, keys: Vec<Key>, action: Action, rule: usize) -> Filter {
    Filter { prio: 1, handle, protocol: eth::P_IP, keys, actions: vec![action].into(), rule }
}

fn program() -> Program {
    let tcp = Key::exact(Field::IpProto, u128::from(ipproto::TCP));
    let port = |port| vec![tcp, Key::exact(Field::DstPort, port)];
    let chain = Chain {
        index: 1,
        title: "rules".into(),
        filters: vec![
            filter(1, port(80), Action::Gact(Control::Pass), 0),
            filter(2, port(443), Action::Gact(Control::Pass), 0),
            Filter { prio: 2, protocol: eth::P_ALL, ..filter(1, Vec::new(), Action::Gact(Control::Drop), 1) },
        ],
    };
    let entry = Chain {
        index: 0,
        title: "entry".into(),
        filters: vec![filter(1, Vec::new(), Action::Gact(Control::Goto(1)), 2)],
    };
    let mut allow = rule(Role::Rule, 1, "allow tcp to port { 80, 443 }");
    allow.annotations.push(("owner".into(), "web\nqdisc del dev eth0 clsact".into()));
    let devices = vec!["eth0".to_owned()];
    let attached = Attached { name: "web".into(), devices, hook: Hook::Ingress, entry, chains: vec![chain] };
    let rules = vec![allow, rule(Role::Default, 0, "default drop"), rule(Role::Entry, 0, "entry")];
    Program { attaches: vec![attached], rules, digest: 0x33 }
}

fn print(program: &Program, iproute2: (u16, u16)) -> Result<String, ScriptError> {
    script(program, &Placement::fresh(program), &Options { iproute2 })
}

#[test]
fn a_script_names_its_rules_and_ends_with_the_entry() {
    let expected = "\
# A ruleset by ctpolicy, generation 1.
# Load it with `tc -batch FILE`; its devices must not have a clsact or ingress qdisc yet.

qdisc add dev eth0 ingress_block 208666625 egress_block 208666626 clsact

# policy web on eth0 ingress

# chain 65537: rules
# web rule 1: allow tcp to port { 80, 443 }  @owner web qdisc del dev eth0 clsact
filter add block 208666625 chain 65537 protocol ip prio 1 handle 0x1 flower ip_proto tcp dst_port 80 \
action pass cookie c7110001000000110000000000000022
filter add block 208666625 chain 65537 protocol ip prio 1 handle 0x2 flower ip_proto tcp dst_port 443 \
action pass cookie c7110001000000110000000000000022
# web: default drop
filter add block 208666625 chain 65537 protocol all prio 2 handle 0x1 flower \
action drop cookie c7120001000000110000000000000022

# From here on it holds: policy web on eth0 ingress

# chain 0: entry
# web: entry
filter add block 208666625 chain 0 protocol ip prio 1 handle 0x1 flower \
action goto chain 65537 cookie c7150001000000000000000000000033
";
    similar_asserts(&print(&program(), (6, 1)).unwrap(), expected);
}

fn similar_asserts(got: &str, expected: &str) {
    assert!(got == expected, "{}", similar::TextDiff::from_lines(expected, got).unified_diff());
}

#[test]
fn a_helper_needs_a_newer_tc() {
    let mut program = program();
    let helper = Some(CtHelper { name: "ftp".into(), v6: false, proto: ipproto::TCP });
    let commit = Commit { zone: 7, force: false, mark: None, label: None, nat: None, helper };
    program.attaches[0].chains[0].filters[0].actions = vec![Action::Ct(Ct::Commit(commit), Control::Pass)].into();
    let error = print(&program, (6, 1)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "web.pol:3:5: iproute2 6.1 cannot write the helper of `allow tcp to port { 80, 443 }`"
    );
    let text = print(&program, (6, 3)).unwrap();
    assert!(text.contains("tc must be of iproute2 6.3 or newer"));
    assert!(text.contains("action ct commit zone 7 helper ipv4-tcp-ftp pass cookie"));
}

#[test]
fn a_mask_that_is_no_prefix_is_refused() {
    let mut program = program();
    let cond = Cond::Bits { value: 0, mask: 0xff00_ff00 };
    program.attaches[0].chains[0].filters[0].keys = vec![Key { field: Field::Ipv4Src, cond }];
    assert!(matches!(print(&program, (6, 1)), Err(ScriptError::Mask { .. })));
}
