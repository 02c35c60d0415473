//! What the groups of a regular expression matched.

use regex_automata::meta;
use regex_syntax::hir::{Hir, HirKind};
use smallvec::SmallVec;
use std::ops::Range;

/// Where each group matched, by its number, the whole match before them; none where one took
/// no part.
pub(super) type Spans = SmallVec<[Option<Range<usize>>; 4]>;

/// The parts of a text that the groups of a regular expression matched.
#[derive(Debug)]
pub(in crate::router) struct Captures<'t, 'p> {
    names: &'t [Option<Box<str>>],
    text: &'p [u8],
    spans: Spans,
}

impl<'t, 'p> Captures<'t, 'p> {
    pub(super) fn new(names: &'t [Option<Box<str>>], text: &'p [u8], spans: Spans) -> Self {
        Captures { names, text, spans }
    }

    /// What a group matched, counted from 1 by its parenthesis; 0 is the whole match. None
    /// if there is no such group or it took no part, which is not the same as matching
    /// nothing.
    pub(in crate::router) fn get(&self, group: usize) -> Option<&'p [u8]> {
        self.text.get(self.spans.get(group)?.clone()?)
    }

    /// How many groups there are, the whole match among them.
    pub(in crate::router) fn len(&self) -> usize {
        self.spans.len()
    }

    /// What the group of this name matched.
    pub(in crate::router) fn name(&self, name: &str) -> Option<&'p [u8]> {
        self.get(self.names.iter().position(|known| known.as_deref() == Some(name))?)
    }

    /// What each group matched, by its number; those that took no part are left out.
    pub(in crate::router) fn numbered(&self) -> impl Iterator<Item = (usize, &'p [u8])> {
        (0..self.len()).filter_map(|group| Some((group, self.get(group)?)))
    }

    /// What each group that has a name matched; those that took no part are left out.
    pub(in crate::router) fn named(&self) -> impl Iterator<Item = (&'t str, &'p [u8])> {
        let groups = self.names.iter().enumerate();
        groups.filter_map(|(group, name)| Some((name.as_deref()?, self.get(group)?)))
    }
}

/// What an engine says of a text.
pub(super) fn of_engine(engine: &meta::Regex, text: &[u8]) -> Option<Spans> {
    let mut found = engine.create_captures();
    engine.captures(text, &mut found);
    let spans = || found.iter().map(|span| span.map(|span| span.range())).collect();
    found.is_match().then(spans)
}

/// The name of each group, the whole match before them.
pub(super) fn names(hir: &Hir) -> Box<[Option<Box<str>>]> {
    let mut names = vec![None];
    gather(hir, &mut names);
    names.into()
}

/// Groups are numbered as they are met, but one that is repeated no times is still there.
fn gather(hir: &Hir, names: &mut Vec<Option<Box<str>>>) {
    match hir.kind() {
        HirKind::Capture(capture) => {
            let number = capture.index as usize;
            names.resize(names.len().max(number + 1), None);
            if let Some(name) = names.get_mut(number) {
                name.clone_from(&capture.name);
            }
            gather(&capture.sub, names);
        }
        HirKind::Repetition(repetition) => gather(&repetition.sub, names),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => {
            parts.iter().for_each(|part| gather(part, names));
        }
        HirKind::Empty | HirKind::Literal(_) | HirKind::Class(_) | HirKind::Look(_) => {}
    }
}
