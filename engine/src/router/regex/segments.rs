//! Expressions that need no engine: text and runs of bytes, with one way to match.
//!
//! In `^/users/(?<id>[^/]+)/keys$` a run is followed by a `/`, which it cannot have, so that
//! there is nothing to go back to. Nearly all paths with parameters are of this form. Comparing
//! them so touches two cache lines where an engine touches its program, its states and what it
//! remembers of earlier searches; and it takes some hundred bytes where an engine takes some
//! ten thousand, and a millisecond of an unoptimised build.

use super::captures::Spans;
use regex_syntax::hir::{Class, Hir, HirKind, Look, Repetition};
use smallvec::SmallVec;

/// An expression of this form, for texts that are spelled in its alphabet.
#[derive(Debug, Default)]
pub(super) struct Segments {
    /// All bytes that stand for themselves.
    text: Box<[u8]>,
    runs: Box<[Run]>,
    /// Whether a match must reach the end.
    is_whole: bool,
    /// Where each group begins and ends, by its number less one.
    groups: Box<[(Spot, Spot)]>,
}

/// So many bytes of a set as there are, or as it takes.
#[derive(Clone, Copy, Debug)]
struct Run {
    /// How many bytes of the text come between the run before and this one.
    behind: usize,
    /// How many there must be, and how many it takes.
    least: u32,
    most: u32,
    set: ByteSet,
}

/// What a run may have: a bit for each byte.
#[derive(Clone, Copy, Debug, Default)]
struct ByteSet([u64; 4]);

/// A place in an expression.
#[derive(Clone, Copy, Debug, Default)]
struct Spot {
    /// How many runs are before it.
    runs: usize,
    /// How many bytes of text are between it and the last of them.
    behind: usize,
}

impl Segments {
    /// None if the expression is of another form.
    pub(super) fn of(hir: &Hir) -> Option<Segments> {
        let mut pieces = Vec::new();
        take_apart(hir, &mut pieces)?;
        let mut draft = Draft::default();
        for (at, piece) in pieces.iter().enumerate() {
            draft.add(piece, pieces.get(at + 1..).unwrap_or_default())?;
        }
        let Draft { is_tied, is_whole, text, runs, groups, .. } = draft;
        let made =
            Segments { text: text.into(), runs: runs.into(), is_whole, groups: groups.into() };
        is_tied.then_some(made)
    }

    /// About how many bytes it takes.
    pub(super) fn weight(&self) -> usize {
        self.text.len() + size_of_val(&*self.runs) + size_of_val(&*self.groups)
    }

    /// How much of a text it matches.
    #[inline]
    pub(super) fn match_len(&self, text: &[u8]) -> Option<usize> {
        self.walk(text, |_| {})
    }

    /// What its groups match, the whole match before them.
    pub(super) fn captures(&self, text: &[u8]) -> Option<Spans> {
        let mut ends = SmallVec::<[usize; 8]>::new();
        let len = self.walk(text, |end| ends.push(end))?;
        let place = |spot: &Spot| {
            let last = spot.runs.checked_sub(1).and_then(|run| ends.get(run));
            last.copied().unwrap_or(0) + spot.behind
        };
        let groups = self.groups.iter().map(|(start, end)| Some(place(start)..place(end)));
        Some([Some(0..len)].into_iter().chain(groups).collect())
    }

    /// How much of a text it matches; `passed` is told where each run ends.
    #[inline]
    fn walk(&self, text: &[u8], mut passed: impl FnMut(usize)) -> Option<usize> {
        let (mut rest, mut expected) = (text, &*self.text);
        for run in &self.runs {
            let (here, later) = expected.split_at_checked(run.behind)?;
            let after = rest.strip_prefix(here)?;
            (rest, expected) = (after.get(run.len_in(after)?..)?, later);
            passed(text.len() - rest.len());
        }
        let rest = rest.strip_prefix(expected)?;
        (rest.is_empty() || !self.is_whole).then_some(text.len() - rest.len())
    }
}

impl Run {
    /// How much of a text it takes.
    #[inline]
    fn len_in(&self, text: &[u8]) -> Option<usize> {
        let most = text.len().min(self.most as usize);
        let other = |byte: &u8| !self.set.has(*byte);
        let len = text.get(..most)?.iter().position(other).unwrap_or(most);
        (len >= self.least as usize).then_some(len)
    }
}

impl ByteSet {
    /// None if it has more than there is in an alphabet.
    fn of(class: &Class) -> Option<ByteSet> {
        let class = match class {
            Class::Bytes(class) => class.clone(),
            Class::Unicode(class) => class.to_byte_class()?,
        };
        let mut set = ByteSet::default();
        for byte in class.ranges().iter().flat_map(|range| range.start()..=range.end()) {
            set.add(byte);
        }
        Some(set)
    }

    fn only(byte: u8) -> ByteSet {
        let mut set = ByteSet::default();
        set.add(byte);
        set
    }

    fn add(&mut self, byte: u8) {
        self.0[usize::from(byte >> 6)] |= 1 << (byte & 63);
    }

    // To look for a slash and then compare all before it took 23 ns for 8 bytes, this 7.
    #[inline]
    fn has(&self, byte: u8) -> bool {
        self.0[usize::from(byte >> 6)] >> (byte & 63) & 1 == 1
    }

    fn meets(&self, other: &ByteSet) -> bool {
        self.0.iter().zip(&other.0).any(|(one, other)| one & other != 0)
    }
}

/// A step of an expression of this form.
#[derive(Debug)]
enum Piece {
    Byte(u8),
    Run(Run, IsGreedy),
    Start,
    End,
    Open(usize),
    Close(usize),
}

type IsGreedy = bool;

/// None if there is something else.
fn take_apart(hir: &Hir, pieces: &mut Vec<Piece>) -> Option<()> {
    match hir.kind() {
        HirKind::Empty => {}
        HirKind::Literal(literal) => pieces.extend(literal.0.iter().copied().map(Piece::Byte)),
        HirKind::Class(_) => pieces.push(Piece::Run(run(hir, 1, Some(1))?, true)),
        HirKind::Look(Look::Start) => pieces.push(Piece::Start),
        HirKind::Look(Look::End) => pieces.push(Piece::End),
        HirKind::Repetition(Repetition { min, max, greedy, sub }) => {
            pieces.push(Piece::Run(run(sub, *min, *max)?, *greedy));
        }
        HirKind::Capture(capture) => {
            let number = capture.index as usize;
            pieces.push(Piece::Open(number));
            take_apart(&capture.sub, pieces)?;
            pieces.push(Piece::Close(number));
        }
        HirKind::Concat(parts) => parts.iter().try_for_each(|part| take_apart(part, pieces))?,
        HirKind::Look(_) | HirKind::Alternation(_) => return None,
    }
    Some(())
}

fn run(hir: &Hir, least: u32, most: Option<u32>) -> Option<Run> {
    let set = match hir.kind() {
        HirKind::Class(class) => ByteSet::of(class)?,
        HirKind::Literal(literal) => match *literal.0 {
            [byte] => ByteSet::only(byte),
            _ => return None,
        },
        _ => return None,
    };
    Some(Run { behind: 0, least, most: most.unwrap_or(u32::MAX), set })
}

/// An expression of this form that is being made.
#[derive(Default)]
struct Draft {
    text: Vec<u8>,
    runs: Vec<Run>,
    groups: Vec<(Spot, Spot)>,
    here: Spot,
    /// Whether it begins at the start.
    is_tied: bool,
    is_whole: bool,
}

impl Draft {
    /// Adds a piece that is followed by these; none if there is more than one way to match.
    fn add(&mut self, piece: &Piece, next: &[Piece]) -> Option<()> {
        let takes = matches!(piece, Piece::Byte(_) | Piece::Run(..));
        if takes && (!self.is_tied || self.is_whole) {
            return None;
        }
        match piece {
            Piece::Byte(byte) => {
                self.text.push(*byte);
                self.here.behind += 1;
            }
            Piece::Run(run, is_greedy) => {
                let most = settled(run, *is_greedy, next)?;
                self.runs.push(Run { behind: self.here.behind, most, ..*run });
                self.here = Spot { runs: self.runs.len(), behind: 0 };
            }
            Piece::Start if self.text.is_empty() && self.runs.is_empty() => self.is_tied = true,
            Piece::Start => return None,
            Piece::End => self.is_whole = true,
            Piece::Open(number) if self.groups.len() + 1 == *number => {
                self.groups.push((self.here, self.here));
            }
            // There was one that is repeated no times.
            Piece::Open(_) => return None,
            Piece::Close(number) => self.groups.get_mut(number.checked_sub(1)?)?.1 = self.here,
        }
        Some(())
    }
}

/// How much a run takes if there is one way to match: if none of those that it
/// could leave is wanted by what follows.
fn settled(run: &Run, is_greedy: bool, next: &[Piece]) -> Option<u32> {
    if run.least == run.most {
        return Some(run.most);
    }
    for piece in next {
        let wants_less = match piece {
            Piece::Open(_) | Piece::Close(_) => false,
            Piece::End => return Some(run.most),
            Piece::Byte(byte) => return (!run.set.has(*byte)).then_some(run.most),
            Piece::Run(other, _) if run.set.meets(&other.set) => true,
            Piece::Run(other, _) if other.least > 0 => return Some(run.most),
            Piece::Run(..) => false,
            Piece::Start => true,
        };
        if wants_less {
            return None;
        }
    }
    Some(if is_greedy { run.most } else { run.least })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::router::regex::alphabet::{Alphabet, Distinctions};
    use crate::router::regex::captures::of_engine;
    use crate::router::regex::{Kind, build};
    use proptest::prelude::*;

    fn narrowed(source: &str) -> Hir {
        let hir = Kind::Path.parse(source).expect("an expression");
        let alphabet = Distinctions::of(&hir).and_then(|found| Alphabet::of(&found, 0));
        alphabet.map_or(hir.clone(), |alphabet| alphabet.narrowed(&hir))
    }

    #[test]
    fn one_way_to_match_needs_no_engine() {
        for source in [
            "",
            "/a$",
            r"/a/(?<id>[^/]+)/c$",
            r"/v\d+/(\w+)",
            "/[^#?/]+/b",
            "/a/.*",
            r"/[a-z]+\d+x$",
            r"/\d{2,4}-[^a]{3}a/?$",
            "(?i)/abc/é",
            "/a+?",
        ] {
            assert!(Segments::of(&narrowed(source)).is_some(), "{source}");
        }
    }

    #[test]
    fn several_ways_do() {
        for source in [
            "/a|/b",
            "/(ab|b)c",
            "/[^a]+/b",
            r"/\w+\d",
            "/a?a",
            "/.*b",
            "/a*/?a",
            "/a$x",
            "(?m)/a$",
            r"/\ba",
            "/(a)?",
            "/(ab)+",
            "/é+é",
            "/[a-z]+[0-9]*x",
        ] {
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
            "/?",
            "a*",
            r"\d{1,2}",
            "([ab]{2})",
            "(?i:a)",
            "[^a]",
            "é?",
            "[^a]{0,2}",
            "()",
            "(x(b)?)",
        ]);
        let end = prop::sample::select(vec!["", "$", ".*"]);
        (prop::collection::vec(piece, 0..7), end).prop_filter_map("a group twice", |(all, end)| {
            let text = all.concat() + end;
            (text.matches("<n>").count() < 2).then_some(text)
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1_000))]

        #[test]
        fn it_matches_what_an_engine_does(
            source in pieces(),
            texts in prop::collection::vec("(/|a|b|x|1|#|_|A|é|ł|😀){0,9}", 20),
        ) {
            let hir = narrowed(&source);
            let Some(segments) = Segments::of(&hir) else { return Ok(()) };
            let engine = build(&hir, 1 << 20).expect("small");
            for text in texts {
                // Whatever it is, it is a spelling of something.
                let expected = of_engine(&engine, text.as_bytes());
                let len = expected.as_ref().and_then(|spans| spans.first()?.clone());
                prop_assert_eq!(segments.match_len(text.as_bytes()), len.map(|all| all.len()), "{}: {}", source, text);
                prop_assert_eq!(segments.captures(text.as_bytes()), expected, "{}: {}", source, text);
            }
        }
    }
}
