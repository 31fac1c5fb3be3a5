//! Values of match fields: bits under a mask, and ranges; their algebra.

use std::fmt;

use std::sync::Arc;

use super::Field;

/// All `bits` low bits set.
#[must_use]
pub const fn ones(bits: u8) -> u128 {
    if bits >= 128 { u128::MAX } else { (1 << bits) - 1 }
}

/// Whether a mask of a port asks its first bits and no others.
#[must_use]
pub const fn is_port_prefix(mask: u128) -> bool {
    let host = !mask & ones(16);
    host & host.wrapping_add(1) == 0
}

/// Every value that has no bit outside `mask`, ascending.
pub fn values_within(mask: u128) -> impl Iterator<Item = u128> {
    let mut next = Some(0u128);
    std::iter::from_fn(move || {
        let value = next?;
        // Count up within the mask: its other bits hand the carry on.
        let after = (value | !mask).wrapping_add(1) & mask;
        next = (after != 0).then_some(after);
        Some(value)
    })
}

/// A hardware address: `02:00:00:00:00:01`.
#[derive(Clone, Copy, Debug)]
pub struct Mac(pub u128);

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut colon = "";
        for byte in self.0.to_be_bytes().iter().skip(10) {
            write!(f, "{colon}{byte:02x}")?;
            colon = ":";
        }
        Ok(())
    }
}

/// What one key asks of its field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cond {
    /// `field & mask == value`; `value` has no bit outside `mask`.
    Bits {
        /// Wanted bits.
        value: u128,
        /// Bits that count.
        mask: u128,
    },
    /// `lo <= field <= hi`, with `lo < hi`; ports only.
    Range {
        /// Lowest.
        lo: u16,
        /// Highest.
        hi: u16,
    },
}

impl Cond {
    /// The whole field has this value.
    #[must_use]
    pub fn exact(field: Field, value: u128) -> Self {
        Self::Bits { value, mask: field.row().full_mask() }
    }

    /// Bits that count; `None` for a range.
    #[must_use]
    pub const fn mask(self) -> Option<u128> {
        match self {
            Self::Bits { mask, .. } => Some(mask),
            Self::Range { .. } => None,
        }
    }

    /// Whether a packet with this field value is matched.
    #[must_use]
    pub fn matches(self, field_value: u128) -> bool {
        match self {
            Self::Bits { value, mask } => field_value & mask == value,
            Self::Range { lo, hi } => (u128::from(lo)..=u128::from(hi)).contains(&field_value),
        }
    }

    /// What satisfies both of two masked values; `None` where nothing does, or where one is a range.
    #[must_use]
    pub fn meet(self, other: Self) -> Option<Self> {
        match (self, other) {
            (Self::Bits { value: v1, mask: m1 }, Self::Bits { value: v2, mask: m2 }) if self.overlaps(other) => {
                Some(Self::Bits { value: v1 | v2, mask: m1 | m2 })
            }
            _ => None,
        }
    }

    /// First and last value of a range or a prefix of a field of so many bits; `None` for bits here and there.
    #[must_use]
    pub fn interval(self, bits: u8) -> Option<(u128, u128)> {
        match self {
            Self::Range { lo, hi } => Some((lo.into(), hi.into())),
            Self::Bits { value, mask } => {
                let host = !mask & ones(bits);
                (host & host.wrapping_add(1) == 0).then_some((value, value | host))
            }
        }
    }

    /// Whether all values that satisfy the other satisfy this one.
    #[must_use]
    pub fn covers(self, other: Self) -> bool {
        match (self, other) {
            (Self::Bits { value, mask }, _) => other.known(mask) == Some(value),
            (Self::Range { lo, hi }, Self::Range { lo: from, hi: to }) => lo <= from && to <= hi,
            (Self::Range { lo, hi }, Self::Bits { value, mask }) => {
                u128::from(lo) <= value && value | (!mask & ones(16)) <= u128::from(hi)
            }
        }
    }

    /// What all values that satisfy it have under the mask; `None` where they may differ.
    #[must_use]
    pub fn known(self, mask: u128) -> Option<u128> {
        match self {
            Self::Bits { value, mask: own } => (own & mask == mask).then_some(value & mask),
            Self::Range { lo, hi } => {
                let (lo, hi) = (u128::from(lo), u128::from(hi));
                (is_port_prefix(mask) && (lo ^ hi) & mask == 0).then_some(lo & mask)
            }
        }
    }

    /// Whether some value satisfies both.
    #[must_use]
    pub fn overlaps(self, other: Self) -> bool {
        match (self, other) {
            (Self::Bits { value: v1, mask: m1 }, Self::Bits { value: v2, mask: m2 }) => (v1 ^ v2) & m1 & m2 == 0,
            (Self::Range { lo: l1, hi: h1 }, Self::Range { lo: l2, hi: h2 }) => l1 <= h2 && l2 <= h1,
            (Self::Range { lo, hi }, Self::Bits { value, mask })
            | (Self::Bits { value, mask }, Self::Range { lo, hi }) => {
                if is_port_prefix(mask) {
                    // A prefix is a range itself.
                    return value <= u128::from(hi) && u128::from(lo) <= value | (!mask & ones(16));
                }
                prefixes(u128::from(lo), u128::from(hi), 16).into_iter().any(|(v, m)| (v ^ value) & m & mask == 0)
            }
        }
    }
}

/// One key of a filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Which field.
    pub field: Field,
    /// What it must be.
    pub cond: Cond,
}

impl Key {
    /// The whole field has this value.
    #[must_use]
    pub fn exact(field: Field, value: u128) -> Self {
        Self { field, cond: Cond::exact(field, value) }
    }
}

/// The fewest prefixes (value, mask) of a `bits` wide field that make up `lo..=hi`.
#[must_use]
pub fn prefixes(lo: u128, hi: u128, bits: u8) -> Vec<(u128, u128)> {
    let full = ones(bits);
    let mut out = Vec::new();
    let mut at = lo;
    while at <= hi {
        // The largest aligned block that starts here and ends within the range.
        let mut host = 0u128;
        loop {
            let wider = (host << 1) | 1;
            if wider > full || at & wider != 0 || (at | wider) > hi || host == full {
                break;
            }
            host = wider;
        }
        out.push((at, full & !host));
        match (at | host).checked_add(1) {
            Some(next) if next <= full => at = next,
            _ => break,
        }
    }
    out
}

/// What `(value, mask)` leaves out of a `bits` wide field, as disjoint masked values.
#[must_use]
pub fn complement(value: u128, mask: u128, bits: u8) -> Vec<(u128, u128)> {
    // For each masked bit from the highest: equal above it, different at it.
    let mut out = Vec::new();
    let mut above = 0u128;
    for shift in (0..bits).rev() {
        let bit = 1u128 << shift;
        if mask & bit != 0 {
            out.push(((value & above) | (!value & bit), above | bit));
            above |= bit;
        }
    }
    out
}

/// A set of unsigned numbers as sorted, disjoint, non-adjacent closed intervals.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Intervals {
    /// Shared: a set that has a name is copied into every rule that names it.
    list: Arc<[(u128, u128)]>,
}

impl Intervals {
    /// The set of everything in `bits` bits.
    #[must_use]
    pub fn all(bits: u8) -> Self {
        Self { list: Arc::new([(0, ones(bits))]) }
    }

    /// The set of `lo..=hi`.
    #[must_use]
    pub fn one(lo: u128, hi: u128) -> Self {
        Self { list: Arc::new([(lo, hi)]) }
    }

    /// A set of any intervals, in any order.
    #[must_use]
    pub fn new(mut list: Vec<(u128, u128)>) -> Self {
        list.sort_unstable();
        list.dedup_by(|next, last| {
            let joins = next.0 <= last.1.saturating_add(1);
            if joins {
                last.1 = last.1.max(next.1);
            }
            joins
        });
        Self { list: list.into() }
    }

    /// The intervals, sorted.
    #[must_use]
    pub fn list(&self) -> &[(u128, u128)] {
        &self.list
    }

    /// Whether nothing is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Everything in `bits` bits that is not in it.
    #[must_use]
    pub fn complement(&self, bits: u8) -> Self {
        let mut list = Vec::with_capacity(self.list.len() + 1);
        let mut next = Some(0u128);
        for &(lo, hi) in self.list() {
            if let Some(from) = next
                && from < lo
            {
                list.push((from, lo - 1));
            }
            next = hi.checked_add(1);
        }
        if let Some(from) = next
            && from <= ones(bits)
        {
            list.push((from, ones(bits)));
        }
        Self { list: list.into() }
    }

    /// What is in `self` and not in `other`.
    #[must_use]
    pub fn minus(&self, other: &Self, bits: u8) -> Self {
        self.intersect(&other.complement(bits))
    }

    /// What is in both.
    #[must_use]
    pub fn intersect(&self, other: &Self) -> Self {
        let (mut i, mut j) = (0, 0);
        let mut list = Vec::new();
        while let (Some(&(l1, h1)), Some(&(l2, h2))) = (self.list.get(i), other.list.get(j)) {
            let (lo, hi) = (l1.max(l2), h1.min(h2));
            if lo <= hi {
                list.push((lo, hi));
            }
            if h1 < h2 { i += 1 } else { j += 1 }
        }
        Self { list: list.into() }
    }

    /// Whether this value is in it.
    #[must_use]
    pub fn contains(&self, value: u128) -> bool {
        let index = self.list.partition_point(|&(lo, _)| lo <= value);
        index.checked_sub(1).and_then(|last| self.list.get(last)).is_some_and(|&(_, hi)| value <= hi)
    }

    /// The fewest prefixes that make it up.
    #[must_use]
    pub fn prefixes(&self, bits: u8) -> Vec<(u128, u128)> {
        self.list.iter().flat_map(|&(lo, hi)| prefixes(lo, hi, bits)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn port_range_splits_into_the_fewest_prefixes() {
        assert_eq!(prefixes(1024, 65535, 16).len(), 6);
        assert_eq!(prefixes(0, 65535, 16), vec![(0, 0)]);
        assert_eq!(prefixes(80, 80, 16), vec![(80, 0xffff)]);
        assert_eq!(prefixes(0, u128::MAX, 128), vec![(0, 0)]);
    }

    proptest! {
        #[test]
        fn prefixes_cover_the_range_and_nothing_else(a in 0u128..=255, b in 0u128..=255) {
            let (lo, hi) = (a.min(b), a.max(b));
            let list = prefixes(lo, hi, 8);
            for value in 0..=255u128 {
                let hits = list.iter().filter(|(v, m)| value & m == *v).count();
                prop_assert_eq!(hits, usize::from((lo..=hi).contains(&value)));
            }
        }

        #[test]
        fn complement_is_exact_and_disjoint(value in 0u128..=255, mask in 0u128..=255) {
            let value = value & mask;
            let list = complement(value, mask, 8);
            for probe in 0..=255u128 {
                let hits = list.iter().filter(|(v, m)| probe & m == *v).count();
                prop_assert_eq!(hits, usize::from(probe & mask != value));
            }
        }

        #[test]
        fn interval_algebra_agrees_with_membership(
            a in proptest::collection::vec((0u128..=255, 0u128..=255), 0..6),
            b in proptest::collection::vec((0u128..=255, 0u128..=255), 0..6),
        ) {
            let order = |list: Vec<(u128, u128)>| list.into_iter().map(|(x, y)| (x.min(y), x.max(y))).collect::<Vec<_>>();
            let (a, b) = (order(a), order(b));
            let (sa, sb) = (Intervals::new(a.clone()), Intervals::new(b.clone()));
            let minus = sa.minus(&sb, 8);
            let both = sa.intersect(&sb);
            let prefixes = sa.prefixes(8);
            for probe in 0..=255u128 {
                let in_a = a.iter().any(|&(lo, hi)| (lo..=hi).contains(&probe));
                let in_b = b.iter().any(|&(lo, hi)| (lo..=hi).contains(&probe));
                prop_assert_eq!(sa.contains(probe), in_a);
                prop_assert_eq!(minus.contains(probe), in_a && !in_b);
                prop_assert_eq!(both.contains(probe), in_a && in_b);
                prop_assert_eq!(prefixes.iter().any(|(v, m)| probe & m == *v), in_a);
            }
        }

        #[test]
        fn overlap_of_range_and_bits_agrees_with_enumeration(lo in 0u16..=300, len in 1u16..=300, value in 0u128..=1023, mask in 0u128..=1023) {
            let value = value & mask;
            let range = Cond::Range { lo, hi: lo + len };
            // The bits above 1023 are zero in every probe, so ask for that.
            let bits = Cond::Bits { value, mask: mask | 0xfc00 };
            let expected = (lo..=lo + len).any(|v| bits.matches(u128::from(v)));
            prop_assert_eq!(range.overlaps(bits), expected);
            prop_assert_eq!(bits.overlaps(range), expected);
        }
    }
}
