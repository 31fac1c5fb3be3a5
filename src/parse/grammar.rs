//! The grammar's parser, and spans for what it finds. Pest's types stay inside `parse`.

use crate::source::Span;

/// Made from `grammar/ctpolicy.pest`.
///
/// It calls itself once for each brace inside a brace, and does not look at the stack that is left: `split` gives it no
/// statement nested deeper than `split::MAX_DEPTH`, and the smallest thread's stack holds several times that.
#[derive(pest_derive::Parser)]
#[grammar = "../grammar/ctpolicy.pest"]
pub struct Grammar;

/// A piece of a statement as the grammar found it.
pub type Pair<'a> = pest::iterators::Pair<'a, Rule>;

/// Where a statement begins in the offset space of the source map.
#[derive(Clone, Copy, Debug)]
pub struct At(pub u32);

impl At {
    /// The pair's place. Pest counts blanks before an absent optional part as part of the rule: they are left out.
    #[expect(clippy::cast_possible_truncation, reason = "a statement lies inside a file, whose length fits u32")]
    pub fn span(self, pair: &Pair<'_>) -> Span {
        let span = pair.as_span();
        let lo = self.0 + span.start() as u32;
        Span { lo, hi: lo + span.as_str().trim_end().len() as u32 }
    }
}
