//! From text to the syntax tree.
//!
//! 1. [`load`]: reads the entry file, its includes and the files of its sets into the source map.
//! 2. [`split`](self::split): cuts a file into statements, blocks and comments by hand; what does not balance is
//!    reported there, and a broken statement ends where it ends.
//! 3. `grammar` (pest, `grammar/ctpolicy.pest`) parses each statement by itself, and `decl`, `rule` and `set` turn
//!    its pairs into nodes; `explain` says what a statement that does not parse most likely meant.
//! 4. `tree`: nests the blocks and attaches comments and annotations.
//!
//! [`print`](self::print) is the way back: the canonical layout. **Invariant**: pest's types stay in this module.

pub mod ast;
mod decl;
mod explain;
pub mod files;
mod grammar;
pub mod lints;
pub mod load;
mod named;
mod parallel;
pub mod print;
mod report;
mod rule;
mod set;
mod split;
mod tree;
pub mod words;

use crate::diag::Diagnostics;
use crate::source::{FileId, SourceMap};

pub use ast::Ast;
pub use files::{DiskFiles, Files};
pub use load::{LoadError, load, load_one};

/// Parses one file of the map. Every mistake of form becomes a finding; what could be read is in the tree.
pub fn parse(map: &SourceMap, file: FileId, diags: &mut Diagnostics) -> Ast {
    let Some(source) = map.file(file) else {
        return Ast { file, items: Vec::new(), tail: Vec::new() };
    };
    let split = split::split(&source.text);
    let mut report = report::Report::new(diags);
    for fault in &split.faults {
        report.push(explain::fault(fault, &source.text, source.base));
    }
    let parsed = parallel::statements(&source.text, source.base, &split.chunks);
    tree::Builder::new(&source.text, source.base, report).run(file, &split.chunks, parsed)
}

#[cfg(test)]
mod tests;
