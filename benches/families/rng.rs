//! A small seeded generator of numbers (SplitMix64), and the few distributions that rule sets need.

/// The state.
pub struct Rng(u64);

impl Rng {
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// `0..n`; 0 for an empty range.
    pub fn below(&mut self, n: usize) -> usize {
        let number = usize::try_from(self.next() >> 1).unwrap_or_default();
        number.checked_rem(n).unwrap_or_default()
    }

    /// `lo..=hi`
    pub fn port(&mut self, lo: u16, hi: u16) -> u16 {
        let width = usize::from(hi.saturating_sub(lo)) + 1;
        lo.saturating_add(u16::try_from(self.below(width)).unwrap_or_default())
    }

    /// True in so many of a hundred cases.
    pub fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// One of `n` things of which the first are far more frequent: half of all falls on the first few.
    pub fn skewed(&mut self, n: usize) -> usize {
        let (a, b) = (self.below(n), self.below(n));
        (a * b).checked_div(n).unwrap_or_default()
    }

    /// An entry, by its weight; `None` of an empty list.
    pub fn weighted<'a, T>(&mut self, list: &'a [T], weight: impl Fn(&T) -> u16) -> Option<&'a T> {
        let total: usize = list.iter().map(|entry| usize::from(weight(entry))).sum();
        let mut left = self.below(total);
        list.iter().find(|entry| {
            let own = usize::from(weight(entry));
            let found = left < own;
            left = left.saturating_sub(own);
            found
        })
    }

    /// -2..=2, as often as four coins say.
    pub fn spread(&mut self) -> i16 {
        (0..4).map(|_| i16::from(self.chance(50))).sum::<i16>() - 2
    }
}
