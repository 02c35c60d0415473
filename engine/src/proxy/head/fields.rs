//! Fields as places in a head's buffer, and what their bytes may be.

use super::Known;
use smallvec::SmallVec;

/// A place in a head's buffer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span {
    pub(super) at: u32,
    pub(super) len: u32,
}

impl Span {
    /// Bytes `from..to` of the buffer. Heads are bounded far below 4 GiB by
    /// whoever reads them; a span past that is cut short rather than wrapped.
    pub(crate) fn new(from: usize, to: usize) -> Span {
        let at = u32::try_from(from).unwrap_or(u32::MAX);
        let len = u32::try_from(to.saturating_sub(from)).unwrap_or(0);
        Span { at, len }
    }

    /// The first `len` bytes of it.
    pub(crate) fn cut(self, len: usize) -> Span {
        let len = u32::try_from(len).unwrap_or(u32::MAX);
        Span { len: self.len.min(len), ..self }
    }

    /// The bytes themselves, to be changed in place.
    pub(crate) fn of_mut(self, text: &mut [u8]) -> &mut [u8] {
        let at = self.at as usize;
        text.get_mut(at..at + self.len as usize).unwrap_or_default()
    }

    pub(super) fn of(self, text: &[u8]) -> &[u8] {
        let at = self.at as usize;
        text.get(at..at + self.len as usize).unwrap_or_default()
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Field {
    pub(super) name: Spelled,
    pub(super) value: Span,
    pub(super) live: bool,
}

/// A name as it was spelled; a known one that we wrote ourselves has no span and
/// is spelled as [`Known::as_str`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Spelled {
    pub(super) known: Option<Known>,
    pub(super) span: Span,
}

/// The fields of a head while it is being read: spans, nothing else.
#[derive(Debug)]
pub(crate) struct Fields {
    pub(super) list: SmallVec<[Field; 24]>,
    /// Index of the first live field of each known name, or [`Fields::NONE`].
    pub(super) first: [u16; Known::COUNT],
}

impl Fields {
    pub(super) const NONE: u16 = u16::MAX;

    pub(crate) fn new() -> Fields {
        Fields { list: SmallVec::new(), first: [Fields::NONE; Known::COUNT] }
    }

    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }

    /// Appends a field whose name is one of the known ones, or none of them.
    pub(crate) fn push(&mut self, known: Option<Known>, name: Span, value: Span) {
        let index = u16::try_from(self.list.len()).unwrap_or(Fields::NONE);
        if let Some(first) = known.and_then(|known| self.first.get_mut(known as usize))
            && *first == Fields::NONE
        {
            *first = index;
        }
        self.list.push(Field { name: Spelled { known, span: name }, value, live: true });
    }

    pub(super) fn first(&self, known: Known) -> Option<&Field> {
        self.list.get(usize::from(*self.first.get(known as usize)?))
    }
}

/// Whether `text` is a token (RFC 9110 §5.6.2): what names and methods are made of.
pub(crate) fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|&byte| TOKEN[usize::from(byte)])
}

/// Whether `text` may stand in a field value (RFC 9110 §5.5): no control character
/// but tab.
pub(crate) fn is_field_value(text: &[u8]) -> bool {
    let (words, rest) = text.as_chunks();
    !words.iter().any(|word| may_hold_control(u64::from_ne_bytes(*word)))
        && !rest.iter().any(|&byte| is_control(byte))
        || !text.iter().any(|&byte| byte != b'\t' && is_control(byte))
}

fn is_control(byte: u8) -> bool {
    byte < b' ' || byte == 0x7f
}

/// Whether one of eight bytes is a control character. Values are short: this is less work than vectors of
/// them, and than asking byte by byte.
fn may_hold_control(word: u64) -> bool {
    const EACH: u64 = u64::MAX / 0xff;
    const HIGH: u64 = EACH * 0x80;
    // A byte below `n` borrows from its own highest bit, if it had none.
    let below = |word: u64, n: u64| word.wrapping_sub(EACH * n) & !word & HIGH;
    below(word, 0x20) | below(word ^ (EACH * 0x7f), 1) != 0
}

static TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        let c = byte as u8;
        table[byte] = c.is_ascii_alphanumeric()
            || matches!(
                c,
                b'!' | b'#'
                    | b'$'
                    | b'%'
                    | b'&'
                    | b'\''
                    | b'*'
                    | b'+'
                    | b'-'
                    | b'.'
                    | b'^'
                    | b'_'
                    | b'`'
                    | b'|'
                    | b'~'
            );
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_control_characters_may_not_stand_in_a_value() {
        for len in [1, 7, 8, 9, 20] {
            for (at, byte) in (0..len).flat_map(|at| (0..=u8::MAX).map(move |byte| (at, byte))) {
                let mut text = vec![b'a'; len];
                text[at] = byte;
                let expected = byte == b'\t' || (byte >= b' ' && byte != 0x7f);
                assert_eq!(is_field_value(&text), expected, "{byte:#x} at {at} of {len}");
            }
        }
    }
}
