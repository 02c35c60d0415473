//! `vault get`: what a reference leads to, from here.

use anyhow::Context;
use clap::{Args, Subcommand};
use model::vault::Reference;

use super::GroupPlace;
use super::console::Console;
use crate::options;

#[derive(Debug, Args)]
#[command(arg_required_else_help = true)]
pub(super) struct VaultArgs {
    #[command(subcommand)]
    command: VaultCommand,
    #[command(flatten)]
    place: GroupPlace,
}

#[derive(Debug, Subcommand)]
enum VaultCommand {
    /// Print the secret that a reference leads to, in the environment of this command
    #[command(after_help = "\
Examples:
  DB_PASSWORD=hello gateway vault get '{vault://env/db-password}'
  DB_PASSWORD=hello gateway vault get env/db-password")]
    Get {
        /// `{vault://<vault>/<resource>[/<key>]}`, or what stands behind `vault://` in it
        #[arg(value_name = "REFERENCE")]
        reference: String,
    },
}

pub(super) fn execute(args: &VaultArgs, console: &Console) -> anyhow::Result<()> {
    let VaultCommand::Get { reference } = &args.command;
    let whole = match Reference::is_meant(reference) {
        true => reference.clone(),
        false => format!("{{vault://{reference}}}"),
    };
    let parsed: Reference = whole.parse().with_context(|| whole.clone())?;
    let settings = console.settle(&args.place.place().sources())?;
    let secret = parsed.resolve(&options::vaults_of(&settings)).with_context(|| whole)?;
    console.say(secret);
    Ok(())
}
