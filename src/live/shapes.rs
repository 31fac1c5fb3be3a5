//! `docs/json.md` against what is printed: the same members.

use std::collections::BTreeMap;
use std::time::UNIX_EPOCH;

use serde_json::Value;

use super::status::Status;
use super::{applied, plan, report};
use crate::emit::netlink::{Live, Outcome, Receipt};
use crate::emit::program::{Placement, Program};
use crate::live::record::Record;

/// The example of this name.
fn example(name: &str) -> Value {
    let page = include_str!("../../docs/json.md");
    let (_, rest) = page.split_once(&format!("```json {name}\n")).unwrap();
    serde_json::from_str(rest.split("```").next().unwrap()).unwrap()
}

/// The members of an object and of what is in it; of an array those of its first element. A rule has a section of its own.
fn members(value: &Value) -> Vec<String> {
    match value {
        Value::Object(map) => map
            .iter()
            .flat_map(|(key, value)| {
                let inside = if matches!(key.as_str(), "rule" | "before") { Vec::new() } else { members(value) };
                std::iter::once(key.clone()).chain(inside.into_iter().map(move |inner| format!("{key}.{inner}")))
            })
            .collect(),
        Value::Array(list) => list.first().map(members).unwrap_or_default(),
        _ => Vec::new(),
    }
}

fn check(name: &str, printed: &str) -> Value {
    let printed: Value = serde_json::from_str(printed).unwrap();
    assert_eq!(members(&printed), members(&example(name)), "docs/json.md: {name}");
    printed
}

/// Of what `status` tests hold: a Program, and a kernel with it and a problem.
fn scene() -> (Program, Live, BTreeMap<String, u32>) {
    let program = super::status::tests::program();
    let mut live = super::status::tests::live(&program, [1, 1]);
    live.devices.pop();
    live.blocks.retain(|number, _| *number < 102);
    (program, live, BTreeMap::new())
}

#[test]
fn the_documented_shapes_are_those_that_are_printed() {
    let (program, live, devices) = scene();
    let record = Record::from(&program);
    let status = Status::new(&live, Some(&record), &devices, UNIX_EPOCH).json().unwrap();
    let status = check("status", &status);
    let printed = status["rules"][0]["rule"].clone();
    assert_eq!(members(&printed), members(&example("rule")), "docs/json.md: rule");

    // What `diff` prints is a golden of `tests/diff`.
    let printed = include_str!("../../tests/diff/json/expected.txt");
    let (printed, _) = printed.rsplit_once("exit code").unwrap();
    check("diff", printed);

    let placement = Placement::fresh(&program);
    let plan = plan::plan(&program, &placement, &live, Some(&record));
    check("plan", &report::json(&plan).unwrap());
    let receipt = Receipt {
        outcome: Outcome::Applied,
        placement,
        digest: program.digest,
        was: live,
        filters: 10,
        attached: vec!["eth1".to_owned()],
        detached: vec!["eth2".to_owned()],
        notes: Vec::new(),
    };
    check("apply", &applied::json(&receipt, &plan).unwrap());
    assert_eq!(
        applied::text(&receipt, &plan),
        "Generation 1 is live (before: 3): 6 rules as before; 10 filters; new on eth1.\n\
         Open now, for the file does not name them: eth2.\n"
    );
}
