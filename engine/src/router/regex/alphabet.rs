//! Characters beyond ASCII, told apart only as far as an expression does.
//!
//! To `^/\w+/é$` there are three sorts of them: `é`, other letters, and the rest. So a text is
//! spelled with a byte for each character, which beyond ASCII says its sort, and the
//! expression is compiled to bytes like it: kilobytes and microseconds, where the whole of
//! Unicode takes most of a megabyte and a millisecond, and as true. What asks where words end
//! cannot be spelled so, nor what takes characters apart: such expressions stay whole, and
//! are weighed so. Expressions with the same classes share an alphabet.

use regex_syntax::hir::{
    Capture, Class, ClassBytes, ClassBytesRange, ClassUnicode, Hir, HirKind, Look,
};
use smallvec::SmallVec;
use std::collections::{BTreeSet, HashMap};

/// The most classes that characters are sorted by: one bit each.
const MOST_CLASSES: usize = u64::BITS as usize;
/// Spells what is no character; no expression has it.
const NONE: u8 = 0xff;

/// A text as an alphabet has it; in place if it is of a usual length.
pub(super) type Spelling = SmallVec<[u8; 256]>;

/// What an expression tells characters beyond ASCII apart by.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Distinctions {
    /// The part of each of its classes that is beyond ASCII.
    classes: BTreeSet<Box<[(char, char)]>>,
    /// Those that are text in it.
    letters: BTreeSet<char>,
}

impl Distinctions {
    /// None if it makes none, or such as no alphabet has.
    pub(super) fn of(hir: &Hir) -> Option<Distinctions> {
        let mut found = Distinctions::default();
        let is_any = found.gather(hir) && !(found.classes.is_empty() && found.letters.is_empty());
        is_any.then_some(found)
    }

    /// How many bytes it takes, and an alphabet that is made of it, about.
    fn weight(&self) -> usize {
        let ranges: usize = self.classes.iter().map(|class| class.len()).sum();
        // Here and there, and where each begins and ends.
        3 * size_of::<(char, char)>() * (ranges + self.letters.len())
    }

    fn gather(&mut self, hir: &Hir) -> bool {
        match hir.kind() {
            HirKind::Class(Class::Unicode(class)) => self.take(class),
            HirKind::Class(Class::Bytes(class)) => class.is_ascii(),
            HirKind::Literal(literal) => {
                let Ok(text) = std::str::from_utf8(&literal.0) else { return false };
                self.letters.extend(text.chars().filter(|c| !c.is_ascii()));
                true
            }
            HirKind::Look(look) => is_of_lines(*look),
            HirKind::Repetition(repetition) => self.gather(&repetition.sub),
            HirKind::Capture(capture) => self.gather(&capture.sub),
            HirKind::Concat(parts) | HirKind::Alternation(parts) => {
                parts.iter().all(|part| self.gather(part))
            }
            HirKind::Empty => true,
        }
    }

    fn take(&mut self, class: &ClassUnicode) -> bool {
        let beyond = class.ranges().iter().filter(|range| !range.end().is_ascii());
        let beyond: Box<[_]> =
            beyond.map(|range| (range.start().max(FIRST), range.end())).collect();
        if !beyond.is_empty() {
            self.classes.insert(beyond);
        }
        self.classes.len() <= MOST_CLASSES
    }
}

/// The first that is not ASCII.
const FIRST: char = '\u{80}';

/// Whether it asks for nothing but where texts and lines begin and end.
fn is_of_lines(look: Look) -> bool {
    use Look::{End, EndCRLF, EndLF, Start, StartCRLF, StartLF};
    matches!(look, Start | End | StartLF | EndLF | StartCRLF | EndCRLF)
}

/// Which byte says what sort a character is of.
#[derive(Debug)]
pub(super) struct Alphabet {
    /// Where runs of characters of one sort begin, in order.
    runs: Box<[(char, u8)]>,
    /// One character of each sort.
    examples: Box<[(char, u8)]>,
    /// Tells it from all else of its pool.
    number: u64,
    /// How many bytes it takes, about, with what it is known by.
    weight: usize,
}

impl Alphabet {
    /// None if there are more sorts than bytes.
    pub(super) fn of(distinctions: &Distinctions, number: u64) -> Option<Alphabet> {
        let turns = turns(distinctions);
        let mut sorts = HashMap::<u64, u8>::new();
        let (mut runs, mut examples) = (Vec::with_capacity(turns.len()), Vec::new());
        let mut sort = 0;
        for (at, (start, change)) in turns.iter().enumerate() {
            sort ^= change;
            // Only what is said of a character by the last turn at its place counts.
            let is_last = turns.get(at + 1).is_none_or(|next| next.0 != *start);
            let Some(start) = char::from_u32(*start).filter(|_| is_last) else { continue };
            let is_letter = distinctions.letters.contains(&start);
            let known = sorts.get(&sort).copied().filter(|_| !is_letter);
            let byte = match known {
                Some(byte) => byte,
                None => {
                    let byte = u8::try_from(0x80 + examples.len()).ok().filter(|b| *b != NONE)?;
                    examples.push((start, byte));
                    byte
                }
            };
            if !is_letter {
                sorts.insert(sort, byte);
            }
            runs.push((start, byte));
        }
        let weight = size_of::<Alphabet>() + distinctions.weight();
        Some(Alphabet { runs: runs.into(), examples: examples.into(), number, weight })
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }

    pub(super) fn weight(&self) -> usize {
        self.weight
    }

    /// The same expression for texts that are spelled in this alphabet. Its groups keep
    /// their numbers and names.
    pub(super) fn narrowed(&self, hir: &Hir) -> Hir {
        let all = |parts: &[Hir]| parts.iter().map(|part| self.narrowed(part)).collect();
        match hir.kind() {
            HirKind::Class(Class::Unicode(class)) => Hir::class(Class::Bytes(self.class(class))),
            HirKind::Literal(literal) => Hir::literal(self.spelled(&literal.0).as_slice()),
            HirKind::Repetition(repetition) => {
                Hir::repetition(repetition.with(self.narrowed(&repetition.sub)))
            }
            HirKind::Capture(Capture { index, name, sub }) => {
                let (name, sub) = (name.clone(), Box::new(self.narrowed(sub)));
                Hir::capture(Capture { index: *index, name, sub })
            }
            HirKind::Concat(parts) => Hir::concat(all(parts)),
            HirKind::Alternation(parts) => Hir::alternation(all(parts)),
            HirKind::Class(Class::Bytes(_)) | HirKind::Look(_) | HirKind::Empty => hir.clone(),
        }
    }

    fn class(&self, class: &ClassUnicode) -> ClassBytes {
        let ascii = class.ranges().iter().take_while(|range| range.start().is_ascii());
        let byte = |c: char| u8::try_from(c).unwrap_or(0x7f).min(0x7f);
        let ascii = ascii.map(|range| ClassBytesRange::new(byte(range.start()), byte(range.end())));
        let has = |(one, _): &&(char, u8)| {
            let behind = class.ranges().partition_point(|range| range.start() <= *one);
            let range = behind.checked_sub(1).and_then(|at| class.ranges().get(at));
            range.is_some_and(|range| *one <= range.end())
        };
        let sorts = self.examples.iter().filter(has);
        ClassBytes::new(ascii.chain(sorts.map(|(_, byte)| ClassBytesRange::new(*byte, *byte))))
    }

    /// A text in this alphabet, a byte for each character.
    pub(super) fn spelled(&self, text: &[u8]) -> Spelling {
        let mut spelling = Spelling::with_capacity(text.len());
        for chunk in text.utf8_chunks() {
            let byte = |c: char| if c.is_ascii() { c as u8 } else { self.sort_of(c) };
            spelling.extend(chunk.valid().chars().map(byte));
            spelling.extend(chunk.invalid().iter().map(|_| NONE));
        }
        spelling
    }

    fn sort_of(&self, c: char) -> u8 {
        let behind = self.runs.partition_point(|run| run.0 <= c);
        behind.checked_sub(1).and_then(|at| self.runs.get(at)).map_or(NONE, |run| run.1)
    }
}

/// Where in a text that is which is there in its spelling.
pub(super) fn unspelled(text: &[u8], at: usize) -> usize {
    let chunks = text.utf8_chunks();
    let lengths = chunks.flat_map(|chunk| {
        let invalid = chunk.invalid().iter().map(|_| 1);
        chunk.valid().chars().map(char::len_utf8).chain(invalid)
    });
    lengths.take(at).sum()
}

/// Where sorts change, in order, and which classes begin or end there.
fn turns(distinctions: &Distinctions) -> Vec<(u32, u64)> {
    // Behind what is no character, what was said before it holds.
    let mut turns: Vec<(u32, u64)> = vec![(FIRST.into(), 0), (0xE000, 0)];
    for (bit, class) in distinctions.classes.iter().enumerate() {
        let ends = class.iter().flat_map(|(start, end)| [u32::from(*start), u32::from(*end) + 1]);
        turns.extend(ends.map(|end| (end, 1 << bit)));
    }
    let letters = distinctions.letters.iter().flat_map(|c| [u32::from(*c), u32::from(*c) + 1]);
    turns.extend(letters.map(|end| (end, 0)));
    turns.sort();
    turns
}
