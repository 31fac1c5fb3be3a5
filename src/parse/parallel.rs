//! Statements of a long file, parsed on all cores.

use std::num::NonZero;
use std::thread;

use super::ast::ItemKind;
use super::grammar::At;
use super::report::MAX_ERRORS;
use super::split::{Chunk, ChunkKind};
use super::tree::parse_statement;
use crate::diag::Diagnostic;

/// What a statement says, or why it cannot be read.
pub type Parsed = Result<ItemKind, Box<Diagnostic>>;

/// Files with fewer pieces are parsed as they are read: threads would cost more than they save.
const FEW: usize = 2_000;

/// Parses the statements among `chunks`. The answer has their places; it is shorter, or has gaps, where a statement
/// was not parsed yet. `base` is the file's offset in the source map.
pub fn statements(text: &str, base: u32, chunks: &[Chunk]) -> Vec<Option<Parsed>> {
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    if chunks.len() < FEW || threads == 1 {
        return Vec::new();
    }
    let share = chunks.len().div_ceil(threads);
    thread::scope(|scope| {
        let spawn = |part| thread::Builder::new().spawn_scoped(scope, move || some(text, base, part));
        let workers: Vec<_> = chunks.chunks(share).map(|part| (part.len(), spawn(part))).collect();
        let join = |(length, worker): (usize, std::io::Result<thread::ScopedJoinHandle<'_, _>>)| {
            // What no thread could do is done later, in order.
            worker.ok().and_then(|worker| worker.join().ok()).unwrap_or_else(|| none(length))
        };
        workers.into_iter().flat_map(join).collect()
    })
}

fn none(length: usize) -> Vec<Option<Parsed>> {
    std::iter::repeat_with(|| None).take(length).collect()
}

/// One thread's share. It stops parsing where more mistakes are found than are ever reported.
fn some(text: &str, base: u32, chunks: &[Chunk]) -> Vec<Option<Parsed>> {
    let mut mistakes = 0;
    let parse = |chunk: &Chunk| {
        if chunk.kind != ChunkKind::Statement || mistakes > MAX_ERRORS {
            return None;
        }
        let statement = text.get(chunk.lo as usize..chunk.hi as usize)?;
        let parsed = parse_statement(statement, At(base + chunk.lo));
        mistakes += usize::from(parsed.is_err());
        Some(parsed)
    };
    chunks.iter().map(parse).collect()
}
