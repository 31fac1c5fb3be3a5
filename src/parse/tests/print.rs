//! The canonical layout.

use super::language::SAMPLE;
use super::sketch::Sketch;
use crate::diag::Diagnostics;
use crate::parse::{parse, print::print};
use crate::source::SourceMap;

/// The canonical text, and what the text says with its matches in any order.
pub fn formatted(text: &str) -> (String, String) {
    let mut map = SourceMap::default();
    let file = map.add("p", text).unwrap();
    let mut diags = Diagnostics::default();
    let ast = parse(&map, file, &mut diags);
    assert!(!diags.has_errors(), "{text}\n{}", crate::diag::render::text(&diags, &map, false));
    let mut meaning = String::new();
    Sketch { map: &map, sorted: true }.items(&ast.items, 0, &mut meaning);
    (print(&ast, &map), meaning)
}

#[track_caller]
pub fn stays(text: &str) -> String {
    let (once, meaning) = formatted(text);
    let (twice, again) = formatted(&once);
    assert_eq!(once, twice, "printing is not stable\n--- from\n{text}\n--- first\n{once}\n--- second\n{twice}");
    assert_eq!(meaning, again, "printing changed the meaning\n--- from\n{text}\n--- first\n{once}");
    once
}

#[track_caller]
fn prints(text: &str, expected: &str) {
    let got = stays(text);
    assert_eq!(got, expected, "\n--- got\n{got}");
}

#[test]
fn the_sample_keeps_its_form() {
    let expected = SAMPLE
        .replace("= 7                                  #", "= 7  #")
        .replace("\"drop.txt\"                 #", "\"drop.txt\"  #")
        .replace("drop  ", "drop ")
        .replace("use   ", "use ")
        .replace("dns                               #", "dns  #");
    prints(SAMPLE, &expected);
}

#[test]
fn matches_have_one_order() {
    prints(
        "allow fragment first to port 80 ttl 1 tcp from 10.0.0.0/8 mark 1 in lan from zone 7 established",
        "allow established from zone 7 tcp from 10.0.0.0/8 to port 80 in lan mark 1 ttl 1 fragment first\n",
    );
    prints("allow port 81 from x port 80", "allow port 81 from x port 80\n");
    prints("allow from port 1 mac 02:00:00:00:00:01", "allow from mac 02:00:00:00:00:01 port 1\n");
    prints("allow icmp from zone 7 { a, b }", "allow from zone 7 { a, b } icmp\n");
    prints("allow icmp type 3", "allow icmp type 3\n");
    prints("allow icmp6 type redirect", "allow icmp6 redirect\n");
    prints("allow icmp type tcp", "allow icmp type tcp\n");
    prints("allow icmp { redirect } code 1", "allow icmp type { redirect } code 1\n");
    prints("allow , masquerade in zone 1 port 1-2", "allow, masquerade port 1-2 in zone 1\n");
}

#[test]
fn comments_and_blank_lines_stay() {
    prints(
        "\n\n# top\n\n\n# next\n\ndrop;allow # b\nallow tcp   # c\ngroup g { # d\n\n # e\n drop\n\n\n # f\n} # g\n\n\n# h\n\n",
        "# top\n\n# next\n\ndrop\nallow      # b\nallow tcp  # c\ngroup g {  # d\n    # e\n    drop\n\n    # f\n}  # g\n\n# h\n",
    );
    prints("\n@id a # x\n# y\n\nallow tcp, # z\n nat # w", "# x\n# y\n# z\n@id a\nallow tcp, nat  # w\n");
    prints("group g {}\ngroup h {\n}\ngroup i { # c\n}", "group g {}\ngroup h {}\ngroup i {  # c\n}\n");
    prints("drop\r\n\r\nallow # x \r\n", "drop\n\nallow  # x\n");
    prints("", "");
    prints("# only", "# only\n");
}

#[test]
fn neighbouring_definitions_have_their_names_in_one_column() {
    prints(
        "zone a = 1\n# why\ninterface b = c\n\nnet d = e\nport f = 1\ndrop\nservice g = udp/1\nzone h = 2",
        "zone      a = 1
# why
interface b = c

net  d = e
port f = 1
drop
service g = udp/1
zone    h = 2
",
    );
}

#[test]
fn comments_in_sets_stay_in_place() {
    prints(
        "net a = { # first\n b, # of b\n c\n # before d\n , d, { e, # of e\n f } # of both\n # last\n} # end\n",
        "net a = {
    # first
    b,  # of b
    c,
    # before d
    d,
    {
        e,  # of e
        f,
    },  # of both
    # last
}  # end
",
    );
}

#[test]
fn long_statements_are_broken() {
    let nets: Vec<String> = (0..12).map(|n| format!("10.0.{n}.0/24")).collect();
    let text = format!("allow tcp from {{ {} }} port {{ 1, 2 }}, nat", nets.join(","));
    let lines = format!("    {},\n", nets.join(",\n    "));
    prints(&text, &format!("allow tcp from {{\n{lines}}} port {{ 1, 2 }}, nat\n"));
    prints(
        "group g { allow tcp from 2001:db8:0:1::/64 to 2001:db8:0:2::/64 port 8000-8080, snat 2001:db8:0:3::/64 port 1024-65535, set mark 1 }",
        "group g {
    allow tcp from 2001:db8:0:1::/64 to 2001:db8:0:2::/64 port 8000-8080,
        snat 2001:db8:0:3::/64 port 1024-65535,
        set mark 1
}
",
    );
    let long = "n".repeat(60);
    prints(&format!("@a {long} @b \"{long}\"\nallow"), &format!("@a {long}\n@b \"{long}\"\nallow\n"));
}

#[test]
fn headers_keep_their_words() {
    prints(
        "\n\ndrop\n\npolicy p on # why\n { a, b } ingress { allow }",
        "drop\n\n# why\npolicy p on { a, b } ingress {\n    allow\n}\n",
    );
    prints(
        "policy in  on {a,b} ingress zone 2 then  edge\n{default drop}",
        "policy in on { a, b } ingress zone 2 then edge {\n    default drop\n}\n",
    );
    let devices: Vec<String> = (0..12).map(|n| format!("device{n:08}")).collect();
    let text = stays(&format!("policy x on {{ {} }} egress {{ drop }} # why", devices.join(", ")));
    assert!(text.starts_with("policy x on {\n    device00000000,\n"), "{text}");
    assert!(text.ends_with("} egress {\n    drop\n}  # why\n"), "{text}");
}

#[test]
fn assertions_keep_their_words() {
    prints(
        "assert   \"a  b\" on {a,b}  ingress never  allow   to not x tcp  # why",
        "assert \"a  b\" on { a, b } ingress never allow tcp to not x  # why\n",
    );
}

/// All `.pol` files under a folder.
fn policies(folder: &std::path::Path, out: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            policies(&path, out);
        } else if path.extension().is_some_and(|extension| extension == "pol") {
            out.push(path);
        }
    }
}

#[test]
fn every_policy_of_the_repository_keeps_its_meaning() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = Vec::new();
    policies(&root.join("examples"), &mut paths);
    policies(&root.join("tests"), &mut paths);
    let mut printed = 0;
    for path in paths {
        // Some are there for their mistakes.
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        if super::sketch::findings(&text) == 0 {
            stays(&text);
            printed += 1;
        } else {
            let told = path.with_extension("diag").exists();
            assert!(told || path.with_file_name("expected.txt").exists(), "{} does not parse", path.display());
        }
    }
    assert!(printed > 10, "{printed}");
}
