//! PostgreSQL for tests: a server of their own, on a free port, in a directory that goes with them.
//!
//! A shell looks after it, as whoever may run one (`initdb` refuses root). It ends, and cleans up, when
//! its standard input does: however the tests end. If it is killed itself, the next one cleans up, as nobody
//! holds the lock of that directory any more. Where there is no PostgreSQL, there is no server, and the tests
//! that want one say so and pass.

#![allow(dead_code, reason = "each test binary uses some of it")]
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test may fail, or say why it does not run"
)]

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};
use std::{env, fs};

/// Nothing of what is tested depends on the disk of the machine that tests: a server that is killed
/// leaves the kernel's cache alone. Commits that are not waited for are what a careless operator sets.
const SETTINGS: &str = "-c fsync=off -c synchronous_commit=off -c full_page_writes=off \
    -c max_connections=200 -c shared_buffers=16MB -c log_min_messages=warning";

const KEEPER: &str = r#"
bin=$1 port=$2 settings=$3 all=${TMPDIR:-/tmp}/gateway-postgres
for left in "$all".*; do
    [ -f "$left/lock" ] && flock --nonblock "$left/lock" true 2>/dev/null || continue
    pid=$(head -n 1 "$left/data/postmaster.pid" 2>/dev/null)
    if [ -n "$pid" ] && tr '\0' ' ' <"/proc/$pid/cmdline" | grep -qF " $left/"; then
        kill -KILL $pid $(ps -o pid= --ppid $pid)
    fi
    rm -rf "$left"
done 2>/dev/null
dir=$(mktemp -d "$all.XXXXXX") || exit 1
chmod 755 "$dir"
# It has that name only when it is held.
exec 9>"$dir/lock.new"
flock 9 && mv "$dir/lock.new" "$dir/lock"
"$bin/initdb" -D "$dir/data" -U kong -A trust -E UTF8 --locale=C --no-sync >"$dir/log" 2>&1 9>&- ||
    { cat "$dir/log" >&2; rm -rf "$dir"; exit 1; }
echo "$dir"
pid=
start() {
    tls=
    [ -f "$dir/server.key" ] && tls="-c ssl=on -c ssl_cert_file=$dir/server.crt -c ssl_key_file=$dir/server.key"
    while :; do
        "$bin/postgres" -D "$dir/data" -k "$dir" -p "$port" -c listen_addresses=127.0.0.1 \
            $settings $tls >>"$dir/log" 2>&1 9>&- &
        pid=$!
        while kill -0 $pid 2>/dev/null; do
            "$bin/pg_isready" -q -h "$dir" -p "$port" -U kong -d postgres && return
            sleep 0.02
        done
        wait $pid
        # Those of a server that was killed may still be leaving.
        grep -q 'still in use\|Address already in use' "$dir/log" || { cat "$dir/log" >&2; echo failed; return; }
        : >"$dir/log"
    done
}
halt() {
    [ -n "$pid" ] || return 0
    case $1 in
    KILL) kill -KILL $pid $(ps -o pid= --ppid $pid) 2>/dev/null ;;
    *) kill -$1 $pid ;;
    esac
    wait $pid 2>/dev/null
    pid=
}
while read -r word one two; do
    case $word in
    start) start ;;
    stop) halt INT ;;
    kill) halt KILL ;;
    freeze) kill -STOP $pid $(ps -o pid= --ppid $pid) ;;
    thaw) kill -CONT $pid $(ps -o pid= --ppid $pid) ;;
    tls) cp "$one" "$dir/server.crt" && cp "$two" "$dir/server.key" && chmod 600 "$dir/server.key" ;;
    trust) cp "$one" "$dir/data/pg_hba.conf" ;;
    esac
    echo done
done
halt QUIT
rm -rf "$dir"
"#;

/// A server.
pub(crate) struct Server {
    bin: PathBuf,
    dir: PathBuf,
    port: u16,
    keeper: Mutex<Keeper>,
}

struct Keeper {
    process: Child,
    words: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Server {
    /// The one that the tests of this process share, each with a database of its own.
    pub(crate) fn shared() -> Option<&'static Self> {
        static SHARED: OnceLock<Option<Server>> = OnceLock::new();
        SHARED.get_or_init(Server::start).as_ref()
    }

    /// One of its own, for a test that kills it.
    pub(crate) fn start() -> Option<Self> {
        let server = Self::prepare()?;
        server.tell("start");
        Some(server)
    }

    /// One that is not started.
    pub(crate) fn prepare() -> Option<Self> {
        let Some(bin) = programs() else {
            eprintln!("skipped: there is no PostgreSQL here");
            return None;
        };
        let Some(mut shell) = shell() else {
            eprintln!("skipped: PostgreSQL does not run as root, and there is nobody else");
            return None;
        };
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        shell.args(["-c", KEEPER, "keeper"]).arg(&bin).args([&port.to_string(), SETTINGS]);
        shell.current_dir("/").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = shell.spawn().unwrap();
        let words = process.stdin.take().unwrap();
        let mut answers = BufReader::new(process.stdout.take().unwrap());
        let mut dir = String::new();
        answers.read_line(&mut dir).unwrap();
        assert!(!dir.is_empty(), "PostgreSQL could not be set up");
        let keeper = Mutex::new(Keeper { process, words, answers });
        Some(Self { bin, dir: dir.trim_end().into(), port, keeper })
    }

    /// Tells the keeper, and waits until it is done: `start`, `stop`, `kill`, `freeze`, `thaw`,
    /// `tls CERT KEY`, `trust HBA`.
    pub(crate) fn tell(&self, words: &str) {
        let mut keeper = self.keeper.lock().unwrap();
        writeln!(keeper.words, "{words}").unwrap();
        let mut answer = String::new();
        keeper.answers.read_line(&mut answer).unwrap();
        assert_eq!(answer, "done\n", "`{words}` failed");
    }

    /// A new database, and its name. What is called `kong` may do everything there.
    pub(crate) fn database(&self) -> String {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("test_{}", COUNT.fetch_add(1, Ordering::Relaxed));
        self.sql("postgres", &format!("create database {name}"));
        name
    }

    /// What the server says to this, in a database.
    pub(crate) fn sql(&self, database: &str, sql: &str) -> String {
        let said = self.psql(database, sql);
        said.unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// The same, or what was wrong.
    pub(crate) fn psql(&self, database: &str, sql: &str) -> Result<String, String> {
        let mut psql = self.program("psql");
        psql.args(["-d", database, "-XqAt", "-v", "ON_ERROR_STOP=1", "-c", sql]);
        let output = psql.output().unwrap();
        let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
        if output.status.success() { Ok(said(&output.stdout)) } else { Err(said(&output.stderr)) }
    }

    /// Everything that is in a database, to be put into another by [`Self::restore`].
    pub(crate) fn dump(&self, database: &str) -> String {
        let output = self.program("pg_dump").args(["-d", database]).output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    }

    /// Puts what was dumped in the place of what a database has, as an operator does with a backup.
    pub(crate) fn restore(&self, database: &str, dump: &str) {
        let mut sql = String::from("drop schema public cascade; create schema public;\n");
        let _ = sql.write_str(dump);
        let mut psql = self.program("psql");
        psql.args(["-d", database, "-Xq", "-1", "-v", "ON_ERROR_STOP=1", "-f", "-"]);
        let mut child = psql.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(sql.as_bytes()).unwrap();
        assert!(child.wait().unwrap().success());
    }

    /// Kills whoever looks after it, so that nobody does.
    pub(crate) fn abandon(self) {
        let mut process = self.keeper.into_inner().unwrap().process;
        process.kill().unwrap();
        process.wait().unwrap();
    }

    /// Where it listens besides its Unix socket.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Where its Unix socket is.
    pub(crate) fn socket(&self) -> &Path {
        &self.dir
    }

    fn program(&self, name: &str) -> Command {
        let mut program = Command::new(self.bin.join(name));
        program.env("PGHOST", &self.dir).env("PGPORT", self.port.to_string()).env("PGUSER", "kong");
        program.env("PGOPTIONS", "-c client_min_messages=warning");
        program
    }
}

/// Where the programs of PostgreSQL are: where the path says, or where Debian puts the newest.
fn programs() -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&path).map(|dir| dir.join("initdb")).find(|file| file.exists());
    let debian = || {
        let versions = fs::read_dir("/usr/lib/postgresql").ok()?;
        let version = |dir: &PathBuf| dir.file_name()?.to_str()?.parse::<u32>().ok();
        let newest = versions.flatten().map(|entry| entry.path()).max_by_key(version)?;
        Some(newest.join("bin/initdb"))
    };
    let initdb = fs::canonicalize(found.or_else(debian)?).ok()?;
    Some(initdb.parent()?.to_owned())
}

/// A shell that may run PostgreSQL.
fn shell() -> Option<Command> {
    let id = Command::new("id").arg("-u").output().ok()?;
    if id.stdout.trim_ascii() != b"0" {
        return Some(Command::new("sh"));
    }
    let is_user = |user: &&str| {
        Command::new("id")
            .arg(user)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    };
    let user = ["postgres", "nobody"].into_iter().find(is_user)?;
    Command::new("setpriv").arg("--version").stdout(Stdio::null()).status().ok()?;
    let mut shell = Command::new("setpriv");
    shell.args([&format!("--reuid={user}"), "--regid", "65534", "--clear-groups", "sh"]);
    Some(shell)
}
