//! A text that a regular expression matches, made up from its first alternatives.
//!
//! What comes out is a guess that is tried before it is believed: what an expression asks of
//! the surroundings, such as a boundary of words, is not looked at.

use regex_syntax::hir::{Class, Hir, HirKind};

/// No text is longer, however often a part is to be repeated.
const LONGEST: usize = 1000;

/// A text that this expression may match; none if it is none or would be long.
pub(super) fn sample(source: &str) -> Option<String> {
    let hir = regex_syntax::parse(source).ok()?;
    let mut text = Vec::new();
    write(&hir, &mut text)?;
    String::from_utf8(text).ok()
}

fn write(hir: &Hir, text: &mut Vec<u8>) -> Option<()> {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => {}
        HirKind::Literal(literal) => text.extend_from_slice(&literal.0),
        HirKind::Class(class) => {
            text.extend_from_slice(one_of(class)?.encode_utf8(&mut [0; 4]).as_bytes());
        }
        HirKind::Repetition(repetition) => {
            for _ in 0..repetition.min {
                write(&repetition.sub, text)?;
            }
        }
        HirKind::Capture(capture) => write(&capture.sub, text)?,
        HirKind::Concat(parts) => parts.iter().try_for_each(|part| write(part, text))?,
        HirKind::Alternation(parts) => write(parts.first()?, text)?,
    }
    (text.len() <= LONGEST).then_some(())
}

/// A character of a class, one that is found in paths if possible.
fn one_of(class: &Class) -> Option<char> {
    let ranges: Vec<(char, char)> = match class {
        Class::Unicode(class) => {
            class.ranges().iter().map(|range| (range.start(), range.end())).collect()
        }
        Class::Bytes(class) => {
            class.ranges().iter().map(|range| (range.start().into(), range.end().into())).collect()
        }
    };
    let is_in = |c: &char| ranges.iter().any(|(start, end)| (start..=end).contains(&c));
    let usual = ('a'..='z').chain('0'..='9').chain('A'..='Z').chain("-_./".chars());
    usual.into_iter().find(is_in).or_else(|| ranges.first().map(|range| range.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_match() {
        for source in
            [r"/a/\d+", "/(?<id>[^/]+)/x", r"/\w{3}$", "/a?(b|c)+", "/.*", "/[é]", "^v[0-9]"]
        {
            let text = sample(source).expect("a text");
            let regex = regex::Regex::new(&format!("^(?:{source})")).expect("an expression");
            assert!(regex.is_match(&text), "{source} {text}");
        }
        assert_eq!(sample("/a{2000}"), None);
        assert_eq!(sample("/("), None);
    }
}
