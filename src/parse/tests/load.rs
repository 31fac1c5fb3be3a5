//! Files, includes and the files of sets.

use std::collections::BTreeMap;

use crate::diag::{Diagnostics, render};
use crate::parse::ast::{ItemKind, SetItem};
use crate::parse::{Ast, DiskFiles, LoadError, load};
use crate::source::SourceMap;

fn files(list: &[(&str, &[u8])]) -> BTreeMap<String, Vec<u8>> {
    list.iter().map(|(name, bytes)| ((*name).to_owned(), bytes.to_vec())).collect()
}

fn loads(path: &str, list: &[(&str, &[u8])]) -> (Vec<Ast>, SourceMap, String) {
    let mut map = SourceMap::default();
    let mut diags = Diagnostics::default();
    let asts = load(path, &files(list), &mut map, &mut diags).unwrap();
    let text = render::text(&diags, &map, false);
    (asts, map, text)
}

fn names(asts: &[Ast], map: &SourceMap) -> Vec<String> {
    asts.iter().map(|ast| map.file(ast.file).unwrap().name.clone()).collect()
}

#[test]
fn includes_are_relative_and_read_once() {
    let list: &[(&str, &[u8])] = &[
        ("etc/a.pol", b"include \"sub/b.pol\"\ninclude \"c.pol\"\ndrop"),
        ("etc/sub/b.pol", b"include \"../c.pol\"\nallow"),
        ("etc/sub/../c.pol", b"net n = file \"n.txt\"\ngroup g { drop from { file \"./n.txt\", 1.2.3.4 } }"),
        ("etc/sub/../n.txt", b"10.0.0.0/8"),
    ];
    let (asts, map, diags) = loads("etc/a.pol", list);
    assert_eq!(diags, "");
    assert_eq!(names(&asts, &map), ["etc/a.pol", "etc/sub/b.pol", "etc/sub/../c.pol"]);
    let ItemKind::Define(define) = &asts[2].items[0].kind else { panic!() };
    let SetItem::File(file) = &define.value.items()[0] else { panic!() };
    let first = file.contents.unwrap();
    assert_eq!(&*map.file(first).unwrap().text, "10.0.0.0/8");
    assert_eq!(map.files().len(), 4, "the set's file is read once");
}

#[test]
fn a_ring_of_includes_is_shown_whole() {
    let list: &[(&str, &[u8])] = &[
        ("main.pol", b"include \"a.pol\"\n"),
        ("a.pol", b"# a\ninclude \"b.pol\"\n"),
        ("b.pol", b"include \"./a.pol\"\nallow\n"),
    ];
    let (asts, map, diags) = loads("main.pol", list);
    assert_eq!(names(&asts, &map), ["main.pol", "a.pol", "b.pol"]);
    assert_eq!(
        diags,
        "error[include-cycle]: these files include each other: `a.pol` -> `b.pol` -> `a.pol`
  ┌─ b.pol:1:10
  │
1 │ include \"./a.pol\"
  │          ^^^^^^^ this closes the ring
  │
  ┌─ a.pol:2:10
  │
2 │ include \"b.pol\"
  │          ----- `a.pol` includes `b.pol` here
  │
  = help: move what both need into a file of its own, and include that

"
    );
    let (_, _, diags) = loads("x", &[("x", b"include \"x\"")]);
    assert!(diags.starts_with("error[include-cycle]: `x` includes itself\n"), "{diags}");
}

#[test]
fn chains_of_includes_have_a_limit() {
    let list: Vec<(String, String)> = (0..80).map(|n| (n.to_string(), format!("include \"{}\"", n + 1))).collect();
    let list: Vec<(&str, &[u8])> = list.iter().map(|(name, text)| (name.as_str(), text.as_bytes())).collect();
    let (asts, _, diags) = loads("0", &list);
    assert_eq!(asts.len(), 64);
    assert!(diags.starts_with("error[nested-too-deep]: includes are nested deeper than 64 files\n"), "{diags}");
}

#[test]
fn files_that_cannot_be_used_are_findings() {
    let list: &[(&str, &[u8])] = &[
        (
            "a",
            b"include \"no.pol\"\nnet n = file \"no.txt\"\ninclude \"latin\"\ninclude \"nul\"\ninclude \"bom\"\nallow",
        ),
        ("latin", b"allow\n# caf\xe9\nnonsense"),
        ("nul", b"allow\n\0"),
        ("bom", b"\xef\xbb\xbfdrop"),
    ];
    let (asts, map, diags) = loads("a", list);
    assert_eq!(names(&asts, &map), ["a", "bom"]);
    assert!(matches!(asts[1].items[0].kind, ItemKind::Rule(_)));
    for expected in [
        "error[unreadable-file]: cannot read the included file `no.pol`: there is no such file\n  ┌─ a:1:10\n",
        "error[unreadable-file]: cannot read the set's file `no.txt`: there is no such file\n  ┌─ a:2:15\n",
        "error[not-utf8]: `latin` is not UTF-8 text: the byte 0xe9 at offset 11, line 2\n  ┌─ latin:2:6\n",
        "error[not-utf8]: `nul` is not UTF-8 text: a NUL byte at offset 6, line 2\n  ┌─ nul:2:1\n",
    ] {
        assert!(diags.contains(expected), "{expected}\n{diags}");
    }
    assert_eq!(diags.matches("error[").count(), 4, "{diags}");
}

#[test]
fn an_entry_file_that_cannot_be_read_is_an_error() {
    let mut map = SourceMap::default();
    let error = load("none.pol", &files(&[]), &mut map, &mut Diagnostics::default()).unwrap_err();
    assert_eq!(error.to_string(), "cannot read `none.pol`: there is no such file");
    let LoadError::Io { error, .. } = error else { panic!() };
    assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
    // An entry file that is no text is a finding: there is a place to show.
    let (asts, _, diags) = loads("x", &[("x", b"\xff\xfe")]);
    assert!(asts.is_empty() && diags.starts_with("error[not-utf8]"), "{diags}");
}

#[test]
fn the_disk_knows_two_names_of_one_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.pol");
    std::fs::write(&path, "include \"link.pol\"\n").unwrap();
    std::os::unix::fs::symlink("a.pol", folder.path().join("link.pol")).unwrap();
    let mut map = SourceMap::default();
    let mut diags = Diagnostics::default();
    load(path.to_str().unwrap(), &DiskFiles, &mut map, &mut diags).unwrap();
    assert_eq!(diags.list().len(), 1);
    assert_eq!(diags.list()[0].lint.name, "include-cycle");
}
