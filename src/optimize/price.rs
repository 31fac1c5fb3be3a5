//! What a layout costs: the scale on which a pass weighs filters against lookups.

/// The scale, in filters. A filter is paid for once (about 20,000 instructions to load, 2.4 KB), the rest by every packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scale {
    /// What a lookup is worth (about 800 instructions: performance.md 2.2).
    pub visit: u64,
    /// What a goto is worth (about 200).
    pub goto: u64,
    /// What a chain is worth: its last filter, and its place in the kernel's list of chains.
    pub chain: u64,
    /// Chains of this price stay as they are.
    pub small: u64,
    /// What a mask less in a chain is worth, at least.
    pub mask: u64,
    /// The same in a large chain: one filter in so many.
    pub share: u64,
    /// Filters, in percent of those that the rules need, that may be spent to save masks.
    pub growth: u64,
    /// Filters that a chain may grow by whatever the share: a few milliseconds.
    pub free: u64,
}

impl Default for Scale {
    fn default() -> Self {
        Self::USUAL
    }
}

impl Scale {
    /// A hundred filters for one lookup suit a box that sees more than some thousand packets between two changes of its
    /// policy, and one that holds no more filters than it must.
    pub const USUAL: Self =
        Self { visit: 100, goto: 25, chain: 2, small: 250, mask: 100, share: 20, growth: 100, free: 1_000 };

    /// Every product is factored and every mask merged that can be: what tests hold the passes to.
    pub const EAGER: Self =
        Self { visit: 0, goto: 0, chain: 0, small: 0, mask: 16, share: 20, growth: 100, free: 1_000 };

    /// A mask less is worth nothing: with a graph that was not optimised, what the rules become as they stand.
    pub const PLAIN: Self = Self { visit: 100, goto: 25, chain: 2, small: 250, mask: 0, share: 20, growth: 0, free: 0 };
}

/// So many chains are what a policy needs; where there are more, a packet meets one of several.
pub const CHAINS_USUAL: u64 = 16;

impl Scale {
    /// The scale where so many filters may be spent, in percent of those that the rules need. Who has more to spend gives more for
    /// a mask.
    #[must_use]
    pub const fn spending(growth: u64) -> Self {
        let usual = Self::USUAL;
        let share = match (usual.share * usual.growth).checked_div(growth) {
            Some(share) if share > 0 => share,
            Some(_) => 1,
            None => u64::MAX,
        };
        // A mask is worth something even where nothing may be spent: without that, filters stay as they stand.
        let mask = if growth < 2 { 1 } else { usual.mask * growth / usual.growth };
        Self { growth, share, mask, free: usual.free * growth / usual.growth, ..usual }
    }

    /// The price below which a layout is worth taking in place of a simpler one.
    #[must_use]
    pub const fn worth(self, simple: u64) -> u64 {
        if self.small == 0 { simple } else { simple - simple / 4 }
    }

    /// The scale for one of so many chains: a mask less in a chain that few packets meet is worth less.
    #[must_use]
    pub const fn among(self, chains: u64) -> Self {
        let ways = chains / CHAINS_USUAL;
        if ways < 2 || self.mask == 0 {
            return self;
        }
        let mask = self.mask / ways;
        Self { mask: if mask == 0 { 1 } else { mask }, free: self.free / ways, ..self }
    }

    /// Filters that so many may become by cutting; masks take what is left of the budget.
    #[must_use]
    pub const fn cutting(self, filters: u64) -> u64 {
        filters.saturating_add(filters.saturating_mul(self.growth) / 100)
    }

    /// The price below which a cut list is worth more than one chain.
    #[must_use]
    pub const fn worth_cutting(self, flat: u64) -> u64 {
        if self.small == 0 { flat } else { flat - flat / 10 }
    }

    /// Filters that so many may become.
    #[must_use]
    pub const fn budget(self, filters: u64) -> u64 {
        let share = filters.saturating_mul(self.growth) / 100;
        filters.saturating_add(if share > self.free { share } else { self.free })
    }
}

/// Filters, and what a packet pays in the worst case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Price {
    /// Filters.
    pub filters: u64,
    /// Lookups: (chain, prio, mask).
    pub visits: u64,
    /// Gotos.
    pub gotos: u64,
    /// Chains.
    pub chains: u64,
}

impl Price {
    /// More than anything.
    pub const MOST: Self = Self { filters: u64::MAX, visits: 0, gotos: 0, chains: 0 };

    /// All of it on one scale, in filters.
    #[must_use]
    pub const fn weight(self, scale: Scale) -> u64 {
        self.filters
            .saturating_add(self.visits.saturating_mul(scale.visit))
            .saturating_add(self.gotos.saturating_mul(scale.goto))
            .saturating_add(self.chains.saturating_mul(scale.chain))
    }
}
