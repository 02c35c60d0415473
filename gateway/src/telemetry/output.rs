//! Where lines end up, whole or not at all.
//!
//! What is handed over is written at once, so that it is known which lines were; half a line that a
//! full disk left behind is ended before the next. A line stays a line: control characters are escaped.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::options::Destination;

/// A log file that cannot be written to.
#[derive(Debug, thiserror::Error)]
#[error("could not open the log file {}", .path.display())]
pub struct OpenError {
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// An open destination.
pub(super) struct Output {
    to: Box<dyn Write + Send>,
    /// Where to open it again.
    path: Option<PathBuf>,
    /// It ends with half a line.
    is_torn: bool,
}

impl Output {
    pub(super) fn open(destination: &Destination) -> Result<Self, OpenError> {
        let (file, path) = match destination {
            Destination::Off | Destination::Stdout => (own(io::stdout()), "/dev/stdout".as_ref()),
            Destination::Stderr => (own(io::stderr()), "/dev/stderr".as_ref()),
            Destination::File(path) => (append(path), path.as_path()),
        };
        let file = file.map_err(|source| OpenError { path: path.to_owned(), source })?;
        let path = matches!(destination, Destination::File(_)).then(|| path.to_owned());
        Ok(Self { to: Box::new(file), path, is_torn: false })
    }

    /// Opens a file anew by its path. One that cannot be opened again goes on where it was.
    pub(super) fn reopen(&mut self) {
        if let Some(Ok(file)) = self.path.as_deref().map(append) {
            self.to = Box::new(file); // `is_torn` stays: it may be the same file
        }
    }

    /// Writes these lines, up to the first that is not taken. Says how many were.
    pub(super) fn write(&mut self, lines: &[String]) -> usize {
        let mut text = String::new();
        if self.is_torn {
            text.push('\n');
        }
        let end = |line: &String| {
            escape(line, &mut text);
            text.len()
        };
        let ends: Vec<usize> = lines.iter().map(end).collect();
        let written = self.push(text.as_bytes());
        if let Some(last) = text.as_bytes()[..written].last() {
            self.is_torn = *last != b'\n';
        }
        ends.partition_point(|&end| end <= written)
    }

    /// How many of these bytes were taken.
    fn push(&mut self, bytes: &[u8]) -> usize {
        let mut written = 0;
        while written < bytes.len() {
            match self.to.write(&bytes[written..]) {
                Ok(0) => break,
                Ok(count) => written += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        written
    }
}

/// A descriptor of our own, without what the standard library gathers before it writes.
fn own(stream: impl AsFd) -> io::Result<File> {
    stream.as_fd().try_clone_to_owned().map(File::from)
}

fn append(path: &Path) -> io::Result<File> {
    File::options().create(true).append(true).mode(0o640).open(path)
}

/// Adds the line with its end, and with nothing in it that could pass for another line or for a
/// terminal's orders.
fn escape(line: &str, safe: &mut String) {
    for c in line.trim_end_matches('\n').chars() {
        match c {
            '\n' => safe.push_str("\\n"),
            '\t' => safe.push('\t'),
            c if c.is_control() => drop(write!(safe, "\\x{:02x}", u32::from(c))),
            c => safe.push(c),
        }
    }
    safe.push('\n');
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// A disk with so many bytes left.
    #[derive(Clone)]
    pub(in super::super) struct Disk(Arc<Mutex<(String, usize)>>);

    impl Disk {
        pub(in super::super) fn with_room_for(bytes: usize) -> Self {
            Self(Arc::new(Mutex::new((String::new(), bytes))))
        }

        pub(in super::super) fn make_room(&self, bytes: usize) {
            self.0.lock().unwrap().1 += bytes;
        }

        pub(in super::super) fn text(&self) -> String {
            self.0.lock().unwrap().0.clone()
        }

        pub(in super::super) fn output(&self) -> Output {
            Output { to: Box::new(self.clone()), path: None, is_torn: false }
        }
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let (text, room) = &mut *self.0.lock().unwrap();
            let count = bytes.len().min(*room);
            if count == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            *room -= count;
            text.push_str(std::str::from_utf8(&bytes[..count]).unwrap());
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn lines(lines: &[&str]) -> Vec<String> {
        lines.iter().map(|&line| line.to_owned()).collect()
    }

    #[test]
    fn a_line_stays_a_line() {
        for (line, written) in [
            ("a\nb\n", "a\\nb\n"),
            ("\u{1b}[31mred", "\\x1b[31mred\n"),
            ("tab\tok", "tab\tok\n"),
            ("ü", "ü\n"),
        ] {
            let mut safe = String::new();
            escape(line, &mut safe);
            assert_eq!(safe, written);
        }
    }

    #[test]
    fn half_a_line_is_ended_before_the_next() {
        let disk = Disk::with_room_for(9);
        let mut output = disk.output();
        assert_eq!(output.write(&lines(&["one", "twenty-two", "lost"])), 1);
        assert_eq!(output.write(&lines(&["lost, too"])), 0);
        disk.make_room(1); // which ends the half
        assert_eq!(output.write(&lines(&["lost again"])), 0);
        disk.make_room(100);
        assert_eq!(output.write(&lines(&["three", "four"])), 2);
        assert_eq!(disk.text(), "one\ntwent\nthree\nfour\n");
    }

    #[test]
    fn a_line_without_its_end_is_not_written() {
        let disk = Disk::with_room_for(3);
        let mut output = disk.output();
        assert_eq!(output.write(&lines(&["one"])), 0);
        disk.make_room(100);
        assert_eq!(output.write(&lines(&["two"])), 1);
        assert_eq!(disk.text(), "one\ntwo\n");
    }

    #[test]
    fn a_file_that_cannot_be_opened_is_named() {
        let destination = Destination::File("/no/such/dir/x.log".into());
        let error = Output::open(&destination).err().unwrap();
        assert_eq!(error.to_string(), "could not open the log file /no/such/dir/x.log");
    }
}
