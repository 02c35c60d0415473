//! The clauses of an expression, for whoever explains why it does not match: what is joined
//! with `&&`, outside of everything else.
//!
//! The clause that stands for a route's protocols, which nobody wrote, is the last.
//!
//! The text and the tree are taken apart in the same way, so that each clause is told as it
//! was written. Both see through parentheses that do nothing but group.

use super::Expression;
use super::evaluate::Reading;
use super::field::TextField;
use super::predicate::Predicate;
use super::tree::Tree;
use crate::router::request::{Fields, RequestView};

/// A clause, and whether a request fulfils it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clause<'e> {
    /// As it was written.
    pub text: &'e str,
    /// Whether the request fulfils it.
    pub holds: bool,
    /// What of a request it asks for.
    pub about: About,
}

/// What of a request a clause asks for: of several things, that which comes first here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    /// It stands for the route's protocols.
    Protocols,
    /// The path, or segments of it.
    Path,
    /// The host.
    Host,
    /// Whatever is not among the others.
    Rest,
    /// Nothing but how it is asked: the method, or the scheme.
    Manner,
}

impl Expression {
    /// What must all hold for a request to match, clause by clause. It matches if and only
    /// if all of them do.
    pub fn clauses<F: Fields>(&self, request: &RequestView<'_, F>) -> Vec<Clause<'_>> {
        let holds = |tree: &Tree<Predicate>| {
            Reading::new(request, None).fulfils(tree).is_ok_and(|holds| holds)
        };
        let (mut texts, mut trees) = (Vec::new(), Vec::new());
        texts_of(&self.text, &mut texts);
        trees_of(&self.tree, &mut trees);
        if texts.len() != trees.len() {
            let about = about(&self.tree);
            return vec![Clause { text: &self.text, holds: holds(&self.tree), about }];
        }
        let clauses = texts.into_iter().zip(trees);
        let clause = |(text, tree)| Clause { text, holds: holds(tree), about: about(tree) };
        let mut clauses: Vec<_> = clauses.map(clause).collect();
        if let Some(last) = clauses.last_mut().filter(|_| self.is_narrowed) {
            last.about = About::Protocols;
        }
        clauses
    }
}

fn about(tree: &Tree<Predicate>) -> About {
    let asks_for = |field: fn(&TextField) -> bool| {
        tree.contains(
            &|predicate| matches!(predicate, Predicate::Text(predicate) if field(&predicate.field)),
        )
    };
    let is_manner = |predicate: &Predicate| {
        matches!(predicate, Predicate::Text(predicate)
            if matches!(predicate.field, TextField::Method | TextField::Protocol))
    };
    if asks_for(|field| matches!(field, TextField::Path | TextField::Segments(..))) {
        About::Path
    } else if asks_for(|field| *field == TextField::Host) {
        About::Host
    } else if tree.contains(&|predicate| !is_manner(predicate)) {
        About::Rest
    } else {
        About::Manner
    }
}

fn trees_of<'e>(tree: &'e Tree<Predicate>, found: &mut Vec<&'e Tree<Predicate>>) {
    match tree {
        Tree::All(parts) => parts.iter().for_each(|part| trees_of(part, found)),
        other => found.push(other),
    }
}

fn texts_of<'e>(text: &'e str, found: &mut Vec<&'e str>) {
    let marks = Marks::of(text);
    let mut start = 0;
    let mut parts = Vec::new();
    for at in marks.ands {
        parts.extend(text.get(start..at));
        start = at + 2;
    }
    parts.extend(text.get(start..));
    match parts[..] {
        // Nothing is joined here; what is in parentheses may be.
        [part] => {
            let part = part.trim();
            let inner = part.strip_prefix('(').and_then(|part| part.strip_suffix(')'));
            // One pair of them, around all of it.
            match inner.filter(|inner| Marks::of(part).ends == [inner.len() + 1]) {
                Some(inner) => texts_of(inner, found),
                None => found.push(part),
            }
        }
        _ => parts.into_iter().for_each(|part| texts_of(part, found)),
    }
}

/// What stands in a text outside of strings.
#[derive(Default)]
struct Marks {
    /// Where `&&` are that are in no parentheses.
    ands: Vec<usize>,
    /// Where parentheses end that are in no others.
    ends: Vec<usize>,
}

impl Marks {
    fn of(text: &str) -> Marks {
        let mut marks = Marks::default();
        let (mut depth, mut at) = (0usize, 0);
        while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
            let mut step = rest.chars().next().map_or(1, char::len_utf8);
            if let Some(raw) = rest.strip_prefix("r#\"") {
                step = raw.find("\"#").map_or(rest.len(), |end| end + 5);
            } else if rest.starts_with('"') {
                step = string_len(rest);
            } else if rest.starts_with('(') {
                depth += 1;
            } else if rest.starts_with(')') {
                depth = depth.saturating_sub(1);
                marks.ends.extend((depth == 0).then_some(at));
            } else if depth == 0 && rest.starts_with("&&") {
                marks.ands.push(at);
                step = 2;
            }
            at += step;
        }
        marks
    }
}

/// How many bytes a string has that starts here, quotes and all.
fn string_len(text: &str) -> usize {
    let mut is_escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_comes_apart_at_its_ands() {
        check("a == 1", &["a == 1"]);
        check("a == 1 && b == 2&&c == 3", &["a == 1", "b == 2", "c == 3"]);
        check("a == 1 || b == 2 && c == 3", &["a == 1 || b == 2", "c == 3"]);
        check(
            "(a == 1 && (b == 2 && c == 3)) && d == 4",
            &["a == 1", "b == 2", "c == 3", "d == 4"],
        );
        check("((a == 1 || b == 2))", &["a == 1 || b == 2"]);
        check(
            "(a == 1 && b == 2) || (c == 3 && d == 4)",
            &["(a == 1 && b == 2) || (c == 3 && d == 4)"],
        );
        check("!(a == 1 && b == 2) && lower(c) == 3", &["!(a == 1 && b == 2)", "lower(c) == 3"]);
        check("lower(a) == 1", &["lower(a) == 1"]);
        check(r#"a == "x && \" (" && b == "é""#, &[r#"a == "x && \" (""#, r#"b == "é""#]);
        check(r##"a ~ r#"(" && "# && b == 2"##, &[r##"a ~ r#"(" && "#"##, "b == 2"]);
    }

    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        let mut found = Vec::new();
        texts_of(text, &mut found);
        assert_eq!(found, expected, "{text}");
    }
}
