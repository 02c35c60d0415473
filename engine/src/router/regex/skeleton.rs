//! What every path that an expression matches looks like, as far as a tree can tell.
//!
//! `^/users/(?<id>[^/]+)/keys$` comes to `/users/`, a mark for the run of characters that are
//! no slash, `/keys`, [`END`]: a place in the tree of paths that few other expressions share.
//! Whatever the expression matches passes there. Where marks tell all that it asks for, as
//! here, nothing else does, and there is no more to be matched.

use regex_syntax::hir::literal::Extractor;
use regex_syntax::hir::{Class, Hir, HirKind, Look};

/// The mark for the end of the path. No UTF-8 has this byte, nor any after it.
pub(in crate::router) const END: u8 = 0xf5;
/// The mark for one or more bytes up to the next `/` or the end, of which more is asked.
/// Between the two are marks for runs of one of the [`CLASSES`].
pub(super) const RUN: u8 = 0xff;

/// A walk recurses at each, so there must not be many.
const MOST_RUNS: usize = 8;

/// The sorts of characters that parameters in paths are made of, as bits of ASCII. The
/// number of one, counted from the mark behind [`END`], is its mark.
const CLASSES: [u128; 9] = [
    !characters("/"),
    !characters("/#?"), // Kong's manual has `[^#?/]+`
    DIGITS,
    DIGITS | SMALL | CAPITALS | characters("_"), // `\w`
    DIGITS | SMALL | CAPITALS | characters("_-"),
    DIGITS | SMALL | CAPITALS | characters("-"),
    DIGITS | SMALL | CAPITALS,
    DIGITS | SMALL | characters("-"),
    DIGITS | characters("abcdef-"), // a UUID
];
const DIGITS: u128 = characters("0123456789");
const SMALL: u128 = characters("abcdefghijklmnopqrstuvwxyz");
const CAPITALS: u128 = characters("ABCDEFGHIJKLMNOPQRSTUVWXYZ");

/// Which of the classes a byte is in, a bit each. A byte beyond ASCII may be part of
/// anything.
static CLASSES_OF: [u16; 256] = classes_of_bytes();

const fn characters(all: &str) -> u128 {
    let mut bits = 0;
    let mut rest = all.as_bytes();
    while let [first, others @ ..] = rest {
        bits |= 1 << *first;
        rest = others;
    }
    bits
}

const fn classes_of_bytes() -> [u16; 256] {
    let mut classes = [u16::MAX; 256];
    let mut byte = 0;
    while byte < 0x80 {
        let mut number = 0;
        while number < CLASSES.len() {
            if CLASSES[number] >> byte & 1 == 0 {
                classes[byte] &= !(1 << number);
            }
            number += 1;
        }
        byte += 1;
    }
    classes
}

const _: () = assert!(END as usize + 1 + CLASSES.len() == RUN as usize, "each has a mark");

/// Whether a byte stands for something else.
#[inline]
pub(in crate::router) fn is_mark(byte: u8) -> bool {
    byte >= END
}

/// What follows in a path behind what some bytes, with marks among them, stand for.
#[inline]
pub(in crate::router) fn after_marks<'p>(bones: &[u8], path: &'p [u8]) -> Option<&'p [u8]> {
    let mut rest = path;
    for bone in bones {
        if *bone == END {
            return rest.is_empty().then_some(rest);
        }
        rest = if is_mark(*bone) { after_run(*bone, rest)? } else { after_byte(*bone, rest)? };
    }
    Some(rest)
}

#[inline]
fn after_byte(byte: u8, path: &[u8]) -> Option<&[u8]> {
    path.split_first().filter(|(first, _)| **first == byte).map(|(_, rest)| rest)
}

#[inline]
fn after_run(mark: u8, path: &[u8]) -> Option<&[u8]> {
    let mut classes = u16::MAX;
    let mut len = 0;
    for byte in path.iter().take_while(|byte| **byte != b'/') {
        classes &= CLASSES_OF[usize::from(*byte)];
        len += 1;
    }
    // The mark of all else is behind those of the classes, where every byte has a bit.
    let is_of_class = classes >> (mark - END - 1) & 1 == 1;
    path.get(len..).filter(|_| len > 0 && is_of_class)
}

/// What there is of an expression in a tree of paths.
#[derive(Debug)]
pub(super) struct Skeleton {
    /// The bytes, marks among them, that stand for all paths it matches. Empty if a match may
    /// start elsewhere than the text does, as in `^/a|/b`.
    pub(super) bones: Box<[u8]>,
    /// Whether every path that is ASCII and passes there matches.
    pub(super) is_complete: bool,
}

impl Skeleton {
    pub(super) fn of(hir: &Hir) -> Skeleton {
        let mut parts = Vec::new();
        flatten(hir, &mut parts);
        let is_anchored =
            matches!(parts.first(), Some(Part::Other(first)) if is_look(first, Look::Start));
        if is_anchored {
            return bones(parts.get(1..).unwrap_or_default());
        }
        let is_anchored = hir.properties().look_set_prefix().contains(Look::Start);
        let bones = if is_anchored { literal_prefix(hir).into() } else { Box::default() };
        Skeleton { bones, is_complete: false }
    }
}

/// A step of a concatenation.
#[derive(Clone, Copy)]
enum Part<'h> {
    Byte(u8),
    Other(&'h Hir),
}

/// Takes concatenations and groups apart, however deep.
fn flatten<'h>(hir: &'h Hir, parts: &mut Vec<Part<'h>>) {
    match hir.kind() {
        HirKind::Literal(literal) => parts.extend(literal.0.iter().copied().map(Part::Byte)),
        HirKind::Capture(capture) => flatten(&capture.sub, parts),
        HirKind::Concat(all) => all.iter().for_each(|part| flatten(part, parts)),
        _ => parts.push(Part::Other(hir)),
    }
}

fn bones(mut parts: &[Part<'_>]) -> Skeleton {
    let mut bones = Vec::new();
    let mut runs = 0;
    let mut is_complete = true;
    while let Some((first, rest)) = parts.split_first() {
        match first {
            Part::Byte(byte) if is_mark(*byte) => break,
            Part::Byte(byte) => bones.push(*byte),
            Part::Other(hir) if is_look(hir, Look::End) => {
                bones.push(END);
                parts = rest;
                break;
            }
            Part::Other(hir) if matches!(hir.kind(), HirKind::Look(_) | HirKind::Empty) => {
                is_complete = false;
            }
            Part::Other(hir) => {
                let Some(after) = run(parts).filter(|_| runs < MOST_RUNS) else {
                    bones.extend(literal_prefix(hir));
                    break;
                };
                let is_alone = after.len() == rest.len();
                let mark = class_of_run(hir).filter(|_| is_alone).map_or(RUN, mark_of);
                is_complete &= mark != RUN;
                bones.push(mark);
                runs += 1;
                parts = after;
                continue;
            }
        }
        parts = rest;
    }
    is_complete &= parts.is_empty();
    // The root of a tree has no mark before it.
    if bones.first().is_some_and(|first| is_mark(*first)) {
        return Skeleton { bones: Box::default(), is_complete: false };
    }
    Skeleton { bones: bones.into(), is_complete }
}

/// The characters of ASCII of which there may be one or more; none if `/` is among them.
fn class_of_run(hir: &Hir) -> Option<u128> {
    let HirKind::Repetition(repetition) = hir.kind() else { return None };
    if repetition.min != 1 || repetition.max.is_some() {
        return None;
    }
    let HirKind::Class(class) = repetition.sub.kind() else { return None };
    let ranges: Vec<(u32, u32)> = match class {
        Class::Unicode(class) => {
            class.ranges().iter().map(|range| (range.start().into(), range.end().into())).collect()
        }
        Class::Bytes(class) => {
            class.ranges().iter().map(|range| (range.start().into(), range.end().into())).collect()
        }
    };
    let has = |byte: u32| ranges.iter().any(|(start, end)| (*start..=*end).contains(&byte));
    let all = (0..0x80).filter(|byte| has(*byte)).fold(0, |all, byte| all | 1u128 << byte);
    (!has(u32::from(b'/'))).then_some(all)
}

/// The mark of a run of these characters.
fn mark_of(class: u128) -> u8 {
    let number = CLASSES.iter().position(|known| *known == class);
    number.map_or(RUN, |number| END + 1 + number as u8)
}

/// What follows if the parts start with something that fills the rest of a segment of the
/// path, whatever it is.
fn run<'p, 'h>(parts: &'p [Part<'h>]) -> Option<&'p [Part<'h>]> {
    let mut least = 0;
    for (at, part) in parts.iter().enumerate() {
        match part {
            Part::Byte(b'/') => return (least > 0).then(|| &parts[at..]),
            Part::Byte(_) => least += 1,
            Part::Other(hir) if is_look(hir, Look::End) => {
                return (least > 0).then(|| &parts[at..]);
            }
            Part::Other(hir) if may_have_slash(hir) => return None,
            Part::Other(hir) => least += hir.properties().minimum_len().unwrap_or(0),
        }
    }
    None
}

fn may_have_slash(hir: &Hir) -> bool {
    match hir.kind() {
        HirKind::Literal(literal) => literal.0.contains(&b'/'),
        HirKind::Class(Class::Unicode(class)) => {
            class.ranges().iter().any(|range| (range.start()..=range.end()).contains(&'/'))
        }
        HirKind::Class(Class::Bytes(class)) => {
            class.ranges().iter().any(|range| (range.start()..=range.end()).contains(&b'/'))
        }
        HirKind::Repetition(repetition) => may_have_slash(&repetition.sub),
        HirKind::Capture(capture) => may_have_slash(&capture.sub),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => parts.iter().any(may_have_slash),
        HirKind::Look(_) | HirKind::Empty => false,
    }
}

fn is_look(hir: &Hir, expected: Look) -> bool {
    matches!(hir.kind(), HirKind::Look(look) if *look == expected)
}

/// The bytes that all matches start with, as far as they are text.
fn literal_prefix(hir: &Hir) -> Vec<u8> {
    let literals = Extractor::new().extract(hir);
    let prefix = literals.longest_common_prefix().unwrap_or_default();
    prefix.iter().copied().take_while(|byte| !is_mark(*byte)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::router::regex::{Kind, build};
    use proptest::prelude::*;

    #[test]
    fn literals_are_kept_up_to_what_varies() {
        check("/a/b", "/a/b");
        check("/a/(?:bc|bd)", "/a/b");
        check("/a?b", "/");
        check("(?:/ab|/ac)$", "/a");
        check("/a(?<n>b)c", "/abc");
        check("", "");
        check("/a.*b", "/a");
        check(r"/a\bc", "/ac");
    }

    #[test]
    fn a_segment_that_varies_is_a_run() {
        check(r"/a/(\d+)/c", "/a/+/c");
        check("/a/(?<id>[^/]+)/(?<key>[^#?/]+)$", "/a/+/+$");
        check("/v[0-9]+/c", "/v+/c");
        check(r"/a-(\d+)\.json$", "/a-+$");
        check("(?i)/a/b/c", "/+/+/");
        check("/(a|b)/c", "/+/c");
        check("/(a|bc)x", "/");
        check("/[a-z]{2,3}$", "/+$");
        check(&"/[^/]+".repeat(20), &("/+".repeat(8) + "/"));
    }

    #[test]
    fn a_run_is_not_empty_and_has_no_slash() {
        check("/a/[^/]*/c", "/a/");
        check("/a/([^/]+)?/c", "/a/");
        check("/a/[^x]+/c", "/a/");
        check(r"/a/\S+$", "/a/");
        check("/a/(?:[^/]+/)?c", "/a/");
        check("/a/[^/]+", "/a/");
    }

    #[test]
    fn what_may_start_elsewhere_has_none() {
        check("/a|/b", "");
        check("[^/]+/a", "");
        check("$", "");
    }

    #[test]
    fn an_alternative_may_be_anchored_by_itself() {
        check("/a|^/ab", "/a");
    }

    #[test]
    fn bytes_that_are_no_text_are_left_out() {
        check(r"/a(?-u:\xff)b", "/a");
        check(r"/a(?-u:[\xfe])b", "/a");
    }

    #[track_caller]
    fn check(expression: &str, expected: &str) {
        let mut parser = regex_syntax::ParserBuilder::new().utf8(false).build();
        let hir = parser.parse(&format!("^{expression}")).expect("an expression");
        let marks = |byte: &u8| match *byte {
            END => '$',
            byte if is_mark(byte) => '+',
            byte => char::from(byte),
        };
        let found: String = Skeleton::of(&hir).bones.iter().map(marks).collect();
        assert_eq!(found, expected, "{expression}");
    }

    #[test]
    fn common_parameters_are_spelled_out() {
        for source in [
            "/a",
            "/users/(?<id>[^/]+)/keys$",
            "/(?<owner>[^#?/]+)/(?<repo>[^#?/]+)$",
            r"/v\d+/\w+/[\w-]+/x",
            "/a/[0-9a-f-]+/[a-z0-9-]+$",
            "/[A-Za-z0-9]+/[A-Za-z0-9-]+/",
        ] {
            assert!(skeleton_of(source).is_complete, "{source}");
        }
        let many = "/[^/]+".repeat(9) + "/";
        for source in ["/[^.]+$", "/[x-z]+/a", "/a|/b", "/a.*", "[^/]+/a", &many] {
            assert!(!skeleton_of(source).is_complete, "{source}");
        }
    }

    fn skeleton_of(source: &str) -> Skeleton {
        let hir = Kind::Path.parse(source).expect("an expression");
        Skeleton::of(&hir)
    }

    fn sources() -> impl Strategy<Value = String> {
        let piece = prop::sample::select(vec![
            "/",
            "/a",
            "x",
            "é",
            "(b)",
            "[^/]+",
            "[^#?/]+",
            r"\d+",
            r"(\w+)",
            r"[\w-]+",
            "[a-z0-9-]+",
            "[^/]*",
            "[a-c]+",
            "(?:a|/)",
            "[0-9]{2}",
        ]);
        let end = prop::sample::select(vec!["", "$"]);
        (prop::collection::vec(piece, 0..7), end).prop_map(|(all, end)| all.concat() + end)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(3_000))]

        /// A walk in a tree does the same as [`after_marks`].
        #[test]
        fn what_matches_passes_and_a_complete_one_is_all(
            source in sources(),
            texts in prop::collection::vec("(/|a|b|x|1|2|#|_|-|é|٣){0,9}", 20),
        ) {
            let skeleton = skeleton_of(&source);
            let hir = Kind::Path.parse(&source).expect("an expression");
            let engine = build(&hir, 10 << 20).expect("small");
            for text in texts {
                let expected = engine.find(text.as_bytes()).map(|found| found.len());
                let passed = after_marks(&skeleton.bones, text.as_bytes());
                let passed = passed.map(|rest| text.len() - rest.len());
                if skeleton.is_complete && text.is_ascii() {
                    prop_assert_eq!(passed, expected, "{}: {}", source, text);
                } else if expected.is_some() {
                    prop_assert!(passed.is_some(), "{}: {}", source, text);
                }
            }
        }
    }
}
