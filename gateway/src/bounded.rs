//! Files that an operator names and that are read whole: up to a bound, so that a slip such as
//! `-c /dev/zero` is an error and not the end of the machine's memory.
//!
//! What is read need not be a file: a pipe, as a shell's `<(…)` or `/dev/stdin`, is as good.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// A configuration file. Certificates may be written into it; a thousand of them fit.
pub const SETTINGS: u64 = 4 << 20;

/// A certificate, a chain of them, or a key.
pub const PEM: u64 = 1 << 20;

/// Who may use the Admin API, a line each.
pub const TOKENS: u64 = 1 << 20;

/// The body of an error.
pub const TEMPLATE: u64 = 1 << 20;

/// What a process was started with: a configuration file and an environment, as JSON.
pub const SAVED: u64 = 32 << 20;

/// A declarative configuration: some 500,000 routes.
pub const DOCUMENT: u64 = 256 << 20;

/// The text at `path`, unless it is more than `most` bytes.
pub fn read(path: &Path, most: u64) -> io::Result<String> {
    let bytes = read_from(File::open(path)?, most)?;
    String::from_utf8(bytes)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.utf8_error()))
}

/// All there is to read, unless it is more than `most` bytes.
pub fn read_from(source: impl Read, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    source.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        let what = format!("it does not end within {} MiB", most >> 20);
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, what));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_file_is_read_up_to_the_bound_and_not_beyond() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        fs::write(&path, "1234").unwrap();
        assert_eq!(read(&path, 4).unwrap(), "1234");
        assert_eq!(read(&path, 3).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
    }

    #[test]
    fn what_never_ends_is_an_error() {
        let error = read(Path::new("/dev/zero"), SETTINGS).unwrap_err();
        assert_eq!(error.to_string(), "it does not end within 4 MiB");
    }

    #[test]
    fn what_is_no_text_is_an_error() {
        let error = read(Path::new("/dev/urandom"), PEM).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge, "its length is met first");
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        fs::write(&path, b"a\xff").unwrap();
        assert_eq!(read(&path, PEM).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
