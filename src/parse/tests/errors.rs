//! One mistake each: what its writer is told.

use crate::diag::Diagnostics;
use crate::parse::parse;
use crate::source::SourceMap;

/// `name @text: message | help` for each finding.
pub fn findings(text: &str) -> String {
    let mut map = SourceMap::default();
    let file = map.add("p", text).unwrap();
    let mut diags = Diagnostics::default();
    parse(&map, file, &mut diags);
    diags.sort();
    let lines = diags.list().iter().map(|d| {
        let at = map.line_col(d.primary.span).unwrap();
        let help = d.help.as_deref().unwrap_or("-");
        let because: String = d.secondary.iter().map(|l| format!(" ({} <{}>)", l.text, map.text(l.span))).collect();
        format!(
            "{}:{} <{}> {}: {}{because}\n  = {help}",
            at.line,
            at.col,
            map.text(d.primary.span),
            d.lint.name,
            d.message
        )
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn probe() {
    let text = std::fs::read_to_string("/tmp/bad.txt").unwrap();
    for case in text.split("\n---\n") {
        println!(">>> {case}\n{}\n", findings(case));
    }
}
