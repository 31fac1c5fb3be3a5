//! Findings as JSON, for other programs. The shape is versioned: a change that breaks a reader raises [`VERSION`].

use serde::Serialize;

use super::{Diagnostic, Diagnostics, Label};
use crate::source::{SourceMap, Span};

/// Version of the shape.
pub const VERSION: u32 = 1;

/// ```json
/// {"version": 1, "findings": [{"name": "...", "level": "...", "message": "...", "place": {...}, ...}]}
/// ```
#[derive(Serialize)]
struct Document<'a> {
    version: u32,
    findings: Vec<Finding<'a>>,
}

#[derive(Serialize)]
struct Finding<'a> {
    name: &'static str,
    level: &'static str,
    message: &'a str,
    place: Option<Place<'a>>,
    label: &'a str,
    because: Vec<Because<'a>>,
    notes: &'a [String],
    help: Option<&'a str>,
}

#[derive(Serialize)]
struct Because<'a> {
    place: Option<Place<'a>>,
    label: &'a str,
}

/// Lines and columns count from 1, columns in characters; offsets are bytes of the file.
#[derive(Serialize)]
struct Place<'a> {
    file: &'a str,
    line: usize,
    column: usize,
    end_line: usize,
    end_column: usize,
    offset: usize,
    length: usize,
}

/// All findings of some runs as one document, which ends in a newline.
///
/// # Errors
/// None in practice; the serializer's own, if a value had no JSON form.
pub fn json<'a>(runs: impl Iterator<Item = (&'a Diagnostics, &'a SourceMap)>) -> serde_json::Result<String> {
    let findings = runs.flat_map(|(diags, map)| diags.list().iter().map(move |d| finding(d, map))).collect();
    let mut text = serde_json::to_string_pretty(&Document { version: VERSION, findings })?;
    text.push('\n');
    Ok(text)
}

fn finding<'a>(diagnostic: &'a Diagnostic, map: &'a SourceMap) -> Finding<'a> {
    let because = |label: &'a Label| Because { place: place(label.span, map), label: &label.text };
    Finding {
        name: diagnostic.lint.name,
        level: diagnostic.level.word(),
        message: &diagnostic.message,
        place: place(diagnostic.primary.span, map),
        label: &diagnostic.primary.text,
        because: diagnostic.secondary.iter().map(because).collect(),
        notes: &diagnostic.notes,
        help: diagnostic.help.as_deref(),
    }
}

fn place(span: Span, map: &SourceMap) -> Option<Place<'_>> {
    let (id, range) = map.local(span)?;
    let start = map.line_col(span)?;
    let end = map.line_col(Span { lo: span.hi.max(span.lo), hi: span.hi })?;
    Some(Place {
        file: &map.file(id)?.name,
        line: start.line,
        column: start.col,
        end_line: end.line,
        end_column: end.col,
        offset: range.start,
        length: range.len(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    crate::declare_lints! {
        /// A lint of this test.
        pub ODD: Warning = "odd", "something odd", "doc";
    }

    #[test]
    fn a_finding_names_its_place_in_characters() {
        let mut map = SourceMap::default();
        map.add("a.pol", "# ö\nallow ö tcp\n").unwrap();
        let mut diags = Diagnostics::default();
        let span = Span { lo: 14, hi: 17 };
        assert_eq!(map.text(span), "tcp");
        diags.push(Diagnostic::new(&ODD, span, "odd `tcp`").because(Span { lo: 5, hi: 10 }, "this").help("stop"));
        let text = json([(&diags, &map)].into_iter()).unwrap();
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        let finding = &value["findings"][0];
        assert_eq!(
            (&value["version"], &finding["name"], &finding["level"]),
            (&1.into(), &"odd".into(), &"warning".into())
        );
        let place = &finding["place"];
        assert_eq!((&place["line"], &place["column"], &place["end_column"]), (&2.into(), &9.into(), &12.into()));
        assert_eq!((&place["offset"], &place["length"]), (&14.into(), &3.into()));
        assert_eq!(finding["because"][0]["label"], "this");
    }
}
