//! Expressions that need no engine: text, and runs of one sort of character that each fill
//! the rest of a segment of the path.
//!
//! In `^/users/(?<id>[^/]+)/keys$` a run is followed by a `/`, which it cannot have, so that
//! there is one way to match, found without going back. Nearly all paths with parameters
//! are of this form, and comparing them so touches two cache lines where an engine touches
//! its program, its states and what it remembers of earlier searches.

use super::skeleton::{Part, flatten, is_look};
use memchr::memchr;
use regex_syntax::hir::{Class, Hir, HirKind, Look};

/// An expression of this form, for texts that are ASCII.
#[derive(Debug, Default)]
pub(super) struct Segments {
    /// All bytes that stand for themselves.
    text: Box<[u8]>,
    runs: Box<[Run]>,
    /// Whether a match must reach the end.
    is_whole: bool,
}

#[derive(Debug)]
struct Run {
    /// How many bytes of the text come between the run before and this one.
    behind: usize,
    /// A bit for each character it may have.
    class: u128,
}

impl Segments {
    /// None if the expression is of another form.
    pub(super) fn of(hir: &Hir) -> Option<Segments> {
        let mut parts = Vec::new();
        flatten(hir, &mut parts);
        let (Part::Other(start), parts) = parts.split_first()? else { return None };
        if !is_look(start, Look::Start) {
            return None;
        }
        let is_whole = matches!(parts.last(), Some(Part::Other(end)) if is_look(end, Look::End));
        let parts = parts.get(..parts.len() - usize::from(is_whole))?;
        let (mut text, mut runs, mut behind) = (Vec::new(), Vec::new(), 0);
        for (at, part) in parts.iter().enumerate() {
            match part {
                Part::Byte(byte) => {
                    text.push(*byte);
                    behind += 1;
                }
                Part::Other(hir) => {
                    let fills_segment = match parts.get(at + 1) {
                        Some(next) => matches!(next, Part::Byte(b'/')),
                        None => is_whole,
                    };
                    let class = class_of_run(hir).filter(|_| fills_segment)?;
                    runs.push(Run { behind: std::mem::take(&mut behind), class });
                }
            }
        }
        Some(Segments { text: text.into(), runs: runs.into(), is_whole })
    }

    /// How many bytes, runs and ends it is made of.
    pub(super) fn parts(&self) -> usize {
        self.text.len() + self.runs.len() + usize::from(self.is_whole)
    }

    /// How much of a text, which is ASCII, it matches.
    pub(super) fn match_len(&self, text: &[u8]) -> Option<usize> {
        let (mut rest, mut expected) = (text, &*self.text);
        for Run { behind, class } in &self.runs {
            let (here, later) = expected.split_at_checked(*behind)?;
            let after = rest.strip_prefix(here)?;
            let (run, after) = after.split_at(memchr(b'/', after).unwrap_or(after.len()));
            if run.is_empty() || !run.iter().all(|byte| class >> (byte & 0x7f) & 1 == 1) {
                return None;
            }
            (rest, expected) = (after, later);
        }
        let rest = rest.strip_prefix(expected)?;
        (rest.is_empty() || !self.is_whole).then_some(text.len() - rest.len())
    }
}

/// The characters of ASCII of which there may be one or more; none if `/` is among them.
pub(super) fn class_of_run(hir: &Hir) -> Option<u128> {
    let HirKind::Repetition(repetition) = hir.kind() else { return None };
    if repetition.min != 1 || repetition.max.is_some() {
        return None;
    }
    let HirKind::Class(class) = repetition.sub.kind() else { return None };
    let has = |byte: u8| match class {
        Class::Unicode(class) => {
            let is_in = |range: &regex_syntax::hir::ClassUnicodeRange| {
                (range.start()..=range.end()).contains(&char::from(byte))
            };
            class.ranges().iter().any(is_in)
        }
        Class::Bytes(class) => {
            class.ranges().iter().any(|range| (range.start()..=range.end()).contains(&byte))
        }
    };
    let all = (0..0x80).filter(|byte| has(*byte)).fold(0, |all, byte| all | 1u128 << byte);
    (!has(b'/')).then_some(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::router::regex::{Kind, ascii, build};
    use proptest::prelude::*;

    fn narrowed(source: &str) -> Hir {
        ascii::narrowed(&Kind::Path.parse(source).expect("an expression"))
    }

    #[test]
    fn parameters_between_slashes_need_no_engine() {
        for source in ["/a", "/a$", r"/a/(?<id>[^/]+)/c$", r"/v\d+/(\w+)$", "/[^#?/]+/b", ""] {
            assert!(Segments::of(&narrowed(source)).is_some(), "{source}");
        }
    }

    #[test]
    fn all_else_does() {
        for source in
            ["/a|/b", "/[^/]+", "/[^a]+$", r"/\d+x$", "/[^/]*$", r"/\d{2}$", "(?i)/a", "/a$x"]
        {
            assert!(Segments::of(&narrowed(source)).is_none(), "{source}");
        }
    }

    fn pieces() -> impl Strategy<Value = String> {
        let piece = prop::sample::select(vec![
            "/",
            "/a",
            "x",
            "(b)",
            "[^/]+",
            "(?<n>[^#?/]+)",
            r"\d+",
            r"(\w+)",
            "[a-b]+?",
            "é",
        ]);
        let end = prop::sample::select(vec!["", "$"]);
        (prop::collection::vec(piece, 0..7), end).prop_filter_map("a group twice", |(all, end)| {
            let text = all.concat() + end;
            (text.matches("<n>").count() < 2).then_some(text)
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn it_matches_what_an_engine_does(source in pieces(), texts in prop::collection::vec("(/|a|b|x|1|#|_){0,9}", 20)) {
            let hir = narrowed(&source);
            let Some(segments) = Segments::of(&hir) else { return Ok(()) };
            let engine = build(&hir, 1 << 20).expect("small");
            for text in texts {
                let expected = engine.find(text.as_bytes()).map(|found| found.len());
                prop_assert_eq!(segments.match_len(text.as_bytes()), expected, "{}: {}", source, text);
            }
        }
    }
}
