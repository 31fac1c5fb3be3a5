//! Where one statement ends: sets, strings, commas, and the `{` of a block.

use super::annotation::string_length;
use super::{BLANK, Chunk, ChunkKind, FaultKind, MAX_DEPTH, Open, Splitter, offset};
use crate::parse::words::{self, BLOCK_WORDS, STATEMENT_WORDS};

/// Where the scan of one statement stands.
struct Scan<'a> {
    start: usize,
    /// One past its last byte that is no blank.
    end: usize,
    /// Its first word.
    head: &'a str,
    /// The word or sign before.
    prev: &'a str,
    /// How many words there were.
    count: usize,
    /// Open set braces.
    sets: Vec<u32>,
    broken: bool,
}

impl<'a> Splitter<'a> {
    /// Takes the statement that begins here.
    pub fn statement(&mut self) {
        let mut scan =
            Scan { start: self.pos, end: self.pos, head: "", prev: "", count: 0, sets: Vec::new(), broken: false };
        while let Some(byte) = self.peek() {
            match byte {
                b' ' | b'\t' | b'\r' => self.pos += 1,
                b'\n' | b'#' => {
                    if self.line_ends_statement(&mut scan) {
                        break;
                    }
                }
                b';' if scan.sets.is_empty() => break,
                b'"' => self.string(&mut scan),
                b'{' => {
                    if scan.sets.is_empty() && self.opens_block(&scan, self.pos) {
                        return self.open_after(&scan);
                    }
                    if self.stack.len() + scan.sets.len() == MAX_DEPTH && !scan.broken {
                        self.fault(FaultKind::TooDeep, offset(self.pos), offset(self.pos + 1), None);
                        scan.broken = true;
                    }
                    scan.sets.push(offset(self.pos));
                    self.take(&mut scan, 1);
                }
                b'}' => {
                    if scan.sets.is_empty() || self.closes_outer(&mut scan) {
                        break;
                    }
                    scan.sets.pop();
                    self.take(&mut scan, 1);
                }
                _ => {
                    let length = words::token_length(self.text.get(self.pos..).unwrap_or_default());
                    self.take(&mut scan, length);
                }
            }
        }
        self.finish(scan);
    }

    fn finish(&mut self, mut scan: Scan<'a>) {
        if let Some(&brace) = scan.sets.last()
            && !scan.broken
        {
            let here = offset(self.pos.min(self.text.trim_end_matches(BLANK).len()));
            self.fault(FaultKind::Unclosed, brace, brace + 1, Some((here, here)));
            scan.broken = true;
        }
        if !scan.broken && BLOCK_WORDS.contains(&scan.head) && self.body_below(scan.start) {
            let header = (offset(scan.start), offset(scan.end));
            self.fault(FaultKind::NoBrace, header.1, header.1, Some(header));
            self.chunk(ChunkKind::Open, scan.start, scan.end);
            self.stack.push(Open { brace: header.1, start: scan.start });
            return;
        }
        self.chunk(if scan.broken { ChunkKind::Broken } else { ChunkKind::Statement }, scan.start, scan.end);
    }

    /// Takes `length` bytes as the next word or sign of the statement.
    fn take(&mut self, scan: &mut Scan<'a>, length: usize) {
        let token = self.text.get(self.pos..self.pos + length).unwrap_or_default();
        if scan.count == 0 {
            scan.head = token;
        }
        scan.prev = token;
        scan.count += 1;
        self.pos += length.max(1);
        scan.end = self.pos;
    }

    /// Takes a string; one without an end stops at the line's end.
    fn string(&mut self, scan: &mut Scan<'a>) {
        let (length, closed) = string_length(self.text.get(self.pos..).unwrap_or_default());
        if !closed {
            self.fault(FaultKind::OpenString, offset(self.pos), offset(self.pos + length), None);
            scan.broken = true;
        }
        self.take(scan, length);
    }

    /// At a line end or a comment: whether the statement ends here. If not, moves past it.
    fn line_ends_statement(&mut self, scan: &mut Scan<'a>) -> bool {
        let line_end = self.line_end(self.pos);
        let open = !scan.sets.is_empty();
        if !open && scan.prev != "," {
            // A block's `{` may stand on the next line, or a set's in its header: there the comments are the header's own.
            let next = self.next_text(self.pos);
            if BLOCK_WORDS.contains(&scan.head) && self.byte(next) == Some(b'{') {
                if self.opens_block(scan, next) {
                    self.comments_until(next);
                }
                self.pos = next;
                return false;
            }
            return !self.header_goes_on(scan);
        }
        let next = self.text.get(line_end + 1..).unwrap_or_default();
        let next = next.trim_start_matches([' ', '\t', '\r']);
        let word = next.get(..words::token_length(next)).unwrap_or_default();
        // Inside braces a statement's word at the start of a line shows that they were never closed.
        if STATEMENT_WORDS.contains(&word) || (next.starts_with('@') && !open) {
            if let Some(&brace) = scan.sets.last()
                && !scan.broken
            {
                let at = offset(self.text.len() - next.len());
                self.fault(FaultKind::Unclosed, brace, brace + 1, Some((at, at + offset(word.len()))));
                scan.broken = true;
            }
            scan.sets.clear();
            return true;
        }
        self.pos = (line_end + 1).min(self.text.len());
        false
    }

    /// Takes the comments between a header and its `{` at `brace`, as if they stood above the header.
    fn comments_until(&mut self, brace: usize) {
        while let Some(at) = self.text.get(self.pos..brace).and_then(|between| between.find('#')) {
            let (start, end) = (self.pos + at, self.line_end(self.pos + at));
            let text = self.text.get(start..end).unwrap_or_default();
            self.chunk(ChunkKind::Comment, start, start + text.trim_end_matches(BLANK).len());
            self.newlines = 1;
            self.pos = end;
        }
    }

    /// At a line end: whether a policy's header goes on below it, which is reported. If so, moves there.
    fn header_goes_on(&mut self, scan: &Scan<'a>) -> bool {
        let below = self.next_text(self.pos);
        let line = self.text.get(below..self.line_end(below)).unwrap_or_default();
        let word = line.get(..words::token_length(line)).unwrap_or_default();
        // `zone edge = 7` is a definition.
        let part = matches!(word, "on" | "ingress" | "egress" | "zone" | "then") && !line.contains('=');
        let after = matches!(scan.prev, "on" | "zone" | "then") && !STATEMENT_WORDS.contains(&word);
        if scan.head != "policy" || !(part || after && words::is_word(word)) {
            return false;
        }
        let told = self.out.faults.last().is_some_and(|last| last.at.0 == offset(scan.start));
        if !told {
            let because = (offset(below), offset(below + word.len()));
            self.fault(FaultKind::BrokenHeader, offset(scan.start), offset(scan.end), Some(because));
        }
        self.pos = below;
        true
    }

    /// Whether the `{` at `brace` opens a block and not a set.
    fn opens_block(&self, scan: &Scan<'a>, brace: usize) -> bool {
        match scan.head {
            "" => false,
            "group" | "prefilter" => true,
            // The second word is the policy's name, whatever it is.
            "policy" => {
                let inside = self.text.get(self.next_text(brace + 1)..).unwrap_or_default();
                let word = inside.get(..words::token_length(inside)).unwrap_or_default();
                let hooks = matches!(word, "ingress" | "egress");
                scan.count <= 2 || !hooks && !matches!(scan.prev, "on" | "not" | "," | "zone" | "then")
            }
            word if STATEMENT_WORDS.contains(&word) => false,
            word => words::nearest(word, BLOCK_WORDS).is_some() || self.body_follows(brace + 1),
        }
    }

    fn open_after(&mut self, scan: &Scan<'a>) {
        self.close_unclosed(scan);
        // A header with a fault that was reported is not parsed: it may nest deeper than the grammar is to follow.
        self.open(scan.start, if scan.broken { scan.start } else { scan.end });
    }

    /// By indentation: a `policy` or `group` that stands as far left as an open block was not meant to be inside.
    fn close_unclosed(&mut self, scan: &Scan<'a>) {
        if !self.by_indent || !matches!(scan.head, "policy" | "group") {
            return;
        }
        let Some(indent) = self.indent(scan.start) else { return };
        while let Some(open) = self.stack.last()
            && self.indent(open.start).is_some_and(|outer| outer >= indent)
        {
            let here = (offset(scan.start), offset(scan.start + scan.head.len()));
            self.fault(FaultKind::Unclosed, open.brace, open.brace + 1, Some(here));
            self.out.chunks.push(Chunk { kind: ChunkKind::Close, lo: here.0, hi: here.0, newlines: 1 });
            self.stack.pop();
        }
    }

    /// By indentation: a `}` further left than the statement's line closes the block around, not the set.
    fn closes_outer(&mut self, scan: &mut Scan<'a>) -> bool {
        if !self.by_indent || self.stack.is_empty() {
            return false;
        }
        let further_left = self.indent(self.pos).zip(self.indent(scan.start)).is_some_and(|(here, start)| here < start);
        if !further_left {
            return false;
        }
        if let Some(&brace) = scan.sets.last()
            && !scan.broken
        {
            self.fault(FaultKind::Unclosed, brace, brace + 1, Some((offset(self.pos), offset(self.pos + 1))));
        }
        scan.broken = true;
        scan.sets.clear();
        true
    }
}
