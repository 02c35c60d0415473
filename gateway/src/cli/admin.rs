//! `admin token`: makes a token for the Admin API.

use admin::{NewToken, Role};
use clap::{Args, Subcommand};

use super::console::Console;

#[derive(Debug, Args)]
#[command(arg_required_else_help = true)]
pub(super) struct AdminArgs {
    #[command(subcommand)]
    command: AdminCommand,
}

#[derive(Debug, Subcommand)]
enum AdminCommand {
    /// Make a token, and the line by which `admin_api_tokens_file` lets it in
    Token {
        /// Whom it is for, as the audit log will have it
        name: String,
        /// Let it read everything and change nothing
        #[arg(long)]
        read_only: bool,
    },
}

/// What is printed is nowhere else: only the digest of the token goes into the file.
pub(super) fn execute(args: &AdminArgs, console: &Console) -> anyhow::Result<()> {
    let AdminCommand::Token { name, read_only } = &args.command;
    let role = if *read_only { Role::ReadOnly } else { Role::Admin };
    let NewToken { secret, line } = NewToken::make(name, role)?;
    console.say(format_args!("token: {secret}\nline: {line}"));
    Ok(())
}
