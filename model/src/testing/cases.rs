//! Golden files: what goes in, a line of dashes, what must come out.
//!
//! A `.case` file holds one such pair, or several with a line of `=` between
//! them. `BLESS=1` writes what came out into the files; read the diff before
//! you commit it.

use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs};

/// Runs every `.case` file of a directory through `run`.
///
/// # Panics
/// If a directory or file cannot be read, there is none, or any output differs.
#[track_caller]
pub fn check(dir: impl AsRef<Path>, run: impl Fn(&str) -> String) {
    let dir = dir.as_ref();
    let entries = fs::read_dir(dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    let mut files: Vec<_> =
        entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "case"));
    files.sort();
    assert!(!files.is_empty(), "no .case file in {}", dir.display());
    let failures: String = files.iter().map(|path| check_file(path, &run)).collect();
    assert!(failures.is_empty(), "{failures}\nBLESS=1 accepts what came out");
}

/// Runs one file and says what differs.
fn check_file(path: &Path, run: impl Fn(&str) -> String) -> String {
    let text =
        fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut blessed = Vec::new();
    let mut failures = String::new();
    for case in split(&text, '=') {
        let (input, expected) = match split(&case, '-').as_slice() {
            [input] => (input.clone(), String::new()),
            [input, expected] => (input.clone(), expected.clone()),
            _ => panic!("{}: a case has one line of dashes", path.display()),
        };
        let found = run(input.trim()).trim_end().to_owned();
        if found != expected.trim_end() {
            let expected = expected.trim_end();
            let _ = writeln!(
                failures,
                "\n{}:\n{}\n--- expected\n{expected}\n--- found\n{found}",
                path.display(),
                input.trim(),
            );
        }
        blessed.push(format!("{}\n----\n{found}\n", input.trim()));
    }
    if env::var_os("BLESS").is_some() && !failures.is_empty() {
        let blessed = blessed.join("====\n");
        fs::write(path, blessed).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        return String::new();
    }
    failures
}

/// Splits at lines of four or more of this character and nothing else.
fn split(text: &str, mark: char) -> Vec<String> {
    let mut parts = vec![String::new()];
    for line in text.lines() {
        let is_mark = line.len() >= 4 && line.chars().all(|c| c == mark);
        match parts.last_mut() {
            Some(part) if !is_mark => {
                part.push_str(line);
                part.push('\n');
            }
            _ => parts.push(String::new()),
        }
    }
    parts
}
