//! Small files of a node's own, read whole: plain files only, up to a bound.
//!
//! A pipe or a device under such a name is a slip, or a trap. It is an error at once, neither a start
//! that waits for ever nor one that takes all memory.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;

/// The content of the plain file at `path`, or behind that link, unless it is more than `most` bytes.
pub fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    // Without waiting for anybody to write to it, if it is a pipe.
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits() as i32;
    let file = File::options().read(true).custom_flags(flags).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a plain file"));
    }
    let mut bytes = Vec::new();
    file.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        let what = format!("it is longer than {most} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, what));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;

    #[test]
    fn plain_files_are_read_up_to_the_bound() {
        let dir = tempfile::tempdir().expect("has a place");
        let (file, link) = (dir.path().join("file"), dir.path().join("link"));
        fs::write(&file, "1234").expect("writes");
        symlink(&file, &link).expect("links");
        assert_eq!(read(&file, 4).expect("reads"), b"1234");
        assert_eq!(read(&link, 4).expect("reads"), b"1234");
        assert_eq!(read(&file, 3).expect_err("is longer").kind(), io::ErrorKind::FileTooLarge);
        let missing = read(&dir.path().join("missing"), 4).expect_err("is not there");
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn what_is_no_plain_file_is_not_read_at_all() {
        let dir = tempfile::tempdir().expect("has a place");
        let pipe = dir.path().join("pipe");
        mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("makes a pipe");
        for path in [pipe.as_path(), dir.path(), Path::new("/dev/zero")] {
            let error = read(path, 4).expect_err("is no plain file");
            assert_eq!(error.to_string(), "it is not a plain file", "{}", path.display());
        }
    }
}
