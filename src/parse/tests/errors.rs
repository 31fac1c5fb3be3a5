//! One mistake each: what its writer is told. The cases stand in `errors.txt`; `UPDATE_EXPECT=1` rewrites them.

use super::sketch::sketch;
use crate::diag::Diagnostics;
use crate::parse::parse;
use crate::source::SourceMap;

/// `line:col <text> name: message (because <text>)` and the help, for each finding.
fn findings(text: &str) -> String {
    let mut map = SourceMap::default();
    let file = map.add("p", text).unwrap();
    let mut diags = Diagnostics::default();
    parse(&map, file, &mut diags);
    diags.sort();
    let lines = diags.list().iter().map(|d| {
        let at = map.line_col(d.primary.span).unwrap();
        let help = d.help.as_deref().unwrap_or("-");
        let because: Vec<_> = d.secondary.iter().map(|l| format!(" ({} <{}>)", l.text, map.text(l.span))).collect();
        let because = because.concat();
        let place = map.text(d.primary.span);
        format!("{}:{} <{place}> {}: {}{because}\n  = {help}", at.line, at.col, d.lint.name, d.message)
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn each_mistake_has_its_message() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/parse/tests/errors.txt");
    let wanted = std::fs::read_to_string(path).unwrap();
    let cases = wanted.split(">>>\n").skip(1).map(|case| case.split_once("<<<\n").unwrap().0);
    let got: Vec<_> = cases.map(|text| format!(">>>\n{text}<<<\n{}\n\n", findings(text))).collect();
    let got = got.concat();
    assert!(got.matches(">>>\n").count() > 100);
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(path, got).unwrap();
    } else {
        assert!(got == wanted, "{}", similar::TextDiff::from_lines(&wanted, &got).unified_diff());
    }
}

#[test]
fn one_run_reports_every_mistake_and_keeps_the_rest() {
    let got = sketch(
        "alow tcp
net a = 1.2.3.4
policy p on eth0 ingress {
    allow tcp dport 1; drop udp
    allow { a b }
    policy q on eth1 egress {
        drop !x
        allow new
    }
}
drop }
include \"x
default drop
",
    );
    let expected = "ERROR
define Net a 1.2.3.4
policy p on eth0 ingress []
  ERROR
  Drop [words udp]
  ERROR
  policy q on eth1 egress []
    ERROR
    Allow [words new]
Drop
ERROR
default drop
1:1 unknown-verdict: no statement begins with `alow`
4:15 unknown-word: `dport` is no match
5:15 missing-comma: missing comma between `a` and `b`
7:14 unexpected-character: unexpected character `!`
11:6 stray-brace: this `}` closes nothing
12:9 unclosed-string: this string has no end
";
    assert_eq!(got, expected, "{got}");
}

#[test]
fn after_fifty_mistakes_it_stops_and_says_so() {
    let text = "nonsense\n".repeat(60) + "allow\n";
    let got = findings(&text);
    assert_eq!(got.matches("unknown-verdict").count(), 50);
    let last = got.lines().rev().nth(1).unwrap();
    assert_eq!(
        last,
        "51:1 <nonsense> too-many-errors: more than 50 mistakes in this file; nothing after this one is checked"
    );
    assert_eq!(findings(&"nonsense\n".repeat(50)).matches("too-many-errors").count(), 0);
}

#[test]
fn long_files_are_read_as_short_ones() {
    let unit = "allow tcp to port 80 # a\n@id x\ndrop from { a, b }\ngroup g { use h }\n";
    let once = sketch(unit);
    assert_eq!(sketch(&unit.repeat(1_500)), once.repeat(1_500));
    let late = unit.repeat(1_500) + &"alow\n".repeat(2_000);
    let got = findings(&late);
    assert_eq!(got.matches("unknown-verdict").count(), 50);
    assert!(got.starts_with("6001:1 <alow>") && got.contains("\n6051:1 <alow> too-many-errors"), "{got}");
}

#[test]
fn very_long_broken_statements_cost_one_finding() {
    for text in ["allow ".to_owned() + &"a".repeat(100_000), "allow from ".to_owned() + &"a b ".repeat(50_000)] {
        assert_eq!(findings(&text).lines().count(), 2);
    }
}

#[test]
fn nesting_has_a_limit() {
    let sets = |depth| format!("net x = {}a{}\ndrop", "{".repeat(depth), "}".repeat(depth));
    assert_eq!(findings(&sets(64)), "");
    assert!(sketch(&sets(64)).ends_with("Drop\n"));
    let got = sketch(&sets(65));
    assert_eq!(got, "ERROR\nDrop\n1:73 nested-too-deep: braces are nested deeper than 64 levels\n");
    let groups = |depth| format!("{}{}drop", "group g { ".repeat(depth), "}".repeat(depth));
    assert_eq!(findings(&groups(64)), "");
    let got = findings(&groups(100_000));
    assert_eq!(got.matches("nested-too-deep").count(), 1, "{got}");
    assert_eq!(findings(&sets(100_000)).matches("nested-too-deep").count(), 1);
    // Nowhere does the grammar follow further: not in a header, and not in a rule that is looked at again.
    let header =
        |depth| format!("policy p on {}a{} ingress {{\ndefault drop\n}}", "{".repeat(depth), "}".repeat(depth));
    assert_eq!(findings(&header(64)), "");
    let got = findings(&header(100_000));
    assert!(got.starts_with("1:77 <{> nested-too-deep: ") && got.lines().count() == 2, "{got}");
    let rule = |depth| format!("allow form {}a{} frm x", "{".repeat(depth), "}".repeat(depth));
    let got = findings(&rule(64));
    assert_eq!(got.matches("did you mean `from`").count(), 2, "{got}");
    assert_eq!(findings(&rule(100_000)).matches(": ").count(), 1);
}

#[test]
fn every_lint_of_the_parser_is_documented() {
    for lint in crate::parse::lints::LINTS {
        assert!(lint.doc.contains("Example: ") && lint.doc.contains("Remedy: "), "{}", lint.name);
        assert!(!lint.summary.ends_with('.') && !lint.doc.contains("  "), "{}", lint.name);
    }
}
