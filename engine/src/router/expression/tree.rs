//! The shape of an expression: what is joined with `&&`, `||` and `!`.
//!
//! Chains are flat, so that the depth is that of the parentheses and nothing that
//! walks a tree can run out of stack. Parts are in the order they were written.

/// A tree over predicates, as written or as checked.
#[derive(Clone, Debug)]
pub(super) enum Tree<P> {
    /// Every part holds.
    All(Box<[Tree<P>]>),
    /// One part holds, or more.
    Any(Box<[Tree<P>]>),
    /// The part does not hold.
    Not(Box<Tree<P>>),
    /// A predicate.
    Leaf(P),
}

impl<P> Tree<P> {
    /// The parts under one node, or the part itself if it is the only one.
    pub(super) fn join(mut parts: Vec<Tree<P>>, node: fn(Box<[Tree<P>]>) -> Tree<P>) -> Tree<P> {
        match parts.pop() {
            Some(part) if parts.is_empty() => part,
            Some(part) => {
                parts.push(part);
                node(parts.into())
            }
            None => node(Box::default()),
        }
    }

    /// The same shape over what `make` makes of each predicate; none if it made
    /// nothing of one. All of them are tried, in order.
    pub(super) fn map<Q>(self, make: &mut impl FnMut(P) -> Option<Q>) -> Option<Tree<Q>> {
        match self {
            Tree::All(parts) => Some(Tree::All(map_all(parts, make)?)),
            Tree::Any(parts) => Some(Tree::Any(map_all(parts, make)?)),
            Tree::Not(part) => Some(Tree::Not(Box::new(part.map(make)?))),
            Tree::Leaf(predicate) => make(predicate).map(Tree::Leaf),
        }
    }

    /// Visits all predicates.
    pub(super) fn each<'t>(&'t self, visit: &mut impl FnMut(&'t P)) {
        match self {
            Tree::All(parts) | Tree::Any(parts) => parts.iter().for_each(|part| part.each(visit)),
            Tree::Not(part) => part.each(visit),
            Tree::Leaf(predicate) => visit(predicate),
        }
    }

    /// Whether there is such a predicate.
    pub(super) fn contains(&self, is: &impl Fn(&P) -> bool) -> bool {
        match self {
            Tree::All(parts) | Tree::Any(parts) => parts.iter().any(|part| part.contains(is)),
            Tree::Not(part) => part.contains(is),
            Tree::Leaf(predicate) => is(predicate),
        }
    }
}

fn map_all<P, Q>(
    parts: Box<[Tree<P>]>,
    make: &mut impl FnMut(P) -> Option<Q>,
) -> Option<Box<[Tree<Q>]>> {
    let made: Vec<_> = parts.into_iter().map(|part| part.map(make)).collect();
    made.into_iter().collect()
}
