//! What the passes did, for `compile --explain`.

use serde::Serialize;

/// One thing that a pass did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Note {
    /// The pass: the name of its file.
    pub pass: &'static str,
    /// The rule at hand, as `gw.pol:12:5`, or the table that it is about, in a few words.
    pub at: String,
    /// What was done, and why.
    pub text: String,
}

/// In the order in which it was done.
pub type Notes = Vec<Note>;

impl Note {
    /// Something that was done to the table of this title, or for the rule at this place.
    #[must_use]
    pub fn at(pass: &'static str, at: &str, text: String) -> Self {
        Self { pass, at: at.to_owned(), text }
    }
}
