//! Connects sources of configuration to their sinks, by role.

use tokio::signal::unix::{SignalKind, signal};

use crate::notify;
use crate::options::Options;
use crate::telemetry::Telemetry;

/// Runs the node until it is told to stop.
pub async fn run(options: Options, _telemetry: &Telemetry) -> anyhow::Result<()> {
    let (mut term, mut quit) = (signal(SignalKind::terminate())?, signal(SignalKind::quit())?);
    let mut hup = signal(SignalKind::hangup())?;
    tracing::info!("{} started", options.role.name());
    notify::ready();
    loop {
        tokio::select! {
            _ = term.recv() => break,
            _ = quit.recv() => break,
            _ = hup.recv() => tracing::info!("reloading"),
        }
    }
    notify::stopping();
    Ok(())
}
