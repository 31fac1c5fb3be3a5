use super::*;
use crate::abi::eth;
use crate::emit::netlink::action::Context;
use crate::emit::netlink::live::{LiveBlock, LiveDevice, LiveFilter};
use crate::emit::netlink::load::{Part, slots};
use crate::emit::netlink::message;
use crate::emit::program::{Action, Attached, Chain, Control, Filter};
use crate::ir::policy::Hook;

/// A rule `text` at a position: what it means is the hash of its text, who it is that of its place.
fn rule(position: usize, text: &str) -> RuleRef {
    let meaning = text.bytes().fold(7, |hash: u64, byte| hash * 31 + u64::from(byte));
    RuleRef {
        policy: "web".into(),
        position,
        text: text.into(),
        annotations: Vec::new(),
        role: Role::Rule,
        ident: u32::try_from(position).unwrap(),
        meaning,
        place: format!("web.pol:{position}:1"),
    }
}

/// A Program of these rules, one filter each.
fn program(texts: &[&str]) -> Program {
    let rules: Vec<RuleRef> = (1..).zip(texts).map(|(position, text)| rule(position, text)).collect();
    let filter = |at: usize| Filter {
        prio: u16::try_from(at + 1).unwrap(),
        handle: 1,
        protocol: eth::P_ALL,
        keys: Vec::new(),
        actions: vec![Action::Gact(Control::Drop)].into(),
        rule: at,
    };
    let chain = Chain { index: 1, title: String::new(), filters: (0..rules.len()).map(filter).collect() };
    let entry = Chain { index: 0, title: String::new(), filters: vec![filter(0)] };
    let attached =
        Attached { name: "web".into(), devices: vec!["eth0".into()], hook: Hook::Ingress, entry, chains: vec![chain] };
    let digest = crate::hash::fnv(&texts);
    Program { attaches: vec![attached], rules, digest }
}

/// What the kernel would hold of a Program.
fn live(program: &Program) -> Live {
    let placement = Placement::fresh(program);
    let links = BTreeMap::new();
    let context = Context { generation: placement.generation, links: &links };
    let mut live = Live::default();
    for slot in slots(program, &placement, Part::Everything) {
        let request = message::new_filter(slot, program, context).unwrap();
        // 16 bytes of `struct nlmsghdr`, 20 of `struct tcmsg`.
        let attrs = request.bytes(1, false)[36..].to_vec();
        let Filter { prio, protocol, handle, .. } = *slot.filter;
        let chain = slot.number;
        let block: &mut LiveBlock = live.blocks.entry(slot.block).or_default();
        block.filters.push(LiveFilter { chain, prio, protocol, handle, attrs });
    }
    live.devices = placement.devices.iter().map(|blocks| LiveDevice { ifindex: 1, blocks: blocks.clone() }).collect();
    live
}

/// `+ text`, `~ text` ... per row.
fn rows(old: &[&str], new: &[&str], with_record: bool) -> Vec<(Change, String)> {
    let (old, new) = (program(old), program(new));
    let record = with_record.then(|| Record::from(&old));
    let plan = plan(&new, &Placement::fresh(&new), &live(&old), record.as_ref());
    let words = |row: Row| (row.change, row.rule.map(|rule| rule.text).unwrap_or_default());
    plan.rows.into_iter().map(words).collect()
}

fn row(change: Change, text: &str) -> (Change, String) {
    (change, text.to_owned())
}

#[test]
fn a_rule_that_is_inserted_is_the_only_change() {
    let expected = [row(Change::New, "x"), row(Change::Same, "a"), row(Change::Same, "b")];
    assert_eq!(rows(&["a", "b"], &["x", "a", "b"], true), expected);
    assert_eq!(rows(&["a", "b"], &["x", "a", "b"], false), expected);
}

#[test]
fn a_rule_that_is_edited_in_place_is_changed() {
    assert_eq!(
        rows(&["a", "b", "c"], &["a", "x", "c"], false),
        [row(Change::Same, "a"), row(Change::Changed, "x"), row(Change::Same, "c")]
    );
}

#[test]
fn a_rule_that_is_edited_below_an_inserted_one_is_changed_where_the_record_knows_the_order() {
    let (old, new) = (["a", "b", "c"], ["x", "a", "y", "c"]);
    assert_eq!(
        rows(&old, &new, true),
        [row(Change::New, "x"), row(Change::Same, "a"), row(Change::Changed, "y"), row(Change::Same, "c")]
    );
    let without: Vec<Change> = rows(&old, &new, false).into_iter().map(|(change, _)| change).collect();
    assert_eq!(without, [Change::New, Change::Same, Change::New, Change::Same, Change::Gone]);
}

#[test]
fn an_id_follows_its_rule_wherever_it_goes() {
    let mark = |rule: &mut RuleRef| {
        rule.annotations = vec![("id".into(), "web".into())];
        rule.ident = 99;
    };
    let (mut old, mut new) = (program(&["a", "b"]), program(&["a", "x", "y"]));
    mark(&mut old.rules[1]);
    mark(&mut new.rules[2]);
    let record = Record::from(&old);
    let plan = plan(&new, &Placement::fresh(&new), &live(&old), Some(&record));
    let changes: Vec<Change> = plan.rows.iter().map(|row| row.change).collect();
    assert_eq!(changes, [Change::Same, Change::New, Change::Changed]);
}

#[test]
fn a_gone_rule_stands_in_its_policy_and_keeps_its_words_only_with_a_record() {
    assert_eq!(rows(&["a", "b"], &["a"], true), [row(Change::Same, "a"), row(Change::Gone, "b")]);
    assert_eq!(rows(&["a", "b"], &["a"], false), [row(Change::Same, "a"), row(Change::Gone, "")]);
}

#[test]
fn one_rule_of_two_that_swap_has_moved() {
    let swapped = rows(&["a", "b", "c"], &["b", "a", "c"], true);
    assert_eq!(swapped.iter().filter(|(change, _)| *change == Change::Moved).count(), 1);
    assert_eq!(swapped.iter().filter(|(change, _)| *change == Change::Same).count(), 2);
}

#[test]
fn the_same_program_changes_nothing_and_another_order_does() {
    let (one, other) = (program(&["a", "b"]), program(&["b", "a"]));
    assert!(!plan(&one, &Placement::fresh(&one), &live(&one), None).changes());
    assert!(plan(&other, &Placement::fresh(&other), &live(&one), None).changes());
    assert!(plan(&one, &Placement::fresh(&one), &Live::default(), None).changes());
}

#[test]
fn twins_pair_one_to_one() {
    assert_eq!(
        rows(&["a", "a"], &["a", "a", "a"], false),
        [row(Change::Same, "a"), row(Change::Same, "a"), row(Change::New, "a")]
    );
}

#[test]
fn filters_are_counted_over_all_blocks() {
    let (old, new) = (program(&["a"]), program(&["a", "b"]));
    let plan = plan(&new, &Placement::fresh(&new), &live(&old), None);
    assert_eq!((plan.filters_live, plan.filters_next), (2, 3));
    assert_eq!((plan.rows[1].added, plan.rows[1].removed), (1, 0));
    let text = crate::live::report::text(&plan, &new);
    assert!(text.contains("  + b  web.pol:2:1  +1 filter\n"), "{text}");
    assert!(text.contains("Plan: 1 rule to add, 0 to change, 0 to remove; rules' filters +1 -0, 3 in all (2 live).\n"));
}

/// Anything that looks at all rules for each rule would take minutes here.
#[test]
fn ten_thousand_rules_are_paired_one_by_one() {
    let texts: Vec<String> = (0..10_000).map(|number| format!("rule {number}")).collect();
    let old: Vec<&str> = texts.iter().map(String::as_str).collect();
    let new: Vec<&str> = std::iter::once("x").chain(old.iter().copied().filter(|text| *text != "rule 5000")).collect();
    for with_record in [true, false] {
        let rows = rows(&old, &new, with_record);
        let count = |change| rows.iter().filter(|(of, _)| *of == change).count();
        assert_eq!((count(Change::New), count(Change::Same), count(Change::Gone)), (1, 9_999, 1), "{with_record}");
    }
    let twins = vec!["a"; 10_000];
    assert!(rows(&twins, &twins, true).iter().all(|(change, _)| *change == Change::Same));
}
