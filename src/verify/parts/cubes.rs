//! Conjunctions of literals: which packets come to a chain, as far as that is one.

use std::collections::HashMap;

use crate::hash::QuickBuild;
use crate::verify::diagram::Literal;

/// Literals in ascending order, each variable once.
pub type Cube = Vec<Literal>;

/// What must hold besides what is known; `None` where the two contradict each other.
pub fn left(cube: &[Literal], known: &[Literal]) -> Option<Cube> {
    let mut left = Vec::with_capacity(cube.len());
    let mut known = known.iter().copied().peekable();
    for (level, value) in cube {
        while known.next_if(|(other, _)| other < level).is_some() {}
        match known.peek() {
            Some((other, have)) if other == level && have != value => return None,
            Some((other, _)) if other == level => {}
            _ => left.push((*level, *value)),
        }
    }
    Some(left)
}

/// Both, which share no variable.
pub fn both(one: &[Literal], other: &[Literal]) -> Cube {
    let mut all = [one, other].concat();
    all.sort_unstable();
    all
}

/// What holds in both.
pub fn common(one: &[Literal], other: &[Literal]) -> Cube {
    one.iter().filter(|literal| other.binary_search(literal).is_ok()).copied().collect()
}

/// Whether all that is asked is known.
pub fn implies(known: &[Literal], asked: &[Literal]) -> bool {
    asked.iter().all(|literal| known.binary_search(literal).is_ok())
}

/// Lines sorted by which of some cubes they can match in.
pub struct Shares {
    /// For each cube, the lines that packets there can match.
    pub of: Vec<Vec<u32>>,
    /// Lines that can match outside of all cubes.
    pub rest: Vec<u32>,
    /// Comparisons made.
    pub work: usize,
}

/// Cubes that ask the same variables.
struct Group {
    levels: Vec<u32>,
    values: Vec<(u128, usize)>,
    by_value: HashMap<u128, Vec<usize>, QuickBuild>,
}

/// Places that lines may take for each line, and for any list. Where they take more, a list was not cut by what its lines ask.
const PLACES: (usize, usize) = (8, 1 << 14);

/// Sorts lines (numbers) by cubes; `None` where most lines are in very many. `literals`: what a line asks, at least.
pub fn share<'l>(lines: &[u32], literals: impl Fn(u32) -> &'l [Literal], cubes: &[&[Literal]]) -> Option<Shares> {
    let mut places = PLACES.0 * lines.len() + PLACES.1;
    let mut shares = Shares { of: vec![Vec::new(); cubes.len()], rest: Vec::new(), work: lines.len() };
    let groups = groups(cubes);
    for line in lines {
        let asked = literals(*line);
        let mut covered = false;
        for group in &groups {
            let (mask, value) = asks(asked, &group.levels);
            shares.work += 1;
            if mask.count_ones() as usize == group.levels.len() {
                for at in group.by_value.get(&value).into_iter().flatten() {
                    covered = true;
                    shares.of.get_mut(*at)?.push(*line);
                    places = places.checked_sub(1)?;
                }
            } else {
                shares.work += group.values.len() / 8;
                for (_, at) in group.values.iter().filter(|(known, _)| (known ^ value) & mask == 0) {
                    shares.of.get_mut(*at)?.push(*line);
                    places = places.checked_sub(1)?;
                }
            }
        }
        if !covered {
            shares.rest.push(*line);
        }
    }
    Some(shares)
}

fn groups(cubes: &[&[Literal]]) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    let mut places: HashMap<Vec<u32>, usize> = HashMap::new();
    for (at, cube) in cubes.iter().enumerate() {
        // More variables than bits are compared only as far as they fit: a line too many does no harm.
        let levels: Vec<u32> = cube.iter().map(|(level, _)| *level).collect();
        let (_, value) = asks(cube, &levels);
        let place = *places.entry(levels).or_insert_with_key(|levels| {
            groups.push(Group { levels: levels.clone(), values: Vec::new(), by_value: HashMap::default() });
            groups.len() - 1
        });
        if let Some(group) = groups.get_mut(place) {
            group.values.push((value, at));
            group.by_value.entry(value).or_default().push(at);
        }
    }
    groups
}

/// Which of these variables are asked (a bit each), and for which value. Of more than 128 only the first.
fn asks(asked: &[Literal], levels: &[u32]) -> (u128, u128) {
    let (mut mask, mut value) = (0, 0);
    let mut asked = asked.iter().copied().peekable();
    for (bit, level) in levels.iter().take(128).enumerate() {
        while asked.next_if(|(other, _)| other < level).is_some() {}
        if let Some((_, wanted)) = asked.next_if(|(other, _)| other == level) {
            mask |= 1 << bit;
            value |= u128::from(wanted) << bit;
        }
    }
    (mask, value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cube(text: &str) -> Cube {
        let bits = (0..).zip(text.bytes());
        bits.filter(|(_, bit)| *bit != b'*').map(|(level, bit)| (level, bit == b'1')).collect()
    }

    #[test]
    fn what_is_left_of_a_cube() {
        assert_eq!(left(&cube("01*1"), &cube("0**1")), Some(cube("*1")));
        assert_eq!(left(&cube("01*1"), &cube("00")), None);
        assert_eq!(left(&cube(""), &cube("01")), Some(Vec::new()));
        assert_eq!(both(&cube("0*1"), &cube("*1")), cube("011"));
        assert_eq!(common(&cube("011"), &cube("0*0")), cube("0"));
        assert!(implies(&cube("011"), &cube("*1")) && !implies(&cube("0"), &cube("*1")));
    }

    #[test]
    fn lines_go_where_they_can_match() {
        let cubes = ["00", "01", "*11"].map(cube);
        let lines = ["00*", "0**", "1*1", "11*", "1*0"].map(cube);
        let cubes: Vec<&[Literal]> = cubes.iter().map(Vec::as_slice).collect();
        let shares = share(&[0, 1, 2, 3, 4], |at| &lines[at as usize], &cubes).unwrap();
        assert_eq!(shares.of, [vec![0, 1], vec![1], vec![1, 2, 3]]);
        // What one cube holds as a whole is not left outside.
        assert_eq!(shares.rest, [1, 2, 3, 4]);
    }
}
