//! FNV-1a: the same number for the same input, on every machine and in every release.
//!
//! Rule identities, rule meanings and program digests live in the kernel (as action cookies) across versions of this program,
//! so the standard library's hasher, which promises nothing of the kind, will not do.
//!
//! [`Quick`] is for tables in memory that hold very many keys and are never iterated.

use std::hash::{BuildHasherDefault, Hash, Hasher};

const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0000_0100_0000_01b3;

/// A 64-bit FNV-1a hasher; integers are hashed in little-endian order.
#[derive(Clone, Copy, Debug)]
pub struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(OFFSET)
    }
}

impl Fnv {
    /// The lowest `bytes` bytes of a number. A byte that is zero only multiplies, and most of a number's are.
    fn number(&mut self, number: u128, bytes: u32) {
        let set = u128::BITS.saturating_sub(number.leading_zeros()).div_ceil(8);
        number.to_le_bytes().iter().take(set as usize).for_each(|byte| self.write(&[*byte]));
        self.0 = self.0.wrapping_mul(PRIME.wrapping_pow(bytes.saturating_sub(set)));
    }
}

impl Hasher for Fnv {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(PRIME);
        }
    }

    fn write_u16(&mut self, number: u16) {
        self.write(&number.to_le_bytes());
    }

    fn write_u32(&mut self, number: u32) {
        self.write(&number.to_le_bytes());
    }

    fn write_u64(&mut self, number: u64) {
        self.number(number.into(), 8);
    }

    fn write_u128(&mut self, number: u128) {
        self.number(number, 16);
    }

    fn write_usize(&mut self, number: usize) {
        self.write_u64(number as u64);
    }

    fn write_i32(&mut self, number: i32) {
        self.write(&number.to_le_bytes());
    }

    fn write_isize(&mut self, number: isize) {
        self.write_u64((number as i64).cast_unsigned());
    }
}

/// A hasher of a multiplication a word. Keys that were made to collide cost time, never a wrong answer.
#[derive(Clone, Copy, Debug, Default)]
pub struct Quick(u64);

/// For `HashMap` and `HashSet`.
pub type QuickBuild = BuildHasherDefault<Quick>;

/// 2^64 divided by the golden ratio, odd: its multiples are spread evenly (Knuth, volume 3, 6.4).
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

impl Quick {
    const fn word(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(SPREAD);
    }
}

impl Hasher for Quick {
    fn finish(&self) -> u64 {
        // Tables take the low bits, and a multiplication mixes upwards only.
        let folded = self.0 ^ (self.0 >> 32);
        folded.wrapping_mul(SPREAD) ^ (folded >> 29)
    }

    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.word(u64::from_le_bytes(*word));
        }
        for byte in rest {
            self.word(u64::from(*byte));
        }
    }

    fn write_u8(&mut self, number: u8) {
        self.word(number.into());
    }

    fn write_u16(&mut self, number: u16) {
        self.word(number.into());
    }

    fn write_u32(&mut self, number: u32) {
        self.word(number.into());
    }

    fn write_u64(&mut self, number: u64) {
        self.word(number);
    }

    fn write_u128(&mut self, number: u128) {
        self.write(&number.to_le_bytes());
    }

    fn write_usize(&mut self, number: usize) {
        self.word(number as u64);
    }
}

/// The hash of a value.
pub fn fnv(value: &impl Hash) -> u64 {
    let mut hasher = Fnv::default();
    value.hash(&mut hasher);
    hasher.finish()
}

/// FNV-1a with 32 bits, of a text.
#[must_use]
pub fn fnv32(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_published_vectors() {
        // http://www.isthe.com/chongo/tech/comp/fnv/: FNV-1a 64 of "a" and "foobar".
        for (text, hash) in [("a", 0xaf63_dc4c_8601_ec8c), ("foobar", 0x8594_4171_f739_67e8)] {
            let mut hasher = Fnv::default();
            hasher.write(text.as_bytes());
            assert_eq!(hasher.finish(), hash);
        }
    }

    #[test]
    fn the_quick_one_spreads_neighbours() {
        let hash = |number: u128| {
            let mut hasher = Quick::default();
            number.hash(&mut hasher);
            hasher.finish()
        };
        // 4,096 hosts in a row, in 4,096 places: a third of the places stay empty by chance, as of any good hash.
        let places = |number: fn(u128) -> u128| {
            (0..4096).map(|at| hash(number(at)) & 0xfff).collect::<std::collections::BTreeSet<u64>>().len()
        };
        let numbers: [fn(u128) -> u128; 4] = [|at| at, |at| at << 8, |at| at << 96, |at| at << 64 | 1];
        for number in numbers {
            assert!(places(number) > 2_400, "{}", places(number));
        }
    }

    #[test]
    fn numbers_are_hashed_byte_by_byte() {
        let numbers = [0, 1, 0xff, 0x100, 0x0a00_0001, u128::from(u64::MAX), 1 << 64, 0x2001_0db8 << 96, u128::MAX];
        for number in numbers {
            let (mut fast, mut slow) = (Fnv::default(), Fnv::default());
            fast.write_u128(number);
            slow.write(&number.to_le_bytes());
            assert_eq!(fast.finish(), slow.finish(), "{number:#x}");
            let number = u64::try_from(number >> 64).unwrap();
            fast.write_u64(number);
            slow.write(&number.to_le_bytes());
            assert_eq!(fast.finish(), slow.finish(), "{number:#x}");
        }
    }

    #[test]
    fn the_narrow_one_agrees_too() {
        // The same page, FNV-1a 32 of "" and "foobar".
        assert_eq!((fnv32(""), fnv32("foobar")), (0x811c_9dc5, 0xbf9c_f968));
    }
}
