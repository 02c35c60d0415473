//! What an expression comes to in texts that are ASCII.
//!
//! `\w` is some 140,000 letters of all scripts; in a text that has no others it is the 63 of
//! ASCII. The narrowed expression matches the same there, and takes kilobytes where the
//! whole takes most of a megabyte.

use regex_syntax::hir::{Capture, Class, ClassUnicode, ClassUnicodeRange, Hir, HirKind, Look};

/// The same expression as far as ASCII goes. Its groups keep their numbers and names.
pub(super) fn narrowed(hir: &Hir) -> Hir {
    let all = |parts: &[Hir]| parts.iter().map(narrowed).collect();
    match hir.kind() {
        HirKind::Class(Class::Unicode(class)) => {
            let mut class = class.clone();
            class.intersect(&ClassUnicode::new([ClassUnicodeRange::new('\0', '\x7f')]));
            Hir::class(Class::Unicode(class))
        }
        HirKind::Look(look) => Hir::look(narrowed_look(*look)),
        HirKind::Repetition(repetition) => {
            Hir::repetition(repetition.with(narrowed(&repetition.sub)))
        }
        HirKind::Capture(Capture { index, name, sub }) => {
            let (name, sub) = (name.clone(), Box::new(narrowed(sub)));
            Hir::capture(Capture { index: *index, name, sub })
        }
        HirKind::Concat(parts) => Hir::concat(all(parts)),
        HirKind::Alternation(parts) => Hir::alternation(all(parts)),
        HirKind::Class(Class::Bytes(_)) | HirKind::Literal(_) | HirKind::Empty => hir.clone(),
    }
}

fn narrowed_look(look: Look) -> Look {
    match look {
        Look::WordUnicode => Look::WordAscii,
        Look::WordUnicodeNegate => Look::WordAsciiNegate,
        Look::WordStartUnicode => Look::WordStartAscii,
        Look::WordEndUnicode => Look::WordEndAscii,
        Look::WordStartHalfUnicode => Look::WordStartHalfAscii,
        Look::WordEndHalfUnicode => Look::WordEndHalfAscii,
        other => other,
    }
}

/// About how many bytes the whole expression takes once compiled.
pub(super) fn weight(hir: &Hir) -> usize {
    /// What a range of characters takes: some bytes in some order.
    const RANGE: usize = 100;
    let all = |parts: &[Hir]| parts.iter().map(weight).fold(0, usize::saturating_add);
    match hir.kind() {
        HirKind::Class(Class::Unicode(class)) => class.ranges().len() * RANGE,
        HirKind::Class(Class::Bytes(class)) => class.ranges().len() * RANGE,
        HirKind::Literal(literal) => literal.0.len() * RANGE,
        HirKind::Repetition(repetition) => {
            let times = repetition.max.unwrap_or(repetition.min).max(1);
            weight(&repetition.sub).saturating_mul(times as usize)
        }
        HirKind::Capture(capture) => weight(&capture.sub),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => all(parts),
        HirKind::Look(_) | HirKind::Empty => 0,
    }
}
