//! Whether what a start would make and open can be made and opened, found out without doing it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access, statfs};

use super::log::{Destination, Logs};
use super::reader::Reader;

/// File systems in which nobody makes files, though their directories look as if the superuser could:
/// procfs and sysfs, by the numbers of statfs(2).
const UNWRITABLE: [u64; 2] = [0x9fa0, 0x6265_6572];

/// Why something would fail.
#[derive(Debug)]
enum Obstacle {
    /// Whoever starts it.
    Always(String),
    /// If it is started by whoever asks now.
    ForThisUser(String),
}

impl Reader<'_> {
    /// Notes what would keep a start from making its directory and its logs.
    pub(super) fn check_places(&mut self, prefix: &Path, logs: &Logs) {
        self.note("prefix", can_make(prefix));
        for (name, destination) in logs.by_property() {
            if let Destination::File(path) = destination {
                self.note(name, can_append(path, prefix));
            }
        }
    }

    /// Notes what would keep long bodies from being kept, where it is not known of the prefix already.
    pub(super) fn check_body_directory(&mut self, prefix: &Path, directory: &Path) {
        if !directory.starts_with(prefix) {
            self.note("nginx_http_client_body_temp_path", can_make(directory));
        }
    }

    fn note(&mut self, name: &str, found: Result<(), Obstacle>) {
        match found {
            Ok(()) => {}
            Err(Obstacle::Always(what)) => self.wrong(name, what),
            Err(Obstacle::ForThisUser(what)) => self.warn(format!("{name}: {what}")),
        }
    }
}

/// Whether the directory is there to be written in, or could be made.
fn can_make(directory: &Path) -> Result<(), Obstacle> {
    let mut nearest = directory;
    while matches!(fs::symlink_metadata(nearest), Err(error) if error.kind() == io::ErrorKind::NotFound)
    {
        nearest = nearest.parent().unwrap_or(Path::new("/"));
    }
    can_write_in(nearest)
}

/// Whether the file is there to be written to, or could be made. A start makes directories in the prefix.
fn can_append(file: &Path, prefix: &Path) -> Result<(), Obstacle> {
    match fs::metadata(file) {
        Ok(there) if there.is_dir() => {
            Err(Obstacle::Always(format!("{} is a directory", file.display())))
        }
        Ok(_) => may(file, Access::WRITE_OK),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let directory = file.parent().unwrap_or(Path::new("/"));
            if made_by_start(prefix).iter().any(|made| made == directory) {
                can_make(directory)
            } else {
                can_write_in(directory)
            }
        }
        Err(error) => Err(obstacle(file, &error)),
    }
}

fn made_by_start(prefix: &Path) -> [PathBuf; 3] {
    [prefix.to_owned(), prefix.join("logs"), prefix.join("pids")]
}

fn can_write_in(directory: &Path) -> Result<(), Obstacle> {
    let there = fs::metadata(directory).map_err(|error| obstacle(directory, &error))?;
    if !there.is_dir() {
        return Err(Obstacle::Always(format!("{} is not a directory", directory.display())));
    }
    if statfs(directory).is_ok_and(|fs| UNWRITABLE.contains(&(fs.f_type as u64))) {
        return Err(Obstacle::Always(format!(
            "nothing can be made in {}: it is the kernel's",
            directory.display()
        )));
    }
    may(directory, Access::WRITE_OK | Access::EXEC_OK)
}

fn may(path: &Path, what: Access) -> Result<(), Obstacle> {
    access(path, what).map_err(|error| obstacle(path, &error.into()))
}

fn obstacle(path: &Path, error: &io::Error) -> Obstacle {
    let path = path.display();
    if error.kind() == io::ErrorKind::PermissionDenied {
        Obstacle::ForThisUser(format!("whoever asks may not write to {path}"))
    } else {
        Obstacle::Always(format!("{path} cannot be written to: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(found: Result<(), Obstacle>) -> Option<String> {
        match found.err()? {
            Obstacle::Always(what) | Obstacle::ForThisUser(what) => Some(what),
        }
    }

    #[test]
    fn a_directory_can_be_made_where_there_is_one_to_make_it_in() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        assert_eq!(said(can_make(dir.path())), None);
        assert_eq!(said(can_make(&dir.path().join("a/b/c"))), None);
        let no_directory = format!("{} is not a directory", file.display());
        assert_eq!(said(can_make(&file)), Some(no_directory));
        assert!(said(can_make(&file.join("x"))).is_some());
        let in_proc = said(can_make(Path::new("/proc/1/x"))).unwrap();
        assert_eq!(in_proc, "nothing can be made in /proc/1: it is the kernel's");
    }

    #[test]
    fn a_log_needs_its_directory_unless_a_start_makes_it() {
        let dir = tempfile::tempdir().unwrap();
        let prefix = dir.path().join("prefix");
        for (file, fits) in [
            ("x.log", true),
            ("prefix/x.log", true),
            ("prefix/logs/x.log", true),
            ("prefix/mine/x.log", false),
            ("gone/x.log", false),
            ("", false),
        ] {
            let found = said(can_append(&dir.path().join(file), &prefix));
            assert_eq!(found.is_none(), fits, "{file}: {found:?}");
        }
        assert_eq!(said(can_append(Path::new("/dev/null"), &prefix)), None);
    }
}
