//! `hybrid gen_cert`: writes the pair that every node of a cluster shares.

use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use clap::{Args, Subcommand};
use cluster::tls::generate::{DEFAULT_DAYS, gen_cert};

use super::console::Console;

#[derive(Debug, Args)]
#[command(arg_required_else_help = true)]
pub(super) struct HybridArgs {
    #[command(subcommand)]
    command: HybridCommand,
    /// Days the certificate is valid
    #[arg(short, long, global = true, default_value_t = DEFAULT_DAYS)]
    days: u32,
}

#[derive(Debug, Subcommand)]
enum HybridCommand {
    /// Make a certificate and its key, to be copied to every node
    #[command(name = "gen_cert")]
    GenCert {
        /// Where to write the certificate [default: ./cluster.crt]
        cert: Option<PathBuf>,
        /// Where to write the key [default: ./cluster.key]
        key: Option<PathBuf>,
    },
}

pub(super) fn execute(args: &HybridArgs, console: &Console) -> anyhow::Result<()> {
    let HybridCommand::GenCert { cert, key } = &args.command;
    let (cert, key) = match (cert, key) {
        (Some(cert), Some(key)) => (cert.as_path(), key.as_path()),
        (None, None) => (Path::new("./cluster.crt"), Path::new("./cluster.key")),
        _ => bail!("both cert and key path needs to be provided"),
    };
    for path in [cert, key] {
        ensure!(!path.exists(), "{} already exists.\nWill not overwrite it.", path.display());
    }
    let pair = gen_cert(args.days)?;
    write(key, &pair.key, 0o600)?;
    if let Err(error) = write(cert, &pair.certificate, 0o644) {
        let _ = fs::remove_file(key); // a key without its certificate is of no use to anyone
        return Err(error);
    }
    console.say(format_args!(
        "Successfully generated certificate/key pairs, they have been written to: '{}' and '{}'.",
        cert.display(),
        key.display()
    ));
    Ok(())
}

/// Writes a new file that is never, not even for a moment, open to more than `mode` allows.
fn write(path: &Path, text: &str, mode: u32) -> anyhow::Result<()> {
    let write = || -> io::Result<()> {
        let mut file = File::options().write(true).create_new(true).mode(mode).open(path)?;
        file.set_permissions(Permissions::from_mode(mode))?; // whatever the umask took away
        file.write_all(text.as_bytes())?;
        file.sync_all()
    };
    write().with_context(|| format!("could not write {}", path.display()))
}
