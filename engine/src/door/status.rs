//! Knows what a lane answers from the bytes it writes.
//!
//! Lanes write responses as they like, whole or in pieces, interim ones before the
//! final one; the connection must know when it has been promised to another protocol.

/// Finds the status of the final response in what a lane writes, past any interim ones.
#[derive(Debug, Default)]
pub(super) struct StatusWatch {
    state: Watch,
}

#[derive(Debug)]
enum Watch {
    /// So much of a status line, up to the status.
    Line {
        seen: [u8; StatusWatch::LINE],
        len: usize,
    },
    /// Inside an interim response: so much of the blank line that ends it.
    Interim {
        ending: usize,
    },
    Final,
}

impl Default for Watch {
    fn default() -> Watch {
        Watch::Line { seen: [0; StatusWatch::LINE], len: 0 }
    }
}

impl StatusWatch {
    /// `HTTP/1.1 101`
    const LINE: usize = 12;
    const BLANK: &[u8] = b"\r\n\r\n";

    /// Whether nothing has been written yet.
    pub(super) fn is_untouched(&self) -> bool {
        matches!(self.state, Watch::Line { len: 0, .. })
    }

    /// What was written last is the final response's head: nobody needs to find it.
    pub(super) fn note_final(&mut self) {
        self.state = Watch::Final;
    }

    /// Takes what was written next. Says the status when it becomes known.
    pub(super) fn saw(&mut self, bytes: &[u8]) -> Option<u16> {
        if matches!(self.state, Watch::Final) {
            return None;
        }
        bytes.iter().find_map(|&byte| self.step(byte))
    }

    fn step(&mut self, byte: u8) -> Option<u16> {
        match &mut self.state {
            Watch::Line { seen, len } => {
                *seen.get_mut(*len)? = byte;
                *len += 1;
                if *len < StatusWatch::LINE {
                    return None;
                }
                let digits = std::str::from_utf8(seen.get(9..)?).ok()?;
                let status = digits.parse().unwrap_or(0);
                self.state = match status {
                    100 | 102..200 => Watch::Interim { ending: 0 },
                    _ => Watch::Final,
                };
                matches!(self.state, Watch::Final).then_some(status)
            }
            Watch::Interim { ending } => {
                let expected = StatusWatch::BLANK.get(*ending).copied();
                *ending = match byte {
                    _ if Some(byte) == expected => *ending + 1,
                    b'\r' => 1,
                    _ => 0,
                };
                if *ending == StatusWatch::BLANK.len() {
                    self.state = Watch::default();
                }
                None
            }
            Watch::Final => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn final_status(written: &[u8], expected: Option<u16>) {
        for step in [written.len(), 1, 5] {
            let mut watch = StatusWatch::default();
            let found: Vec<u16> =
                written.chunks(step).filter_map(|piece| watch.saw(piece)).collect();
            assert_eq!(found, Vec::from_iter(expected), "{step} at a time");
        }
    }

    #[test]
    fn the_final_status_is_found_past_interim_ones() {
        final_status(b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 101 ", Some(200));
        final_status(b"HTTP/1.1 101 Switching Protocols\r\n\r\n", Some(101));
        let interim = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nLink: x\r\n\r\n";
        final_status(format!("{interim}HTTP/1.1 404 Not").as_bytes(), Some(404));
        final_status(format!("{interim}HTTP/1.1 101 Yes").as_bytes(), Some(101));
        final_status(interim.as_bytes(), None);
        final_status(b"HTTP/1.1 103 Hints\r\nX: HTTP/1.1 101 \r\n", None);
        final_status(b"nonsense of some length", Some(0));
    }
}
