//! Clients and servers that others have written, in Python.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use super::PATIENCE;

/// A Python that has a module.
pub struct Python(PathBuf);

impl Python {
    /// The one that `scripts/test.sh` makes. Without it, or without the module, a test skips, and
    /// says so.
    pub async fn with(module: &str) -> Option<Self> {
        let made = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("clients/bin/python");
        let python = env::var_os("USE_PYTHON").map_or(made, PathBuf::from);
        let mut asked = Command::new(&python);
        asked.args(["-c", &format!("import {module}")]).stderr(Stdio::null());
        if asked.status().await.is_ok_and(|status| status.success()) {
            return Some(Self(python));
        }
        eprintln!("skipped: {} has no {module}; scripts/test.sh installs it", python.display());
        None
    }

    /// Runs one of the scripts in `clients`, until it ends or is dropped.
    pub fn run(&self, script: &str, arguments: &[&str]) -> Running {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/clients").join(script);
        let mut command = Command::new(&self.0);
        command.arg(path).args(arguments).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.kill_on_drop(true).spawn().unwrap();
        let said = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        Running { child, said }
    }
}

/// A script that runs.
pub struct Running {
    child: Child,
    said: Lines<BufReader<ChildStdout>>,
}

impl Running {
    /// The next line it says; none once it has ended.
    pub async fn says(&mut self) -> Option<String> {
        // It has a patience of its own, which is longer than ours for one step.
        tokio::time::timeout(6 * PATIENCE, self.said.next_line()).await.unwrap().unwrap()
    }

    /// All it says until it ends, which it must do well.
    pub async fn ends_well(mut self) -> Vec<String> {
        let mut lines = Vec::new();
        while let Some(line) = self.says().await {
            lines.push(line);
        }
        let status = self.child.wait().await.unwrap();
        assert!(status.success(), "{status} after {lines:?}");
        lines
    }

    /// Ends it as a power failure would.
    pub async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }
}
