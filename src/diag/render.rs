//! Diagnostics for people and machines; the one file that names codespan-reporting.
