//! What the groups of regular expressions matched, whichever way the route is written.

use super::{expression, regex};

/// What the groups of a route's regular expressions matched in a request.
#[derive(Debug)]
pub struct Captures<'t, 'p>(Groups<'t, 'p>);

#[derive(Debug)]
enum Groups<'t, 'p> {
    /// Those of a path.
    Path(regex::Captures<'t, 'p>),
    /// Those of all regular expressions in an expression.
    Expression(expression::Captures),
}

impl<'t, 'p> From<regex::Captures<'t, 'p>> for Captures<'t, 'p> {
    fn from(captures: regex::Captures<'t, 'p>) -> Self {
        Captures(Groups::Path(captures))
    }
}

impl From<expression::Captures> for Captures<'_, '_> {
    fn from(captures: expression::Captures) -> Self {
        Captures(Groups::Expression(captures))
    }
}

impl Captures<'_, '_> {
    /// What a group matched, counted from 1 by its parenthesis; 0 is the whole match. None
    /// if there is no such group or it took no part, which is not the same as matching
    /// nothing.
    pub fn get(&self, group: usize) -> Option<&[u8]> {
        match &self.0 {
            Groups::Path(captures) => captures.get(group),
            Groups::Expression(captures) => {
                captures.numbered.get(group)?.as_ref().map(String::as_bytes)
            }
        }
    }

    /// What the group of this name matched.
    pub fn name(&self, name: &str) -> Option<&[u8]> {
        match &self.0 {
            Groups::Path(captures) => captures.name(name),
            Groups::Expression(captures) => captures.named.get(name).map(String::as_bytes),
        }
    }

    /// What each group matched, by its number; those that took no part are left out.
    pub fn numbered(&self) -> impl Iterator<Item = (usize, &[u8])> {
        let groups = match &self.0 {
            Groups::Path(captures) => captures.len(),
            Groups::Expression(captures) => captures.numbered.len(),
        };
        (0..groups).filter_map(|group| Some((group, self.get(group)?)))
    }

    /// What each group that has a name matched; those that took no part are left out.
    pub fn named(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let (path, expression) = match &self.0 {
            Groups::Path(captures) => (Some(captures.named()), None),
            Groups::Expression(captures) => (None, Some(&captures.named)),
        };
        let expression = expression.into_iter().flatten();
        let expression = expression.map(|(name, part)| (name.as_str(), part.as_bytes()));
        path.into_iter().flatten().chain(expression)
    }
}
