//! A path under way, any 16 bytes of which are looked at in one go, also those at its end.

/// A text, and its end once more.
#[derive(Clone, Copy, Debug)]
pub(super) struct Text<'p> {
    bytes: &'p [u8],
    /// Its last 16 bytes; behind zeros if it has less.
    end: u128,
}

impl<'p> Text<'p> {
    pub(super) fn new(bytes: &'p [u8]) -> Text<'p> {
        let end = bytes.last_chunk::<16>().copied().unwrap_or_else(|| {
            let mut end = [0; 16];
            end.iter_mut().rev().zip(bytes.iter().rev()).for_each(|(to, byte)| *to = *byte);
            end
        });
        Text { bytes, end: u128::from_le_bytes(end) }
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn byte(&self, at: usize) -> Option<u8> {
        self.bytes.get(at).copied()
    }

    /// What is left behind a place.
    pub(super) fn after(&self, at: usize) -> &'p [u8] {
        self.bytes.get(at..).unwrap_or_default()
    }

    /// The next 16 bytes, with zeros for those behind the end.
    #[inline]
    pub(super) fn word(&self, at: usize) -> u128 {
        let rest = self.after(at);
        match rest.first_chunk::<16>() {
            Some(word) => u128::from_le_bytes(*word),
            None => self.end.checked_shr(8 * (16 - rest.len() as u32)).unwrap_or(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_16_bytes_are_what_is_there() {
        for len in 0..40 {
            let bytes: Vec<u8> = (1..=len).collect();
            let text = Text::new(&bytes);
            for at in 0..=bytes.len() {
                let mut expected = [0; 16];
                let rest = &bytes[at..];
                let shown = rest.len().min(16);
                expected[..shown].copy_from_slice(&rest[..shown]);
                assert_eq!(text.word(at).to_le_bytes(), expected, "{len} {at}");
            }
        }
    }
}
