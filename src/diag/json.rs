//! Findings for machines.

use serde::Serialize;

use super::render::{Place, place};
use super::{Diagnostic, Diagnostics};
use crate::source::SourceMap;

/// Version of the shape that [`json`] writes.
pub const JSON_VERSION: u32 = 1;

/// The findings for machines: `{"version": 1, "findings": [...]}`. Lines and columns count from 1, columns in
/// characters; the end is one past the last character.
#[must_use]
pub fn json(diags: &Diagnostics, map: &SourceMap) -> serde_json::Value {
    let labels = |diagnostic: &Diagnostic| {
        let entries = diagnostic
            .secondary
            .iter()
            .map(|label| JsonLabel { place: place(label.span, map), text: label.text.clone() });
        entries.collect()
    };
    let findings: Vec<JsonFinding> = diags
        .list()
        .iter()
        .map(|diagnostic| JsonFinding {
            name: diagnostic.lint.name,
            level: diagnostic.level.word(),
            message: &diagnostic.message,
            place: place(diagnostic.primary.span, map),
            text: &diagnostic.primary.text,
            labels: labels(diagnostic),
            help: diagnostic.help.as_deref(),
            notes: &diagnostic.notes,
        })
        .collect();
    serde_json::json!({ "version": JSON_VERSION, "findings": findings })
}

#[derive(Serialize)]
struct JsonFinding<'a> {
    name: &'static str,
    level: &'static str,
    message: &'a str,
    #[serde(flatten)]
    place: Place,
    text: &'a str,
    labels: Vec<JsonLabel>,
    help: Option<&'a str>,
    notes: &'a [String],
}

#[derive(Serialize)]
struct JsonLabel {
    #[serde(flatten)]
    place: Place,
    text: String,
}
