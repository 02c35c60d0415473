//! The binary: reads the command line, does what it says, ends with an exit code.

#![forbid(unsafe_code)]

pub mod cli; // the commands
pub mod bounded; // files that operators name
pub mod conf; // text by property, and where it came from
pub mod vault; // secrets that are kept elsewhere
pub mod properties; // every property, and what becomes of it
pub mod options; // text → types, or every mistake
pub mod prefix; // the directory a node lives in
pub mod daemon; // leaving the terminal
pub mod notify; // telling whoever started us how we fare
pub mod telemetry; // logs
pub mod status; // the status listener
pub mod run; // the wiring

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::main()
}
