//! What is reported about one file: at most so many findings, so that one slip does not fill the screen.

use super::lints;
use crate::diag::{Diagnostic, Diagnostics};

/// Most findings about the form of one file.
pub const MAX_ERRORS: usize = 50;

/// A sink for one file.
pub struct Report<'a> {
    diags: &'a mut Diagnostics,
    count: usize,
}

impl<'a> Report<'a> {
    /// A sink that hands on to `diags`.
    pub fn new(diags: &'a mut Diagnostics) -> Self {
        Self { diags, count: 0 }
    }

    /// Whether the limit is passed and parsing should stop.
    pub fn is_full(&self) -> bool {
        self.count > MAX_ERRORS
    }

    /// Takes a finding. The one after the last that fits becomes a note that says so.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        self.count += 1;
        if self.count <= MAX_ERRORS {
            self.diags.push(diagnostic);
        } else if self.count == MAX_ERRORS + 1 {
            let message = format!("more than {MAX_ERRORS} mistakes in this file; nothing after this one is checked");
            self.diags.push(
                Diagnostic::new(&lints::TOO_MANY_ERRORS, diagnostic.primary.span, message)
                    .help("mend the first ones and run again; one slip often causes many"),
            );
        }
    }
}
