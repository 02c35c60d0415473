//! One gateway process after another in the same place: prefix, configuration file, logs.

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::wait::{PATIENCE, within};

/// What is tested: the program built with the tests, or the one that `USE_GATEWAY` names, such as a
/// release build or the one from a package.
fn binary() -> OsString {
    env::var_os("USE_GATEWAY").unwrap_or_else(|| env!("CARGO_BIN_EXE_gateway").into())
}

/// A gateway that can be started, told, killed and started again.
pub struct Process {
    place: PathBuf,
    properties: BTreeMap<&'static str, String>,
    launcher: Vec<String>,
    child: Option<Child>,
    starts: usize,
}

impl Process {
    /// The program, without the settings of whoever runs the tests.
    pub fn program() -> Command {
        cleaned(Command::new(binary()))
    }

    /// Nothing runs yet.
    pub fn new(place: PathBuf) -> Self {
        let prefix = place.join("prefix").display().to_string();
        Self {
            place,
            properties: BTreeMap::from([("prefix", prefix)]),
            launcher: Vec::new(),
            child: None,
            starts: 0,
        }
    }

    /// Sets a property for the next start.
    pub fn set(&mut self, name: &'static str, value: impl ToString) {
        self.properties.insert(name, value.to_string());
    }

    /// Puts a command before the program, such as `taskset -c 0`.
    pub fn launch_by(&mut self, launcher: &[&str]) {
        self.launcher = launcher.iter().map(|word| (*word).to_owned()).collect();
    }

    pub fn prefix(&self) -> PathBuf {
        self.place.join("prefix")
    }

    /// Writes its configuration file, for commands before its first start.
    pub fn configure(&self) {
        let text: String =
            self.properties.iter().map(|(name, value)| format!("{name} = {value}\n")).collect();
        fs::write(self.conf(), text).unwrap();
    }

    /// Starts the program in the foreground. Whether it serves is for the caller to see.
    pub fn start(&mut self) {
        assert!(self.child.is_none(), "it runs already");
        self.configure();
        self.starts += 1;
        let log = File::create(self.log_file(self.starts)).unwrap();
        let mut command = match self.launcher.split_first() {
            None => Self::program(),
            Some((first, rest)) => {
                let mut command = cleaned(Command::new(first));
                command.args(rest).arg(binary());
                command
            }
        };
        command.args(["start", "-c"]).arg(self.conf());
        command.stdout(log.try_clone().unwrap()).stderr(log);
        self.child = Some(command.spawn().unwrap());
    }

    /// Ends it as a power failure would.
    pub fn kill(&mut self) {
        let mut child = self.child.take().expect("it runs");
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Its number.
    pub fn id(&self) -> u32 {
        self.child.as_ref().expect("it runs").id()
    }

    pub fn signal(&self, signal: Signal) {
        let child = self.child.as_ref().expect("it runs");
        kill_process(Pid::from_child(child), signal).unwrap();
    }

    /// Waits for its end.
    pub async fn exited(&mut self, limit: Duration) -> ExitStatus {
        let mut child = self.child.take().expect("it runs");
        let end = within(limit, async || {
            child.try_wait().unwrap().ok_or_else(|| "the process still runs".to_owned())
        });
        end.await
    }

    /// That it has not ended by itself.
    #[track_caller]
    pub fn assert_alive(&mut self) {
        let child = self.child.as_mut().expect("it was started");
        let ended = child.try_wait().unwrap();
        assert!(ended.is_none(), "{} ended by itself: {ended:?}", self.place.display());
    }

    /// A command about this node, such as `quit --timeout 2`.
    pub fn command(&self, words: &str) -> Command {
        let mut command = Self::program();
        command.args(words.split(' ')).arg("-c").arg(self.conf());
        command
    }

    /// The same, to its end.
    pub fn run(&self, words: &str) -> Output {
        self.command(words).output().unwrap()
    }

    /// What `check` says of its configuration file.
    pub fn check(&self) -> Output {
        Self::program().arg("check").arg(self.conf()).output().unwrap()
    }

    /// The most memory it has ever held, in KiB.
    pub fn most_memory_kib(&self) -> usize {
        let child = self.child.as_ref().expect("it runs");
        let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
        let line =
            status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("it has some");
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// All it has said since it was started last.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_file(self.starts)).unwrap_or_default()
    }

    /// Waits for a line with all of these words in it.
    pub async fn says(&self, words: &[&str]) -> String {
        within(PATIENCE, async || {
            let log = self.log();
            let line = log.lines().find(|line| words.iter().all(|word| line.contains(word)));
            line.map(str::to_owned).ok_or_else(|| format!("no line with {words:?} in:\n{log}"))
        })
        .await
    }

    fn conf(&self) -> PathBuf {
        self.place.join("gateway.conf")
    }

    fn log_file(&self, start: usize) -> PathBuf {
        self.place.join(format!("log.{start}"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            for start in 1..=self.starts {
                show(&self.log_file(start));
            }
        }
    }
}

fn show(log: &Path) {
    let text = fs::read_to_string(log).unwrap_or_default();
    eprintln!("──── {}\n{text}", log.display());
}

fn cleaned(mut command: Command) -> Command {
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("GATEWAY_") || text.starts_with("KONG_") || text == "NOTIFY_SOCKET" {
            command.env_remove(&name);
        }
    }
    command.stdin(Stdio::null());
    command
}
