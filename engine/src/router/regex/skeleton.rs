//! What every path that an expression matches looks like, as far as a tree can tell.
//!
//! `^/users/(?<id>[^/]+)/keys$` comes to `/users/`, [`RUN`], `/keys`, [`END`]: a place in the
//! tree of paths that few other expressions share. Whatever the expression matches passes
//! there; what passes there is still to be matched.

use regex_syntax::hir::literal::Extractor;
use regex_syntax::hir::{Class, Hir, HirKind, Look};

/// Stands for one or more bytes up to the next `/` or the end. No UTF-8 has this byte.
pub(in crate::router) const RUN: u8 = 0xff;
/// Stands for the end of the path. Nor this.
pub(in crate::router) const END: u8 = 0xfe;

/// A walk recurses at each, so there must not be many.
const MOST_RUNS: usize = 8;

/// Whether a byte stands for something else.
#[inline]
pub(in crate::router) fn is_mark(byte: u8) -> bool {
    byte >= END
}

/// The skeleton of an expression. Empty if a match may start elsewhere than the text
/// does, as in `^/a|/b`.
pub(super) fn skeleton(hir: &Hir) -> Box<[u8]> {
    let mut parts = Vec::new();
    flatten(hir, &mut parts);
    let is_anchored =
        matches!(parts.first(), Some(Part::Other(first)) if is_look(first, Look::Start));
    if is_anchored {
        return bones(parts.get(1..).unwrap_or_default()).into();
    }
    if hir.properties().look_set_prefix().contains(Look::Start) {
        return literal_prefix(hir).into();
    }
    Box::default()
}

/// A step of a concatenation.
#[derive(Clone, Copy)]
pub(super) enum Part<'h> {
    Byte(u8),
    Other(&'h Hir),
}

/// Takes concatenations and groups apart, however deep.
pub(super) fn flatten<'h>(hir: &'h Hir, parts: &mut Vec<Part<'h>>) {
    match hir.kind() {
        HirKind::Literal(literal) => parts.extend(literal.0.iter().copied().map(Part::Byte)),
        HirKind::Capture(capture) => flatten(&capture.sub, parts),
        HirKind::Concat(all) => all.iter().for_each(|part| flatten(part, parts)),
        _ => parts.push(Part::Other(hir)),
    }
}

fn bones(mut parts: &[Part<'_>]) -> Vec<u8> {
    let mut bones = Vec::new();
    let mut runs = 0;
    while let Some((first, rest)) = parts.split_first() {
        match first {
            Part::Byte(byte) if is_mark(*byte) => break,
            Part::Byte(byte) => bones.push(*byte),
            Part::Other(hir) if is_look(hir, Look::End) => {
                bones.push(END);
                break;
            }
            Part::Other(hir) if matches!(hir.kind(), HirKind::Look(_) | HirKind::Empty) => {}
            Part::Other(hir) => {
                let Some(after) = run(parts).filter(|_| runs < MOST_RUNS) else {
                    bones.extend(literal_prefix(hir));
                    break;
                };
                bones.push(RUN);
                runs += 1;
                parts = after;
                continue;
            }
        }
        parts = rest;
    }
    // The root of a tree has no mark before it.
    if bones.first().is_some_and(|first| is_mark(*first)) { Vec::new() } else { bones }
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

pub(super) fn is_look(hir: &Hir, expected: Look) -> bool {
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
            RUN => '+',
            END => '$',
            byte => char::from(byte),
        };
        let found: String = skeleton(&hir).iter().map(marks).collect();
        assert_eq!(found, expected, "{expression}");
    }
}
