//! The absences that ARCHITECTURE.md promises, read off the source: which room may use which, and which crate is named where.

#![expect(clippy::unwrap_used, reason = "a test that cannot read the source has failed")]

use std::fs;
use std::path::{Path, PathBuf};

/// Rooms by floor; a room uses its own floor and lower ones. `ir`, `optimize` and `emit` share one: they share the
/// Program's action types.
const FLOORS: &[&[&str]] = &[
    &["abi", "source", "hash"],
    &["field", "diag"],
    &["parse"],
    &["ir", "optimize", "emit"],
    &["live", "verify"],
    &["pipeline", "explain"],
    &["cli"],
];

/// Crates that one place alone may name.
const HOMES: &[(&str, &str)] = &[
    ("pest", "src/parse/"),
    ("petgraph", "src/ir/graph.rs"),
    ("codespan_reporting", "src/diag/render.rs"),
    ("netlink_packet_route", "src/emit/netlink/"),
    ("netlink_packet_core", "src/emit/netlink/"),
    ("netlink_sys", "src/emit/netlink/"),
    ("netlink_proto", "src/emit/netlink/"),
    ("rtnetlink", "src/emit/netlink/"),
    ("tokio", "src/emit/netlink/"),
    ("clap", "src/cli/"),
];

fn sources(folder: &Path, found: &mut Vec<(PathBuf, String)>) {
    let mut entries: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            // What stands behind `#[cfg(test)]`, or in a folder of tests, may use what it likes.
            let text = fs::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]").next().unwrap_or_default().to_owned();
            if !path.components().any(|part| part.as_os_str() == "tests") && !path.ends_with("tests.rs") {
                found.push((path, code));
            }
        }
    }
}

fn all() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    sources(Path::new("src"), &mut found);
    assert!(found.len() > 50, "only {} source files were found", found.len());
    found
}

fn floor(room: &str) -> Option<usize> {
    FLOORS.iter().position(|rooms| rooms.contains(&room))
}

#[test]
fn rooms_use_their_own_floor_and_lower_ones() {
    let mut wrong = Vec::new();
    for (path, code) in all() {
        let room = path.components().nth(1).unwrap().as_os_str().to_str().unwrap().trim_end_matches(".rs").to_owned();
        if room == "lib" || room == "main" {
            continue;
        }
        let own =
            floor(&room).unwrap_or_else(|| panic!("{room} has no floor: add it to FLOORS and to ARCHITECTURE.md"));
        let code: String = code.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
        for used in code.split("crate::").skip(1) {
            let name: String = used.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect();
            if floor(&name).is_some_and(|used| used > own) {
                wrong.push(format!("{} uses {name}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn each_crate_is_named_at_home_only() {
    let mut wrong = Vec::new();
    for (path, code) in all() {
        for (name, home) in HOMES {
            let named = code.contains(&format!("use {name}::")) || code.contains(&format!("{name}::"));
            if named && !path.starts_with(home.trim_end_matches('/')) {
                wrong.push(format!("{} names {name}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn only_abi_holds_the_kernel_attribute_numbers() {
    let mut wrong = Vec::new();
    for (path, code) in all() {
        // `Attr::u32(CHAIN, ...)`, never `Attr::u32(11, ...)`
        let bare = code.split("Attr::").skip(1).any(|call| {
            let argument = call.split_once('(').map_or("", |(_, argument)| argument.trim_start());
            argument.starts_with(|c: char| c.is_ascii_digit())
        });
        if bare {
            wrong.push(path.display().to_string());
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Modules beside the netlink emitter's own `mod.rs` form floors of their own: none imports one that imports it.
#[test]
fn netlink_modules_do_not_import_each_other_in_circles() {
    let folder = Path::new("src/emit/netlink");
    let files: Vec<(String, String)> = all()
        .into_iter()
        .filter(|(path, _)| path.parent() == Some(folder) && !path.ends_with("mod.rs"))
        .map(|(path, code)| (path.file_stem().unwrap().to_str().unwrap().to_owned(), code))
        .collect();
    let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
    let mut open: Vec<(&str, Vec<&str>)> = files
        .iter()
        .map(|(name, code)| {
            let code: String = code.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
            let words: Vec<&str> = code
                .split("super::")
                .skip(1)
                .flat_map(|rest| {
                    // `super::a::B` names one module, `super::{a, b::C}` several.
                    let end = if rest.starts_with('{') { rest.find("};") } else { rest.find([':', ';', '(']) };
                    rest[..end.unwrap_or_default()].split(|c: char| !c.is_ascii_lowercase())
                })
                .collect();
            let used = names.iter().copied().filter(|module| module != name && words.contains(module)).collect();
            (name.as_str(), used)
        })
        .collect();
    assert!(open.iter().any(|(_, used)| used.len() > 3), "no imports were found: {open:?}");
    // Take away what uses nothing that is left; what stays uses itself in a circle.
    while let Some(at) =
        open.iter().position(|(_, used)| !used.iter().any(|used| open.iter().any(|(name, _)| name == used)))
    {
        open.remove(at);
    }
    assert!(open.is_empty(), "{open:#?}");
}
