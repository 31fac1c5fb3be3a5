//! The diagrams against tables of all assignments.

use super::{Diagram, FALSE, Full, Leaf, Literal, NONE, Node, TRUE};
use proptest::prelude::*;

/// Variables of a test.
const VARS: u32 = 5;
/// Assignments of them.
const ALL: u32 = 1 << VARS;

/// A function as its table.
type Table = Vec<Leaf>;

fn table(leaves: std::ops::Range<Leaf>) -> impl Strategy<Value = Table> {
    proptest::collection::vec(leaves, ALL as usize)
}

fn bit(assignment: u32, level: u32) -> bool {
    assignment >> (VARS - 1 - level) & 1 == 1
}

/// The diagram of a table, variable by variable.
fn build(diagram: &mut Diagram, table: &[Leaf], level: u32) -> Node {
    if let [leaf] = table {
        return diagram.leaf(*leaf).unwrap();
    }
    let (low, high) = table.split_at(table.len() / 2);
    let (low, high) = (build(diagram, low, level + 1), build(diagram, high, level + 1));
    diagram.node(level, low, high).unwrap()
}

fn read(diagram: &Diagram, node: Node) -> Table {
    (0..ALL).map(|assignment| diagram.value(node, |level| bit(assignment, level))).collect()
}

fn literals(mask: u32, values: u32) -> Vec<Literal> {
    (0..VARS).filter(|level| bit(mask, *level)).map(|level| (level, bit(values, level))).collect()
}

fn holds(literals: &[Literal], assignment: u32) -> bool {
    literals.iter().all(|(level, value)| bit(assignment, *level) == *value)
}

proptest! {
    #[test]
    fn equal_functions_are_one_node(a in table(3..6), b in table(3..6)) {
        let mut diagram = Diagram::new(1000, Vec::new());
        let (x, y) = (build(&mut diagram, &a, 0), build(&mut diagram, &b, 0));
        prop_assert_eq!(read(&diagram, x), a.clone());
        prop_assert_eq!(x == y, a == b);
        match diagram.difference(x, y) {
            None => prop_assert_eq!(a, b),
            Some((way, left, right)) => {
                for assignment in (0..ALL).filter(|assignment| holds(&way, *assignment)) {
                    prop_assert_eq!((a[assignment as usize], b[assignment as usize]), (left, right));
                }
                prop_assert_ne!(left, right);
            }
        }
    }

    #[test]
    fn operations_are_right_everywhere(
        c in table(0..2), a in table(2..6), b in table(2..6), mask in 0..ALL, values in 0..ALL,
    ) {
        let mut diagram = Diagram::new(1000, Vec::new());
        let (z, x, y) = (build(&mut diagram, &c, 0), build(&mut diagram, &a, 0), build(&mut diagram, &b, 0));
        let ite = diagram.ite(z, x, y).unwrap();
        let first = diagram.first(x, y).unwrap();
        let map = diagram.map(0, x, &mut |leaf| leaf + 10).unwrap();
        let literals = literals(mask, values);
        let cube = diagram.cube(&literals, x, NONE).unwrap();
        let [ite, first, map, cube] = [ite, first, map, cube].map(|node| read(&diagram, node));
        for assignment in 0..ALL {
            let at = assignment as usize;
            prop_assert_eq!(ite[at], if c[at] == 1 { a[at] } else { b[at] });
            prop_assert_eq!(first[at], if a[at] == 2 { b[at] } else { a[at] });
            prop_assert_eq!(map[at], a[at] + 10);
            prop_assert_eq!(cube[at], if holds(&literals, assignment) { a[at] } else { 2 });
        }
    }

    #[test]
    fn what_is_assumed_is_not_asked(a in table(3..6), level in 0..VARS, value: bool) {
        let mut diagram = Diagram::new(1000, vec![(level, value)]);
        let node = build(&mut diagram, &a, 0);
        prop_assert!(!diagram.counts().contains_key(&level));
        for assignment in (0..ALL).filter(|assignment| bit(*assignment, level) == value) {
            prop_assert_eq!(diagram.value(node, |level| bit(assignment, level)), a[assignment as usize]);
        }
    }
}

#[test]
fn a_full_store_says_so() {
    let mut diagram = Diagram::new(8, Vec::new());
    let made: Result<Vec<Node>, Full> = (0..10).map(|level| diagram.node(level, FALSE, TRUE)).collect();
    assert_eq!((made, diagram.size()), (Err(Full), 8));
}

#[test]
fn growth_keeps_nodes_and_results() {
    let mut diagram = Diagram::new(1 << 20, Vec::new());
    let cubes = |diagram: &mut Diagram| -> Vec<Node> {
        let cube = |number: u32| (0..16).map(|level| (level, number >> level & 1 == 1)).collect::<Vec<_>>();
        (0..5000).map(|number| diagram.cube(&cube(number), TRUE, NONE).unwrap()).collect()
    };
    let first = cubes(&mut diagram);
    let size = diagram.size();
    assert!(size > 1 << 13);
    assert_eq!(cubes(&mut diagram), first);
    assert_eq!(diagram.size(), size);
}

proptest! {
    #[test]
    fn sets_are_those_of_the_tables(a in table(0..6), b in table(0..6), leaf in 3u32..6, mask in 0..ALL) {
        let mut diagram = Diagram::new(10_000, Vec::new());
        let (left, right) = (build(&mut diagram, &a, 0), build(&mut diagram, &b, 0));
        let zipped = diagram.zip(1, left, right, &mut |x, y| if x == y { 0 } else { 3 + 6 * x + y }).unwrap();
        let expected: Table = a.iter().zip(&b).map(|(x, y)| if x == y { 0 } else { 3 + 6 * x + y }).collect();
        prop_assert_eq!(read(&diagram, zipped), expected);

        let set = diagram.where_is(left, &[leaf].into()).unwrap();
        let expected: Table = a.iter().map(|x| u32::from(*x == leaf)).collect();
        prop_assert_eq!(&read(&diagram, set), &expected);

        let kept = diagram.project(set, &|level| bit(mask, level)).unwrap();
        let some = |assignment: u32| {
            (0..ALL).any(|other| (other ^ assignment) & mask == 0 && expected[other as usize] == 1)
        };
        prop_assert_eq!(read(&diagram, kept), (0..ALL).map(|at| u32::from(some(at))).collect::<Table>());

        let given = diagram.given(left, 2, true).unwrap();
        let set = |assignment: u32| (assignment | 1 << (VARS - 3)) as usize;
        prop_assert_eq!(read(&diagram, given), (0..ALL).map(|at| a[set(at)]).collect::<Table>());

        let ways = diagram.ways(left);
        let mut values: Vec<Leaf> = ways.iter().map(|(value, _)| *value).collect();
        values.sort_unstable();
        prop_assert_eq!(values, (3..6).filter(|leaf| a.contains(leaf)).collect::<Vec<_>>());
        for (value, way) in ways {
            prop_assert!((0..ALL).all(|at| !holds(&way, at) || a[at as usize] == value));
        }
    }
}
