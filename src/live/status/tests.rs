use super::*;
use crate::abi::{act, eth, flower, gact, police, stats, tc_act, tca};
use crate::emit::netlink::live::{LiveBlock, LiveDevice, LiveFilter};
use crate::emit::netlink::nla::Attr;
use crate::emit::program::{Action, Attached, Chain, Control, DeviceBlocks, Filter, Program, chain_number, cookie};
use crate::ir::policy::Hook;
use netlink_packet_core::Emitable;

const GENERATION: u16 = 3;
const DIGEST: u64 = 0xabc;

/// An action as the kernel dumps it: control, packets, drops; made 125 seconds ago.
fn action(kind: &str, control: i32, packets: u32, drops: u32) -> Vec<Attr> {
    let times = [12_500u64, 100, 0, 0].into_iter().flat_map(u64::to_ne_bytes).collect::<Vec<u8>>();
    let parms = [0, 0, control, 1, 1].into_iter().flat_map(i32::to_ne_bytes).collect::<Vec<u8>>();
    let options = if kind == "police" {
        let mut tbf = vec![0; police::TBF_SIZE];
        tbf[..4].copy_from_slice(&77u32.to_ne_bytes());
        vec![Attr::bytes(police::TBF, tbf), Attr::bytes(police::TM, times)]
    } else {
        vec![Attr::bytes(gact::TM, times), Attr::bytes(gact::PARMS, parms)]
    };
    let basic = [u64::from(packets * 100).to_ne_bytes(), u64::from(packets).to_ne_bytes()].concat();
    let queue = [0, 0, drops, 0, 0].into_iter().flat_map(u32::to_ne_bytes).collect::<Vec<u8>>();
    let stats = vec![Attr::bytes(stats::BASIC, basic), Attr::bytes(stats::QUEUE, queue)];
    vec![Attr::text(act::KIND, kind), Attr::nest(act::OPTIONS, options), Attr::nest(act::STATS, stats)]
}

fn held(chain: u32, prio: u16, cookie: Option<[u8; 16]>, mut actions: Vec<Vec<Attr>>) -> LiveFilter {
    if let (Some(last), Some(cookie)) = (actions.last_mut(), cookie) {
        last.push(Attr::bytes(act::COOKIE, cookie));
    }
    let actions = (1..).zip(actions).map(|(number, attrs)| Attr::nest(number, attrs)).collect();
    let options = Attr::nest(tca::OPTIONS, vec![Attr::nest(flower::ACT, actions)]);
    let attrs = vec![Attr::text(tca::KIND, "flower"), options];
    let mut bytes = vec![0; attrs.as_slice().buffer_len()];
    attrs.as_slice().emit(&mut bytes);
    LiveFilter { chain, prio, protocol: eth::P_ALL, handle: 1, attrs: bytes }
}

fn rule(policy: &str, position: usize, role: Role, id: Option<&str>, text: &str) -> RuleRef {
    RuleRef {
        policy: policy.into(),
        position,
        text: text.into(),
        annotations: id.map(|id| ("id".to_owned(), id.to_owned())).into_iter().collect(),
        role,
        // That of the rule with an `@id` is the same in both policies, its meaning too.
        ident: u32::try_from(policy.len() * 10 * usize::from(id.is_none()) + position + 1).unwrap(),
        meaning: u64::try_from(position).unwrap(),
        place: String::new(),
    }
}

/// Two policies of one rule and a default; tagged frames meet the default in chain 0.
pub fn program() -> Program {
    let mut rules = Vec::new();
    let mut attaches = Vec::new();
    for (name, device) in [("in", "eth0"), ("out", "eth1")] {
        let first = rules.len();
        rules.push(rule(name, 1, Role::Rule, Some("web"), "allow tcp to port 80, limit 10pps"));
        rules.push(rule(name, 2, Role::Rule, None, "drop udp to port 80"));
        rules.push(rule(name, 0, Role::Default, None, "default drop"));
        rules.push(rule(name, 0, Role::Dispatch, None, "conntrack and branches"));
        let filter = |prio, control, rule| Filter {
            prio,
            handle: 1,
            protocol: eth::P_ALL,
            keys: Vec::new(),
            actions: vec![Action::Gact(control)].into(),
            rule: first + rule,
        };
        attaches.push(Attached {
            name: name.into(),
            devices: vec![device.into()],
            hook: Hook::Ingress,
            entry: Chain {
                index: 0,
                title: String::new(),
                filters: vec![filter(1, Control::Goto(1), 3), filter(3, Control::Drop, 2)],
            },
            chains: vec![Chain {
                index: 1,
                title: String::new(),
                filters: vec![filter(1, Control::Pass, 0), filter(2, Control::Drop, 1), filter(3, Control::Drop, 2)],
            }],
        });
    }
    Program { attaches, rules, digest: DIGEST }
}

/// What the kernel holds of it: `seen` packets met the rule of each policy.
pub fn live(program: &Program, seen: [u32; 2]) -> Live {
    let mut live = Live::default();
    let entry = cookie(Role::Entry, GENERATION, 0, DIGEST);
    for ((attached, number), packets) in program.attaches.iter().zip([100, 102]).zip(seen) {
        let mark = |at: usize| {
            let rule = program.rules.iter().filter(|rule| rule.policy == attached.name).nth(at).unwrap();
            Some(cookie(rule.role, GENERATION, rule.ident, rule.meaning))
        };
        let chain = chain_number(GENERATION, 1);
        let goto = tc_act::GOTO_CHAIN | chain.cast_signed();
        let limited =
            vec![action("police", tc_act::PIPE, packets, packets / 2), action("gact", tc_act::OK, packets / 2, 0)];
        let filters = vec![
            held(0, 1, Some(entry), vec![action("gact", goto, 50, 0)]),
            held(0, 3, Some(entry), vec![action("gact", tc_act::SHOT, 4, 4)]),
            held(chain, 1, mark(0), limited),
            held(chain, 2, mark(1), vec![action("gact", tc_act::SHOT, 2, 2)]),
            held(chain, 3, mark(2), vec![action("gact", tc_act::SHOT, 3, 3)]),
        ];
        live.blocks.insert(number, LiveBlock { filters });
        live.blocks.insert(number + 1, LiveBlock::default());
        let blocks = DeviceBlocks { device: attached.devices[0].clone(), ingress: number, egress: number + 1 };
        live.devices.push(LiveDevice { ifindex: number, blocks });
    }
    live
}

fn devices() -> BTreeMap<String, u32> {
    [("eth0".to_owned(), 1), ("eth1".to_owned(), 2)].into()
}

fn text(live: &Live, record: Option<&Record>, devices: &BTreeMap<String, u32>) -> String {
    let now = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_795_425_302 + 125);
    Status::new(live, record, devices, now).text()
}

#[test]
fn each_policy_shows_its_own_counters_with_those_of_entry_filters() {
    let program = program();
    let record = Record::from(&program);
    // One budget each: the second policy's police has another index in a real kernel; here both have 77, so it counts nothing.
    let mut live = live(&program, [10, 0]);
    let expected = "\
generation 3, live since 2026-11-23T09:15:02Z (2 min 5 s), 10 filters, program 0000000000000abc
       packets            bytes  rule
policy in on eth0 ingress, block 100
            10            1,000  @web  allow tcp to port 80, limit 10pps  [5 over the limit]
             2              200     2  drop udp to port 80
             7              700        default drop
policy out on eth1 ingress, block 102
             0                0  @web  allow tcp to port 80, limit 10pps
             2              200     2  drop udp to port 80
             7              700        default drop
";
    assert_eq!(text(&live, Some(&record), &devices()), expected);

    // Without a record no policy is known, and entry filters that decide speak for themselves.
    let bare = text(&live, None, &devices());
    assert!(bare.contains("eth0 ingress, block 100\n"), "{bare}");
    assert!(bare.contains("             4              400  entry filter prio 3\n"), "{bare}");
    assert!(!bare.contains("prio 1\n"), "{bare}");

    // A record of another Program lends its words, and no more.
    live.blocks.get_mut(&100).unwrap().filters.remove(2);
    let other = Record::from(&Program { digest: 1, ..program });
    let told = text(&live, Some(&other), &devices());
    assert!(told.contains("eth0 ingress, block 100\n") && told.contains("2  drop udp to port 80\n"), "{told}");
    assert!(!told.contains("became no filter") && !told.contains("warning"), "{told}");
}

fn kinds(live: &Live, devices: &BTreeMap<String, u32>) -> Vec<&'static str> {
    let record = Record::from(&program());
    problems::problems(live, Some(&record), &policies(live, &record), devices)
        .into_iter()
        .map(|problem| problem.kind)
        .collect()
}

#[test]
fn what_is_not_as_it_was_left_is_said() {
    let whole = live(&program(), [0, 0]);
    assert_eq!(kinds(&whole, &devices()), Vec::<&str>::new());

    let mut less = whole.clone();
    less.devices.pop();
    less.blocks.remove(&102);
    assert_eq!(kinds(&less, &devices()), ["no-clsact"]);
    assert_eq!(kinds(&less, &[("eth0".to_owned(), 1)].into()), ["no-device"]);

    // Under another name the device keeps its block, whose rules tell the policy.
    let mut renamed = whole.clone();
    renamed.devices[1].blocks.device = "lan".to_owned();
    assert_eq!(kinds(&renamed, &[("eth0".to_owned(), 1), ("lan".to_owned(), 2)].into()), ["no-device", "renamed"]);
    let record = Record::from(&program());
    assert!(text(&renamed, Some(&record), &devices()).contains("policy out on eth1 ingress, block 102\n"));

    let mut drifted = whole.clone();
    drifted.blocks.get_mut(&100).unwrap().filters.remove(3);
    assert_eq!(kinds(&drifted, &devices()), ["other-filters"]);
    drifted.blocks.get_mut(&102).unwrap().filters.remove(1);
    assert_eq!(kinds(&drifted, &devices()), ["other-filters", "open"]);

    let mut foreign = whole.clone();
    let theirs = held(0, 9, None, vec![action("gact", tc_act::OK, 0, 0)]);
    foreign.blocks.get_mut(&100).unwrap().filters.push(theirs);
    assert_eq!(kinds(&foreign, &devices()), ["foreign-filters"]);

    let mut broken = whole.clone();
    let cookie = cookie(Role::Rule, 4, 1, 1);
    let unused = held(chain_number(4, 1), 1, Some(cookie), vec![action("gact", tc_act::OK, 0, 0)]);
    broken.blocks.get_mut(&100).unwrap().filters.push(unused);
    assert_eq!(kinds(&broken, &devices()), ["left-over"]);

    let mut bare = whole.clone();
    bare.blocks.values_mut().for_each(|block| block.filters.clear());
    let told = text(&bare, None, &devices());
    assert_eq!(
        told,
        "no generation is live\nwarning: eth0, eth1: our clsact is empty, so every packet passes; `ctpolicy remove` takes it out\n"
    );

    let mut half = whole;
    for filter in &mut half.blocks.get_mut(&102).unwrap().filters {
        let entry = crate::emit::program::cookie(Role::Entry, 4, 0, 9);
        *filter = held(filter.chain, filter.prio, Some(entry), vec![action("gact", tc_act::SHOT, 0, 0)]);
    }
    assert_eq!(problems::problems(&half, None, &BTreeMap::new(), &devices())[0].kind, "half-switched");
    assert!(text(&half, None, &devices()).starts_with("no single generation is live\nwarning: a switch broke off"));
}

#[test]
fn a_rule_that_became_no_filter_is_shown() {
    let program = program();
    let record = Record::from(&program);
    let mut live = live(&program, [0, 0]);
    live.blocks.get_mut(&100).unwrap().filters.remove(3);
    assert!(text(&live, Some(&record), &devices()).contains("drop udp to port 80  [became no filter]\n"));
}
